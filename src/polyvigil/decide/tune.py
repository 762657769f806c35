"""Labelled dev scores -> a policy: thresholds by the rule, what they reach, how sure they are, what to be wary of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polyvigil.config.decide import DecideSpec
from polyvigil.decide.policy import DecisionPolicy, Threshold
from polyvigil.decide.rules import DevScores, edge, find, resampled
from polyvigil.errors import DataError
from polyvigil.metrics import count
from polyvigil.text.language import is_cadec
from polyvigil.types import Labels, Probabilities

FEW_POSITIVES = 20
RESAMPLES = 200


def tune(
    probabilities: Probabilities,
    labels: Labels,
    languages: Sequence[str],
    *,
    spec: DecideSpec,
    dev_fingerprint: str,
    resamples: int = 0,
) -> DecisionPolicy:
    """Tune one threshold per language group on stored dev probabilities, each of shape (n_posts,).

    A group of one class gets the pooled threshold. The fallback is the paper's: the mean of the own thresholds, CADEC
    groups left out. ``resamples``: bootstrap resamples from which each threshold gets its interval (RESAMPLES is enough
    for two digits); 0: no intervals. Raises DataError when the dev posts as a whole hold one class only.
    """
    posts = DevScores(probabilities, labels, np.asarray(languages))
    if not posts.usable:
        raise DataError(
            f"the {len(labels)} dev posts hold {int(labels.sum())} positives; thresholds need both classes",
            hint="check which split was read, or give more dev posts",
        )
    fitted = find(posts, spec)
    thresholds = {}
    for language in sorted(set(languages)):
        part = posts.of(language)
        positives = int(part.labels.sum())
        value = fitted.by_language.get(language, fitted.pooled)
        thresholds[language] = Threshold(
            value=value,
            source="own" if language in fitted.by_language else "pooled",
            rule=spec.objective.kind if spec.objective.kind == "budget" else spec.rule,
            posts=len(part.labels),
            positives=positives,
            warnings=_warnings(spec, value, positives),
        )
    own_thresholds = [t for name, t in thresholds.items() if t.source == "own" and not is_cadec(name)]
    policy = DecisionPolicy(
        spec=spec,
        thresholds=thresholds,
        fallback=Threshold(
            value=float(np.mean([t.value for t in own_thresholds])) if own_thresholds else fitted.pooled,
            source="fallback" if own_thresholds else "pooled",
            rule="mean" if own_thresholds else spec.rule,
            posts=sum(t.posts for t in own_thresholds),
            positives=sum(t.positives for t in own_thresholds),
        ),
        dev_fingerprint=dev_fingerprint,
        least_known=spec.least_known,
    )
    with_f1 = _with_f1(policy, posts)
    return policy.with_thresholds(_with_intervals(with_f1, posts, spec, resamples) if resamples else with_f1)


def _with_f1(policy: DecisionPolicy, posts: DevScores) -> dict[str, Threshold]:
    flags = policy.flags(posts.probabilities, posts.languages.tolist())
    thresholds = {}
    for language, threshold in policy.thresholds.items():
        mask = posts.languages == language
        f1 = count(posts.labels[mask], flags[mask]).f1 if threshold.source == "own" else None
        thresholds[language] = threshold.model_copy(update={"same_set_f1": f1})
    return thresholds


def _with_intervals(
    thresholds: Mapping[str, Threshold], posts: DevScores, spec: DecideSpec, resamples: int
) -> dict[str, Threshold]:
    results = resampled(posts, spec, resamples=resamples)
    updated = {}
    for language, threshold in thresholds.items():
        values = [one.by_language.get(language, one.pooled) for one in results]
        low, high = np.quantile(values, [0.025, 0.975])
        interval = {"low": min(float(low), threshold.value), "high": max(float(high), threshold.value)}
        updated[language] = threshold.model_copy(update=interval)
    return updated


def _warnings(spec: DecideSpec, value: float, positives: int) -> tuple[str, ...]:
    messages = []
    if positives < FEW_POSITIVES:
        messages.append(f"found on {positives} positives only (fewer than {FEW_POSITIVES}): it can be far off")
    if edge(spec.rule, value):
        messages.append(f"{value:.2f} is the edge of the paper's grid; a better threshold may lie outside")
    return tuple(messages)
