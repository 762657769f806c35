"""Reading from the middle: the pieces of a file, read one by one, are the file, whatever its quotes and line ends."""

from __future__ import annotations

import gzip
import random
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polyvigil.data.formats import Row, RowError, open_table
from polyvigil.data.offsets import is_splittable, split_positions
from polyvigil.errors import DataError

_BYTES = (b"a", b'"', b",", b"\n", b"\r", b"\r\n", b"\xff", b"\xe9\xa0\x81", b'""', b" ", b'"x\ny",b\n', b'{"a":1}\n')


def _whole(path: str) -> list[Row | RowError] | str:
    try:
        with open_table(path) as table:
            return list(table.rows)
    except DataError as error:
        return str(error)


def _pieces(path: str, *, records: int) -> list[Row | RowError] | str:
    found: list[Row | RowError] = []
    with open_table(path) as table:
        columns = table.columns
    try:
        starts = list(split_positions(path, records=records))
    except DataError as error:
        return str(error)
    for number, place in enumerate(starts):
        with open_table(path, at=place, columns=columns) as table:
            assert table.columns == columns
            piece = list(islice(table.rows, records))
            if number < len(starts) - 1:
                assert len(piece) == records
            else:
                assert piece or number == 0
                assert next(table.rows, None) is None
            found += piece
    return found


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_files_read_in_pieces_equal_the_whole(tmp_path: Path, kind: str) -> None:
    """Line numbers and messages too; a byte-order mark, broken quotes, bytes that are no UTF-8, all ends of lines."""
    chance = random.Random(kind)
    path = tmp_path / f"i.{kind}"
    head = {"csv": b"h,k", "tsv": b"h\tk", "jsonl": b'{"h": 1}'}[kind]
    n_split = 0
    for _ in range(1500):
        body = b"".join(chance.choice(_BYTES) for _ in range(chance.randrange(40)))
        mark = b"\xef\xbb\xbf" if chance.random() < 0.3 else b""
        path.write_bytes(mark + head + chance.choice((b"\n", b"\r\n", b"\r")) + body)
        try:
            splittable = is_splittable(str(path))
            with open_table(path):
                pass
        except DataError:
            continue
        if splittable:
            n_split += 1
            assert _pieces(str(path), records=chance.choice((1, 2, 3))) == _whole(str(path))
    assert n_split > 500


def test_parquet_is_read_from_any_row(tmp_path: Path) -> None:
    path = str(tmp_path / "i.parquet")
    for rows, group in ((0, 3), (1, 1), (10, 3), (10, 4), (7, 100)):
        pq.write_table(pa.table({"text": [str(row) for row in range(rows)]}), path, row_group_size=group)
        for records in (1, 2, 3, 5, 100):
            assert _pieces(path, records=records) == _whole(path)


def test_formats_that_can_be_split(tmp_path: Path) -> None:
    for name, head, expected in (
        ("a.csv", b"text\n", True),
        ("a.csv.gz", gzip.compress(b"text\n"), False),
        ("a.jsonl", b'[{"text": "a"}, {"text": "b"}]\n' * 2, False),
        ("b.csv", "text\n".encode("utf-16"), False),
        ("a.parquet", b"", True),
    ):
        (tmp_path / name).write_bytes(head)
        assert is_splittable(str(tmp_path / name)) is expected
