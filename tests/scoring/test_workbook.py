"""Scores as Excel reads them: workbooks, and CSV with a byte order mark."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import open_table
from polyvigil.errors import DataError, RecipeError
from polyvigil.scoring.batch import score_file, score_files
from polyvigil.scoring.engine import ThisProcess
from polyvigil.scoring.workbook import MOST_COLUMNS, check_cells, sheets_note, workbook_rows

NOTES = [
    "=1+1", "@x", "+49 170", "-5", "http://example.org/a", "mailto:a@b.c", "internal:posts!A1", "00123", "1e5", "TRUE",
    " space ", "a\r\nb\rc", "_x000D_", "\x01\x1f", "😀 頭 \u200c", "{=A1}", "'=own", "true", "#REF?", "9" * 20,
]  # fmt: skip


def _read(path: Path, **settings: str) -> list[dict[str, object]]:
    with open_table(path, DataSpec(**settings)) as table:  # type: ignore[arg-type]
        return [dict(row.cells) for row in table.rows]


@pytest.fixture
def source(tmp_path: Path) -> str:
    rows = [
        {"id": f"p{n}", "text": f"pills {n} " + note, "language": "en", "note": note} for n, note in enumerate(NOTES)
    ]
    path = tmp_path / "posts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["o.xlsx", "folder/"])
def test_text_stays_text_in_a_workbook(bundle: Bundle, source: str, tmp_path: Path, name: str) -> None:
    spec = ScoreSpec(part_posts=7)
    score_files(
        ThisProcess(bundle), [source], f"{tmp_path}/{name}", spec=spec, output_format="xlsx" if "/" in name else ""
    )
    paths = sorted((tmp_path / name).glob("*.xlsx")) if "/" in name else [tmp_path / name]
    assert len(paths) == (3 if "/" in name else 1)
    rows = [row for path in paths for row in _read(path)]
    assert [row["note"] for row in rows] == NOTES
    assert [row["text"] for row in rows] == [f"pills {n} {note}" for n, note in enumerate(NOTES)]
    score_file(bundle, source, str(tmp_path / "o.jsonl"))
    expected = _read(tmp_path / "o.jsonl")
    for key in ("id", "p", "p_calibrated", "decision", "threshold", "bundle"):
        assert [row[key] for row in rows] == [row[key] for row in expected]
    assert {type(row["p"]) for row in rows} == {float}
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            sheet = archive.read("xl/worksheets/sheet1.xml").decode()
            assert "hyperlink" not in " ".join(archive.namelist()) + sheet
        assert "<f>" not in sheet


def test_the_same_posts_give_the_same_workbook(bundle: Bundle, source: str, tmp_path: Path) -> None:
    for name, part_posts in (("a.xlsx", 3), ("b.xlsx", 1000)):
        score_file(bundle, source, str(tmp_path / name), spec=ScoreSpec(part_posts=part_posts))
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_types_of_parquet_become_numbers_truths_and_text(bundle: Bundle, tmp_path: Path) -> None:
    table = pa.table(
        {
            "text": ["pills", "more pills"],
            "language": ["en", "en"],
            "n": [7, None],
            "long": [2**60, 5],
            "x": [0.5, float("nan")],
            "yes": [True, False],
            "many": [["a", "b"], []],
        }
    )
    pq.write_table(table, tmp_path / "i.parquet")
    score_file(bundle, str(tmp_path / "i.parquet"), str(tmp_path / "o.xlsx"))
    first, second = _read(tmp_path / "o.xlsx")
    kept = ("n", "long", "x", "yes", "many")
    assert [first[key] for key in kept] == [7, str(2**60), 0.5, True, '["a", "b"]']
    assert [second[key] for key in kept] == [None, 5, None, False, "[]"]


def test_a_text_that_a_cell_would_cut_is_refused_before(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "i.csv"
    source.write_text("id,text,language,note\na,pills,en,x\nb,pills,en," + "😀" * 16_384 + "\n", encoding="utf-8")
    with pytest.raises(
        DataError, match=r'i\.csv:3: column "note": 32,768 characters; a cell of a workbook takes 32,767'
    ):
        score_file(bundle, str(source), str(tmp_path / "o.xlsx"))
    assert not (tmp_path / "o.xlsx").exists()
    check_cells({"note": "😀" * 16_383 + "x"}, where="")
    wide = pa.table({"text": ["pills"]} | {f"c{n}": [n] for n in range(MOST_COLUMNS - 5)})
    pq.write_table(wide, tmp_path / "wide.pq")
    with pytest.raises(DataError, match=r"16,3\d\d columns; a sheet of a workbook has 16,384"):
        score_file(bundle, str(tmp_path / "wide.pq"), str(tmp_path / "o.xlsx"))


def test_rows_that_fill_a_sheet_stand_in_a_further_one(tmp_path: Path) -> None:
    path = tmp_path / "o.xlsx"
    with path.open("wb") as stream, workbook_rows(stream, ("id", "text"), folder=tmp_path, most_rows=4) as sheet:
        sheet.add([{"id": n, "text": f"=pills {n}"} for n in range(7)])
    rows = [row for name in ("posts", "posts 2", "posts 3") for row in _read(path, sheet=name)]
    assert rows == [{"id": n, "text": f"=pills {n}"} for n in range(7)]
    assert list(tmp_path.iterdir()) == [path]
    assert sheets_note(1_048_575) == ()
    (note,) = sheets_note(1_048_576)
    assert "the posts stand in 2 sheets, 'posts' to 'posts 2'" in note


def test_csv_for_excel_begins_with_a_mark_and_is_read_again(bundle: Bundle, source: str, tmp_path: Path) -> None:
    for name in ("plain.csv", "o.csv", "o.csv.gz", "o.tsv"):
        score_file(bundle, source, str(tmp_path / name), spec=ScoreSpec(excel=name != "plain.csv"))
    assert (tmp_path / "o.csv").read_bytes() == b"\xef\xbb\xbf" + (tmp_path / "plain.csv").read_bytes()
    assert (tmp_path / "o.tsv").read_bytes().startswith(b"\xef\xbb\xbfid\ttext\t")
    assert _read(tmp_path / "o.csv") == _read(tmp_path / "o.csv.gz") == _read(tmp_path / "plain.csv")
    for name in ("o.jsonl", "o.parquet"):
        with pytest.raises(RecipeError, match=rf"--excel: Excel does not open {name[2:]}"):
            score_file(bundle, source, str(tmp_path / name), spec=ScoreSpec(excel=True))


def test_only_a_workbook_itself_is_written() -> None:
    out = io.BytesIO()
    with workbook_rows(out, ("a",)) as sheet:
        sheet.add([{"a": float("inf"), "b": "left out"}])
    with zipfile.ZipFile(out) as archive:
        assert "left out" not in archive.read("xl/sharedStrings.xml").decode()
        assert "<t>inf</t>" in archive.read("xl/sharedStrings.xml").decode()


def test_a_compressed_workbook_is_no_kind_of_file(bundle: Bundle, source: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown kind of file \.xlsx; use one of \.csv, .*or \.xlsx"):
        score_file(bundle, source, str(tmp_path / "o.xlsx.gz"))
    with pytest.raises(RecipeError, match=r"'xlsx\.gz' is no kind of file"):
        score_files(ThisProcess(bundle), [source], f"{tmp_path}/f/", output_format="xlsx.gz")
