"""The rules by name: dev scores of all languages -> one threshold for each, and the pooled one. All deterministic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.decide import BudgetObjective, DecideSpec, Objective, PooledF1Objective, ThresholdRule
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.objectives import beta_of, value_of
from polyvigil.decide.thresholds import (
    PAPER_GRID,
    RESAMPLES,
    Optimum,
    argmax,
    at_share,
    best_expected_f,
    bootstrap_thresholds,
    expected_argmax,
    logit,
    mean_logit,
    paper_grid,
    resample_weights,
)
from polyvigil.metrics import f1
from polyvigil.progress import report_share
from polyvigil.text.language import is_cadec
from polyvigil.types import Labels, Probabilities

SHRINKAGE = 20
"""Rule ``shrunk``: the pooled threshold weighs as much as this many positives of the language's own."""
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class DevScores:
    """Frozen dev scores with their labels and language groups, each field (n_posts,)."""

    probabilities: Probabilities
    labels: Labels
    languages: NDArray[np.str_]

    def of(self, language: str) -> DevScores:
        """Those of one language group."""
        return self.where(self.languages == language)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> DevScores:
        """Those of a mask, or at some indices (which may stand twice: a resample)."""
        return DevScores(self.probabilities[chosen], self.labels[chosen], self.languages[chosen])

    @property
    def usable(self) -> bool:
        """Whether a threshold can be found on them: negatives, and a positive with a score above 0."""
        return bool((self.probabilities[self.labels == 1] > 0).any()) and not self.labels.all()


@dataclass(frozen=True, slots=True)
class FittedThresholds:
    """Thresholds in (0, 1]: of each language with posts of both classes, and of all posts together."""

    by_language: Mapping[str, float]
    pooled: float


def find(posts: DevScores, spec: DecideSpec) -> FittedThresholds:
    """The thresholds by ``spec.rule`` for ``spec.objective``. ``posts`` as a whole are usable."""
    names = [name for name in sorted(set(posts.languages.tolist())) if posts.of(name).usable]
    match spec.objective:
        case BudgetObjective():
            return _budget(posts, names, spec.objective)
        case PooledF1Objective():
            return _joint(posts, names, spec.rule)
        case _:
            return _RULES[spec.rule](posts, names, spec.objective)


def resampled(posts: DevScores, spec: DecideSpec, *, resamples: int, seed: int = 0) -> Sequence[FittedThresholds]:
    """What the rule finds on bootstrap resamples within each language and class: how far its thresholds may be off.

    Where the rule is itself a mean over resamples, the search under that mean is repeated in its place, which moves
    more than the mean does: spreads are, if anything, too wide.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((posts.labels, -posts.probabilities, posts.languages))
    posts = posts.where(order)
    strata = [
        indices
        for name in np.unique(posts.languages)
        for label in (0, 1)
        if len(indices := np.flatnonzero((posts.languages == name) & (posts.labels == label)))
    ]
    searches = [spec.model_copy(update={"rule": rule}) for rule in _UNBAGGED.get(spec.rule, (spec.rule,))]
    results = []
    for number in range(resamples):
        report_share("resampling thresholds", number, resamples)
        indices = np.concatenate([indices[random.integers(len(indices), size=len(indices))] for indices in strata])
        resample = posts.where(indices)
        if resample.usable:
            first, *second = (find(resample, search) for search in searches)
            results.append(_between(first, second[0]) if second else first)
    return results


_UNBAGGED: Mapping[ThresholdRule, tuple[ThresholdRule, ...]] = {
    "bagged-argmax": ("argmax",),
    "shrunk": ("argmax",),
    "blend": ("argmax", "platt-fstar"),
}


def edge(rule: ThresholdRule, threshold: float) -> bool:
    """Whether a grid's first or last threshold was taken, so that the best one may lie outside."""
    return rule == "paper-grid" and threshold in {PAPER_GRID[0], PAPER_GRID[-1]}


_Search = Callable[[DevScores, Objective], float]


def _apart(posts: DevScores, names: Sequence[str], objective: Objective, *, search: _Search) -> FittedThresholds:
    """Each language by itself."""
    return FittedThresholds({name: search(posts.of(name), objective) for name in names}, search(posts, objective))


def _fixed(posts: DevScores, objective: Objective) -> float:  # noqa: ARG001 - one shape for all searches
    return 0.5


def _grid(posts: DevScores, objective: Objective) -> float:
    return paper_grid(posts.probabilities, posts.labels, value=value_of(objective)).threshold


def _argmax(posts: DevScores, objective: Objective) -> float:
    return argmax(posts.probabilities, posts.labels, value=value_of(objective)).threshold


def _bootstrap_threshold(posts: DevScores, objective: Objective) -> float:
    return mean_logit(bootstrap_thresholds(posts.probabilities, posts.labels, value=value_of(objective)))


def _platt(posts: DevScores, names: Sequence[str], objective: Objective) -> FittedThresholds:
    """Hierarchical Platt, then the cut that is best were each post positive with its calibrated P."""
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())

    def threshold_of(some: DevScores, language: str) -> float:
        apart = calibration.of(language)
        calibrated = apart.calibrated(some.probabilities, some.languages.tolist())
        return _threshold_at(apart, _plug_in(calibrated, objective), language)

    return FittedThresholds(
        {name: threshold_of(posts.of(name), name) for name in names}, threshold_of(posts, _NO_LANGUAGE)
    )


_NO_LANGUAGE = ""  # has the pooled map


def _threshold_at(calibration: Calibration, calibrated: float, language: str) -> float:
    """The threshold on p that says the same as one on calibrated P, in (0, 1]."""
    return float(np.clip(calibration.threshold(calibrated, language), _LEAST, 1.0))


def _plug_in(calibrated: Probabilities, objective: Objective) -> float:
    if beta := beta_of(objective):
        return best_expected_f(calibrated, beta=beta) / (1 + beta * beta)
    return expected_argmax(calibrated, value=value_of(objective)).threshold


def _blend(posts: DevScores, names: Sequence[str], objective: Objective) -> FittedThresholds:
    bootstrapped = _apart(posts, names, objective, search=_bootstrap_threshold)
    return _between(bootstrapped, _platt(posts, names, objective))


def _pooled(posts: DevScores, names: Sequence[str], objective: Objective) -> FittedThresholds:
    one = _argmax(posts, objective)
    return FittedThresholds(dict.fromkeys(names, one), one)


def _shrunk(posts: DevScores, names: Sequence[str], objective: Objective) -> FittedThresholds:
    bootstrapped = _apart(posts, names, objective, search=_bootstrap_threshold)
    by_language = {}
    for name in names:
        share = SHRINKAGE / (np.count_nonzero(posts.of(name).labels == 1) + SHRINKAGE)
        mixed = (1 - share) * logit(np.array(bootstrapped.by_language[name])) + share * logit(
            np.array(bootstrapped.pooled)
        )
        by_language[name] = float(1 / (1 + np.exp(-mixed)))
    return FittedThresholds(by_language, bootstrapped.pooled)


def _between(first: FittedThresholds, second: FittedThresholds) -> FittedThresholds:
    by_language = {
        name: mean_logit(np.array([threshold, second.by_language[name]]))
        for name, threshold in first.by_language.items()
    }
    return FittedThresholds(by_language, mean_logit(np.array([first.pooled, second.pooled])))


_RULES: Mapping[ThresholdRule, Callable[[DevScores, Sequence[str], Objective], FittedThresholds]] = {
    "fixed": partial(_apart, search=_fixed),
    "paper-grid": partial(_apart, search=_grid),
    "argmax": partial(_apart, search=_argmax),
    "bagged-argmax": partial(_apart, search=_bootstrap_threshold),
    "platt-fstar": _platt,
    "blend": _blend,
    "pooled": _pooled,
    "shrunk": _shrunk,
}


def _joint(posts: DevScores, names: Sequence[str], rule: ThresholdRule) -> FittedThresholds:
    """Thresholds that are best for F1 over all languages together; CADEC groups, no part of it, have their own best."""
    together = [name for name in names if not is_cadec(name)] or list(names)
    rest = [name for name in names if name not in together]
    rules: dict[ThresholdRule, Callable[[], dict[str, float]]] = {
        "argmax": lambda: joint_argmax(posts, together),
        "bagged-argmax": lambda: _joint_bootstrap(posts, together),
        "platt-fstar": lambda: _joint_platt(posts, together),
    }
    alone = _RULES[rule](posts, rest, PooledF1Objective())
    if rule == "blend":
        bootstrapped = FittedThresholds(rules["bagged-argmax"](), alone.pooled)
        by_language = dict(_between(bootstrapped, FittedThresholds(rules["platt-fstar"](), alone.pooled)).by_language)
    else:
        by_language = rules[rule]()
    return FittedThresholds({**by_language, **alone.by_language}, alone.pooled)


def joint_argmax(posts: DevScores, names: Sequence[str]) -> dict[str, float]:
    """The cuts of the best F1 = 2 TP / (flagged + positives) over the posts of ``names`` together.

    Dinkelbach's method: at the best F1 F, the cuts maximise 2 TP - F x flagged, which each language does by itself. A
    language in which every cut costs more than it finds is given the threshold 1.
    """
    parts = {name: posts.of(name) for name in names}
    positives = sum(int(np.count_nonzero(part.labels == 1)) for part in parts.values())
    best, reached = -1.0, 0.0
    optima: dict[str, Optimum] = {}
    while reached > best:  # F rises from round to round, and there are finitely many cuts: this ends
        best = reached
        optima = {name: _worth(part, best) for name, part in parts.items()}
        tp, flagged = (
            sum(optimum.tp for optimum in optima.values()),
            sum(optimum.flagged for optimum in optima.values()),
        )
        reached = float(f1(tp, flagged - tp, positives - tp))
    return {name: optimum.threshold for name, optimum in optima.items()}


def _worth(part: DevScores, price: float) -> Optimum:
    """The cut of the greatest 2 TP - price x flagged; threshold 1 where none is above 0."""
    optimum = argmax(part.probabilities, part.labels, value=lambda tp, fp, _: 2 * tp - price * (tp + fp))
    return optimum if optimum.value > 0 else Optimum(threshold=1.0, value=0.0, tp=0.0, flagged=0.0)


def _joint_bootstrap(posts: DevScores, names: Sequence[str]) -> dict[str, float]:
    random = np.random.default_rng(0)
    parts = [_sorted(posts.of(name)) for name in names]
    thresholds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(RESAMPLES):
        resample = [part.where(_resample_indices(part, random)) for part in parts]
        again = DevScores(
            np.concatenate([part.probabilities for part in resample]),
            np.concatenate([part.labels for part in resample]),
            np.concatenate([part.languages for part in resample]),
        )
        usable = [name for name in names if again.of(name).usable]
        for name, threshold in joint_argmax(again, usable).items():
            thresholds[name].append(threshold)
    return {name: mean_logit(np.array(values)) for name, values in thresholds.items()}


def _sorted(part: DevScores) -> DevScores:
    return part.where(np.lexsort((part.labels, -part.probabilities)))


def _resample_indices(part: DevScores, random: np.random.Generator) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(part.labels)), resample_weights(part.labels == 1, random).astype(np.int64))


def _joint_platt(posts: DevScores, names: Sequence[str]) -> dict[str, float]:
    """On calibrated P one cut serves all languages: half of the best F1 over all of them."""
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())
    some = posts.where(np.isin(posts.languages, names))
    half = best_expected_f(calibration.calibrated(some.probabilities, some.languages.tolist())) / 2
    return {name: _threshold_at(calibration, half, name) for name in names}


def _budget(posts: DevScores, names: Sequence[str], objective: BudgetObjective) -> FittedThresholds:
    """The most probable posts of all languages, as many as can be reviewed: one cut on calibrated P."""
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())
    calibrated = calibration.calibrated(posts.probabilities, posts.languages.tolist())
    threshold = at_share(calibrated, objective.reviews / objective.posts)
    by_language = {name: _threshold_at(calibration, threshold, name) for name in names}
    return FittedThresholds(by_language, _threshold_at(calibration, threshold, _NO_LANGUAGE))
