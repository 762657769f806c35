"""Learning what a judge is asked about: each language's band, under a budget of posts, and the judge's own bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.crossfit import FOLDS, assign_folds
from polyvigil.decide.judge import Band, Judge
from polyvigil.decide.objectives import Value, value_of
from polyvigil.decide.policy import DecisionPolicy, flagged
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import bootstrap_thresholds, logit, mean_logit
from polyvigil.decide.tune import FEW_POSITIVES
from polyvigil.types import Labels, Probabilities

_SPLITS = 9  # shares of the budget below the threshold that are tried: 0, 1/8, ... 1
_ROUNDING = 1e-9


def candidates(posts: DevScores, policy: DecisionPolicy, *, at_most: float) -> NDArray[np.bool_]:
    """The posts that a band may hold, (n_posts,): in each language the nearest to the threshold, on either side as
    many as the budget has. Their second opinions are all that ``fit_judge`` needs."""
    chosen = np.zeros(len(posts.labels), dtype=bool)
    offsets = _offsets(posts, policy)
    for language in np.unique(posts.languages):
        indices = np.flatnonzero((posts.languages == language) & (posts.probabilities > 0))
        budget = _budget(int((posts.languages == language).sum()), at_most)
        for side in (indices[offsets[indices] < 0], indices[offsets[indices] >= 0]):
            chosen[side[np.argsort(np.abs(offsets[side]), kind="stable")][:budget]] = True
    return chosen


def fit_judge(
    posts: DevScores,
    second: Probabilities,
    policy: DecisionPolicy,
    *,
    at_most: float,
    members: int,
) -> Judge:
    """The judge whose bands are best for the policy's objective, each with at most ``at_most`` of its language's posts.

    ``posts`` hold the first stage's P; ``second`` (n_posts,) is the second stage's, NaN where it is not known: such a
    post stays with the first stage. A language with fewer than 20 positives has the band found on the posts of all,
    narrowed to its own budget.
    """
    offsets = _offsets(posts, policy)
    value = value_of(policy.spec.objective)
    pooled = _band(offsets, posts.probabilities, posts.labels, second, value, at_most=at_most)
    bands: dict[str, Band | None] = {}
    for language in np.unique(posts.languages).tolist():
        mask = posts.languages == language
        part = offsets[mask], posts.probabilities[mask], posts.labels[mask], second[mask]
        if int((part[2] == 1).sum()) >= FEW_POSITIVES:
            bands[language] = _band(*part, value, at_most=at_most)
        else:
            bands[language] = _narrowed(pooled, part[0], part[1], at_most=at_most)
    return Judge(members=members, at_most=at_most, bands=bands, other=pooled)


def cross_fitted(
    posts: DevScores,
    second: Probabilities,
    policy: DecisionPolicy,
    *,
    at_most: float,
    groups: Sequence[str] = (),
    folds: int = FOLDS,
    seed: int = 0,
) -> Probabilities:
    """P of both stages, (n_posts,): each post by bands found on the other folds. The thresholds are the policy's."""
    fold_of = assign_folds(posts, groups=groups, folds=folds, random=np.random.default_rng(seed))
    thresholds = policy.post_thresholds(posts.languages.tolist())
    result = posts.probabilities.copy()
    for fold in range(folds):
        mask = fold_of == fold
        if not mask.any() or mask.all():
            continue
        judge = fit_judge(posts.where(~mask), second[~mask], policy, at_most=at_most, members=1)
        languages = posts.languages[mask].tolist()
        result[mask] = judge.decide(posts.probabilities[mask], second[mask], thresholds[mask], languages)
    return result


def _offsets(posts: DevScores, policy: DecisionPolicy) -> NDArray[np.float64]:
    offsets: NDArray[np.float64] = logit(posts.probabilities) - logit(policy.post_thresholds(posts.languages.tolist()))
    return offsets


def _budget(posts: int, at_most: float) -> int:
    return int(at_most * posts + _ROUNDING)


def _band(
    offsets: NDArray[np.float64],
    first: Probabilities,
    labels: Labels,
    second: Probabilities,
    value: Value,
    *,
    at_most: float,
) -> Band | None:
    """The best of 9 ways to share the budget between the two sides; None where none is better than no second stage."""
    budget = _budget(len(labels), at_most)
    alone = flagged(offsets, 0.0) & (first > 0)
    best, best_value = None, _worth(alone, labels, value)
    tried = set()
    for share in np.linspace(0, 1, _SPLITS):
        fewer = round(budget * share)
        below = max(_reach(-offsets[(offsets < 0) & (first > 0)], fewer), 0.0)
        above = max(_reach(offsets[(offsets >= 0) & (first > 0)], budget - fewer), 0.0)
        inside = (first > 0) & (-below <= offsets) & (offsets <= above)
        known = inside & ~np.isnan(second)
        if int(inside.sum()) > budget or not (labels[known] == 1).any() or (below, above) in tried:
            continue
        tried.add((below, above))
        bar = _bar(second[known], labels[known], _beside(alone[~known], labels[~known], value))
        both = alone.copy()
        both[known] = flagged(second[known], bar)
        if (reached := _worth(both, labels, value)) > best_value + _ROUNDING:
            best_value = reached
            best = Band(below=below, above=above, bar=bar, posts=len(labels), asked=int(inside.sum()))
    return best


def _reach(distances: NDArray[np.float64], number: int) -> float:
    """The distance of the ``number``-th nearest post, or of one before it where it ties with the next; -1 for none."""
    nearest = np.sort(distances)
    if number >= len(nearest):
        return float(nearest[-1]) if len(nearest) else -1.0
    closer = nearest[:number][nearest[:number] < nearest[number]]
    return float(closer[-1]) if len(closer) else -1.0


def _bar(second: Probabilities, labels: Labels, value: Value) -> float:
    """The second stage's threshold: the mean logit of the best ones of bootstrap resamples (rule bagged-argmax)."""
    thresholds = bootstrap_thresholds(second, labels, value=value)
    # never 0, which is the P of a post with nothing to read
    return float(np.clip(mean_logit(thresholds), 1e-6, 1.0)) if len(thresholds) else 0.5


def _beside(alone: NDArray[np.bool_], labels: Labels, value: Value) -> Value:
    """The value of counts inside of the band, beside what is decided outside of it."""
    tp, fp, fn = _counts(alone, labels)
    return lambda inside_tp, inside_fp, inside_fn: value(inside_tp + tp, inside_fp + fp, inside_fn + fn)


def _worth(flags: NDArray[np.bool_], labels: Labels, value: Value) -> float:
    return float(value(*(np.array([number]) for number in _counts(flags, labels)))[0])


def _counts(flags: NDArray[np.bool_], labels: Labels) -> tuple[float, float, float]:
    gold = labels == 1
    return float((flags & gold).sum()), float((flags & ~gold).sum()), float((~flags & gold).sum())


def _narrowed(band: Band | None, offsets: NDArray[np.float64], first: Probabilities, *, at_most: float) -> Band | None:
    """The band, both sides shortened alike until it holds no more of these posts than the budget has."""
    if band is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(offsets < 0, -offsets / band.below, offsets / band.above)  # of the way to the band's end
    shares = np.nan_to_num(shares[first > 0], nan=0.0, posinf=np.inf)
    widest = min(1.0, _reach(shares, _budget(len(offsets), at_most)))
    if widest < 0:
        return None
    below, above = band.below * widest, band.above * widest
    inside = (first > 0) & (-below <= offsets) & (offsets <= above)
    return Band(below=below, above=above, bar=band.bar, posts=len(offsets), asked=int(inside.sum()))
