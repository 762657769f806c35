"""Blocks of rows to posts: what ``data.read`` does row by row, done column by column where no row needs a second look.

In: pieces of an open table that are all without a fault. Out: the posts of its rows with their columns, the same that
reading them one by one gives; or nothing, where a row may be set aside or its cells are of odd types, so that the
caller reads them one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvigil.data.columns import ColumnMap
from polyvigil.data.languages import FileLanguages
from polyvigil.data.read_row import MAX_CHARACTERS, cell_text, split_name
from polyvigil.data.table import Piece, Row, RowBlock, RowError
from polyvigil.text.language import CADEC_SUFFIX, UNDETERMINED, standard_group
from polyvigil.text.normalise import is_unicode, placeholder_reason
from polyvigil.types import Post

_SHORT = 30  # characters, more than any placeholder has
_PLAIN_TYPES = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """The posts of a block of ``rows``, one each, all (n_rows,); ``row_languages``, ``labels_given``, ``purposes``,
    ``inclusion_ps``: as the rows write them, the label empty where none is asked for."""

    posts: Sequence[Post]
    texts: Sequence[str]
    language_detected: Sequence[bool]
    row_languages: Sequence[str]
    labels_given: Sequence[str]
    purposes: Sequence[str]
    inclusion_ps: Sequence[str]
    rows: RowBlock

    @property
    def cells(self) -> Mapping[str, Sequence[Any]]:
        """As the file has them, by column."""
        return self.rows.cells

    @property
    def languages_given(self) -> Mapping[str, int]:
        """How many rows write their language so, in the order in which they are met."""
        return Counter(self.row_languages)

    @property
    def characters(self) -> int:
        """Of all texts."""
        return sum(len(post.text) for post in self.posts)


def read_block(
    pieces: Sequence[Piece], columns: ColumnMap, languages: FileLanguages, *, labelled: bool = False
) -> ReadBlock | None:
    """The posts of rows; None where they are to be read one by one (``data.read_row.read_rows``)."""
    block = _one_block(pieces)
    if block is None or not all(name in block.cells for name in columns.columns.values()):
        return None
    cells: dict[str, Sequence[str]] = {}
    for role, name in columns.columns.items():
        column = block.cells[name]
        kinds = {*map(type, column)}
        if not kinds <= _PLAIN_TYPES:
            return None
        cells[role] = column if kinds == {str} else list(map(cell_text, column))
        if max(map(len, cells[role])) > MAX_CHARACTERS or not is_unicode("".join(cells[role])):
            return None
    if labelled and _lacks_text(cells["text"]):
        return None
    ids = cells.get("id", [""] * len(block))
    if not all(ids):
        ids = [given or f"row-{line}" for given, line in zip(ids, block.lines, strict=True)]
    given = list(map(str.strip, cells["language"])) if "language" in cells else [""] * len(block)
    types = cells.get("type", [""] * len(block))
    try:
        groups, detected = _groups(given, cells["text"], types, ids, languages)
    except ValueError:
        return None
    splits: Sequence[str] = cells.get("split", ())
    names = {split: split_name(split) for split in {*splits}}
    empty = [""] * len(block)
    corpora, threads = cells.get("origin", empty), cells.get("group", empty)
    posts = list(map(Post, ids, cells["text"], groups, types, corpora, map(names.get, splits or empty, empty), threads))
    labels = list(map(str.strip, cells["label"])) if labelled and "label" in cells else empty
    selected = cells.get("purpose", empty), cells.get("inclusion_p", empty)
    return ReadBlock(posts, cells["text"], detected, given, labels, *selected, block)


def _lacks_text(texts: Sequence[str]) -> bool:
    """Whether some text is empty or stands for one that is gone."""
    return any(
        (len(bare := text.strip()) <= _SHORT and placeholder_reason(bare)) or not text.strip("\0 \t\r\n")
        for text in texts
    )


def _one_block(pieces: Sequence[Piece]) -> RowBlock | None:
    """Pieces as one block, where they have the same columns in the same order and no more beside them."""
    blocks: list[RowBlock] = []
    rows: list[Row] = []
    for piece in pieces:
        if isinstance(piece, RowError) or (isinstance(piece, Row) and piece.derived):
            return None
        if isinstance(piece, Row):
            rows.append(piece)
            continue
        if rows:
            return None
        blocks.append(piece)
    if rows:
        if blocks or len({tuple(row.cells) for row in rows}) > 1:
            return None
        columns = zip(*(row.cells.values() for row in rows), strict=True)
        return RowBlock([row.line for row in rows], dict(zip(rows[0].cells, columns, strict=True)))
    if len(blocks) == 1:
        return blocks[0]
    if len({tuple(block.cells) for block in blocks}) > 1:
        return None
    lines = [line for block in blocks for line in block.lines]
    return RowBlock(lines, {name: [c for block in blocks for c in block.cells[name]] for name in blocks[0].cells})


def _groups(
    given: Sequence[str], texts: Sequence[str], types: Sequence[str], ids: Sequence[str], languages: FileLanguages
) -> tuple[Sequence[str], Sequence[bool]]:
    """See ``FileLanguages.group``, of each row. Raises ValueError where a row gives no language."""
    known = {name: standard_group(name) for name in dict.fromkeys(given)}
    types_alone = "cadec" not in "\n".join(ids).lower() and len({*types}) == 1
    if types_alone and not any(group == UNDETERMINED or group.endswith(CADEC_SUFFIX) for group in known.values()):
        groups = {name: languages.group(name, "", type=types[0], id="").group for name in known}
        return [groups[name] for name in given], [False] * len(given)
    detections = [
        languages.group(name, text, type=kind, id=id)
        for name, text, kind, id in zip(given, texts, types, ids, strict=True)
    ]
    return [language.group for language in detections], [language.detected for language in detections]
