"""Are the probabilities what they say? Brier score, calibration error and reliability bins, pooled and per language.

Bins hold equal numbers of posts: one for each 20 posts, at least 1 and at most 10. Posts of equal probability share a
bin, so bins can be uneven, and fewer. Intervals come from 1,000 resamples of posts within each language; the classes
are not held apart, since how many positives there are is the very thing that a probability foretells.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.evaluation.intervals import LEVEL, Interval, share_interval
from polyvigil.progress import report_share
from polyvigil.text.language import is_cadec
from polyvigil.types import Frozen, Labels, Probabilities

MOST_BINS = 10
POSTS_PER_BIN = 20
RESAMPLES = 1000
_HELD = 2**21
_Floats = NDArray[np.float64]
_TAIL = (1 - LEVEL) / 2


class ReliabilityBin(Frozen):
    """Posts of neighbouring probabilities, and how many of them are positive. Shares are in [0, 1]."""

    posts: int
    mean_probability: float
    observed: float
    observed_interval: Interval


class ReliabilitySlice(Frozen):
    """Metrics on some of the posts, all in [0, 1]; 0 is best. Intervals are 95%; [0, 1] where one class is missing."""

    name: str
    posts: int
    positives: int
    brier: float
    """Mean of (P - label)^2."""
    brier_interval: Interval
    """Quantiles of the resamples."""
    ece: float
    """Expected calibration error: mean over the bins, weighted by posts, of |mean P - observed share|.

    Biased upward, by much where posts are few: compare ``ece_by_chance``.
    """
    ece_interval: Interval
    """For the error without the bias. Its low end is 2 x ece - its high end, the resamples' upper quantile, and 0 where
    a right P would show an error this high in more than 2.5% of draws. It errs on the wide side."""
    ece_by_chance: float
    """The mean ECE that these P would show were each label sampled with its P (Bröcker and Smith 2007)."""
    debiased_rms: float
    """Root of the mean squared (mean P - observed share), each bin's variance taken off, 0 when it exceeds the whole
    (Kumar, Liang and Ma 2019)."""
    bins: tuple[ReliabilityBin, ...]
    """By rising probability."""


class Reliability(Frozen):
    """How far the probabilities of a set of posts can be taken at their word."""

    pooled: ReliabilitySlice
    """Over all posts but the CADEC groups, as the pooled metrics of an Evaluation; over all if there are no others."""
    languages: tuple[ReliabilitySlice, ...]
    """By name."""


def reliability(probabilities: Probabilities, labels: Labels, languages: Sequence[str]) -> Reliability:
    """Judge P against labels, each (n_posts,) in one order; which order is the same. Deterministic.

    A language's metrics are the same whatever other languages there are. Raises ValueError when there are no posts or
    the lengths differ.
    """
    if not len(probabilities) == len(labels) == len(languages) or not len(labels):
        raise ValueError(f"{len(probabilities)} probabilities, {len(labels)} labels, {len(languages)} languages")
    names = np.asarray(languages)
    present = sorted(set(names.tolist()))
    official = [name for name in present if not is_cadec(name)] or present
    indices = {name: _sorted_indices(probabilities, labels, names == name) for name in present}
    return Reliability(
        pooled=_slice("pooled", probabilities, labels, {name: indices[name] for name in official}),
        languages=tuple(_slice(name, probabilities, labels, {name: indices[name]}) for name in present),
    )


def _sorted_indices(probabilities: Probabilities, labels: Labels, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where the posts of a mask are, sorted by P, so that their order in the file moves no resample."""
    indices = np.flatnonzero(mask)
    return indices[np.lexsort((labels[indices], probabilities[indices]))]


def _slice(
    name: str, probabilities: Probabilities, labels: Labels, strata: dict[str, NDArray[np.int64]]
) -> ReliabilitySlice:
    """Metrics on the posts at some indices, which are resampled within each stratum."""
    indices = np.concatenate(list(strata.values()))
    p, gold = probabilities[indices], (labels[indices] == 1).astype(np.float64)
    inside = _membership(p)
    residuals, losses = gold - p, (gold - p) ** 2
    posts, sums = inside.sum(axis=0), residuals @ inside
    observed, mean = gold @ inside / posts, p @ inside / posts
    positives = int(gold.sum())
    ece = float(np.abs(sums).sum() / len(p))

    sampled, chance = np.zeros((RESAMPLES, inside.shape[1] + 1)), np.zeros((RESAMPLES, inside.shape[1]))
    start = 0
    for stratum, members in strata.items():
        block = slice(start, start + len(members))
        start += len(members)
        random = np.random.default_rng([0, zlib.crc32(stratum.encode())])
        values = np.column_stack([inside[block] * residuals[block, None], losses[block]])
        for rows in _chunks(len(members)):
            report_share(f"calibration of {name}", block.start + rows.start / RESAMPLES * len(members), len(p))
            sampled[rows] += _resample_counts(rows.stop - rows.start, len(members), random) @ values
            labelled = random.random((rows.stop - rows.start, len(members))) < p[block]
            chance[rows] += (labelled - p[block]) @ inside[block]
    errors = np.abs(sampled[:, :-1]).sum(axis=1) / len(p)
    by_chance = np.abs(chance).sum(axis=1) / len(p)
    one_class = positives in {0, len(p)}
    return ReliabilitySlice(
        name=name,
        posts=len(p),
        positives=positives,
        brier=float(losses.mean()),
        brier_interval=_nothing_known() if one_class else _quantiles(sampled[:, -1] / len(p), float(losses.mean())),
        ece=ece,
        ece_interval=_nothing_known() if one_class else _error_interval(ece, errors, by_chance),
        ece_by_chance=float(by_chance.mean()),
        debiased_rms=_debiased_rms(posts, mean, observed),
        bins=tuple(
            ReliabilityBin(
                posts=int(count),
                mean_probability=float(expected),
                observed=float(share),
                observed_interval=share_interval(round(share * count), int(count)),
            )
            for count, expected, share in zip(posts, mean, observed, strict=True)
        ),
    )


def _membership(p: Probabilities) -> _Floats:
    """Which bin each post is in: (n, bins), one 1 a row, no empty bin."""
    bin_count = min(MOST_BINS, max(1, len(p) // POSTS_PER_BIN))
    below = np.searchsorted(np.sort(p), p)
    _, bin_of = np.unique(below * bin_count // len(p), return_inverse=True)
    return np.eye(int(bin_of.max()) + 1)[bin_of]


def _chunks(posts: int) -> Iterator[slice]:
    """The resamples by as many as memory allows."""
    stride = max(1, _HELD // posts)
    return (slice(first, min(first + stride, RESAMPLES)) for first in range(0, RESAMPLES, stride))


def _resample_counts(rows: int, posts: int, random: np.random.Generator) -> _Floats:
    """How often each post is in each resample: (rows, posts)."""
    chosen = random.integers(posts, size=(rows, posts)) + posts * np.arange(rows)[:, None]
    return np.bincount(chosen.ravel(), minlength=rows * posts).reshape(rows, posts).astype(np.float64)


def _debiased_rms(posts: _Floats, mean: _Floats, observed: _Floats) -> float:
    """A bin of one post has no variance to take off; its square is taken off instead."""
    squares = (mean - observed) ** 2
    variances = np.divide(observed * (1 - observed), posts - 1, out=squares.copy(), where=posts > 1)
    return float(np.sqrt(max(0.0, np.average(squares - variances, weights=posts))))


def _quantiles(sampled: _Floats, value: float) -> Interval:
    low, high = np.quantile(sampled, [_TAIL, 1 - _TAIL])
    return Interval(low=float(min(low, value)), high=float(max(high, value)))


def _error_interval(ece: float, errors: _Floats, by_chance: _Floats) -> Interval:
    high = max(float(np.quantile(errors, 1 - _TAIL)), ece)
    right = ece <= np.quantile(by_chance, 1 - _TAIL)
    return Interval(low=0.0 if right else max(0.0, 2 * ece - high), high=min(high, 1.0))


def _nothing_known() -> Interval:
    return Interval(low=0.0, high=1.0)
