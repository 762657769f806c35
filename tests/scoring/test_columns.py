"""Files are scored column by column where that is possible: every byte is what scoring row by row writes."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.columns import map_columns
from polyvigil.data.delimited import MAX_RECORD_LINES, Header, Records, RowShape, pieces_of_records, rows_of
from polyvigil.data.dialect import Dialect
from polyvigil.data.formats import open_table
from polyvigil.data.read import ReadPost, read_rows
from polyvigil.data.read_block import read_block
from polyvigil.data.table import BlockRows, PieceBuffer, Row, RowBlock, RowError, pieces_of, rows_in
from polyvigil.data.write import csv_columns_text, csv_text
from polyvigil.errors import DataError
from polyvigil.scoring.batch import score_file
from polyvigil.scoring.columns import output_columns
from polyvigil.scoring.wire import COLUMNS, SEVERAL_MEMBERS, TOKENS, as_cells, score_posts
from polyvigil.scoring.write import header, row_writer

FILLED = tuple(name for name in COLUMNS if name not in (*SEVERAL_MEMBERS, *TOKENS))
"""The columns of a bundle of one linear member."""

ODD_CELLS = (
    "plain words", "", " ", '"', '""', 'say "ah"', "a,b", "a\nb", "a\r\nb", "a\rb", "'", "'=1+1", "=1+1", "+1", "-",
    "@user took it", "\t", "\x00", "\x1a", "\ufeff", "\u2028", "\x85", "\U0001f635", "\u0421\u0438", "n/a", "[deleted]",
    "http://t.co/x", "a;b|c\td", "\\", '\\"', "7", "0.5", "x" * 300, "\uff1dA1", "de", "row-3", "cadec.1",
)  # fmt: skip
CELL = st.one_of(st.sampled_from(ODD_CELLS), st.text(max_size=30).filter(lambda text: not _has_surrogate(text)))
NAMES = (("id", "text", "language", "note"), ("p", "text", "lang", "flags"), ("a", "text", "b", "c"))
LANGUAGE = st.sampled_from(("en", "de", "", "EN-us", "Deutsch", "de_cadec", "fr", "no language", " ru "))


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def scored_by_row(bundle: Bundle, source: Path, *, ending: str, raw: bool = False) -> bytes:
    """What the functions for single rows make of a file."""
    out = io.BytesIO()
    with open_table(source) as table:
        columns = map_columns(table.columns, DataSpec(), required=("text",), where="")
        names = output_columns(table.columns, COLUMNS)
        out.write(header((*names.values(), *FILLED), ending=ending, spec=ScoreSpec()))
        rows = rows_in(list(table.rows))
        good = [
            item
            for item in read_rows(replace(table, rows=rows), columns, DataSpec(), labelled=False)
            if isinstance(item, ReadPost)
        ]
    with row_writer(out, (*names.values(), *FILLED), ending=ending, schema=None, raw=raw) as write:
        decisions = score_posts(bundle, [i.post for i in good], detected=[i.language_detected for i in good])
        cells = [{names[name]: cell for name, cell in item.row.cells.items()} for item in good]
        write.rows([row | as_cells(decision, FILLED) for row, decision in zip(cells, decisions, strict=True)])
    return out.getvalue()


@given(
    rows=st.lists(st.tuples(CELL, CELL, LANGUAGE, CELL), min_size=1, max_size=40),
    names=st.sampled_from(
        (("id", "text", "language", "note"), ("p", "text", "lang", "flags"), ("a", "text", "b", "c"))
    ),
    ending=st.sampled_from((".csv", ".tsv", ".jsonl")),
    damage=st.sampled_from(("", '"', "\r", ',"open', "\n\n", "\xff")),
    at=st.integers(0, 10_000),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_files_give_the_bytes_of_scoring_row_by_row(
    bundle: Bundle,
    tmp_path: Path,
    rows: list[tuple[str, ...]],
    names: tuple[str, ...],
    ending: str,
    damage: str,
    at: int,
) -> None:
    text = csv_text([names, *rows])
    at = len(text.split("\n")[0]) + 1 + at % (len(text) + 1)
    source, output = tmp_path / "posts.csv", tmp_path / f"scored{ending}"
    source.write_bytes((text[:at] + damage + text[at:]).encode("utf-8" if damage != "\xff" else "latin-1", "replace"))
    for path in tmp_path.glob("scored*"):
        path.unlink()
    try:
        score_file(bundle, str(source), str(output))
    except DataError as error:
        assume("no post has a text" not in str(error))
        raise
    assert output.read_bytes() == scored_by_row(bundle, source, ending=ending)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".tsv"])
def test_parquet_and_json_lines_with_cells_of_all_types_give_the_same_bytes(
    bundle: Bundle, tmp_path: Path, ending: str
) -> None:
    table = pa.table(
        {
            "id": pa.array([1, 2, None, 4]),
            "text": ["felt dizzy", None, "=1+1", "took it, 'fine'"],
            "language": ["en", "de", None, "fr"],
            "score": [0.5, -0.0, float("nan"), 1e-7],
            "seen": [True, None, False, True],
            "tags": [["a"], [], None, ["b", "c"]],
        }
    )
    source = tmp_path / "posts.parquet"
    pq.write_table(table, source, row_group_size=3)
    lines = tmp_path / "posts.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in table.slice(0, 2).to_pylist()))
    for given_file in (source, lines):
        output = tmp_path / f"{given_file.suffix[1:]}-out{ending}"
        score_file(bundle, str(given_file), str(output))
        assert output.read_bytes() == scored_by_row(bundle, given_file, ending=ending)


def test_very_long_posts_are_taken_a_few_at_a_time(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "posts.csv"
    source.write_text(csv_text([("text", "language"), *((f"{n} " + "dizzy " * 150_000, "en") for n in range(9))]))
    score_file(bundle, str(source), str(tmp_path / "scored.csv"))
    assert (tmp_path / "scored.csv").read_bytes() == scored_by_row(bundle, source, ending=".csv")


def test_a_plain_file_is_read_as_blocks_and_scored_as_columns(bundle: Bundle, tmp_path: Path) -> None:
    source = tmp_path / "posts.csv"
    source.write_text(csv_text([("id", "text", "language"), *((f"{n}", f"post, {n}", "en") for n in range(5000))]))
    with open_table(source) as table:
        assert isinstance(table.rows, BlockRows)
        pieces = list(pieces_of(table.rows))
        assert all(isinstance(piece, RowBlock) for piece in pieces)
    with open_table(source) as table:
        rows = list(table.rows)
    assert rows == list(rows_in(pieces))
    assert len(rows) == 5000
    with open_table(source) as table:
        columns = map_columns(table.columns, DataSpec(), required=("text",), where="")
        read = list(read_rows(table, columns, DataSpec(), labelled=False))
    from polyvigil.data.languages import FileLanguages

    block = read_block(pieces, columns, FileLanguages(lambda: []))
    assert block is not None
    assert list(block.posts) == [item.post for item in read if isinstance(item, ReadPost)]
    assert block.languages_given == {"en": 5000}


@given(rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=20), delimiter=st.sampled_from((",", "\t", ";")))
def test_csv_by_columns_is_csv_by_rows(rows: list[tuple[str, str]], delimiter: str) -> None:
    numbers = ([0.5, -0.0, 0.0, 1e-7, float("nan")] * len(rows))[: len(rows)]
    cells = [(*row, number, None, n, 0.25) for n, (row, number) in enumerate(zip(rows, numbers, strict=True))]
    columns = list(zip(*cells, strict=True))
    assert csv_columns_text(columns, delimiter=delimiter) == csv_text(cells, delimiter=delimiter)
    assert csv_columns_text(columns[:1], delimiter=delimiter) == csv_text(
        [row[:1] for row in cells], delimiter=delimiter
    )


def _random_text(draw: random.Random) -> str:
    parts = [
        '"',
        '""',
        ",",
        "\n",
        "\r\n",
        "\r",
        "a",
        "7",
        "two words",
        "\\",
        '\\"',
        "\x1a\n",
        "id,text\n",
        "\udc80",
        "é",
    ]
    return "".join(draw.choice(parts) for _ in range(draw.randrange(120)))


@pytest.mark.parametrize("quoting", ["minimal", "backslash", "none"])
def test_blocks_of_records_hold_the_rows_that_reading_one_by_one_gives(quoting: str) -> None:
    draw = random.Random(quoting)
    header_, shape = Header(("id", "text"), 2), RowShape(",", 2, (0,), frozenset())
    for _ in range(3000):
        text, dialect = _random_text(draw), Dialect(",", quoting)  # type: ignore[arg-type]

        def records(text: str = text, dialect: Dialect = dialect) -> Records:
            return Records(io.StringIO(text, newline="\n"), dialect, shape)

        by_row, by_block = records(), records()
        rows = list(rows_of(by_row, header_, codec="utf-8"))
        assert list(rows_in(pieces_of_records(by_block, header_, codec="utf-8"))) == rows
        assert by_block.lines_done == by_row.lines_done
        assert by_block.long_rows("x") == by_row.long_rows("x")


@pytest.mark.parametrize("inner", [49, 50, 60, MAX_RECORD_LINES + 1])
def test_rows_of_many_lines_are_told_of_alike(inner: int) -> None:
    text = "".join(f"{n},x\n" for n in range(50)) + '1,"' + "some prose here\n" * inner + '"\n2,y\n'
    dialect, header_ = Dialect(",", "minimal"), Header(("id", "text"), 2)
    by_row, by_block = (Records(io.StringIO(text, newline="\n"), dialect, None) for _ in range(2))
    rows = list(rows_of(by_row, header_, codec="utf-8"))
    assert list(rows_in(pieces_of_records(by_block, header_, codec="utf-8"))) == rows
    assert by_block.long_rows("x") == by_row.long_rows("x")


def test_pieces_are_taken_by_numbers_of_rows_and_put_back() -> None:
    def pieces() -> Iterator[RowBlock | Row | RowError]:
        yield RowBlock(range(1, 6), {"a": list("vwxyz")})
        yield RowError(6, "", "odd")
        yield Row(7, {"a": "last"})

    buffer = PieceBuffer(pieces())
    first = buffer.take(3)
    assert [row.line for row in rows_in(first)] == [1, 2, 3]
    buffer.return_first(first)
    assert [[row.line for row in rows_in(buffer.take(most))] for most in (2, 4, 9)] == [[1, 2], [3, 4, 5, 6], [7]]
    assert buffer.ended
    assert buffer.take(1) == []
