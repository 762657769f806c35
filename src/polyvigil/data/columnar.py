"""Parquet and Arrow (Feather) files to rows, a batch at a time; and what pandas keeps in them beside the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from polyvigil.data.table import BlockRows, Piece, RowBlock, Table
from polyvigil.errors import DataError

_ROWS_PER_BATCH = 1024
_PANDAS = b"pandas"


def parquet_table(name: str, raw: IO[bytes], *, skip: int = 0) -> Table:
    """An open Parquet file. ``skip``: rows that are not read. Raises DataError where it is damaged."""
    try:
        file = pq.ParquetFile(raw)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(name, error, kind="Parquet") from error
    schema = _checked(name, file.schema_arrow)
    groups, done = _groups_from(file.metadata, skip)

    def blocks() -> Iterator[Piece]:
        nonlocal done
        try:
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, row_groups=groups):
                batch.validate(full=True)
                unread = min(max(skip - done, 0), len(batch))
                block = _block(batch.slice(unread), before=done + unread)
                done += len(batch)
                yield block
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a date beyond all years
            raise _damaged(f"{name}: after row {done}", error, kind="Parquet") from error

    total = max(file.metadata.num_rows, 1)
    return Table(name, tuple(schema.names), BlockRows(blocks()), schema, lambda: done / total)


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

    def blocks() -> Iterator[Piece]:
        done = 0
        try:
            for batch in batches:
                batch.validate(full=True)  # offsets that lead outside would end the process
                for start in range(0, len(batch), _ROWS_PER_BATCH):
                    block = _block(batch.slice(start, _ROWS_PER_BATCH), before=done)
                    done += len(block)
                    yield block
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # a date beyond all years
            raise _damaged(f"{name}: after row {done}", error, kind="Arrow") from error

    return Table(name, tuple(schema.names), BlockRows(blocks()), schema)


def _block(batch: pa.RecordBatch, *, before: int) -> RowBlock:
    """The rows of a batch, of which ``before`` stand before it in the file, as Python's own values.

    Moments that Python has no value for (beyond the year 9999) are whole numbers in the unit of their column, from
    which Arrow makes the moment again.
    """
    try:
        columns = [array.to_pylist() for array in batch.columns]
    except (OverflowError, ValueError):
        columns = [
            array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64()).to_pylist()
            if pa.types.is_temporal(array.type)
            else array.to_pylist()
            for array in batch.columns
        ]
    lines = range(before + 1, before + 1 + len(batch))
    return RowBlock(lines, dict(zip(batch.schema.names, columns, strict=True)))


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


def pandas_metadata(schema: pa.Schema, names: Mapping[str, str]) -> dict[bytes, bytes]:
    """What pandas keeps in a file (which columns are its index, types that Arrow lacks), for a copy of its columns.

    ``names``: the columns that are copied with their type, and what they are called in the copy. Empty where pandas
    did not write the file.
    """
    try:
        kept = json.loads((schema.metadata or {})[_PANDAS])
        index = [names[column] for column in kept["index_columns"] if isinstance(column, str) and column in names]
        columns = [_renamed(column, names) for column in kept["columns"] if column["field_name"] in names]
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}
    return {_PANDAS: json.dumps({**kept, "index_columns": index, "columns": columns}).encode()}


def _renamed(column: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    new = names[column["field_name"]]
    return {**column, "field_name": new, "name": new if column["name"] == column["field_name"] else column["name"]}
