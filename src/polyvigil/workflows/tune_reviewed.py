"""`polyvigil tune BUNDLE reviewed.csv`: thresholds from a whole reviewed worklist, half way from the old ones.

In: a bundle, and the posts of a worklist with its audit, each with a label and the probability with which it was
chosen. Out: a new bundle with the same members. The scores are brought to the labels by an unweighted Platt map
(whether a post has a label depends on its score alone, so that weights would add noise only); the best expected F1 is
one of all posts, for which the reviewed ones stand with weights 1 / inclusion_p; the threshold moves half way, on the
logit scale, to half of it. In simulation a full move lost F1 where the old threshold had been right, and labels tuned
on without weights lost more than by any other rule (docs/worklist.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from polyvigil.bundle import store
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.packed_posts import field_of, labels_of, posts_of
from polyvigil.decide.policy import REVIEWED, Threshold
from polyvigil.decide.shift import Side, shifts
from polyvigil.errors import DataError
from polyvigil.evaluation.evaluate import stored_gold
from polyvigil.evaluation.rate_curve import logits, recalibrate
from polyvigil.types import LabelledPost
from polyvigil.workflows.assemble import BundleDraft, Decisions, assemble_bundle
from polyvigil.workflows.tune import TuneResult, kept_documents, recipe_of, without_judge

FEWEST_POSITIVES = 10
"""Reviewed ADEs of a language from which on its threshold is moved."""


@dataclass(frozen=True, slots=True)
class ReviewedPosts:
    """The labelled posts of a whole worklist; ``inclusion`` (n_posts,): with what probability each was chosen."""

    posts: Sequence[LabelledPost]
    inclusion: NDArray[np.float64]
    name: str


def tune_on_reviewed(
    source: Path,
    bundle: Bundle,
    reviewed: ReviewedPosts,
    *,
    output: Path,
    replace: bool = False,
    log: Callable[[str], None] = lambda _: None,
) -> TuneResult:
    """Move the thresholds of the languages that have enough reviewed ADEs, and save the result at ``output``.

    Raises DataError where no language has.
    """
    check_output(output, BUNDLE, replace=replace)
    bundle = without_judge(source, bundle)
    posts = posts_of(reviewed.posts)
    labels = labels_of(reviewed.posts).astype(np.float64)
    log(f"scoring {len(posts):,} reviewed posts")
    probabilities = bundle.probabilities(posts)
    languages = list(field_of(posts, "language"))
    names = np.asarray(languages)
    new: dict[str, Threshold] = {}
    for name in sorted(set(languages)):
        mask = names == name
        positives = int(labels[mask].sum())
        if positives < FEWEST_POSITIVES:
            log(f"{name}: {positives} ADEs were reviewed, so its threshold stays (at least {FEWEST_POSITIVES} move it)")
            continue
        value = half_way(bundle, name, probabilities[mask], labels[mask], 1 / reviewed.inclusion[mask])
        new[name] = Threshold(value=value, source="own", rule=REVIEWED, posts=int(mask.sum()), positives=positives)
    if not new:
        raise DataError(
            f"no language has {FEWEST_POSITIVES} reviewed ADEs, so no threshold would move",
            where=reviewed.name,
            hint="read on, or leave the thresholds as they are",
        )
    policy = bundle.policy.with_thresholds({**bundle.policy.thresholds, **new})
    changes = shifts(Side(bundle.policy, probabilities), Side(policy, probabilities), languages)
    seen = Seen(bundle.seen.train, np.union1d(bundle.seen.dev, post_hashes(posts)))
    bundle_draft = BundleDraft(
        store.copied(source, bundle),
        bundle.combination,
        Decisions(policy, bundle.calibration),
        bundle.dev,
        stored_gold(bundle.dev, fingerprint=policy.dev_fingerprint),
        data="stored dev scores",
        seen=seen,
        recipe=recipe_of(source),
        documents=kept_documents(source, bundle),
    )
    assembled = assemble_bundle(bundle_draft, output=output, replace=replace)
    return TuneResult(assembled.bundle, assembled.evaluation, changes)


def half_way(
    bundle: Bundle,
    language: str,
    probabilities: NDArray[np.float64],
    labels: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> float:
    """The threshold half way, in logits of calibrated P, from the bundle's to the one that reviewed posts call best.

    ``weights`` (n_posts,): of how many posts each one stands for.
    """
    posts = logits(bundle.calibration.calibrated(probabilities, [language] * len(probabilities)))
    fitted = recalibrate(posts, labels)
    half = best_expected_f1(fitted.rates(posts), weights) / 2
    best = (float(logit(half)) - fitted.offset) / fitted.slope
    old = bundle.policy.threshold(language).value
    now = float(logits(bundle.calibration.calibrated(np.array([old]), [language]))[0])
    moved = bundle.calibration.threshold(float(expit((now + best) / 2)), language)
    return min(moved, 1.0)


def best_expected_f1(rates: NDArray[np.float64], weights: NDArray[np.float64] | Sequence[float]) -> float:
    """The largest expected F1 over all thresholds, of posts with these rates that stand for ``weights`` posts each."""
    order = np.argsort(-rates, kind="stable")
    flagged = np.cumsum(np.asarray(weights)[order])
    true = np.cumsum((np.asarray(weights) * rates)[order])
    return float(np.max(2 * true / (flagged + true[-1])))
