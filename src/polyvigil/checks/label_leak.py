"""Columns that give the label away: a collection that holds only positives, an annotator's note, a pattern in the ids.

Of each column and language: how well does the column's value rank positives above negatives, out of sample? The
statistic is the leave-pair-out AUC (Airola et al. 2011, Computational Statistics & Data Analysis 55(4), 1828-1844).
For every pair of one positive i and one negative j, both are left out, and each is scored by the positive share of its
value among the other posts, shrunk to the base rate b with the weight of one post::

    score(i) = (s_u - 1 + b) / n_u      i is a positive with value u: n_u posts, s_u of them positive
    score(j) = (s_v + b) / n_v          j is a negative with value v
    b = (P - 1) / (P + N - 2)

The AUC is the share of pairs with score(i) > score(j), half a pair for a tie; a pair with the same value is a tie. As
the scores do not know which of the two is the positive, a column that tells nothing has an expected AUC of exactly 0.5,
whatever its cardinality. (Leave-one-out shares, the usual target encoding, put each positive under the negatives of its
own value, and the AUC of a column that tells nothing falls to 0.) Counts per value are enough: O(V log V).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr

from polyvigil.types import Frozen, Labels

GIVES_AWAY = 0.9
HINTS = 0.75
MIN_POSTS = 10  # positives, and negatives, that a language needs to be measured
_MANY = 50  # distinct values from which on a column is also read by its pattern and by its ranges
_RANGES = 20
_SHOWN_VALUES = 5
_SHOWN_POSTS = 5  # a value in fewer posts is not shown: it could name a person
_SHOWN_CHARACTERS = 40
_DIGITS = re.compile(r"\d+")

_PIECE = 8  # a word or cell of that many characters that stands in the post counts as a piece of the post
_WORD = re.compile(r"\w+")
_SHUFFLES = 999
EMPTY = "(empty)"
HIDDEN = "(not shown)"

ReadAs = Literal["value", "pattern", "range"]
Verdict = Literal["gives-away", "hints", "quiet"]


class ValueShare(Frozen):
    """How many posts have one value of a column, and how many of them are positive (``share`` in [0, 1])."""

    value: str
    posts: int
    positives: int
    share: float


class LabelLeak(Frozen):
    """How well a column tells the label in a language: ``auc`` in [0, 1], 0.5 = not at all.

    ``file`` is the one it was measured in, empty for all together.
    ``verdict``: "gives-away" from 0.9, "hints" from 0.75, if also beyond chance (permutation test), else "quiet".
    ``read_as``: its values as they are, with runs of digits as ``#`` (pattern), or numbers cut into 20 ranges (range).
    ``values`` counts the distinct ones; ``telling`` holds up to five that say most (only of columns that hint).
    """

    column: str
    file: str
    language: str
    verdict: Verdict
    read_as: ReadAs
    auc: float
    posts: int
    positives: int
    values: int
    telling: tuple[ValueShare, ...] = ()


def measure_columns(
    columns: Mapping[str, Sequence[str | None]],
    *,
    languages: Sequence[str],
    labels: Sequence[int] | Labels,
    texts: Sequence[str],
    file: str = "",
) -> tuple[LabelLeak, ...]:
    """Every column in every language with at least 10 positives and 10 negatives, the highest AUC first.

    All sequences run over the same posts; a cell is None where the post's file has no such column. ``texts`` are only
    used to hide values that repeat the post. A column with one value in a language is left out.
    """
    label = np.asarray(labels, dtype=np.int64)
    names, number_of = np.unique(list(languages), return_inverse=True)
    results = []
    for number, language in enumerate(names.tolist()):
        there = np.flatnonzero(number_of == number).tolist()
        for column, cells in columns.items():
            known_cells = [(row, cell) for row in there if (cell := cells[row]) is not None]
            rows = [row for row, _ in known_cells]
            values = [str(cell).strip() for _, cell in known_cells]
            here = label[rows]
            positives = int(here.sum())
            if min(positives, len(rows) - positives) < MIN_POSTS:
                continue
            best = _best_reading(values, here)
            if best is None:
                continue
            known = best.auc >= HINTS and beyond_chance(best.codes, here, best.auc)
            repeats = (
                {code for code, row, value in zip(best.codes, rows, values, strict=True) if _repeats(value, texts[row])}
                if known
                else set()
            )
            results.append(
                LabelLeak(
                    column=column,
                    file=file,
                    language=language,
                    verdict=("gives-away" if best.auc >= GIVES_AWAY else "hints") if known else "quiet",
                    read_as=best.read_as,
                    auc=best.auc,
                    posts=len(rows),
                    positives=positives,
                    values=len(best.names),
                    telling=_telling(best.codes, best.names, here, repeats) if known else (),
                )
            )
    return tuple(sorted(results, key=lambda item: (-item.auc, item.language, item.column)))


@dataclass(frozen=True, slots=True)
class _Best:
    auc: float
    read_as: ReadAs
    codes: NDArray[np.int64]
    names: Sequence[str]


def _best_reading(values: Sequence[str], labels: NDArray[np.int64]) -> _Best | None:
    """The way of reading a column that tells most; None for a column of one value."""
    best = None
    for read_as, read in _readings(values):
        codes, names = _codes(read)
        if len(names) > 1:
            auc = leave_pair_out_auc(codes, labels)
            if best is None or auc > best.auc:
                best = _Best(auc, read_as, codes, names)
    return best


def leave_pair_out_auc(codes: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The statistic of this module: codes (n,) are values as whole numbers from 0, labels (n,) 0 or 1; needs one of
    each label, and three posts."""
    posts = np.bincount(codes)
    positives = np.bincount(codes, weights=labels, minlength=len(posts))
    negatives = posts - positives
    base = (positives.sum() - 1) / (len(codes) - 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        score_positive = (positives - 1 + base) / posts
        score_negative = (positives + base) / posts
    up, down = np.flatnonzero(positives), np.flatnonzero(negatives)
    order = down[np.argsort(score_negative[down], kind="stable")]
    total = np.concatenate([[0.0], np.cumsum(negatives[order])])
    below = total[np.searchsorted(score_negative[order], score_positive[up], side="left")]
    not_above = total[np.searchsorted(score_negative[order], score_positive[up], side="right")]
    won = positives[up] @ (below + not_above) / 2
    same = positives @ negatives / 2  # never won above: within a value the positive scores lower
    return float((won + same) / (positives.sum() * negatives.sum()))


def beyond_chance(codes: NDArray[np.int64], labels: NDArray[np.int64], auc: float) -> bool:
    """Whether none of 999 shuffles of the labels reaches ``auc`` (permutation test, p <= 0.001, always the same
    shuffles). With 100 or more of each label no shuffle comes near 0.75, and none is made."""
    if min(labels.sum(), len(labels) - labels.sum()) >= 100:
        return True
    generator = np.random.default_rng(0)
    return all(leave_pair_out_auc(codes, generator.permutation(labels)) < auc for _ in range(_SHUFFLES))


def _readings(values: Sequence[str]) -> Iterator[tuple[ReadAs, list[str]]]:
    """The ways a column is read that differ from one another."""
    yield "value", list(values)
    distinct = set(values)
    if len(distinct) < _MANY:
        return
    yield "pattern", [_DIGITS.sub("#", value) for value in values]
    try:
        numbers = np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return
    known = np.isfinite(numbers)
    if known.sum() < _MANY:
        return
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, _RANGES + 1)))
    indices = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)] or [f"{edges[0]:g}"]
    yield "range", [names[index] if ok else EMPTY for index, ok in zip(indices, known, strict=True)]


def _codes(values: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    names = sorted(set(values))
    number = {name: index for index, name in enumerate(names)}
    return np.array([number[value] for value in values], dtype=np.int64), names


def _telling(
    codes: NDArray[np.int64], names: Sequence[str], labels: NDArray[np.int64], hidden: Collection[int]
) -> tuple[ValueShare, ...]:
    """The values that add most to the mutual information of value and label, among those in five posts or more."""
    posts = np.bincount(codes)
    positives = np.bincount(codes, weights=labels, minlength=len(posts))
    share, base = positives / posts, labels.mean()
    information = posts * (rel_entr(share, base) + rel_entr(1 - share, 1 - base))
    best = [code for code in np.argsort(-information, kind="stable").tolist() if posts[code] >= _SHOWN_POSTS]
    return tuple(
        ValueShare(
            value=_shown(names[code]) if code not in hidden else HIDDEN,
            posts=int(posts[code]),
            positives=int(positives[code]),
            share=float(share[code]),
        )
        for code in best[:_SHOWN_VALUES]
    )


def _shown(name: str) -> str:
    if not name:
        return EMPTY
    return name if len(name) <= _SHOWN_CHARACTERS and name.isprintable() else HIDDEN


def _repeats(value: str, text: str) -> bool:
    """Whether a cell holds the post's text, or a longer piece or word of it: such a value is never shown."""
    value, text = value.casefold(), text.strip().casefold()
    if not value or not text:
        return False
    pieces = [value, *_WORD.findall(value)]
    return (
        value == text
        or (len(text) >= _PIECE and text in value)
        or any(len(piece) >= _PIECE and piece in text for piece in pieces)
    )
