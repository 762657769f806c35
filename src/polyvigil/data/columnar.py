"""Parquet and Arrow (Feather) files to rows, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyvigil.data.table import Row, RowError, Table
from polyvigil.errors import DataError

_ROWS_PER_BATCH = 1024


def parquet_table(name: str, raw: IO[bytes], *, skip: int = 0) -> Table:
    """An open Parquet file. ``skip``: rows that are not read. Raises DataError where it is damaged."""
    try:
        file = pq.ParquetFile(raw)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error, kind="Parquet") from error
    schema = _checked(name, file.schema_arrow)
    groups, done = _groups_from(file.metadata, skip)

    def rows() -> Iterator[Row | RowError]:
        nonlocal done
        try:
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, row_groups=groups):
                batch.validate(full=True)
                unread = min(max(skip - done, 0), len(batch))
                done += unread
                for cells in batch.slice(unread).to_pylist():
                    done += 1
                    yield Row(done, cells)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a date beyond all years
            raise _damaged(f"{name}: after row {done}", error, kind="Parquet") from error

    total = max(file.metadata.num_rows, 1)
    return Table(name, tuple(schema.names), rows(), schema, lambda: done / total)


def arrow_table(name: str, raw: IO[bytes]) -> Table:
    """An open Arrow file or stream (.arrow, .feather). Raises DataError where it is damaged."""
    try:
        reader: Any = pa.ipc.open_file(pa.PythonFile(raw, mode="r"))
        batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
    except (pa.ArrowException, OSError):
        try:
            raw.seek(0)
            reader = pa.ipc.open_stream(pa.PythonFile(raw, mode="r"))
            batches = iter(reader)
        except (pa.ArrowException, OSError) as error:
            raise _damaged(name, error, kind="Arrow") from error
    schema = _checked(name, reader.schema)

    def rows() -> Iterator[Row | RowError]:
        done = 0
        try:
            for batch in batches:
                batch.validate(full=True)  # offsets that lead outside would end the process
                for start in range(0, len(batch), _ROWS_PER_BATCH):
                    for cells in batch.slice(start, _ROWS_PER_BATCH).to_pylist():
                        done += 1
                        yield Row(done, cells)
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a date beyond all years
            raise _damaged(f"{name}: after row {done}", error, kind="Arrow") from error

    return Table(name, tuple(schema.names), rows(), schema)


def _checked(name: str, schema: pa.Schema) -> pa.Schema:
    if len(set(schema.names)) < len(schema.names):
        raise DataError("a column name stands twice", where=name, hint="rename one of them")
    return schema


def _groups_from(metadata: Any, skip: int) -> tuple[list[int], int]:
    """The row groups that hold what comes after the first ``skip`` rows, and the rows before them."""
    first, before = 0, 0
    while first < metadata.num_row_groups and before + metadata.row_group(first).num_rows <= skip:
        before += metadata.row_group(first).num_rows
        first += 1
    return list(range(first, metadata.num_row_groups)), before


def _damaged(where: str, error: Exception, *, kind: str) -> DataError:
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"not readable as {kind} ({first_line})", where=where, hint="write the file again")
