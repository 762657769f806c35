"""``score --mask`` and ``--drop-text``: what the output holds of the text, in every format and on every path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.cli import main as program
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import Row, open_table
from polyvigil.data.table import pieces_of, rows_in
from polyvigil.errors import RecipeError
from polyvigil.scoring.batch import score_file, score_files
from polyvigil.scoring.engine import ThisProcess
from polyvigil.text.mask import mask

POSTS = [
    {"id": "a", "body": "this drug gave me a rash, see www.example.com @someone", "year": 2024, "language": "en"},
    {"id": "b", "body": "call 555 123 4567 about the headaches", "year": 2025, "language": "en"},
    {"id": "c", "body": "nothing to mask here", "year": 2026, "language": "en"},
]
SPEC = DataSpec(columns={"text": "body"})


@pytest.fixture
def scored(bundle: Bundle, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """The rows of an output of one kind, scored with one spec."""

    def rows(text: Literal["whole", "masked", "dropped"], ending: str, **settings: Any) -> list[dict[str, Any]]:
        source = tmp_path / "posts.jsonl"
        source.write_text("".join(json.dumps(post) + "\n" for post in POSTS), encoding="utf-8")
        output = tmp_path / f"{text}{ending}"
        score_file(bundle, str(source), str(output), data=SPEC, spec=ScoreSpec(text=text, **settings), replace=True)
        if ending == ".parquet":
            read: list[dict[str, Any]] = pq.read_table(output).to_pylist()
            return read
        with open_table(str(output), DataSpec()) as table:
            return [dict(row.cells) for row in rows_in(pieces_of(table.rows)) if isinstance(row, Row)]

    return rows


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet", ".xlsx"])
@pytest.mark.parametrize("dedup", ["off", "exact"])  # by columns, and row by row
def test_the_text_is_masked_or_left_out_and_nothing_else_changes(
    scored: Callable[..., list[dict[str, Any]]], ending: str, dedup: str
) -> None:
    whole = scored("whole", ending, dedup=dedup)
    assert [row["body"] for row in whole] == [post["body"] for post in POSTS]
    assert scored("masked", ending, dedup=dedup) == [row | {"body": mask(row["body"])} for row in whole]
    without = [{name: value for name, value in row.items() if name != "body"} for row in whole]
    assert scored("dropped", ending, dedup=dedup) == without


def test_inputs_with_texts_in_different_columns(bundle: Bundle, tmp_path: Path) -> None:
    """A column that is text in one file and another thing in the other is left out of the first one's rows alone."""
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_text("id,title,language\n1,my head hurts since the new pill,en\n", encoding="utf-8")
    second.write_text("id,title,body,language\n2,a title,call me at 555 123 4567,en\n", encoding="utf-8")
    data = DataSpec(file_columns={"first.csv": {"text": "title"}, "second.csv": {"text": "body"}})
    rows = {}
    for how in ("masked", "dropped"):
        output = tmp_path / f"{how}.jsonl"
        score_files(ThisProcess(bundle), [str(first), str(second)], str(output), data=data, spec=ScoreSpec(text=how))
        rows[how] = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [row["title"] for row in rows["masked"]] == ["my head hurts since the new pill", "a title"]
    assert rows["masked"][1]["body"] == "call me at [PHONE]"
    assert "my head" not in json.dumps(rows["dropped"])
    assert rows["dropped"][1]["title"] == "a title"
    assert "body" not in rows["dropped"][1]


def test_a_second_column_of_text_is_no_way_out(bundle: Bundle, tmp_path: Path) -> None:
    """A tweet has its text twice, whole and cut."""
    source = tmp_path / "tweets.csv"
    source.write_text("id,text,full_text,language\n1,mail a.b@ex…,mail a.b@example.com now,en\n", encoding="utf-8")
    written = {}
    for how in ("masked", "dropped"):
        output = tmp_path / f"{how}.jsonl"
        score_file(bundle, str(source), str(output), spec=ScoreSpec(text=how))
        written[how] = json.loads(output.read_text(encoding="utf-8"))
    assert written["masked"]["full_text"] == "mail [EMAIL] now"
    assert written["masked"]["text"] == mask("mail a.b@ex…")
    assert not {"text", "full_text"} & written["dropped"].keys()


def test_text_inside_another_column_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "export.json"
    items = [{"id": number, "data": {"text": f"pill {number}"}, "annotations": []} for number in range(3)]
    source.write_text(json.dumps(items), encoding="utf-8")
    score_file(bundle, str(source), str(tmp_path / "whole.jsonl"))
    with pytest.raises(RecipeError, match="the text lies inside a column with other things"):
        score_file(bundle, str(source), str(tmp_path / "masked.jsonl"), spec=ScoreSpec(text="masked"))


@pytest.mark.parametrize(
    ("options", "where"),
    [("--mask --drop-text", "--mask"), ("--mask --evidence", "--evidence"), ("--drop-text --top 3", "--top")],
)
def test_options_that_need_the_text_are_refused(
    bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: str, where: str
) -> None:
    source = tmp_path / "posts.csv"
    source.write_text("id,text,language\n1,a pill,en\n", encoding="utf-8")
    line = ["score", str(bundle_folder), str(source), "-o", str(tmp_path / "scored.csv"), *options.split()]
    assert program.run(line) == 2
    assert where in capfd.readouterr().err
    assert not (tmp_path / "scored.csv").exists()


def test_the_command_says_what_became_of_the_text(
    bundle_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, output = tmp_path / "posts.csv", tmp_path / "scored.csv"
    source.write_text("id,text,language\n1,mail me at a.b@example.com,en\n", encoding="utf-8")
    assert program.run(["score", str(bundle_folder), str(source), "-o", str(output), "--mask"]) == 0
    assert 'note: column "text": the text is masked' in capfd.readouterr().err
    assert "mail me at [EMAIL]" in output.read_text(encoding="utf-8")
    assert "example.com" not in output.read_text(encoding="utf-8")
