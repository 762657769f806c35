"""Frozen probabilities, a policy and labels -> an Evaluation: pooled, per language, per type. No model is run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.dev import StoredDev
from polyvigil.data.fingerprint import fingerprint, post_hashes
from polyvigil.data.packed_posts import field_array, field_of, labels_of, posts_of
from polyvigil.data.packed_strings import StringColumn
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import FEW_POSITIVES
from polyvigil.errors import SplitError, name_list
from polyvigil.evaluation.dev_comparison import DevComparison
from polyvigil.evaluation.groups import POOLED, groups_of
from polyvigil.evaluation.intervals import Interval, macro_f1_interval
from polyvigil.evaluation.reliability import Reliability, reliability
from polyvigil.evaluation.slices import Column, ColumnSlices, CrossFitted, Outcomes, Slice, column_slices, slice_of
from polyvigil.evaluation.workload import Workload, workload
from polyvigil.metrics import Counts, macro
from polyvigil.text.language import is_cadec
from polyvigil.types import Frozen, LabelledPost, Labels, Probabilities

__all__ = ["CrossFitted", "Evaluation", "Gold", "Slice", "evaluate", "gold_of", "seen_before", "stored_gold"]


class Evaluation(Frozen):
    """All metrics of one bundle on one set of posts. ``evaluation.json``."""

    bundle: str
    data: str
    data_fingerprint: str
    same_set: bool
    """True when the thresholds were tuned on these very posts: the metrics are then optimistic."""
    posts: int
    positives: int
    pooled: Slice
    """Over all rows but the CADEC groups, as the official score of the shared task."""
    macro_f1: float
    """Unweighted mean of F1 over the languages, CADEC groups left out."""
    macro_f1_interval: Interval
    cross_fitted_macro_f1: float | None = None
    languages: tuple[Slice, ...]
    types: tuple[Slice, ...]
    slices: tuple[ColumnSlices, ...] = ()
    """The posts by the values of the columns that were named (``--by``)."""
    dev_comparison: DevComparison | None = None
    """Beside the cross-fitted dev metrics; None on the dev posts themselves, and where a bundle has no such metrics."""
    reliability: Reliability
    """Of calibrated P."""
    workload: Workload
    """What the metrics mean for those who read."""
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gold:
    """What metrics need of labelled posts, each field (n_posts,): no text."""

    labels: Labels
    languages: NDArray[np.str_]
    types: NDArray[np.str_]
    groups: Sequence[str]
    """Posts of one group (not empty) belong together, such as translations of one review."""
    fingerprint: str


def gold_of(items: Sequence[LabelledPost]) -> Gold:
    """Of posts as they were read."""
    posts = posts_of(items)
    return Gold(
        labels=labels_of(items),
        languages=field_array(posts, "language"),
        types=field_array(posts, "type"),
        groups=StringColumn(field_of(posts, "group")),
        fingerprint=fingerprint(posts),
    )


def stored_gold(dev: StoredDev, *, fingerprint: str) -> Gold:
    """Of dev posts as a bundle keeps them; ``fingerprint`` is that of its policy."""
    return Gold(dev.labels, dev.languages, dev.types, dev.group_names, fingerprint)


def evaluate(
    gold: Gold,
    probabilities: Probabilities,
    policy: DecisionPolicy,
    *,
    calibration: Calibration,
    trained_languages: Sequence[str],
    bundle: str,
    data: str,
    budgets: Sequence[int] = (),
    prevalence: float | None = None,
    columns: Sequence[Column] = (),
    cautions: Sequence[str] = (),
    abstained: NDArray[np.bool_] | None = None,
) -> Evaluation:
    """Score stored ``probabilities`` (n_posts,) against ``gold``, in the same order.

    ``budgets`` (posts that can be read) and ``prevalence`` (where it will be used, in (0, 1)): see evaluation.workload.
    ``columns``: what the posts are sliced by besides language and type. ``abstained`` (n_posts,): posts that are not
    flagged whatever their P (bundle.store.Bundle.abstains). Raises ValueError when there are no posts, or
    not as many probabilities as posts.
    """
    labels, languages, types = gold.labels, gold.languages, gold.types
    if not len(labels) or len(labels) != len(probabilities):
        raise ValueError(f"{len(labels)} posts, {len(probabilities)} probabilities")
    flags = policy.flags(probabilities, languages.tolist())
    if abstained is not None:
        flags &= ~abstained
    same_set = policy.was_tuned_on(gold.fingerprint)
    crossed = None
    if same_set:
        dev = DevScores(probabilities, labels, languages)
        crossed = cross_fitted_flags(dev, spec=policy.spec, groups=gold.groups)
    outcomes = Outcomes(labels, languages, flags, probabilities, crossed)
    per_language = _language_slices(outcomes, policy, trained_languages)
    return Evaluation(
        bundle=bundle,
        data=data,
        data_fingerprint=gold.fingerprint,
        same_set=same_set,
        posts=len(labels),
        positives=int(labels.sum()),
        pooled=slice_of(POOLED, groups_of(languages.tolist()).pooled, outcomes),
        macro_f1=macro({part.name: part.f1 for part in per_language if not is_cadec(part.name)}),
        macro_f1_interval=macro_f1_interval(
            [Counts(part.tp, part.fp, part.fn, part.tn) for part in per_language if not is_cadec(part.name)]
        ),
        cross_fitted_macro_f1=macro(
            {part.name: part.cross_fitted.f1 for part in per_language if part.cross_fitted and not is_cadec(part.name)}
        )
        if same_set
        else None,
        languages=tuple(per_language),
        types=tuple(slice_of(kind or "(none)", types == kind, outcomes) for kind in sorted(set(types.tolist()))),
        slices=tuple(column_slices(column, outcomes) for column in columns),
        reliability=reliability(calibration.calibrated(probabilities, languages.tolist()), labels, languages.tolist()),
        workload=workload(labels, probabilities, flags, languages.tolist(), budgets=budgets, prevalence=prevalence),
        cautions=(*cautions, *_cautions(per_language, same_set=same_set)),
    )


def seen_before(
    items: Sequence[LabelledPost], train: NDArray[np.uint64], dev: NDArray[np.uint64], *, data: str
) -> tuple[str, ...]:
    """What to say about posts that the bundle was made from, by the text hashes kept in it.

    Raises SplitError when half of the posts or more were trained on: metrics on them prove nothing.
    """
    hashes = post_hashes(posts_of(items))
    trained = int(np.isin(hashes, train).sum())
    if 2 * trained >= len(items):
        raise SplitError(
            f"{trained:,} of {len(items):,} posts were trained on; metrics on them prove nothing",
            where=data,
            hint="evaluate on posts the bundle has not seen (--split test, if the file mixes splits)",
        )
    messages = []
    if trained:
        messages.append(
            f"{trained:,} of {len(items):,} posts have the text of a training post; metrics on them are optimistic"
        )
    tuned = int(np.isin(hashes, dev).sum())
    if tuned and tuned < len(items):
        messages.append(f"{tuned:,} of {len(items):,} posts have the text of a post the thresholds were tuned on")
    return tuple(messages)


def _language_slices(outcomes: Outcomes, policy: DecisionPolicy, trained_languages: Sequence[str]) -> list[Slice]:
    """One slice for each language, by name, with the threshold that decided it."""
    slices = []
    for language in sorted(set(outcomes.languages.tolist())):
        threshold = policy.threshold(language)
        update = {
            "threshold": threshold.value,
            "threshold_source": threshold.source,
            "validated": language in trained_languages,
        }
        slices.append(slice_of(language, outcomes.languages == language, outcomes).model_copy(update=update))
    return slices


def _cautions(languages: Sequence[Slice], *, same_set: bool) -> list[str]:
    cautions = []
    if same_set:
        cautions.append(
            "the thresholds were tuned on these very posts: same-set metrics are optimistic, stand by the cross-fitted"
        )
    if foreign := [part.name for part in languages if not part.validated]:
        cautions.append(f"not validated for {name_list(foreign)}: no member was trained on it")
    for part in languages:
        if part.positives < FEW_POSITIVES:
            noun = "positive" if part.positives == 1 else "positives"
            cautions.append(f"{part.name}: only {part.positives} {noun}; its metrics can move a lot")
    return cautions
