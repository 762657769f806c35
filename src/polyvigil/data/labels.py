"""What the labels of a file mean: its own words as 0 and 1, where all of them together leave no doubt.

In comes how often each value stands in the column of labels, and what the user said of them (``data.labels``), which
always counts. Out goes 0, 1 or nothing for each value. Numbers that are 0 and 1 are read alone; words are read where
the file holds both classes in words of one meaning (yes and no, ADE and noADE); others are asked about in one hint.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import regex

from polyvigil.data.shown import is_showable, shown_column, shown_word
from polyvigil.errors import DataError
from polyvigil.types import Frozen

LARGEST_SHARE = 0.01
"""Largest share of the rows that may be set aside for a label that is neither 0 nor 1; more is a wrong map."""
_FEWEST_ROWS = 3  # of a value that is one of the file's words; a rarer one may come of a broken row
_NAMED = 20
_FEWEST_MARKED = 2  # columns beside the label's that hold its mark or nothing, so that an empty cell means no
OTHER = "(other)"
_SHOWN = 8  # values that a message names

_NUMBER = regex.compile(r"[+-]?\d{1,9}(?:[.,]\d{1,20})?(?:[eE][+-]?\d{1,2})?")
_MISSING = frozenset(("nan", "null", "n/a", "na", "#n/a", "<na>", "none", "-", "?"))
_ADE = frozenset(["ade", "adr", "ae", "ades", "adrs"])
_POSITIVE = (
    frozenset(
        [
            "yes",
            "y",
            "true",
            "t",
            "ja",
            "oui",
            "sí",
            "si",
            "да",
            "是",
            "はい",
            "あり",
            "有",
            "有り",
            "陽性",
            "阳性",
            "بله",
            "есть",
        ]
    )
    | _ADE
)
_NEGATIVE = {
    *("no", "n", "false", "f", "nein", "non", "нет", "خیر"),
    *("否", "无", "無", "いいえ", "なし", "無し", "陰性", "阴性"),
}
_NO_ADE = regex.compile(r"(?:no|non|not|without|kein|keine)[\s_-]*(?:ade|adr|ae)s?")
_NOT = regex.compile(r"(?:not?|non|without|keine?|un|in)[\s_-]*(.+)")
_NUMBERED = regex.compile(r"([01])\s*[.:)=_-]\s*[^\d\s][^\d]*|(?:label|class)[\s_-]*([01])")
_LIKELY = {"positive": 1, "pos": 1, "negative": 0, "neg": 0}  # of a finding, but also of a mood: asked about


class LabelValue(Frozen):
    """A value of the column of labels, its rows, and the label it is read as; None where it is read as none."""

    value: str
    rows: int
    label: int | None


@dataclass(frozen=True, slots=True)
class LabelMap:
    """What each value of one file means; values without a label are absent."""

    labels: Mapping[str, int]
    counts: Mapping[str, int]
    """Of each value its rows."""
    marked: tuple[str, ...] = ()
    """The other columns that hold the same mark or nothing; with some, an empty label is 0."""

    @property
    def values(self) -> tuple[LabelValue, ...]:
        """The values, the most frequent first; what is neither read nor frequent, which may be the text of a shifted
        row, together as ``(other)``."""
        named = {value: rows for value, rows in self.counts.items() if value in self.labels or rows >= _FEWEST_ROWS}
        ordered = sorted(named.items(), key=lambda item: -item[1])[:_NAMED]
        values = [
            LabelValue(value=shown_word(value), rows=rows, label=self.labels.get(value)) for value, rows in ordered
        ]
        unnamed = sum(self.counts.values()) - sum(value.rows for value in values)
        return (*values, LabelValue(value=OTHER, rows=unnamed, label=None)) if unnamed else tuple(values)

    @property
    def unreadable(self) -> dict[str, int]:
        """The rows of each value that stands for something in three rows or more, and is neither 0 nor 1."""
        return {
            value: rows
            for value, rows in self.counts.items()
            if value not in self.labels and rows >= _FEWEST_ROWS and not is_missing(value)
        }

    def messages(self, name: str, column: str) -> list[str]:
        """One line that says which words were read as labels; none for 0 and 1."""
        words = [
            value for value in self.values if value.label is not None and _plain_number(value.value) != value.label
        ]
        if not words:
            return []
        read = ", ".join(f"{value.value!r} ({value.rows:,} rows) as {value.label}" for value in words)
        others = ", ".join(map(shown_column, self.marked))
        marks = f", since it holds a mark or nothing, as {others} do; --set data.labels.1=1 if not" if others else ""
        return [f"{name}: {shown_column(column)}: {read}{marks}"]

    @property
    def positives_alone(self) -> bool:
        """Whether the file names positives alone, and leaves cells of the other rows empty."""
        return set(self.labels.values()) == {1} and bool(self.counts.get(""))

    def with_marks(self, rows: Iterable[Mapping[str, str]], column: str) -> LabelMap:
        """The same, an empty cell read as 0, where the rows are a sheet of marks; else as it is.

        ``rows``: cells as text of rows whose label is empty, by column. A sheet of marks has other columns too whose
        cells hold the label's own mark or nothing, as those of a corpus with one column for each finding.
        """
        seen: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            for name, value in row.items():
                seen[name].add(value)
        marks = {value for value, label in self.labels.items() if label == 1}
        marked = tuple(
            name for name, values in seen.items() if name != column and "" in values and marks >= values - {""} != set()
        )
        if len(marked) < _FEWEST_MARKED:
            return self
        return replace(self, labels={**self.labels, "": 0}, marked=marked)

    def check(self, name: str, column: str) -> None:
        """Raise DataError where values that stand in more than a hundredth of the rows are neither 0 nor 1."""
        rows = sum(self.unreadable.values())
        if rows <= LARGEST_SHARE * sum(self.counts.values()):
            return
        raise DataError(self._question(column), where=name, hint=self._hint())

    def _question(self, column: str) -> str:
        values = sorted(self.unreadable.items(), key=lambda item: -item[1])
        shown = ", ".join(f"{shown_word(value)} ({rows:,})" for value, rows in values[:_SHOWN])
        if len(values) > _SHOWN:
            shown += f" and {len(values) - _SHOWN:,} more values"
        neither = "neither 0 nor 1" if len(values) > 1 else "not 0 or 1"
        return f"{shown_column(column)} holds {shown}, {neither}"

    def _hint(self) -> str:
        values = sorted(self.unreadable, key=lambda value: -self.counts[value])
        if len(values) > _SHOWN or not all(map(is_showable, values)):
            return "name the column of labels with --column label=NAME, or map its values: --set data.labels.VALUE=1"
        proposed = _proposed(values, self.labels)
        settings = " ".join("--set " + shlex.quote(f"data.labels.{v}={proposed[v]}") for v in values)
        sure = all(_likely(value) is not None for value in values)
        return f"add {settings}" if sure else f"if 1 is the one that means an adverse drug event, add {settings}"


def is_missing(value: str) -> bool:
    """Whether a value of the column of labels says that the row has none."""
    return not value or value.casefold() in _MISSING


def label_map(
    counts: Mapping[str, int], given: Mapping[str, int], *, trained: Mapping[str, int] | None = None
) -> LabelMap:
    """What the values of a file mean. ``given``: ``data.labels``, matched as written, else whatever the case.

    ``trained``: what labels meant when a bundle was trained. Where numbers are among them they count in a file of no
    other values alone: 1 and 2 that meant 0 and 1 say nothing of a file of 0 and 1.
    """
    if trained and (not any(_number(value) is not None for value in trained) or _explains(trained, counts)):
        given = {**trained, **given}
    folded = {_folded(value): label for value, label in given.items()}
    labels = {value: given.get(value, folded.get(_folded(value))) for value in counts}
    labels |= {value: _plain_number(value) for value, label in labels.items() if label is None}
    rest = [value for value, label in labels.items() if label is None and value]
    words = {value: _word(value) for value in rest}
    present = {label for label in (*labels.values(), *words.values()) if label is not None}
    contradicted = any(_word(value) not in {None, label} for value, label in given.items())
    if rest and present == {0, 1} and not contradicted:
        has_ade = any(_folded(value) in _ADE or _numbered(value) == 1 for value in counts)
        for value, label in words.items():
            if label is not None and (_folded(value) != "none" or has_ade):
                labels[value] = label
    numbers = {value: _number(value) for value in counts if not is_missing(value)}
    if not given and set(numbers.values()) == {-1.0, 1.0}:  # beside 0 it may stand for no label, and is asked about
        labels |= {value: 0 for value, number in numbers.items() if number == -1.0}
    return LabelMap({value: label for value, label in labels.items() if label is not None}, dict(counts))


def _explains(labels: Mapping[str, int], counts: Mapping[str, int]) -> bool:
    known = {*labels, *map(_folded, labels)}
    return all(is_missing(value) or value in known or _folded(value) in known for value in counts)


def _word(value: str) -> int | None:
    """The class of a word or number that has one meaning, wherever its opposite stands in the same file."""
    folded = _folded(value)
    if folded in _POSITIVE:
        return 1
    if folded in _NEGATIVE or folded == "none" or _NO_ADE.fullmatch(folded):
        return 0
    return _numbered(value)


def _numbered(value: str) -> int | None:
    """The number of ``1. ADE`` and of ``LABEL_0``."""
    match = _NUMBERED.fullmatch(_folded(value))
    return int(match[1] or match[2]) if match else None


def _likely(value: str) -> int | None:
    label = _word(value)
    return _LIKELY.get(_folded(value)) if label is None else label


def _proposed(values: list[str], known: Mapping[str, int]) -> dict[str, int]:
    """A label for each value: by its meaning, by a word that denies another (Not-Related), else the rarest is 1."""
    folded = [_folded(value) for value in values]
    proposed: dict[str, int] = {}
    for value, word in zip(values, folded, strict=True):
        likely = _likely(value)
        denied = _NOT.fullmatch(word)
        if likely is not None:
            proposed[value] = likely
        elif denied and denied[1] in folded:
            proposed[value] = 0
        elif any((other := _NOT.fullmatch(text)) and other[1] == word for text in folded):
            proposed[value] = 1
    rest = [value for value in values if value not in proposed]
    classes = {*proposed.values(), *known.values()}
    for value in rest:
        proposed[value] = int(value == rest[-1]) if 1 not in classes else 0
    return proposed


def _plain_number(value: str) -> int | None:
    number = _number(value)
    return int(number) if number in (0.0, 1.0) else None


def _number(value: str) -> float | None:
    return float(value.replace(",", ".")) if _NUMBER.fullmatch(value) else None


def _folded(value: str) -> str:
    return " ".join(value.casefold().split())
