"""The end of every story: members and their dev scores -> thresholds, calibration, evaluation, a bundle on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyvigil.bundle import layout, store
from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.run_metrics import RunMetric, as_lines, metrics_now
from polyvigil.config.decide import DecideSpec
from polyvigil.config.load import to_toml
from polyvigil.config.recipe import Recipe
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.combine import Combination
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.policy import DecisionPolicy, Threshold
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import RESAMPLES, tune
from polyvigil.evaluation.evaluate import Evaluation, Gold, evaluate
from polyvigil.report.card import CardFacts, model_card
from polyvigil.types import Probabilities


@dataclass(frozen=True, slots=True)
class Decisions:
    """What decides on combined scores, and what they mean."""

    policy: DecisionPolicy
    calibration: Calibration


def decisions(dev: StoredDev, combination: Combination, gold: Gold, spec: DecideSpec) -> Decisions:
    """Tune thresholds with their intervals, and fit the calibration, on the dev scores of all members that count.

    A language without dev posts gets the mean of thresholds that were tuned on the members that count there. Raises
    DataError for dev posts of one class.
    """
    scores = dev.scores(combination.of_all)
    languages = scores.languages.tolist()
    policy = tune(
        scores.probabilities,
        scores.labels,
        languages,
        spec=spec,
        dev_fingerprint=gold.fingerprint,
        resamples=RESAMPLES,
    )
    calibration = fit(spec.calibration, scores.probabilities, scores.labels, languages)
    return Decisions(_with_fallbacks(policy, dev, combination, spec), calibration)


def _with_fallbacks(
    policy: DecisionPolicy, dev: StoredDev, combination: Combination, spec: DecideSpec
) -> DecisionPolicy:
    """The policy with fallbacks of languages without dev posts on the scale of the members that count there."""
    coverage = combination.coverage
    if coverage is None:
        return policy

    def fallback(members: Sequence[int]) -> Threshold:
        return subset_policy(members, dev, combination, spec).fallback

    further = {name: fallback(members) for name, members in coverage.languages.items() if name not in policy.thresholds}
    elsewhere = policy.model_copy(update={"fallback": fallback(coverage.elsewhere)})
    return elsewhere.with_thresholds({**policy.thresholds, **further})


def subset_policy(members: Sequence[int], dev: StoredDev, combination: Combination, spec: DecideSpec) -> DecisionPolicy:
    """What thresholds the members at these indices would have alone, without intervals."""
    scores = subset_scores(members, dev, combination)
    languages = scores.languages.tolist()
    return tune(scores.probabilities, scores.labels, languages, spec=spec, dev_fingerprint="")


def subset_scores(members: Sequence[int], dev: StoredDev, combination: Combination) -> DevScores:
    """The dev scores of the members at these indices alone."""
    languages = dev.languages.tolist()
    return DevScores(combination.mean_of(members, dev.by_member, languages), dev.labels, dev.languages)


@dataclass(frozen=True, slots=True)
class BundleDraft:
    """All of a bundle but what follows from it."""

    members: Sequence[store.Member]
    """Of the first stage."""
    combination: Combination
    decided: Decisions
    dev: StoredDev
    gold: Gold
    """Of the dev posts."""
    data: str
    """What the dev posts are called."""
    seen: store.Seen
    recipe: Recipe
    documents: Mapping[str, str] = field(default_factory=dict)
    """Further text files by name."""
    metrics: Sequence[RunMetric] | None = None
    """What was measured in training; None where nothing was trained, and so nothing is kept of it."""
    second_stage: store.UnsavedSecondStage | None = None
    scores: Probabilities | None = None
    """What is evaluated of the dev posts, where it is not the combination of all members."""


@dataclass(frozen=True, slots=True)
class AssembledBundle:
    """A bundle that stands on disk, and its metrics on the dev posts."""

    bundle: store.Bundle
    evaluation: Evaluation


def assemble_bundle(bundle_draft: BundleDraft, *, output: Path, replace: bool, device: str = "auto") -> AssembledBundle:
    """Evaluate on the dev posts, write the bundle with its card, and load it back on ``device``. Raises BundleError."""
    second = bundle_draft.second_stage
    records = [member.fit_record for member in (*bundle_draft.members, *(second.members if second else ()))]
    scores = (
        bundle_draft.dev.scores(bundle_draft.combination.of_all).probabilities
        if bundle_draft.scores is None
        else bundle_draft.scores
    )
    evaluation = evaluate(
        bundle_draft.gold,
        scores,
        bundle_draft.decided.policy,
        calibration=bundle_draft.decided.calibration,
        trained_languages=sorted({language for record in records for language in record.languages}),
        bundle=str(output),
        data=bundle_draft.data,
    )
    record = store.combination_record(bundle_draft.combination, len(bundle_draft.members), second)
    facts = CardFacts(
        evaluation,
        bundle_draft.decided.policy,
        record,
        bundle_draft.decided.calibration,
        records,
        bundle_draft.seen.out_of_fold,
    )
    bundle = store.save(
        output,
        members=bundle_draft.members,
        combination=bundle_draft.combination,
        policy=bundle_draft.decided.policy,
        calibration=bundle_draft.decided.calibration,
        dev=bundle_draft.dev,
        seen=bundle_draft.seen,
        documents={
            layout.EVALUATION: evaluation.model_dump_json(indent=2) + "\n",
            layout.RECIPE: to_toml(bundle_draft.recipe),
            **_metrics_document(bundle_draft.metrics, evaluation),
            **bundle_draft.documents,
        },
        second_stage=second,
        card=lambda manifest: model_card(manifest, facts),
        replace=replace,
        device=device,
    )
    return AssembledBundle(bundle, evaluation)


def _metrics_document(measured: Sequence[RunMetric] | None, evaluation: Evaluation) -> dict[str, str]:
    """``metrics.jsonl``: what was measured in training and, last, what the bundle reaches on the dev posts."""
    if measured is None:
        return {}
    return {layout.METRICS: as_lines([*measured, *metrics_now("", 0, _dev_values(evaluation))])}


def _dev_values(evaluation: Evaluation) -> dict[str, float]:
    """Metrics of the dev posts by name, ``dev/f1`` and ``dev/de/f1``; cross-fitted where thresholds were tuned on
    them."""
    values: dict[str, float] = {}
    for prefix, part in (("dev", evaluation.pooled), *((f"dev/{part.name}", part) for part in evaluation.languages)):
        if not part.positives:
            continue
        stated = part.cross_fitted or part
        values |= {f"{prefix}/{name}": getattr(stated, name) for name in ("f1", "precision", "recall")}
        values[f"{prefix}/average_precision"] = part.average_precision
    return values
