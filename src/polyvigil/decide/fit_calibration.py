"""Fitting calibration maps. Fast enough to be called thousands of times: cross-fitting and the bootstrap do.

The parametric maps are logistic regressions on one or two logarithms of p, with normal priors.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import CalibrationKind
from polyvigil.decide.calibration import (
    Beta,
    Calibration,
    HierarchicalPlatt,
    Identity,
    Isotonic,
    Platt,
    PlattParameters,
    Temperature,
    logs,
)
from polyvigil.decide.logistic import Problem, solve
from polyvigil.types import Labels, Probabilities

MIN_SLOPE = 0.01
"""The least slope of logit p, where the posts would have it lower: the map still rises, if hardly."""
SLOPE_SD = 0.3
"""Standard deviation of a language's slope about the pooled one, as a share of it."""
OFFSET_SD = 0.7
PRIOR_VARIANCE = 100

_Floats = NDArray[np.float64]


def fit(kind: CalibrationKind, probabilities: Probabilities, labels: Labels, languages: Sequence[str]) -> Calibration:
    """The calibration of one kind fitted to posts with labels, all (n_posts,) in the same order. Deterministic.

    All kinds but ``hierarchical-platt`` fit one map to the posts of all languages. Slopes and Beta's a, b are N(1, 100)
    before the posts are seen, offsets N(0, 100); a language's slope and offset are normal about the pooled ones. So
    one class, one post or separated classes give a finite map. ``isotonic`` has no prior: of one class it is the
    constant 0 or 1.

    Posts of p exactly 0 are left out: the map does not touch them. Without any other post the map is the identity.
    Raises ValueError when the lengths differ, p is outside [0, 1] or a label is neither 0 nor 1.
    """
    if not len(probabilities) == len(labels) == len(languages):
        raise ValueError(f"{len(probabilities)} probabilities, {len(labels)} labels, {len(languages)} languages")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("a probability is outside [0, 1]")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("a label is neither 0 nor 1")
    read = probabilities > 0
    if not read.any():
        return Calibration(Identity())
    if not read.all():
        probabilities, labels, languages = probabilities[read], labels[read], list(compress(languages, read))
    gold = labels.astype(np.float64)
    match kind:
        case "identity":
            return Calibration(Identity())
        case "temperature":
            return Calibration(_temperature(probabilities, gold))
        case "platt":
            platt = _fit_platt(_logit_and_one(probabilities), gold)
            return Calibration(Platt(slope=platt.slope, offset=platt.offset))
        case "hierarchical-platt":
            return Calibration(_hierarchical_platt(probabilities, gold, languages))
        case "beta":
            return Calibration(_beta(probabilities, gold))
        case "isotonic":
            return Calibration(_isotonic(probabilities, gold))


def _temperature(probabilities: Probabilities, labels: _Floats) -> Temperature:
    slope = solve(_one_group(_logit_and_one(probabilities)[:1], labels, centre=[1], lowest=[MIN_SLOPE]))
    return Temperature(slope=float(slope[0, 0]))


def _hierarchical_platt(probabilities: Probabilities, labels: _Floats, languages: Sequence[str]) -> HierarchicalPlatt:
    features = _logit_and_one(probabilities)
    pooled = _fit_platt(features, labels)
    names = sorted(set(languages))
    index_of = {name: index for index, name in enumerate(names)}
    which = np.fromiter(map(index_of.__getitem__, languages), np.intp, len(languages))
    order = np.argsort(which, kind="stable")
    centre = np.array([[pooled.slope], [pooled.offset]])
    prior_sd = np.array([[SLOPE_SD * pooled.slope], [OFFSET_SD]])
    fitted = solve(
        Problem(
            features=features[:, order],
            labels=labels[order],
            counts=np.bincount(which),
            centre=centre.repeat(len(names), axis=1),
            precision=prior_sd**-2,
            lowest=np.array([MIN_SLOPE, -np.inf]),
        )
    )
    lines = {
        name: PlattParameters(slope=float(a), offset=float(b)) for name, (a, b) in zip(names, fitted.T, strict=True)
    }
    return HierarchicalPlatt(pooled=pooled, languages=lines)


def _beta(probabilities: Probabilities, labels: _Floats) -> Beta:
    features = np.stack([*logs(probabilities), np.ones(len(labels))])
    a, b, c = solve(_one_group(features, labels, centre=[1, 1, 0], lowest=[0, 0, -np.inf]))[:, 0]
    return Beta(a=float(a), b=float(b), c=float(c))


def _isotonic(probabilities: Probabilities, labels: _Floats) -> Isotonic:
    """Pool adjacent violators, every falling run of blocks at once, until none falls. O(n) a pass; passes are few."""
    scores, which, posts = np.unique(probabilities, return_inverse=True, return_counts=True)
    positives = np.bincount(which, weights=labels)
    starts = np.arange(len(scores))
    while not (rises := np.diff(positives / posts, prepend=-1) > 0).all():  # -1: the first block always rises
        first = np.flatnonzero(rises)
        starts, positives, posts = starts[first], np.add.reduceat(positives, first), np.add.reduceat(posts, first)
    ends = np.append(starts[1:], len(scores)) - 1
    knots = np.stack([starts, ends], axis=1).ravel()
    kept = np.append(True, np.diff(knots) > 0)  # a block of one score is one knot, not two
    return Isotonic(
        scores=tuple(scores[knots[kept]].tolist()), shares=tuple((positives / posts).repeat(2)[kept].tolist())
    )


def _logit_and_one(probabilities: Probabilities) -> _Floats:
    low, high = logs(probabilities)
    return np.stack([low + high, np.ones(len(probabilities))])


def _fit_platt(features: _Floats, labels: _Floats) -> PlattParameters:
    slope, offset = solve(_one_group(features, labels, centre=[1, 0], lowest=[MIN_SLOPE, -np.inf]))[:, 0]
    return PlattParameters(slope=float(slope), offset=float(offset))


def _one_group(features: _Floats, labels: _Floats, *, centre: Sequence[float], lowest: Sequence[float]) -> Problem:
    return Problem(
        features=features,
        labels=labels,
        counts=np.array([len(labels)]),
        centre=np.array(centre, dtype=np.float64)[:, None],
        precision=np.full((len(centre), 1), 1 / PRIOR_VARIANCE),
        lowest=np.array(lowest, dtype=np.float64),
    )
