"""The text of posts in the output of scoring: as it was written, masked, or left out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from polyvigil.config.score import ScoreSpec
from polyvigil.data.columns import NAMES_OF, ColumnMap
from polyvigil.data.shown import shown_column
from polyvigil.errors import RecipeError
from polyvigil.text.mask import mask

T = TypeVar("T")

OPTIONS = {"masked": "--mask", "dropped": "--drop-text"}
"""By ``ScoreSpec.text``."""


class OutputText:
    """What becomes of the text of one input: of its column, and of others that have the name of a text, such as the cut
    ``text`` beside a ``full_text``."""

    def __init__(self, spec: ScoreSpec, columns: Sequence[str], mapping: ColumnMap, *, where: str) -> None:
        """``columns``: of the input, whose text is in the one that ``mapping`` says.

        Raises RecipeError where the text lies inside another column, which the output would hold as it was.
        """
        self._form = spec.text
        text, parts = mapping.columns["text"], set(mapping.columns.values())
        alike = (column for column in columns if column.lower() in NAMES_OF["text"] and column not in parts)
        self.columns = (text, *alike)
        if spec.text != "whole" and text not in columns:
            raise RecipeError(
                f"{where}: the text lies inside a column with other things ({shown_column(text)})",
                where=OPTIONS[spec.text],
                hint="write it as a column of its own first",
            )

    @property
    def is_whole(self) -> bool:
        """Whether it stays as it was written."""
        return self._form == "whole"

    def kept(self, columns: Sequence[str]) -> tuple[str, ...]:
        """The columns of the input that the output has."""
        return tuple(column for column in columns if self._form != "dropped" or column not in self.columns)

    def of_row(self, cells: Mapping[str, Any]) -> Mapping[str, Any]:
        """The cells of a row as the output holds them."""
        return self._changed(cells, _masked)

    def of_rows(self, cells: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]]:
        """The same for cells by column."""
        return self._changed(cells, lambda texts: [_masked(text) for text in texts])

    def _changed(self, cells: Mapping[str, T], masked: Callable[[T], T]) -> Mapping[str, T]:
        if self.is_whole:
            return cells
        if self._form == "dropped":
            return {name: value for name, value in cells.items() if name not in self.columns}
        return {name: masked(value) if name in self.columns else value for name, value in cells.items()}


def _masked(cell: Any) -> Any:
    return mask(cell) if isinstance(cell, str) else cell


def text_notes(spec: ScoreSpec, columns: Sequence[str]) -> tuple[str, ...]:
    """One line that says what the output holds of the text. ``columns``: those with text, of all inputs."""
    if spec.text == "whole":
        return ()
    names = ", ".join(shown_column(column) for column in dict.fromkeys(columns))
    what = (
        "is left out"
        if spec.text == "dropped"
        else "is masked: links, addresses, mentions, dates and numbers, no names"
    )
    return (f"{names}: the text {what}; other columns, and rows that are set aside, are as they were written",)
