"""Reading: every format, every way a file can be wrong, and nothing lost."""

from __future__ import annotations

import gzip
import io
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyvigil.config.data import DataSpec
from polyvigil.config.load import apply_setting
from polyvigil.data.delimited import MAX_CELL
from polyvigil.data.formats import RowError, open_table
from polyvigil.data.read import Reading, read_labelled, reject_line, split_name
from polyvigil.errors import DataError, RecipeError

HEADER = "id,text,label,origin,type,language,split\n"
ROWS = [
    {"id": "de_1", "text": 'zwei\nZeilen, "Zitat"', "label": "1", "type": "tweet", "language": "de"},
    {"id": "ja_2", "text": "頭が痛い", "label": "0.0", "type": "tweet", "language": "ja"},
]


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="")
    return path


def _csv(delimiter: str = ",") -> str:
    import csv

    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue()


def _file(folder: Path, kind: str) -> Path:
    jsonl = "".join(json.dumps(row) + "\n" for row in ROWS)
    if kind == "csv":
        return _write(folder / "p.csv", _csv())
    if kind == "bom":
        return _write(folder / "bom.csv", "\ufeff" + _csv())
    if kind == "utf16":
        (folder / "u.tsv").write_bytes(_csv("\t").encode("utf-16"))
        return folder / "u.tsv"
    if kind == "tsv":
        return _write(folder / "p.tsv", _csv("\t"))
    if kind == "jsonl":
        return _write(folder / "p.jsonl", jsonl)
    if kind == "gz":
        (folder / "p.csv.gz").write_bytes(gzip.compress(_csv().encode()))
        return folder / "p.csv.gz"
    if kind == "zst":
        with pa.output_stream(str(folder / "p.jsonl.zst"), compression="zstd") as stream:
            stream.write(jsonl.encode())
        return folder / "p.jsonl.zst"
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "p.parquet")
    return folder / "p.parquet"


@pytest.mark.parametrize("kind", ["csv", "bom", "utf16", "tsv", "jsonl", "gz", "zst", "parquet"])
def test_every_format_gives_the_same_posts(tmp_path: Path, kind: str) -> None:
    reading = read_labelled(_file(tmp_path, kind))
    assert [(item.post.id, item.post.text, item.label, item.post.language) for item in reading.posts] == [
        ("de_1", 'zwei\nZeilen, "Zitat"', 1, "de"),
        ("ja_2", "頭が痛い", 0, "ja"),
    ]
    assert not reading.row_errors


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_standard_input_format_is_detected(tmp_path: Path, kind: str) -> None:
    program = "from polyvigil.data.read import read_labelled; print([p.post.id for p in read_labelled('-').posts])"
    with _file(tmp_path, kind).open("rb") as stdin:
        done = subprocess.run([sys.executable, "-c", program], stdin=stdin, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['de_1', 'ja_2']"


def _faults(tmp_path: Path, text: str, spec: DataSpec | None = None) -> Reading:
    good = "ok_1,fine,0,a,tweet,en,\n"
    return read_labelled(_write(tmp_path / "posts.csv", HEADER + good + text), spec)


@pytest.mark.parametrize(
    ("row", "line", "column", "reason"),
    [
        ("x,,1,a,tweet,en,\n", 3, "text", "empty"),
        ("x, \t ,1,a,tweet,en,\n", 3, "text", "empty"),
        ("x,hi,maybe,a,tweet,en,\n", 3, "label", "'maybe' is not 0 or 1"),
        ("x,hi,,a,tweet,en,\n", 3, "label", "'' is not 0 or 1"),
        ("x,hi,2,a,tweet,en,\n", 3, "label", "'2' is not 0 or 1"),
        ("x,hi,1,a,tweet,English please,\n", 3, "language", "'English please' is not a language"),
        ("x,hi,1\n", 3, "", "3 cells where the header has 7"),
        ("x,hi,1,a,tweet,en,,,\n", 3, "", "9 cells where the header has 7"),
        ('ok_2,"a, b",0,a,tweet,en,\nx,"hi"there,1,a,tweet,en,\n', 4, "", "broken quoting (',' expected after '\"')"),
        ('ok_2,"a\nb\nc",0,a,tweet,en,\nx,,1,a,tweet,en,\n', 6, "text", "empty"),  # lines, not rows, are counted
    ],
)
def test_bad_rows_are_set_aside_with_line_column_and_reason(
    tmp_path: Path, row: str, line: int, column: str, reason: str
) -> None:
    reading = _faults(tmp_path, row)
    assert [(fault.line, fault.column, fault.reason) for fault in reading.row_errors] == [(line, column, reason)]
    assert "ok_1" in {item.post.id for item in reading.posts}
    assert any(f":{line}: " in note for note in reading.notes)


def test_rows_of_broken_encoding_keep_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(
        HEADER.encode()
        + "ok,déjà vu, là-bas,0,a,tweet,en,\n".replace(", ", " ").encode() * 9
        + b"x,caf\xe9,1,a,tweet,fr,\n"
    )
    reading = read_labelled(path)
    (fault,) = reading.row_errors
    assert (fault.line, fault.column, fault.reason) == (11, "text", "not UTF-8 (byte 0xE9)")
    kept = json.loads(reject_line("latin.csv", fault))["row"]["text"]
    assert kept.encode("utf-8", "surrogateescape") == b"caf\xe9"
    assert any("--encoding" in note for note in reading.notes)


def _labelled_file(tmp_path: Path, labels: list[str]) -> Path:
    rows = [
        json.dumps({"text": f"post {number}", "language": "en", "label": label}) for number, label in enumerate(labels)
    ]
    return _write(tmp_path / "posts.jsonl", "\n".join(rows))


@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        *(
            ("yes", "no"),
            ("Yes", "No"),
            ("Y", "N"),
            ("TRUE", "FALSE"),
            ("ADE", "noADE"),
            ("ade", "no ADE"),
            ("ADE", "none"),
        ),
        *(
            ("LABEL_1", "LABEL_0"),
            ("1. ADE", "0. none"),
            ("あり", "なし"),
            ("ja", "nein"),
            ("1", "-1"),
            ("1.0", "-1.0"),
        ),
        *((" 1 ", "0"), ("1.000000", "0.000000"), ("1e0", "0e0"), ("1,0", "0,0")),
    ],
)
def test_usual_words_for_both_classes_are_read_and_said(tmp_path: Path, positive: str, negative: str) -> None:
    reading = read_labelled(_labelled_file(tmp_path, [positive, negative, negative, negative]))
    assert [item.label for item in reading.posts] == [1, 0, 0, 0]
    values = {value.value: (value.rows, value.label) for value in reading.label_values}
    assert values == {positive.strip(): (1, 1), negative.strip(): (3, 0)}
    said = "".join(reading.notes)
    assert (f"{negative!r} (3 rows) as 0" in said) == (
        not positive.strip()[-1].isdigit() or "-" in negative or "_" in negative
    )


@pytest.mark.parametrize(
    ("labels", "message", "hint"),
    [
        (
            ["Related", "Not-Related", "Not-Related"] * 3,
            "Not-Related (6), Related (3), neither 0 nor 1",
            "--set data.labels.Not-Related=0 --set data.labels.Related=1",
        ),
        (["positive", "negative"] * 3, "positive (3), negative (3)", "--set data.labels.positive=1"),
        (["yes"] * 3, "yes (3), not 0 or 1", "add --set data.labels.yes=1"),
        (["1", "0", "-1"] * 3, "-1 (3), not 0 or 1", "--set data.labels.-1=0"),
        (["1 = a", "0 = b", "2 = c"] * 3, "2 = c (3)", "--set 'data.labels.2 = c=0'"),
        (["it's", "b.c d"] * 3, "it's (3), b.c d (3)", "--set 'data.labels.b.c d=1'"),
        ([f"{number} stars" for number in range(12)] * 3, "and 4 more values", "--column label=NAME"),
    ],
)
def test_other_words_are_asked_about_in_one_hint(tmp_path: Path, labels: list[str], message: str, hint: str) -> None:
    path = _labelled_file(tmp_path, labels)
    with pytest.raises(DataError) as caught:
        read_labelled(path)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    if "NAME" not in hint and len(set(labels)) > 1:  # what the hint says can be pasted, and works
        settings = shlex.split((caught.value.hint or "").partition("--set ")[2].replace("--set ", ""))
        tree: dict[str, Any] = {}
        for setting in settings:
            apply_setting(tree, setting)
        assert len(read_labelled(path, DataSpec.model_validate(tree["data"])).posts) == len(labels)


def _marked(tmp_path: Path, *, findings: int) -> Path:
    """A sheet with one column for each finding, 1 or nothing in its cells; the label's is called ADR."""
    header = ["sentences", "ADR", *(f"F{number}" for number in range(findings)), "remark"]
    rows = [
        header,
        *(["post"] + ["1" if row % 4 == column else "" for column in range(findings + 1)] for row in range(8)),
    ]
    rows = [
        rows[0],
        *([f"{row[0]} {number}", *row[1:], "!" if number == 3 else ""] for number, row in enumerate(rows[1:])),
    ]
    return _write(tmp_path / "marks.csv", "".join(",".join(row) + "\n" for row in rows))


@pytest.mark.parametrize("keep_cells", [True, False])
def test_an_empty_cell_of_a_sheet_of_marks_is_0(tmp_path: Path, keep_cells: bool) -> None:
    """As in corpora that mark each finding in a column of its own, and nothing where there is none."""
    path = _marked(tmp_path, findings=3)
    reading = read_labelled(path, DataSpec(language="en"), keep_cells=keep_cells)
    assert [item.label for item in reading.posts] == [1, 0, 0, 0, 1, 0, 0, 0]
    assert any('"F0", column "F1", column "F2" do; --set data.labels.1=1 if not' in note for note in reading.notes)
    unlabelled = read_labelled(path, DataSpec(language="en", labels={"1": 1}), keep_cells=keep_cells)
    assert [item.post.text for item in unlabelled.posts] == ["post 0", "post 4"]


def test_empty_labels_beside_no_other_marks_stay_empty_until_the_user_says(tmp_path: Path) -> None:
    path = _marked(tmp_path, findings=1)
    reading = read_labelled(path, DataSpec(language="en"))
    assert [item.label for item in reading.posts] == [1, 1]
    way_out = next(word for note in reading.notes for word in shlex.split(note) if word.startswith("data.labels."))
    tree: dict[str, Any] = {}
    apply_setting(tree, way_out)
    spec = DataSpec.model_validate(tree["data"] | {"language": "en"})
    assert (spec.labels, [item.label for item in read_labelled(path, spec).posts]) == (
        {"": 0},
        [1, 0, 0, 0, 1, 0, 0, 0],
    )


def test_labels_of_the_user_always_win(tmp_path: Path) -> None:
    path = _labelled_file(tmp_path, ["Yes", "no", "0", "1"])
    assert [item.label for item in read_labelled(path, DataSpec(labels={"yes": 0, "no": 1})).posts] == [0, 1, 0, 1]
    with pytest.raises(DataError, match="no usable row"):
        read_labelled(_labelled_file(tmp_path, ["no"] * 2), DataSpec(labels={"yes": 0}))


def test_a_few_unreadable_labels_are_set_aside_and_a_share_of_them_stops(tmp_path: Path) -> None:
    few = read_labelled(_labelled_file(tmp_path, ["1", "0"] * 50 + ["2", "maybe", "", "nan"]))
    assert (len(few.posts), len(few.row_errors)) == (100, 4)
    many = _labelled_file(tmp_path, ["1", "0"] * 50 + ["2"] * 3)
    with pytest.raises(DataError, match=r'column "label" holds 2 \(3\), not 0 or 1'):
        read_labelled(many)
    with pytest.raises(DataError, match=r'column "label" holds 2 \(3\), not 0 or 1'):
        read_labelled(many, on_error="fail")
    assert len(read_labelled(many, on_error="quarantine").row_errors) == 3


def test_languages_by_any_name_are_read_and_said_once(tmp_path: Path) -> None:
    languages = ["en-US", "English", "EN", "deu", "None", "quenya"]
    rows = [
        {"text": "this gave me a bad headache", "label": n % 2, "language": name} for n, name in enumerate(languages)
    ]
    path = _write(tmp_path / "posts.jsonl", "\n".join(map(json.dumps, rows)))
    reading = read_labelled(path)
    assert [item.post.language for item in reading.posts] == ["en", "en", "en", "de", "en"]
    assert [error.reason for error in reading.row_errors] == ["'quenya' is not a language"]
    said = "\n".join(reading.notes)
    assert "'en-US' (1 rows), 'English' (1 rows) as en; 'deu' (1 rows) as de; 'None' (1 rows) as none given" in said
    default = read_labelled(path, DataSpec(language="French"))
    assert [item.post.language for item in default.posts] == ["en", "en", "en", "de", "fr"]
    assert any("says other than fr for 4 rows (en, de)" in note for note in default.notes)
    with pytest.raises(RecipeError, match="'quenya' is not a language"):
        read_labelled(path, DataSpec(language="quenya"))


def test_on_error_fail_stops_at_the_first_bad_row(tmp_path: Path) -> None:
    path = _write(tmp_path / "posts.csv", HEADER + "a,,1,o,tweet,en,\n")
    with pytest.raises(DataError, match=r'posts\.csv:2: column "text": empty'):
        read_labelled(path, on_error="fail")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", r"is empty: not even a header"),
        ("a.csv", b"id,text,text,label\n", r"column 'text' stands twice"),
        (
            "a.jsonl",
            b'{"text": "' + b"x" * (2 * MAX_CELL) + b'"}\n',
            r"a\.jsonl:1: a line of over 33,554,432 characters",
        ),
        ("a.csv", b"id,label\n1,0\n", r"no column for text; it has 'id', 'label'; name it with --column text=NAME"),
        ("a.csv", b"id,text,label\n", r"no usable row"),
        ("a.csv", b'id,text,label\n1,"never closed,"0\n', r"no usable row; 1 rows set aside"),
        ("a.xlsx", b"x", r"is no workbook that can be read; save it again as \.xlsx or CSV"),
        ("a", b"x", r"no column for text; it has 'x'"),
        ("a.jsonl", b"", r"is empty"),
        ("a.jsonl", b"[1, 2]\nhello\n", r"no line holds a JSON object \(2 other lines\)"),
        ("a.parquet", b"PAR1 not really", r"not readable as Parquet"),
        ("a.csv.gz", b"\x1f\x8bno gzip", r"compressed data break off or are damaged"),
        (
            "a.csv.gz",
            gzip.compress(b"id,text,label\n" + b"1,hello there,0\n" * 5000, mtime=0)[:60],
            r"compressed data break off",
        ),
        ("a.csv.zst", b"\x28\xb5\x2f\xfdno zstd at all", r"compressed data break off or are damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_unusable_files_are_named_with_the_next_step(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_labelled(path)
    assert str(path) in str(caught.value)


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(DataError, match="a column name stands twice"):
        read_labelled(tmp_path / "p.parquet")


def test_damaged_parquet_pages_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"text": [f"post {n}" for n in range(5000)], "label": [0, 1] * 2500}), path)
    content = bytearray(path.read_bytes())
    content[200:2000] = b"\xff" * 1800
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"p\.parquet.*not readable as Parquet"):
        read_labelled(path)


def test_a_split_cannot_be_picked_without_its_column(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.csv", "text,label\nhello,1\n\nthere,0\n")
    assert len(read_labelled(path).posts) == 2  # the blank line is no row
    with pytest.raises(DataError, match="no column for split, so split 'dev' cannot be picked"):
        read_labelled(path, split="dev")


def test_missing_files_suggest_their_neighbours(tmp_path: Path) -> None:
    _file(tmp_path, "csv")
    with pytest.raises(DataError, match=r"no such file; did you mean .*p\.csv\?"):
        read_labelled(tmp_path / "pp.csv")
    with pytest.raises(DataError, match=r"there is no folder"):
        read_labelled(tmp_path / "nowhere" / "p.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"is a folder"):
        read_labelled(tmp_path / "folder.csv")


def test_columns_are_guessed_mapped_and_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.csv", "Tweet,ADE\nhello my friend,1\n")
    reading = read_labelled(path)
    assert {"column 'Tweet' is read as text", "column 'ADE' is read as label"} <= {
        note.partition(": ")[2] for note in reading.notes
    }
    assert reading.posts[0].post.id == "row-2"
    assert any("language detected for 1 posts" in note for note in reading.notes)
    assert read_labelled(path, DataSpec(columns={"text": "Tweet"})).posts[0].post.text == "hello my friend"
    with pytest.raises(DataError, match=r"there is no column 'Twet' \(given for text\); it has 'Tweet', 'ADE'"):
        read_labelled(path, DataSpec(columns={"text": "Twet"}))


def test_json_rows_of_other_kinds_are_set_aside(tmp_path: Path) -> None:
    lines = ['{"text": "fine here", "label": 1, "language": "en"}', "[1]", "{broken", '"text"', "{}", "", "null"]
    lines += ['{"text": null, "label": 0}', '{"label": 0}', '{"text": "deep", "label": true, "language": "en"}']
    lines += ['{"text": "half \\ud800 pair", "label": 0.0, "language": "en"}', "[" * 100_000]
    reading = read_labelled(_write(tmp_path / "p.jsonl", "\n".join(lines)))
    assert [item.label for item in reading.posts] == [1, 1, 0]
    assert [fault.line for fault in reading.row_errors] == [2, 3, 4, 5, 7, 8, 9, 12]


def test_bad_bytes_in_json_are_not_taken_for_escapes(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'{"text": "good", "label": 0, "language": "en"}\n{"text": "caf\xe9", "label": 1}\n')
    (fault,) = read_labelled(path).row_errors
    assert fault.reason == "not UTF-8 (byte 0xE9)"


def test_nul_bytes_and_a_megabyte_post_are_read(tmp_path: Path) -> None:
    long = "head ache " * 100_000
    path = _write(tmp_path / "p.csv", f'{HEADER}a,nul\0byte,0,o,tweet,en,\nb,"{long}",1,o,tweet,en,\n')
    reading = read_labelled(path)
    assert [len(item.post.text) for item in reading.posts] == [8, 1_000_000]


def test_a_huge_cell_is_an_error(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.csv", f'{HEADER}a,"{"x" * (MAX_CELL + 10)}",0,o,tweet,en,\n')
    with pytest.raises(DataError, match=r"1 rows set aside, the first: a cell of over 16,777,216 characters, or"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("written", "role"),
    [
        ("SMM4H_26_train", "train"),
        ("SMM4H_2026_train", "train"),
        ("SMM4H_2026_dev", "dev"),
        ("smm4h-2026 Validation", "dev"),
        ("TEST", "test"),
        ("cadec_test", "test"),
        ("contest", "contest"),  # ends in letters of a role, not in its word
        ("constrain", "constrain"),
        ("fold_1", "fold_1"),
        ("", ""),
    ],
)
def test_split_names_ending_in_a_role_have_that_role(written: str, role: str) -> None:
    assert split_name(written) == role


def test_a_split_is_picked_by_the_name_that_the_file_has(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(HEADER + "a,one,1,,,en,SMM4H_26_train\nb,two,0,,,en,SMM4H_26_dev\n")
    assert [item.post.id for item in read_labelled(path, split="SMM4H_26_dev").posts] == ["b"]
    assert [item.post.id for item in read_labelled(path, split="dev").posts] == ["b"]


def test_cadec_rows_are_recognised_and_splits_picked(tmp_path: Path) -> None:
    rows = "de_cadecv2_5,gut,1,c,drug_review,de,train\nde_6,gut,0,s,tweet,de,Validation\n"
    reading = read_labelled(_write(tmp_path / "p.csv", HEADER + rows))
    assert [item.post.language for item in reading.posts] == ["de_cadec", "de"]
    assert [item.post.split for item in reading.posts] == ["train", "dev"]
    assert len(read_labelled(tmp_path / "p.csv", split="dev").posts) == 1
    with pytest.raises(DataError, match=r"no usable row of split 'test'"):
        read_labelled(tmp_path / "p.csv", split="test")


def test_rows_stream_with_progress(tmp_path: Path) -> None:
    path = _write(tmp_path / "p.csv", HEADER + "a,hello there,0,o,tweet,en,\n" * 20_000)
    with open_table(path) as table:
        assert table.fraction is not None
        next(table.rows)
        early = table.fraction()
        assert sum(not isinstance(row, RowError) for row in table.rows) == 19_999
        assert early < 0.5 < table.fraction() <= 1.0


def test_the_sample_corpus_survives_a_round_trip(tmp_path: Path, corpus: tuple[object, ...]) -> None:
    from polyvigil.data.write import write_posts

    chosen = corpus[:500]
    write_posts(tmp_path / "sample.csv", chosen)  # type: ignore[arg-type]
    assert read_labelled(tmp_path / "sample.csv").posts == chosen


@pytest.mark.open_ade
def test_real_posts_are_read_whole(open_ade: Path) -> None:
    reading = read_labelled(open_ade)
    assert (len(reading.posts), len(reading.row_errors)) == (10_983, 0)
    assert sum(item.label for item in reading.posts) == 2167 + 376 + 43


def test_placeholders_are_set_aside_and_a_file_of_them_is_refused(tmp_path: Path) -> None:
    text = HEADER + "a,fine,1,o,tweet,en,\nb,[deleted],0,o,tweet,en,\nc,#REF!,0,o,tweet,en,\n"
    reading = read_labelled(_write(tmp_path / "posts.csv", text))
    assert [error.reason for error in reading.row_errors] == [
        "stands for a text that is gone ('[deleted]')",
        "stands for a text that is gone ('#REF!')",
    ]
    assert any(note.endswith("('[deleted]'); 2 such rows") for note in reading.notes)
    rows = [{"text": None, "body": f"since day {n} my head hurts", "label": 0} for n in range(4)]
    path = _write(tmp_path / "empty.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match='no post has a text: column "text" is empty in all 4 rows') as caught:
        read_labelled(path)
    assert caught.value.hint == 'column "body" holds sentences: --column text=body'


def test_labels_of_a_training_are_taken_where_they_fit(tmp_path: Path) -> None:
    """1 and 2 that meant 0 and 1 say nothing of a file of 0 and 1; words do not depend on the others."""

    def labels(values: str, trained: dict[str, int], **given: Any) -> list[int]:
        path = tmp_path / "i.csv"
        path.write_text("text,label\n" + "".join(f"pills,{value}\n" for value in values.split()), encoding="utf-8")
        return [item.label for item in read_labelled(path, DataSpec(trained_labels=trained, **given)).posts]

    assert labels("1 2 1 2", {"1": 0, "2": 1}) == [0, 1, 0, 1]
    assert labels("0 1 1 0", {"1": 0, "2": 1}) == [0, 1, 1, 0]
    assert labels("Hurt fine 0 1", {"hurt": 1, "fine": 0}) == [1, 0, 0, 1]
    assert labels("1 2 1 2", {"1": 0, "2": 1}, labels={"1": 1, "2": 0}) == [1, 0, 1, 0]


def test_a_column_of_a_training_is_no_demand(tmp_path: Path) -> None:
    spec = DataSpec(trained_columns={"text": "words", "label": "gold"})
    path = tmp_path / "i.csv"
    path.write_text("text,words,label\nno,pills,1\n", encoding="utf-8")
    reading = read_labelled(path, spec)
    assert [(item.post.text, item.label) for item in reading.posts] == [("pills", 1)]
    assert f"{path}: column 'words' is read as text, as when the bundle was trained" in reading.notes
    path.write_text("text,label\npills,1\n", encoding="utf-8")
    assert read_labelled(path, spec).posts[0].post.text == "pills"


def test_without_cells_posts_are_the_same_and_rejects_are_whole(tmp_path: Path) -> None:
    rows = [f"{n},text number {n},{label},en,x{n}" for n, label in enumerate(["0", "1", "perhaps", "1", "", "0"])]
    path = tmp_path / "posts.csv"
    path.write_text("\n".join(["id,text,label,language,note", *rows]) + "\n")
    whole, bare = (read_labelled(path, on_error="quarantine", keep_cells=keep) for keep in (True, False))
    assert bare.posts == whole.posts
    assert [row.line for row in bare.rows] == [row.line for row in whole.rows]
    assert not any(row.cells for row in bare.rows)
    assert bare.row_errors == whole.row_errors
    assert [error.cells["note"] for error in bare.row_errors] == ["x2", "x4"]
    assert bare.notes == whole.notes
