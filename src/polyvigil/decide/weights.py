"""How much each member counts: by regime, or fitted to dev posts by greedy selection.

Greedy ensemble selection with replacement (Caruana, Niculescu-Mizil, Crew and Ksikes 2004): again and again the member
is added whose addition makes the mean rank best, members that are in already included; the best of all these ensembles
is taken, and a member weighs as often as it is in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.crossfit import FOLDS, assign_folds
from polyvigil.decide.rules import DevScores
from polyvigil.metrics import average_precision
from polyvigil.text.language import counted_when_pooled
from polyvigil.types import Labels

ROUNDS = 30


def regime_weights(regimes: Sequence[float], within: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """A weight for each member: each regime's own is dealt out by the weights ``within`` it, so their sum is its own.

    The combination is then the weighted mean of the regimes' means. Raises ValueError for unlike lengths.
    """
    return tuple(
        regime * weight / sum(weights) for regime, weights in zip(regimes, within, strict=True) for weight in weights
    )


def greedy_path(
    by_member: NDArray[np.float64], labels: Labels, *, rounds: int = ROUNDS, start: Sequence[int] = ()
) -> tuple[int, ...]:
    """The indices of the members in the order of their addition, up to the ensemble of the best average precision.

    ``by_member`` (n_members, n_posts), NaN where a member does not count: the mean is over those that do. ``start``:
    members that are in from the first. Of equal ones the first member, and the smallest ensemble, is taken.
    """
    known = (~np.isnan(by_member)).astype(np.int64)
    scores = np.where(known, by_member, 0.0)
    total, number = scores[list(start)].sum(axis=0), known[list(start)].sum(axis=0)
    path = list(start)
    precisions = [average_precision(labels, _ranking(total, number))] if path else []
    for _ in range(rounds):
        tried = [
            average_precision(labels, _ranking(total + row, number + one))
            for row, one in zip(scores, known, strict=True)
        ]
        best = int(np.argmax(tried))
        total, number = total + scores[best], number + known[best]
        path.append(best)
        precisions.append(tried[best])
    return tuple(path[: max(len(start), 1) + int(np.argmax(precisions))])


def _ranking(total: NDArray[np.float64], number: NDArray[np.int64]) -> NDArray[np.float64]:
    """What ranks as the mean does, (n_posts,): the sum, where all posts have as many scores."""
    return total if number.min(initial=1) == number.max(initial=0) else total / np.maximum(number, 1)


def fitted_weights(
    by_member: NDArray[np.float64], posts: DevScores, *, rounds: int = ROUNDS, keep_all: bool = False
) -> NDArray[np.float64]:
    """Weights of sum 1, (n_members,), 0 for a member never chosen; the CADEC groups are left out as in pooled metrics.

    ``posts`` give labels and languages. Without positives all weigh the same. ``keep_all``: selection begins with every
    member once, so that each has a weight above 0.
    """
    chosen = counted_when_pooled(posts.languages.tolist())
    labels = posts.labels[chosen]
    if not (labels == 1).any():
        return np.full(len(by_member), 1 / len(by_member))
    start = range(len(by_member)) if keep_all else ()
    path = greedy_path(by_member[:, chosen], labels, rounds=rounds, start=start)
    return np.bincount(path, minlength=len(by_member)) / len(path)


def cross_fitted_weights(
    by_member: NDArray[np.float64],
    posts: DevScores,
    *,
    groups: Sequence[str] = (),
    folds: int = FOLDS,
    rounds: int = ROUNDS,
    keep_all: bool = False,
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Of each fold which posts it holds, (n_posts,), and the weights fitted on the others, (n_members,)."""
    fold_of = assign_folds(posts, groups=groups, folds=folds, random=np.random.default_rng(0))
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        rest = posts.where(~held_out)
        yield held_out, fitted_weights(by_member[:, ~held_out], rest, rounds=rounds, keep_all=keep_all)


def mean_weights(
    by_member: NDArray[np.float64], posts: DevScores, *, groups: Sequence[str] = ()
) -> NDArray[np.float64]:
    """The mean of the weights that cross-fitting finds, (n_members,), sum 1, each above 0.

    It varies less from one set of dev posts to the next than the weights of one fit to all of them.
    """
    fits = [weights for _, weights in cross_fitted_weights(by_member, posts, groups=groups, keep_all=True)]
    mean: NDArray[np.float64] = np.mean(fits, axis=0)
    return mean
