"""Metrics of one or several bundles together, from the dev scores that they keep. No model is loaded.

A weighted ensemble over bundles is the weighted mean of its members' scores, so it needs no bundle of its own;
``polyvigil ensemble`` makes one of the same metrics where one is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.dev import Record, StoredDev
from polyvigil.config.decide import DecideSpec
from polyvigil.decide.combine import Combination
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.tune import tune
from polyvigil.errors import BundleError
from polyvigil.evaluation.evaluate import Evaluation, Slice, evaluate, stored_gold
from polyvigil_gladiators import plan
from polyvigil_gladiators.result import Measured


@dataclass(frozen=True, slots=True)
class Share:
    """A bundle in an ensemble: ``weights`` (n_members,), 0 for a member that is left out."""

    record: Record
    weights: tuple[float, ...]


def whole(record: Record, weight: float = 1.0) -> Share:
    """All members of a bundle, each of this weight."""
    return Share(record, (weight,) * len(record.manifest.members))


def of_seeds(record: Record, seeds: Sequence[int]) -> Share:
    """These members of the bundle of ``plan.SEEDS``."""
    return Share(record, tuple(float(seed in seeds) for seed in plan.SEED_NUMBERS))


def together(shares: Sequence[Share], *, decide: DecideSpec | None = None) -> Evaluation:
    """Same-set and cross-fitted metrics of the weighted mean on the dev posts, thresholds tuned on it by ``decide``,
    else by the first bundle's rule. Raises BundleError where the bundles hold scores of different posts."""
    first = shares[0].record
    parts = []
    for share in shares:
        indices = share.record.dev.indices_of(first.dev.keys)
        if indices is None:
            raise BundleError("holds scores of other dev posts", where=str(share.record.folder), hint="make it again")
        parts.append(share.record.dev.by_member[:, indices])
    weights = np.array([weight for share in shares for weight in share.weights])
    dev = replace(first.dev, by_member=np.concatenate(parts)[weights > 0])
    scores = dev.scores(Combination(weights=tuple(weights[weights > 0].tolist())))
    languages = scores.languages.tolist()
    fingerprint = first.policy.dev_fingerprint
    policy = tune(
        scores.probabilities,
        scores.labels,
        languages,
        spec=decide or first.policy.spec,
        dev_fingerprint=fingerprint,
    )
    return evaluate(
        stored_gold(dev, fingerprint=fingerprint),
        scores.probabilities,
        policy,
        calibration=fit("identity", scores.probabilities, scores.labels, languages),
        trained_languages=sorted(set(languages)),
        bundle=first.manifest.id,
        data="the dev posts, by stored scores",
    )


def mean_scores(scores: StoredDev) -> NDArray[np.float64]:
    """The members' mean P(ADE) of stored posts, (n_posts,)."""
    return np.asarray(scores.by_member.mean(axis=0), dtype=np.float64)


def same_set_flags(record: Record, posts: StoredDev) -> NDArray[np.bool_]:
    """Which of the dev posts, in the order of ``posts``, a bundle flags by its thresholds. Raises BundleError where it
    holds scores of other posts."""
    index = record.dev.indices_of(posts.keys)
    if index is None:
        raise BundleError("holds scores of other dev posts", where=str(record.folder), hint="make it again")
    return record.policy.flags(mean_scores(record.dev)[index], posts.languages.tolist())


def f1_of(part: Slice) -> Measured:
    """Its F1, all ways."""
    crossed = part.cross_fitted
    return Measured(
        value=part.f1,
        interval=part.f1_interval,
        cross_fitted=crossed.f1 if crossed else None,
        cross_fitted_interval=crossed.f1_interval if crossed else None,
        flagged=part.flagged,
    )


def precision_of(part: Slice) -> Measured:
    """Its precision, all ways."""
    crossed = part.cross_fitted
    return Measured(
        value=part.precision,
        interval=part.precision_interval,
        cross_fitted=crossed.precision if crossed else None,
        cross_fitted_interval=crossed.precision_interval if crossed else None,
    )


def recall_of(part: Slice) -> Measured:
    """Its recall, all ways."""
    crossed = part.cross_fitted
    return Measured(
        value=part.recall,
        interval=part.recall_interval,
        cross_fitted=crossed.recall if crossed else None,
        cross_fitted_interval=crossed.recall_interval if crossed else None,
    )
