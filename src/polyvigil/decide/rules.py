"""The rules by name: dev scores of all languages -> one threshold for each, and the pooled one. All deterministic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.specs import BudgetObjective, DecideSpec, Objective, PooledF1Objective, ThresholdRule
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.objectives import beta_of, value_of
from polyvigil.decide.thresholds import (
    PAPER_GRID,
    RESAMPLES,
    Cut,
    argmax,
    at_share,
    bag,
    best_expected_f,
    draw_within,
    expected_argmax,
    logit,
    mean_logit,
    paper_grid,
)
from polyvigil.metrics import f1
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
        """Those of a mask, or at some places (which may stand twice: a resample)."""
        return DevScores(self.probabilities[chosen], self.labels[chosen], self.languages[chosen])

    @property
    def usable(self) -> bool:
        """Whether a threshold can be found on them: negatives, and a positive with a score above 0."""
        return bool((self.probabilities[self.labels == 1] > 0).any()) and not self.labels.all()


@dataclass(frozen=True, slots=True)
class Found:
    """Thresholds in (0, 1]: of each language with posts of both classes, and of all posts together."""

    own: Mapping[str, float]
    pooled: float


def find(posts: DevScores, spec: DecideSpec) -> Found:
    """The thresholds by ``spec.rule`` for ``spec.objective``. ``posts`` as a whole are usable."""
    names = [name for name in sorted(set(posts.languages.tolist())) if posts.of(name).usable]
    match spec.objective:
        case BudgetObjective():
            return _budget(posts, names, spec.objective)
        case PooledF1Objective():
            return _joint(posts, names, spec.rule)
        case _:
            return _RULES[spec.rule](posts, names, spec.objective)


def resampled(posts: DevScores, spec: DecideSpec, *, resamples: int, seed: int = 0) -> Sequence[Found]:
    """What the rule finds on bootstrap resamples within each language and class: how far its thresholds may be off.

    Where the rule is itself a mean over resamples, the search under that mean is repeated in its place, which moves
    more than the mean does: spreads are, if anything, too wide.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((posts.labels, -posts.probabilities, posts.languages))
    posts = posts.where(order)
    strata = [
        places
        for name in np.unique(posts.languages)
        for label in (0, 1)
        if len(places := np.flatnonzero((posts.languages == name) & (posts.labels == label)))
    ]
    searches = [spec.model_copy(update={"rule": rule}) for rule in _UNBAGGED.get(spec.rule, (spec.rule,))]
    found = []
    for _ in range(resamples):
        places = np.concatenate([places[random.integers(len(places), size=len(places))] for places in strata])
        drawn = posts.where(places)
        if drawn.usable:
            first, *second = (find(drawn, search) for search in searches)
            found.append(_between(first, second[0]) if second else first)
    return found


_UNBAGGED: Mapping[ThresholdRule, tuple[ThresholdRule, ...]] = {
    "bagged-argmax": ("argmax",),
    "shrunk": ("argmax",),
    "blend": ("argmax", "platt-fstar"),
}


def edge(rule: ThresholdRule, threshold: float) -> bool:
    """Whether a grid's first or last threshold was taken, so that the best one may lie outside."""
    return rule == "paper-grid" and threshold in {PAPER_GRID[0], PAPER_GRID[-1]}


_Search = Callable[[DevScores, Objective], float]


def _apart(posts: DevScores, names: Sequence[str], objective: Objective, *, search: _Search) -> Found:
    """Each language by itself."""
    return Found({name: search(posts.of(name), objective) for name in names}, search(posts, objective))


def _fixed(posts: DevScores, objective: Objective) -> float:  # noqa: ARG001 - one shape for all searches
    return 0.5


def _grid(posts: DevScores, objective: Objective) -> float:
    return paper_grid(posts.probabilities, posts.labels, value=value_of(objective)).threshold


def _argmax(posts: DevScores, objective: Objective) -> float:
    return argmax(posts.probabilities, posts.labels, value=value_of(objective)).threshold


def _bagged(posts: DevScores, objective: Objective) -> float:
    return mean_logit(bag(posts.probabilities, posts.labels, value=value_of(objective)))


def _platt(posts: DevScores, names: Sequence[str], objective: Objective) -> Found:
    """Hierarchical Platt, then the cut that is best were each post positive with its calibrated P."""
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())

    def cut(some: DevScores, language: str) -> float:
        calibrated = calibration.calibrated(some.probabilities, [language] * len(some.labels))
        return _cut_at(calibration, _plug_in(calibrated, objective), language)

    return Found({name: cut(posts.of(name), name) for name in names}, cut(posts, _NO_LANGUAGE))


_NO_LANGUAGE = ""  # has the pooled map


def _cut_at(calibration: Calibration, calibrated: float, language: str) -> float:
    """The threshold on p that says the same as one on calibrated P, in (0, 1]."""
    return float(np.clip(calibration.threshold(calibrated, language), _LEAST, 1.0))


def _plug_in(calibrated: Probabilities, objective: Objective) -> float:
    if beta := beta_of(objective):
        return best_expected_f(calibrated, beta=beta) / (1 + beta * beta)
    return expected_argmax(calibrated, value=value_of(objective)).threshold


def _blend(posts: DevScores, names: Sequence[str], objective: Objective) -> Found:
    bagged = _apart(posts, names, objective, search=_bagged)
    return _between(bagged, _platt(posts, names, objective))


def _pooled(posts: DevScores, names: Sequence[str], objective: Objective) -> Found:
    one = _argmax(posts, objective)
    return Found(dict.fromkeys(names, one), one)


def _shrunk(posts: DevScores, names: Sequence[str], objective: Objective) -> Found:
    bagged = _apart(posts, names, objective, search=_bagged)
    own = {}
    for name in names:
        share = SHRINKAGE / (np.count_nonzero(posts.of(name).labels == 1) + SHRINKAGE)
        mixed = (1 - share) * logit(np.array(bagged.own[name])) + share * logit(np.array(bagged.pooled))
        own[name] = float(1 / (1 + np.exp(-mixed)))
    return Found(own, bagged.pooled)


def _between(first: Found, second: Found) -> Found:
    own = {name: mean_logit(np.array([cut, second.own[name]])) for name, cut in first.own.items()}
    return Found(own, mean_logit(np.array([first.pooled, second.pooled])))


_RULES: Mapping[ThresholdRule, Callable[[DevScores, Sequence[str], Objective], Found]] = {
    "fixed": partial(_apart, search=_fixed),
    "paper-grid": partial(_apart, search=_grid),
    "argmax": partial(_apart, search=_argmax),
    "bagged-argmax": partial(_apart, search=_bagged),
    "platt-fstar": _platt,
    "blend": _blend,
    "pooled": _pooled,
    "shrunk": _shrunk,
}


def _joint(posts: DevScores, names: Sequence[str], rule: ThresholdRule) -> Found:
    """Thresholds that are best for F1 over all languages together; CADEC groups, no part of it, have their own best."""
    together = [name for name in names if not is_cadec(name)] or list(names)
    rest = [name for name in names if name not in together]
    found: dict[ThresholdRule, Callable[[], dict[str, float]]] = {
        "argmax": lambda: joint_argmax(posts, together),
        "bagged-argmax": lambda: _joint_bagged(posts, together),
        "platt-fstar": lambda: _joint_platt(posts, together),
    }
    alone = _RULES[rule](posts, rest, PooledF1Objective())
    if rule == "blend":
        bagged = Found(found["bagged-argmax"](), alone.pooled)
        own = dict(_between(bagged, Found(found["platt-fstar"](), alone.pooled)).own)
    else:
        own = found[rule]()
    return Found({**own, **alone.own}, alone.pooled)


def joint_argmax(posts: DevScores, names: Sequence[str]) -> dict[str, float]:
    """The cuts of the best F1 = 2 TP / (flagged + positives) over the posts of ``names`` together.

    Dinkelbach's method: at the best F1 F, the cuts maximise 2 TP - F x flagged, which each language does by itself. A
    language in which every cut costs more than it finds is given the threshold 1.
    """
    parts = {name: posts.of(name) for name in names}
    positives = sum(int(np.count_nonzero(part.labels == 1)) for part in parts.values())
    best, reached = -1.0, 0.0
    cuts: dict[str, Cut] = {}
    while reached > best:
        best = reached
        cuts = {name: _worth(part, best) for name, part in parts.items()}
        tp, flagged = sum(cut.tp for cut in cuts.values()), sum(cut.flagged for cut in cuts.values())
        reached = float(f1(tp, flagged - tp, positives - tp))
    return {name: cut.threshold for name, cut in cuts.items()}


def _worth(part: DevScores, price: float) -> Cut:
    """The cut of the greatest 2 TP - price x flagged; threshold 1 where none is above 0."""
    cut = argmax(part.probabilities, part.labels, value=lambda tp, fp, _: 2 * tp - price * (tp + fp))
    return cut if cut.value > 0 else Cut(threshold=1.0, value=0.0, tp=0.0, flagged=0.0)


def _joint_bagged(posts: DevScores, names: Sequence[str]) -> dict[str, float]:
    random = np.random.default_rng(0)
    parts = [_sorted(posts.of(name)) for name in names]
    cuts: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(RESAMPLES):
        drawn = [part.where(_places(part, random)) for part in parts]
        again = DevScores(
            np.concatenate([part.probabilities for part in drawn]),
            np.concatenate([part.labels for part in drawn]),
            np.concatenate([part.languages for part in drawn]),
        )
        usable = [name for name in names if again.of(name).usable]
        for name, cut in joint_argmax(again, usable).items():
            cuts[name].append(cut)
    return {name: mean_logit(np.array(found)) for name, found in cuts.items()}


def _sorted(part: DevScores) -> DevScores:
    return part.where(np.lexsort((part.labels, -part.probabilities)))


def _places(part: DevScores, random: np.random.Generator) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(part.labels)), draw_within(part.labels == 1, random).astype(np.int64))


def _joint_platt(posts: DevScores, names: Sequence[str]) -> dict[str, float]:
    """On calibrated P one cut serves all languages: half of the best F1 over all of them."""
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())
    some = posts.where(np.isin(posts.languages, names))
    half = best_expected_f(calibration.calibrated(some.probabilities, some.languages.tolist())) / 2
    return {name: _cut_at(calibration, half, name) for name in names}


def _budget(posts: DevScores, names: Sequence[str], objective: BudgetObjective) -> Found:
    """The most probable posts of all languages, as many as can be reviewed: one cut on calibrated P."""
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())
    calibrated = calibration.calibrated(posts.probabilities, posts.languages.tolist())
    cut = at_share(calibrated, objective.reviews / objective.posts)
    own = {name: _cut_at(calibration, cut, name) for name in names}
    return Found(own, _cut_at(calibration, cut, _NO_LANGUAGE))
