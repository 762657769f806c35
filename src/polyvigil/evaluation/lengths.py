"""How long the posts are, in tokens, and how many of them a member could not read to the end, by language."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyvigil.detect.base import Lengths
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.types import Frozen


class LengthSlice(Frozen):
    """Of one language's posts; tokens are counted before any cut, special ones included."""

    name: str
    posts: int
    median: float
    high: float
    """95% of the posts are no longer."""
    longest: int
    truncated: int
    """Posts of which the member was given less than the whole."""
    share: float
    interval: Interval
    """95%, of ``share``."""


def length_slices(lengths: Lengths, languages: Sequence[str]) -> tuple[LengthSlice, ...]:
    """One row for each language of the (n_posts,) posts, by name."""
    names = np.asarray(languages)
    return tuple(_slice(name, lengths, names == name) for name in sorted(set(languages)))


def _slice(name: str, lengths: Lengths, mask: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> LengthSlice:
    tokens, truncated = lengths.tokens[mask], int(np.count_nonzero(lengths.truncated[mask]))
    return LengthSlice(
        name=name,
        posts=len(tokens),
        median=float(np.median(tokens)),
        high=float(np.quantile(tokens, 0.95)),
        longest=int(tokens.max()),
        truncated=truncated,
        share=truncated / len(tokens),
        interval=share_interval(truncated, len(tokens)),
    )
