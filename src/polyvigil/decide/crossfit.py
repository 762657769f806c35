"""Decisions on dev posts by thresholds that never saw them: what same-set metrics promise, without the optimism.

The dev posts are dealt into folds; the thresholds of each fold are tuned on the others. The members were chosen on the
same dev posts (their best epoch), so a little of the optimism stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import tune
from polyvigil.progress import report_share

FOLDS, REPEATS = 5, 4


def cross_fitted_flags(
    posts: DevScores,
    *,
    spec: DecideSpec,
    groups: Sequence[str] = (),
    folds: int = FOLDS,
    repeats: int = REPEATS,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Whether each post is flagged by thresholds tuned without it: (repeats, n_posts), one deal of folds a row.

    ``groups`` (n_posts,), where given: posts of one group (not empty) are never on both sides. Where the other folds
    hold no positive, nothing is flagged.
    """
    random = np.random.default_rng(seed)
    flags = np.zeros((repeats, len(posts.labels)), dtype=bool)
    for number, row in enumerate(flags):
        fold_of = assign_folds(posts, groups=groups, folds=folds, random=random)
        for fold in range(folds):
            report_share("cross-fitting thresholds", number * folds + fold, repeats * folds)
            held_out = fold_of == fold
            rest = posts.where(~held_out)
            if not held_out.any() or not rest.usable:
                continue
            policy = tune(rest.probabilities, rest.labels, rest.languages.tolist(), spec=spec, dev_fingerprint="")
            row[held_out] = policy.flags(posts.probabilities[held_out], posts.languages[held_out].tolist())
    return flags


def assign_folds(
    posts: DevScores, *, groups: Sequence[str] = (), folds: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """The fold of each post, (n_posts,): each language's positives and negatives spread as evenly as can be.

    A group is dealt as one, with the language and label of its first positive, or of its first post.
    """
    # a post without a group is a group of its own
    names = np.array([group or f"\0{index}" for index, group in enumerate(groups or [""] * len(posts.labels))])
    _, unit_of = np.unique(names, return_inverse=True)
    order = np.lexsort((np.arange(len(names)), -posts.labels))
    units, first = np.unique(unit_of[order], return_index=True)
    first = order[first]
    strata = np.array([f"{posts.languages[index]}\0{posts.labels[index]}" for index in first])
    fold_of_unit = np.empty(len(units), dtype=np.int64)
    assigned = 0
    for stratum in np.unique(strata):
        members = random.permutation(np.flatnonzero(strata == stratum))
        fold_of_unit[members] = (assigned + np.arange(len(members))) % folds
        assigned += len(members)  # the next stratum goes on where this one ended, so no fold gets all the remainders
    return fold_of_unit[unit_of]
