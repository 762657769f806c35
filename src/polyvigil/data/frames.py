"""Posts in memory as an open table: DataFrames, Arrow tables, Series, arrays and lists.

In: what a caller of the Python API holds. Out: ``data.formats.Table``, the same type that an open file is, so that rows
become posts by the same functions (``data.read``) and are taken or refused with the same messages. Rows are numbered
from 1, as those of a Parquet file. DataFrames are read through narwhals; nothing is imported for lists and files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from polyvigil.data.formats import Row, RowError, Table, format_of, promised_format
from polyvigil.data.read import cell_text
from polyvigil.errors import DataError
from polyvigil.text.normalise import replace_lone_surrogates
from polyvigil.types import LabelledPost, Post

if TYPE_CHECKING:
    import narwhals as nw

_ROWS_PER_BATCH = 1024

Posts: TypeAlias = object
"""A DataFrame (pandas, polars, pyarrow, or anything with the Arrow C interface), a Series or array of texts, a list of
texts, of dicts or of Post, or the path of a file."""


def source_of(data: Posts, *, name: str) -> Path | Table:
    """Posts as what ``data.read`` reads: the path of a file, or a table called ``name`` in messages.

    Raises DataError for a str that names no kind of file, and for data of another kind.
    """
    if isinstance(data, str | Path):
        return _path(data, name)
    if isinstance(data, Table):
        return data
    frame = frame_of(data, name=name)
    return _frame_table(frame, name) if frame is not None else _list_table(_items(data, name), name)


def frame_of(data: Posts, *, name: str) -> nw.DataFrame[Any] | None:
    """``data`` as a narwhals DataFrame, collected where it is lazy; None for what is no DataFrame (a path, a list)."""
    if isinstance(data, str | Path | bytes | list | tuple | np.ndarray):
        return None
    import narwhals as nw

    try:
        frame = nw.from_native(data, pass_through=True, allow_series=True)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
        if not isinstance(frame, nw.DataFrame | nw.Series) and hasattr(frame, "__arrow_c_stream__"):
            frame = nw.from_native(pa.table(frame))
    except nw.exceptions.DuplicateError as error:
        raise _duplicate(name) from error
    if not isinstance(frame, nw.DataFrame):
        return None
    if len(set(map(str, frame.columns))) < len(frame.columns):
        raise _duplicate(name)
    return frame


def with_cells(table: Table, added: Mapping[str, Iterable[object] | None]) -> Table:
    """The table with further columns, one value a row, in the order of the rows; they replace columns of that name.

    None adds nothing. Raises DataError, while rows are read, when there are more or fewer values than rows.
    """
    columns = {column: _items(values, column) for column, values in added.items() if values is not None}
    if not columns:
        return table

    def rows() -> Iterator[Row | RowError]:
        number = 0
        for row in table.rows:
            number += 1
            if isinstance(row, RowError):
                yield row
                continue
            if any(number > len(values) for values in columns.values()):
                number += sum(1 for _ in table.rows)
                break
            yield Row(row.line, {**row.cells, **{name: values[number - 1] for name, values in columns.items()}})
        for name, values in columns.items():
            if number != len(values):
                raise DataError(f"{len(values):,} values of {name} for {number:,} posts", where=table.name)

    names = (*table.columns, *(name for name in columns if name not in table.columns))
    return replace(table, columns=names, rows=rows(), schema=None)


def extended(frame: nw.DataFrame[Any], kept: Sequence[int], names: Mapping[str, str], added: pa.Table) -> object:
    """The rows ``kept`` of a frame with ``added`` beside them, as a DataFrame of the frame's own library.

    ``names``: the columns to keep by their old name, and what they are called in the result. An index stays.
    """
    import narwhals as nw

    columns = [column for column in frame.columns if str(column) in names]
    chosen = frame.select(*columns) if len(kept) == len(frame) else frame.select(*columns)[list(kept)]
    renamed = {column: names[str(column)] for column in columns if names[str(column)] != column}
    chosen = chosen.rename(renamed) if renamed else chosen
    fresh = nw.from_arrow(added, backend=frame.implementation)
    return chosen.with_columns(*fresh.iter_columns()).to_native()


def column_array(values: Sequence[object], kind: pa.DataType | None = None) -> pa.Array:
    """Cells as an Arrow array; of text where they have no common type."""
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
        return pa.array([None if value is None else replace_lone_surrogates(cell_text(value)) for value in values])


def _path(path: str | Path, name: str) -> Path:
    if promised_format(path):
        return Path(path)
    try:
        format_of(path)
    except DataError as error:
        if isinstance(path, str):  # perhaps a post, whose text may not stand in a message
            raise DataError(
                "one str is the path of a file, and this one ends in no known kind of file",
                where=name,
                hint="give posts as a list, [text], also where there is one",
            ) from error
        raise
    return Path(path)


def _items(data: object, name: str) -> list[Any]:
    """The values of a Series, an array or a list. Raises DataError for a DataFrame, a str and what is not iterable."""
    if isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == 1:
        data = data[:, 0]
    if isinstance(data, np.ndarray) and data.ndim == 1:
        return [_plain(value) for value in data.tolist()]
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, Iterable) and not isinstance(data, str | bytes | Mapping | np.ndarray):
        import narwhals as nw

        series = nw.from_native(data, pass_through=True, series_only=True)
        return _values(series) if isinstance(series, nw.Series) else [_plain(value) for value in data]
    raise DataError(
        f"cannot be read as posts ({type(data).__name__})",
        where=name,
        hint="give a DataFrame, a list of texts or of dicts, or the path of a file",
    )


def _list_table(items: Sequence[Any], name: str) -> Table:
    if any(isinstance(item, Mapping | Post | LabelledPost) for item in items):
        records = [_record(item) for item in items]
        columns = tuple(dict.fromkeys(str(key) for record in records if record for key in record))
        rows = (
            Row(line, dict.fromkeys(columns) | {str(key): _plain(value) for key, value in record.items()})
            if record
            else RowError(line, "", "not a dict with columns")
            for line, record in enumerate(records, 1)
        )
        return Table(name, columns, rows)
    return Table(name, ("text",), (Row(line, {"text": item}) for line, item in enumerate(items, 1)))


def _record(item: object) -> Mapping[Any, Any] | None:
    if isinstance(item, LabelledPost):
        return {**asdict(item.post), "label": item.label}
    if isinstance(item, Post):
        return asdict(item)
    return item if isinstance(item, Mapping) else None


def _frame_table(frame: nw.DataFrame[Any], name: str) -> Table:
    columns = tuple(map(str, frame.columns))

    def rows() -> Iterator[Row | RowError]:
        for start in range(0, len(frame), _ROWS_PER_BATCH):
            batch = [_values(series) for series in frame[start : start + _ROWS_PER_BATCH].iter_columns()]
            for line, cells in enumerate(zip(*batch, strict=True), start + 1):
                yield Row(line, dict(zip(columns, cells, strict=True)))

    return Table(name, columns, rows())


def _values(series: nw.Series[Any]) -> list[Any]:
    """The values of a column as Python's own, None where one is missing (None, NaN, NaT, pandas.NA)."""
    missing = series.is_null().to_list()
    return [None if gone else _plain(value) for value, gone in zip(series.to_list(), missing, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return None if type(value).__name__ in {"NAType", "NaTType"} else value


def _duplicate(name: str) -> DataError:
    return DataError("a column name stands twice", where=name, hint="rename one of them")
