"""Scoring files: every format, nothing lost, nothing half-written, bounded memory, spreadsheets not armed."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import open_table
from polyvigil.data.inputs import find_inputs
from polyvigil.data.read import read_unlabelled
from polyvigil.errors import DataError
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.facts import output_facts
from polyvigil.scoring.part import score_work_item
from polyvigil.scoring.plan import Target, plan, work_items
from polyvigil.scoring.submission import write_submission
from polyvigil.scoring.table import open_posts, score_rows
from polyvigil.scoring.wire import COLUMNS, SEVERAL_MEMBERS, TOKENS, score_posts
from polyvigil.scoring.work import Work
from polyvigil.types import LabelledPost, Post

FILLED = tuple(name for name in COLUMNS if name not in (*SEVERAL_MEMBERS, *TOKENS))
"""The columns of a bundle of one linear member."""

POSTS = [
    {"id": "a", "text": "these pills gave me a terrible headache", "language": "en", "note": "=cmd()"},
    {"id": "b", "text": "頭が痛い\nまた薬", "language": "ja", "note": "-5"},
    {"id": "c", "text": "", "language": "en", "note": "+49 170"},
    {"id": "d", "text": "https://t.co/x", "language": "de", "note": "@x"},
    {"id": "e", "text": "سرم درد می\u200cکند بعد از قرص", "language": "fa", "note": "fine"},
]


def _read(path: Path) -> list[dict[str, object]]:
    with open_table(path) as table:
        return [dict(row.cells) for row in table.rows]


def _jsonl(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def source(tmp_path: Path) -> str:
    return _jsonl(tmp_path / "posts.jsonl", POSTS)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.jsonl", "o.parquet", "o.csv.gz", "o.jsonl.zst", "o.xlsx"])
def test_every_format_holds_the_same_values(bundle: Bundle, source: str, tmp_path: Path, name: str) -> None:
    summary = score_file(bundle, source, str(tmp_path / name))
    rows = _read(tmp_path / name)
    assert [row["id"] for row in rows] == ["a", "b", "c", "d", "e"]
    assert list(rows[0]) == ["id", "text", "input_language", "note", *FILLED]
    expected = score_posts(bundle, [Post(r["id"], r["text"], r["language"]) for r in POSTS])
    for row, decision in zip(rows, expected, strict=True):
        assert float(row["p"]) == decision.p  # bit-equal through text
        assert int(row["decision"]) == decision.decision  # type: ignore[call-overload]
        assert (float(row["p"]) >= float(row["threshold"])) == bool(int(row["decision"]))  # type: ignore[call-overload]
        for column in ("p", "p_calibrated", "threshold"):
            assert float(row[column]) == getattr(decision, column) == float(f"{float(row[column]):.6g}")  # type: ignore[arg-type]
        assert (row["flags"] or "") == ";".join(decision.flags)  # an empty cell of a workbook is none
        assert row["bundle"] == bundle.id
    assert rows[1]["text"] == "頭が痛い\nまた薬"
    assert (summary.posts, summary.no_text, summary.set_aside) == (5, 2, 0)
    manifest = json.loads((tmp_path / f"{name}.manifest.json").read_text())
    import hashlib

    assert manifest["outputs"][0]["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_flags_and_threshold_sources(bundle: Bundle) -> None:
    found = score_posts(bundle, [Post(r["id"], r["text"], r["language"]) for r in POSTS])
    assert [decision.flags for decision in found] == [
        (),
        (),  # Japanese has few positives among the dev posts: a fact of its threshold, said once
        ("no_text:empty",),
        ("no_text:url_only",),
        ("language_not_trained", "abstained"),
    ]
    assert [decision.threshold_source for decision in found] == ["own", "own", "own", "own", "abstained"]
    assert [decision.decision for decision in found[2:4]] == [0, 0]
    (detected,) = score_posts(bundle, [Post("x", "half \ud800 pair", "en")], detected=[True])
    assert detected.flags == ("language_detected", "lone_surrogate")
    assert score_posts(bundle, []) == []


def test_missing_and_untrained_languages(bundle: Bundle, tmp_path: Path) -> None:
    rows = [{"text": "the doctor gave me these pills and I got a bad headache"}, {"text": "ok", "language": "tlh"}]
    rows[0]["language"] = ""
    score_file(bundle, _jsonl(tmp_path / "i.jsonl", rows), str(tmp_path / "o.jsonl"))  # type: ignore[arg-type]
    first, second = _read(tmp_path / "o.jsonl")
    assert (first["language"], first["flags"]) == ("en", "language_detected")
    assert (second["language"], second["threshold_source"]) == ("tlh", "abstained")
    assert second["flags"] == "language_not_trained;abstained"


def test_input_columns_of_our_names_are_renamed(bundle: Bundle, source: str, tmp_path: Path) -> None:
    score_file(bundle, source, str(tmp_path / "once.csv"))
    score_file(bundle, str(tmp_path / "once.csv"), str(tmp_path / "twice.csv"))
    once, twice = _read(tmp_path / "once.csv"), _read(tmp_path / "twice.csv")
    assert twice[0]["input_p"] == once[0]["p"] == twice[0]["p"]
    assert [row["language"] for row in twice] == [row["input_language_2"] for row in twice]
    assert [row["input_language"] for row in twice] == [row["language"] for row in POSTS]
    summary = score_file(bundle, str(tmp_path / "twice.csv"), str(tmp_path / "thrice.csv"))
    thrice = _read(tmp_path / "thrice.csv")
    assert [{name: row[name] for name in twice[0] if name not in COLUMNS} for row in thrice] == [
        {name: value for name, value in row.items() if name not in COLUMNS} for row in twice
    ]
    assert [row["input_p_2"] for row in thrice] == [row["p"] for row in twice]
    assert len(thrice[0]) == len(POSTS[0]) + 3 * len(FILLED)
    assert [note for note in summary.notes if "'p' is 'input_p_2'" in note] == [summary.notes[-1]]


def test_a_column_that_looks_renamed_already_is_kept(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "i.csv"
    source.write_text("id,text,p,input_p,language\n1,pills nausea,mine,MINE2,en\n")
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        score_file(bundle, str(source), str(tmp_path / name))
        (row,) = _read(tmp_path / name)
        assert (row["input_p_2"], row["input_p"], row["input_language"]) == ("mine", "MINE2", "en")


def test_columns_that_piped_json_has_late_are_kept_or_missed_aloud(bundle_folder: Path, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"text": f"pills {number}", "language": "en"} for number in range(60)]
    rows[55] |= {"p": "mine", "input_language": "theirs", "note": "late"}
    piped = "".join(json.dumps(row) + "\n" for row in rows).encode()
    said = ""
    for name in ("o.jsonl", "o.csv"):
        line = [sys.executable, "-m", "polyvigil", "score", str(bundle_folder), "-", "-o", str(tmp_path / name)]
        run = subprocess.run([*line, "--from", "jsonl"], input=piped, capture_output=True, check=True)
        said += run.stderr.decode()
    kept = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()][55]
    assert (kept["input_p"], kept["input_language"], kept["input_language_2"]) == ("mine", "en", "theirs")
    assert kept["note"] == "late"
    message = "columns that no object at its head has are not in the output: 'p', 'input_language', 'note'; give a file"
    assert " ".join(said.split()).count(message) == 1


def test_formulas_are_protected_and_read_as_they_were(bundle: Bundle, source: str, tmp_path: Path) -> None:
    score_file(bundle, source, str(tmp_path / "o.csv"))
    written = list(csv.DictReader(io.StringIO((tmp_path / "o.csv").read_text(encoding="utf-8"))))
    assert [row["note"] for row in written] == ["'=cmd()", "-5", "'+49 170", "'@x", "fine"]
    assert [row["flags"].split(";")[-1] == "cell_protected" for row in written] == [True, False, True, True, False]
    read = _read(tmp_path / "o.csv")
    assert [row["note"] for row in read] == [row["note"] for row in POSTS]
    assert "cell_protected" not in " ".join(str(row["flags"]) for row in read)
    score_file(bundle, source, str(tmp_path / "raw.csv"), spec=ScoreSpec(raw_csv=True))
    assert "cell_protected" not in (tmp_path / "raw.csv").read_text(encoding="utf-8")
    assert [row["note"] for row in _read(tmp_path / "raw.csv")] == [row["note"] for row in POSTS]


def test_a_users_own_apostrophes_stay(bundle: Bundle, tmp_path: Path) -> None:
    """Through two scorings, in rows that are protected and in rows that are not, and in files that are not ours."""
    notes = ["'=own", "''=twice", "'-5", "'quoted'", "=1+1", "'", "-7", "＝wide", "\tx"]
    posts = [{"id": str(n), "text": f"pills {n}", "language": "en", "note": note} for n, note in enumerate(notes)]
    posts += [{"id": "both", "text": "'tis =fine", "language": "en", "note": "@home"}]
    source = _jsonl(tmp_path / "i.jsonl", posts)  # type: ignore[arg-type]
    score_file(bundle, source, str(tmp_path / "once.csv"))
    score_file(bundle, str(tmp_path / "once.csv"), str(tmp_path / "twice.tsv"))
    summary = score_file(bundle, str(tmp_path / "twice.tsv"), str(tmp_path / "thrice.jsonl"))
    for name in ("once.csv", "twice.tsv", "thrice.jsonl"):
        assert [row["note"] for row in _read(tmp_path / name)] == [post["note"] for post in posts]
    assert [row["text"] for row in _read(tmp_path / "thrice.jsonl")] == [post["text"] for post in posts]
    told = (
        f"{tmp_path / 'twice.tsv'}: the ' that polyvigil score put before cells that a spreadsheet would run is taken"
    )
    assert sum(note.startswith(told) for note in summary.notes) == 1
    (tmp_path / "theirs.csv").write_text("id,text,note\na,pills,'=own\n", encoding="utf-8")
    assert _read(tmp_path / "theirs.csv") == [{"id": "a", "text": "pills", "note": "'=own"}]


def test_a_mark_behind_the_head_is_said_when_it_was_read(bundle: Bundle, tmp_path: Path) -> None:
    posts = [{"id": str(n), "text": f"pills {n} {'x' * 90}", "language": "en"} for n in range(900)]
    posts.append({"id": "last", "text": "=pills", "language": "en"})
    score_file(bundle, _jsonl(tmp_path / "i.jsonl", posts), str(tmp_path / "o.csv"))  # type: ignore[arg-type]
    reading = read_unlabelled(tmp_path / "o.csv")
    assert reading.posts[-1].text == "=pills"
    assert sum("is taken away again" in note for note in reading.notes) == 1


def test_bad_rows_are_kept_with_their_line_numbers(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "i.csv"
    source.write_bytes(
        "id,text,language\na,déjà-vu à l'été,en\n".encode() + b"b,caf\xe9,fr\nc,too,many,cells\nd,fine too,en\n"
    )
    summary = score_file(bundle, str(source), str(tmp_path / "o.csv"))
    assert (summary.posts, summary.set_aside) == (2, 2)
    rejects = [json.loads(line) for line in (tmp_path / "o.csv.rejects.jsonl").read_text().splitlines()]
    assert [(reject["line"], reject["reason"]) for reject in rejects] == [
        (3, "not UTF-8 (byte 0xE9)"),
        (4, "4 cells where the header has 3"),
    ]
    assert rejects[1]["row"] == {"id": "c", "text": "too", "language": "many", "cell 4": "cells"}
    assert summary.rejects == str(tmp_path / "o.csv.rejects.jsonl")
    with pytest.raises(DataError, match=r"i\.csv:3"):
        score_file(bundle, str(source), str(tmp_path / "strict.csv"), spec=ScoreSpec(on_error="fail"))
    assert not list(tmp_path.glob("*strict*"))  # nothing half-written
    source.write_text("id,text,language\na,fine,en\n")
    with pytest.raises(DataError, match="an earlier output of score stands there already"):
        score_file(bundle, str(source), str(tmp_path / "o.csv"))
    again = score_file(bundle, str(source), str(tmp_path / "o.csv"), replace=True)
    assert again.rejects is None
    assert len((tmp_path / "o.csv.rejects.jsonl").read_text().splitlines()) == len(rejects)  # those of the earlier run


def test_parquet_keeps_the_types_of_its_columns(bundle: Bundle, tmp_path: Path) -> None:
    table = pa.table({"text": ["bad pills", None], "likes": pa.array([3, None], pa.int32()), "tags": [["a"], []]})
    pq.write_table(table, tmp_path / "i.parquet")
    score_file(bundle, str(tmp_path / "i.parquet"), str(tmp_path / "o.parquet"))
    schema = pq.read_schema(tmp_path / "o.parquet")
    assert schema.field("likes").type == pa.int32()
    assert schema.field("tags").type == pa.list_(pa.string())
    assert schema.field("p").type == pa.float64()
    assert schema.field("p_calibrated").type == pa.float64()
    assert schema.field("decision").type == pa.int8()


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("posts.jsonl", "o.docx", "unknown kind of file"),
        ("posts.jsonl", "posts.jsonl", "input and output are one file"),
        ("nope.csv", "o.csv", "no such file"),
    ],
)
def test_bad_paths_are_errors_before_anything_is_written(
    bundle: Bundle, source: str, tmp_path: Path, output: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _jsonl(tmp_path / "posts.jsonl", POSTS)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        score_file(bundle, source, output)
    assert [path.name for path in tmp_path.iterdir()] == ["posts.jsonl"]


def test_memory_does_not_grow_with_the_file(bundle: Bundle, tmp_path: Path) -> None:
    peaks = []
    for rows in (4_000, 24_000):
        source = tmp_path / "i.csv"
        source.write_text("text,language\n" + "these pills gave me a headache again today,en\n" * rows)
        tracemalloc.start()
        score_file(bundle, str(source), str(tmp_path / "o.csv"), replace=True)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


def test_order_and_neighbours_do_not_matter(bundle: Bundle, corpus: tuple[LabelledPost, ...], tmp_path: Path) -> None:
    posts = [item.post for item in corpus if item.post.split == "test"][:600]
    rows = [{"id": post.id, "text": post.text, "language": post.language} for post in posts]
    scores = []
    for seed in (1, 2):
        random.Random(seed).shuffle(rows)
        score_file(bundle, _jsonl(tmp_path / "i.jsonl", rows), str(tmp_path / "o.jsonl"), replace=True)  # type: ignore[arg-type]
        scores.append({row["id"]: row["p"] for row in _read(tmp_path / "o.jsonl")})
    assert scores[0] == scores[1]


def test_text_of_all_planes_is_scored(bundle: Bundle, tmp_path: Path) -> None:
    """20,000 random strings, half-pairs and controls included: read, scored, written, read again."""
    chance = random.Random(7)
    planes = [(0, 0x80), (0x80, 0x3000), (0x3000, 0xD800), (0xD800, 0xE000), (0xE000, 0x10000), (0x10000, 0x110000)]
    rows = []
    for number in range(20_000):
        low, high = chance.choice(planes)
        text = "".join(chr(chance.randrange(low, high)) for _ in range(chance.randrange(12)))
        rows.append({"id": str(number), "text": text, "language": chance.choice(["en", "tlh", "ja"])})
    source = _jsonl(tmp_path / "i.jsonl", rows)  # type: ignore[arg-type]
    for name in ("o.csv", "o.jsonl", "o.parquet"):
        summary = score_file(bundle, source, str(tmp_path / name))
        assert summary.posts == 20_000
        found = _read(tmp_path / name)
        assert [row["id"] for row in found] == [row["id"] for row in rows]
        scores = np.array([float(row["p"]) for row in found])  # type: ignore[arg-type]
        assert ((scores >= 0) & (scores <= 1)).all()
    texts = [row["text"] for row in _read(tmp_path / "o.jsonl")]
    assert texts == [json.loads(json.dumps(row["text"])) for row in rows]  # every character, half-pairs too


def test_a_megabyte_post_is_scored(bundle: Bundle, tmp_path: Path) -> None:
    rows = [{"text": "headache and nausea " * 50_000, "language": "en"}, {"text": "😀" * 250_000, "language": "en"}]
    score_file(bundle, _jsonl(tmp_path / "i.jsonl", rows), str(tmp_path / "o.csv"))  # type: ignore[arg-type]
    with (tmp_path / "o.csv").open(newline="") as stream:
        assert len(list(csv.reader(stream))) == 3


def test_a_submission_is_a_flat_zip_answering_every_id(bundle: Bundle, source: str, tmp_path: Path) -> None:
    result = write_submission(bundle, source, tmp_path / "s.zip", spec=DataSpec())
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert archive.namelist() == ["predictions.csv"]
        lines = archive.read("predictions.csv").decode().splitlines()
    assert lines[0] == "id,predicted_label"
    expected = score_posts(bundle, [Post(r["id"], r["text"], r["language"]) for r in POSTS])
    assert lines[1:] == [f"{row['id']},{d.decision}" for row, d in zip(POSTS, expected, strict=True)]
    assert result.posts == 5
    first = (tmp_path / "s.zip").read_bytes()
    write_submission(bundle, source, tmp_path / "s.zip", spec=DataSpec(), replace=True)
    assert (tmp_path / "s.zip").read_bytes() == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,text\na,x\na,y\n", r"t\.csv:3: id 'a' stands twice, first at line 2"),
        ("id,text\na,x\n,y\n", r"t\.csv:3: the id is empty"),
        ("id,text\na,x,z\n", r"t\.csv:2: 3 cells where the header has 2"),
        ("text\nx\n", r"no column for id"),
        ("id,text\n", r"no post to answer"),
    ],
)
def test_a_submission_that_could_not_be_scored_is_refused(
    bundle: Bundle, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        write_submission(bundle, str(tmp_path / "t.csv"), tmp_path / "s.zip", spec=DataSpec())
    assert not (tmp_path / "s.zip").exists()


def test_gzip_output_does_not_depend_on_the_clock(bundle: Bundle, source: str, tmp_path: Path) -> None:
    score_file(bundle, source, str(tmp_path / "a.csv.gz"))
    first = (tmp_path / "a.csv.gz").read_bytes()
    score_file(bundle, source, str(tmp_path / "a.csv.gz"), replace=True)
    assert (tmp_path / "a.csv.gz").read_bytes() == first
    assert gzip.decompress(first).startswith(b"id,text")


def test_a_file_without_any_text_is_refused_with_the_column_that_was_meant(bundle: Bundle, tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": ["", "nan", "[removed]"][n % 3], "body": "my head hurts so much"} for n in range(9)]
    source = _jsonl(tmp_path / "i.jsonl", rows)  # type: ignore[arg-type]
    with pytest.raises(DataError, match='no post has a text: column "text" is empty in all 9 rows') as caught:
        score_file(bundle, source, str(tmp_path / "o.csv"))
    assert "--column text=body" in (caught.value.hint or "")
    assert [path.name for path in tmp_path.iterdir()] == ["i.jsonl"]
    with pytest.raises(DataError, match="no post has a text"):
        write_submission(bundle, source, tmp_path / "s.zip", spec=DataSpec())
    rows[4]["text"] = "a headache at last"
    summary = score_file(bundle, _jsonl(tmp_path / "i.jsonl", rows), str(tmp_path / "o.csv"))  # type: ignore[arg-type]
    assert (summary.posts, summary.no_text) == (9, 8)


def test_languages_are_detected_alike_whole_and_in_parts(bundle: Bundle, tmp_path: Path) -> None:
    """Short posts lean on the languages of the first rows of their file, whoever reads which part of it."""
    texts = ["my head hurts since i take these pills", "so tired", "ok", "no sleep", "rash!", "hi all", "brain fog"]
    rows = [{"id": str(n), "text": texts[n % len(texts)]} for n in range(1400)]
    source = _jsonl(tmp_path / "i.jsonl", rows)  # type: ignore[arg-type]
    files = []
    for name, spec in (("a.csv", ScoreSpec()), ("b.csv", ScoreSpec(part_posts=100))):
        score_file(bundle, source, str(tmp_path / name), spec=spec)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    target = Target.of(str(tmp_path / "c.csv"))
    job = plan(bundle.id, output_facts(bundle), find_inputs([source]).files, target, data=DataSpec(), spec=spec).job
    work = Work(target.work, target.ending)
    work.begin(job, resume=False)
    items = list(work_items(job, workers=4))
    (record,) = score_work_item(bundle, job, work, items[-1])
    assert record.part == 13
    assert files[0].endswith(work.part(record.name).read_bytes())
    languages = [row["language"] for row in _read(tmp_path / "a.csv")]
    assert languages.count("en") >= 1200
    with open_posts(source, languages=None) as opened:
        assert [item.post.language for item in score_rows(bundle, opened, evidence=False).posts] == languages
