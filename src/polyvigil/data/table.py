"""What reading a file gives: a table with its columns, whose rows are drawn one by one, or in blocks of columns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeAlias

import pyarrow as pa

from polyvigil.data.packed_strings import FrozenStrings, pack


@dataclass(frozen=True, slots=True)
class Row:
    """One row: ``line`` is the line it starts on (Parquet, Excel: its number), from 1; cells are as the file holds
    them."""

    line: int
    cells: Mapping[str, Any]
    derived: Mapping[str, Any] = field(default_factory=dict)
    """What an export holds in its depth, by the names of ``Table.derived``; no columns, so they are not written."""

    def cell(self, column: str) -> Any:
        """The cell of a column, of a derived one, or of a nested object by its path (``cell_at``)."""
        return _single(self.derived[column]) if column in self.derived else cell_at(self.cells, column)


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that cannot be used: where, why, and its cells, so that nothing is lost."""

    line: int
    column: str
    reason: str
    cells: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Consecutive rows without a fault, column by column: ``lines`` (n_rows,), where each begins, and the cells of each
    column (n_rows,). What is done to a whole column costs a fraction of what it costs row by row."""

    lines: Sequence[int]
    cells: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.lines)

    def rows(self) -> Iterator[Row]:
        """The same rows one by one."""
        names = tuple(self.cells)
        for line, cells in zip(self.lines, zip(*self.cells.values(), strict=True), strict=True):
            yield Row(line, dict(zip(names, cells, strict=True)))

    def row(self, index: int) -> Row:
        """One of them."""
        return Row(self.lines[index], {name: cells[index] for name, cells in self.cells.items()})

    def packed(self, columns: Mapping[str, FrozenStrings]) -> RowBlock:
        """The same rows in less memory, their strings packed; ``columns``: those that are packed already."""

        def cells(name: str, column: Sequence[Any]) -> Sequence[Any]:
            if {*map(type, column)} != {str}:
                return column
            return columns[name] if name in columns else pack(column)

        return RowBlock(self.lines, {name: cells(name, column) for name, column in self.cells.items()})

    def part(self, start: int, stop: int) -> RowBlock:
        """Rows ``start`` to ``stop``, without the last."""
        return RowBlock(self.lines[start:stop], {name: cells[start:stop] for name, cells in self.cells.items()})


Piece: TypeAlias = RowBlock | Row | RowError


class BlockRows:
    """Rows that come in blocks. Who works by columns draws ``pieces`` instead of them, from the first on."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self.pieces = pieces
        self._rows = rows_in(pieces)

    def __iter__(self) -> Iterator[Row | RowError]:
        return self._rows

    def __next__(self) -> Row | RowError:
        return next(self._rows)


def rows_in(pieces: Iterable[Piece]) -> Iterator[Row | RowError]:
    """The rows of pieces, one by one."""
    for piece in pieces:
        if isinstance(piece, RowBlock):
            yield from piece.rows()
        else:
            yield piece


class PieceBuffer:
    """Pieces that are drawn by numbers of rows, and may be put back."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._held: deque[Piece] = deque()

    @property
    def ended(self) -> bool:
        """Whether there is no further row."""
        if not self._held:
            self._held.extend(islice(self._pieces, 1))
        return not self._held

    def take(self, most: int) -> list[Piece]:
        """Pieces of ``most`` rows in all, or of those that are left."""
        taken: list[Piece] = []
        while most > 0 and not self.ended:
            piece = self._held.popleft()
            if isinstance(piece, RowBlock) and len(piece) > most:
                self._held.appendleft(piece.part(most, len(piece)))
                piece = piece.part(0, most)
            most -= len(piece) if isinstance(piece, RowBlock) else 1
            taken.append(piece)
        return taken

    def return_first(self, pieces: Sequence[Piece]) -> None:
        """Give these again before the others."""
        self._held.extendleft(reversed(pieces))


def pieces_of(rows: Iterator[Row | RowError]) -> Iterator[Piece]:
    """The rows of a table of which none was drawn: in blocks where they come so."""
    return rows.pieces if isinstance(rows, BlockRows) else rows


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where reading can begin: before a record. ``offset`` in bytes (0 in Parquet); ``line``: lines or rows before."""

    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Table:
    """An open file: its name for messages, its columns in order, its rows. ``schema`` is set for Parquet and Arrow."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Row | RowError]
    schema: pa.Schema | None = None
    fraction: Callable[[], float] | None = None
    """How much of the file has been read, in [0, 1]; None where it is not known (standard input)."""
    derived: tuple[str, ...] = ()
    """What rows have beside their columns, as ``prodigy:label``: the kind of export, and the part it plays."""
    late_notes: Callable[[], tuple[str, ...]] = tuple
    """What is known once the rows have been drawn: rows that are far longer than the others."""
    notes: tuple[str, ...] = ()
    """What had to be guessed to read the file: encoding, delimiter, quoting, the kind of export."""


def cell_at(cells: Mapping[str, Any], column: str) -> Any:
    """The cell of a column; of a nested object (JSON, Parquet) by its path, ``data.text`` or ``annotations.0.label``.

    A list of one value is that value. None where there is nothing.
    """
    return _single(cells[column] if column in cells else _by_path(cells, column))


def _single(value: Any) -> Any:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _by_path(cells: Mapping[str, Any], path: str) -> Any:
    """The value at a path of keys; a key may hold points itself (``ade.responses.0``)."""
    value: Any = cells
    parts = path.split(".")
    while parts:
        if isinstance(value, Mapping):
            taken = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in value), 0)
            if not taken:
                return None
            value, parts = value[".".join(parts[:taken])], parts[taken:]
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            if not parts[0].isdecimal() or int(parts[0]) >= len(value):
                return None
            value, parts = value[int(parts[0])], parts[1:]
        else:
            return None
    return value
