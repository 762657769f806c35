"""The rows that labelled posts were read from, in little memory: made when they are looked at, or looked at by column.

What is kept of a row is its line; where cells are kept, blocks of rows with their columns packed, and single rows that
have columns of their own.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import eq
from types import MappingProxyType
from typing import Any, overload

from polyvigil.data.packed_strings import FrozenStrings
from polyvigil.data.table import Row, RowBlock

_NO_CELLS: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True)
class RowStore:
    """What is kept of the rows of posts: of each its line, of some their cells."""

    lines: array[int] = field(default_factory=lambda: array("q"))
    single: dict[int, Row] = field(default_factory=dict)
    """By the index of their post, those that keep their cells: a post whose label may turn out to mean nothing is set
    aside with all it holds."""
    blocks: list[RowBlock] = field(default_factory=list)
    """Further rows that keep their cells."""
    starts: list[int] = field(default_factory=list)
    """The index of the first post of each block."""

    def keep(self, rows: Sequence[Row], packed: Mapping[str, FrozenStrings]) -> None:
        """Keep the cells of the next rows, whose lines are added after; ``packed``: columns that are packed already."""
        names = tuple(rows[0].cells)
        if any(row.derived or tuple(row.cells) != names for row in rows):
            self.single.update(enumerate(rows, start=len(self.lines)))
            return
        cells = zip(*(row.cells.values() for row in rows), strict=True)
        self.keep_block(RowBlock([row.line for row in rows], dict(zip(names, cells, strict=True))), packed)

    def keep_block(self, block: RowBlock, packed: Mapping[str, FrozenStrings]) -> None:
        """The same of a block."""
        self.blocks.append(block.packed(packed))
        self.starts.append(len(self.lines))

    def row(self, index: int) -> Row:
        """The row of the post at ``index``."""
        if row := self.single.get(index):
            return row
        if at := self._in_block(index):
            return at.block.row(at.offset)
        return Row(self.lines[index], _NO_CELLS, _NO_CELLS)

    def cell(self, index: int, column: str) -> Any:
        """``Row.cell`` of the post at ``index``; of a row in a block no other cell is made."""
        at = None if index in self.single else self._in_block(index)
        if at is None:
            return self.row(index).cell(column)
        if column not in at.block.cells:
            return at.block.row(at.offset).cell(column)
        cell = at.block.cells[column][at.offset]
        return cell if isinstance(cell, str) else Row(0, {column: cell}).cell(column)

    def _in_block(self, index: int) -> _InBlock | None:
        at = bisect_right(self.starts, index) - 1
        if at >= 0 and (offset := index - self.starts[at]) < len(self.blocks[at]):
            return _InBlock(self.blocks[at], offset)
        return None


@dataclass(frozen=True, slots=True)
class _InBlock:
    """One row of a block."""

    block: RowBlock
    offset: int


class KeptRows(Sequence[Row]):
    """The rows of some posts: with their cells where those were kept, else their lines alone."""

    def __init__(self, rows: RowStore, indices: Sequence[int]) -> None:
        self._rows = rows
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Row: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return KeptRows(self._rows, self._indices[index])
        return self._rows.row(self._indices[index])

    @property
    def lines(self) -> array[int]:
        """The line of each."""
        lines = self._rows.lines
        return array("q", (lines[index] for index in self._indices))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of their cells, in the order in which they are met."""
        chosen = {*self._indices} if len(self) < len(self._rows.lines) else range(len(self))
        blocks = (
            (start, block.cells)
            for start, block in zip(self._rows.starts, self._rows.blocks, strict=True)
            if any(index in chosen for index in range(start, start + len(block)))
        )
        single = ((index, row.cells) for index, row in self._rows.single.items() if index in chosen)
        in_order = sorted((*blocks, *single), key=lambda one: one[0])
        return tuple(dict.fromkeys(name for _, cells in in_order for name in cells))

    def cells(self, column: str) -> Iterator[Any]:
        """``Row.cell`` of each."""
        return (self._rows.cell(index, column) for index in self._indices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]


def column_names(rows: Sequence[Row]) -> tuple[str, ...]:
    """The names of the cells of rows, in the order in which they are met."""
    return (
        rows.columns if isinstance(rows, KeptRows) else tuple(dict.fromkeys(name for row in rows for name in row.cells))
    )


def column_cells(rows: Sequence[Row], column: str) -> Iterator[Any]:
    """The cell of a column of each row."""
    return rows.cells(column) if isinstance(rows, KeptRows) else (row.cell(column) for row in rows)


def lines_of(rows: Sequence[Row]) -> Sequence[int]:
    """The line of each row."""
    return rows.lines if isinstance(rows, KeptRows) else [row.line for row in rows]
