"""How often the intervals hold the truth, and how often the paired tests raise a false alarm, by simulation.

    python benchmarks/interval_coverage.py [--simulations 2000] [--workers 1] [--json FILE]

Every simulation is a set of posts in four languages whose truth is known in closed form: on the logit scale the scores
of negatives are normal with sd 1.0, those of positives with sd 1.3; 400 to 3,000 posts a language, 2 to 10% of them
positive. The lines "few" are one language with 10 to 24 positives. A second system has scores correlated at .8 with the
first's: in the lines "difference" it is better or worse, in the lines "false alarm" exactly as good.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from polyvigil.evaluation.intervals import (
    Interval,
    average_precision_interval,
    f1_interval,
    macro_f1_interval,
    share_interval,
)
from polyvigil.evaluation.paired import Difference, Paired, System, compare_systems
from polyvigil.evaluation.workload import workload
from polyvigil.metrics import count, f1
from polyvigil.types import Labels

SPREAD = 1.3
SHARED = 0.8
PREVALENCE = 0.01
LEVEL = 0.05
FALSE_ALARM = "false alarm"
GRID = np.linspace(-9.0, 9.0, 3601)
NAMES = ("de", "en", "ja", "ru")


@dataclass(frozen=True, slots=True)
class Language:
    """A language with as many positives and negatives, ``apart`` on the logit scale from ``base``, cut at ``cut``."""

    name: str
    positives: int
    negatives: int
    apart: float
    base: float
    cut: float

    def recall(self, at: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(norm.sf(at, self.base + self.apart, SPREAD))

    def false_rate(self, at: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(norm.sf(at, self.base))

    @property
    def tp(self) -> float:
        return float(self.positives * self.recall(self.cut))

    @property
    def fp(self) -> float:
        return float(self.negatives * self.false_rate(self.cut))


@dataclass(frozen=True, slots=True)
class Row:
    """The share of simulations in which an interval held the truth, or in which a test raised a false alarm."""

    name: str
    share: float
    simulations: int

    @property
    def within(self) -> bool:
        """Coverage of 93 to 97%, false alarms of 6% at most."""
        return self.share <= 0.06 if self.name.startswith(FALSE_ALARM) else 0.93 <= self.share <= 0.97


@dataclass(frozen=True, slots=True)
class Drawn:
    """Simulated posts: labels (n_posts,), logits of both systems (2, n_posts), languages (n_posts,)."""

    labels: Labels
    scores: NDArray[np.float64]
    names: NDArray[np.str_]


def measure(simulations: int, *, workers: int = 1) -> list[Row]:
    """Every row, over as many simulations; the same for any number of workers."""
    if workers == 1:
        outcomes = [simulate(number) for number in range(simulations)]
    else:
        with ProcessPoolExecutor(workers) as pool:
            outcomes = list(pool.map(simulate, range(simulations), chunksize=10))
    return [Row(name, float(np.mean([outcome[name] for outcome in outcomes])), simulations) for name in outcomes[0]]


def simulate(number: int) -> dict[str, bool]:
    """Simulation ``number``: whether each interval held its truth, whether each test raised a false alarm."""
    random = np.random.default_rng([7, number])
    return {**_single(random), **_single(random, few=True), **_pooled(random), **_paired(random), **_null(random)}


def _single(random: np.random.Generator, *, few: bool = False) -> dict[str, bool]:
    language = some_language(random, "en", positives=int(random.integers(10, 25)) if few else 0)
    drawn = draw(random, [language], [language])
    labels, probabilities = drawn.labels, expit(drawn.scores[0])
    flags = flags_of(drawn.scores[0], drawn.names, [language])
    counts = count(labels, flags)
    budget = int(len(labels) * random.uniform(0.03, 0.3))
    names = drawn.names.tolist()
    reader = workload(labels, probabilities, flags, names, budgets=(budget,), prevalence=PREVALENCE).pooled
    recall = language.recall(GRID)
    read = language.positives * recall + language.negatives * language.false_rate(GRID)
    right, wrong = PREVALENCE * language.recall(language.cut), (1 - PREVALENCE) * language.false_rate(language.cut)
    precision = language.tp / (language.tp + language.fp)
    assert reader.predictive_value is not None
    intervals = {
        "F1": (f1_interval(counts), true_f1([language])),
        "precision": (share_interval(counts.tp, counts.tp + counts.fp), precision),
        "recall": (share_interval(counts.tp, counts.tp + counts.fn), float(language.recall(language.cut))),
        "average precision": (average_precision_interval(labels, probabilities), true_ap([language])),
        "recall at a budget": (reader.budgets[0].interval, float(np.interp(-float(budget), -read, recall))),
        "predictive value at 1%": (reader.predictive_value.interval, float(right / (right + wrong))),
    }
    for share in reader.reading:
        truth = float(np.interp(-share.recall, -recall, read)) / len(labels)
        intervals[f"share to read for recall {share.recall}"] = (share.interval, truth)
    return {f"{name}, few" if few else name: holds(interval, truth) for name, (interval, truth) in intervals.items()}


def _pooled(random: np.random.Generator) -> dict[str, bool]:
    languages = [some_language(random, name) for name in NAMES]
    drawn = draw(random, languages, languages)
    labels, scores, names = drawn.labels, drawn.scores[0], drawn.names
    flags = flags_of(scores, names, languages)
    macro = macro_f1_interval([count(labels[names == one.name], flags[names == one.name]) for one in languages])
    ranking = average_precision_interval(labels, expit(scores), names.tolist())
    mean = float(np.mean([true_f1([one]) for one in languages]))
    return {
        "F1, pooled": holds(f1_interval(count(labels, flags)), true_f1(languages)),
        "macro F1": holds(macro, mean),
        "average precision, pooled": holds(ranking, true_ap(languages)),
    }


def _paired(random: np.random.Generator) -> dict[str, bool]:
    languages = [some_language(random, name) for name in NAMES]
    others = [
        replace(one, apart=one.apart + random.uniform(-0.4, 0.4), cut=one.cut + random.uniform(-0.3, 0.3))
        for one in languages
    ]
    paired = _compared(random, languages, others)
    held = {}
    for place, part in (("", paired.languages[0]), (", pooled", paired.pooled)):
        chosen = slice(None if place else 1)
        mine, theirs = languages[chosen], others[chosen]
        assert part.average_precision is not None
        held[f"difference in F1{place}"] = holds(part.f1, true_f1(mine) - true_f1(theirs))
        held[f"difference in average precision{place}"] = holds(part.average_precision, true_ap(mine) - true_ap(theirs))
    return held


def _null(random: np.random.Generator) -> dict[str, bool]:
    languages = [some_language(random, name) for name in NAMES]
    paired = _compared(random, languages, languages)
    alarms = {}
    for place, part in (("", paired.languages[0]), (", pooled", paired.pooled)):
        assert part.f1.p_randomisation is not None
        assert part.average_precision is not None
        alarms[f"F1, randomisation{place}"] = part.f1.p_randomisation
        alarms[f"F1, bootstrap{place}"] = part.f1.p_bootstrap
        alarms[f"average precision, bootstrap{place}"] = part.average_precision.p_bootstrap
    alarms["F1, Holm, in any language"] = min(part.f1.p_holm or 1.0 for part in paired.languages)
    return {f"{FALSE_ALARM}, {name}": p_value <= LEVEL for name, p_value in alarms.items()}


def some_language(random: np.random.Generator, name: str, *, positives: int = 0) -> Language:
    """A language of random size and difficulty, cut near its best F1."""
    share = random.uniform(0.02, 0.10)
    posts = int(random.integers(400, 3001)) if not positives else round(positives / share)
    positives = positives or max(round(share * posts), 10)
    apart, base = random.uniform(1.5, 3.5), random.normal(-3.0, 0.5)
    language = Language(name, positives, posts - positives, apart, base, base)
    values = f1(
        positives * language.recall(GRID),
        language.negatives * language.false_rate(GRID),
        positives * (1 - language.recall(GRID)),
    )
    return replace(language, cut=float(GRID[np.argmax(values)]) + random.normal(0, 0.2))


def draw(random: np.random.Generator, first: Sequence[Language], second: Sequence[Language]) -> Drawn:
    """Posts as two systems score them, a post that is hard for one being hard for the other."""
    labels, scores, names = [], [], []
    for one, other in zip(first, second, strict=True):
        label = np.repeat(np.array([1, 0], dtype=np.int8), [one.positives, one.negatives])
        noise = np.sqrt(1 - SHARED) * random.normal(size=(2, len(label))) + np.sqrt(SHARED) * random.normal(
            size=len(label)
        )
        apart = np.array([[one.apart], [other.apart]])
        scores.append(one.base + np.where(label == 1, apart + SPREAD * noise, noise))
        labels.append(label)
        names.append(np.repeat(one.name, len(label)))
    return Drawn(np.concatenate(labels), np.concatenate(scores, axis=1), np.concatenate(names))


def flags_of(scores: NDArray[np.float64], names: NDArray[np.str_], languages: Sequence[Language]) -> NDArray[np.bool_]:
    """Which posts one system flags, by its languages' cuts."""
    cuts = {one.name: one.cut for one in languages}
    return scores > np.array([cuts[name] for name in names.tolist()])


def _compared(random: np.random.Generator, first: Sequence[Language], second: Sequence[Language]) -> Paired:
    drawn = draw(random, first, second)
    systems = [
        System(flags_of(scores, drawn.names, languages), expit(scores))
        for scores, languages in zip(drawn.scores, (first, second), strict=True)
    ]
    return compare_systems(drawn.labels, drawn.names.tolist(), *systems, rounds=4_000, ranking_rounds=500)


def true_f1(languages: Sequence[Language]) -> float:
    tp = sum(one.tp for one in languages)
    return float(f1(tp, sum(one.fp for one in languages), sum(one.positives for one in languages) - tp))


def true_ap(languages: Sequence[Language]) -> float:
    """Area under precision over recall, on a fine grid of scores."""
    tp = np.sum([one.positives * one.recall(GRID) for one in languages], axis=0)
    fp = np.sum([one.negatives * one.false_rate(GRID) for one in languages], axis=0)
    precision = np.divide(tp, tp + fp, out=np.ones_like(tp), where=tp + fp > 0)
    area = -np.sum((precision[1:] + precision[:-1]) / 2 * np.diff(tp))
    return float(area / sum(one.positives for one in languages))


def holds(interval: Interval | Difference, truth: float) -> bool:
    return bool(interval.low <= truth <= interval.high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", help="write the numbers here too")
    arguments = parser.parse_args()
    rows = measure(arguments.simulations, workers=arguments.workers)
    for row in rows:
        print(f"{row.name:<48} {row.share:6.1%}{'' if row.within else '   outside'}")
    error = (0.95 * 0.05 / arguments.simulations) ** 0.5
    print(f"{arguments.simulations:,} simulations; a share has a standard error of about {error:.1%}")
    if arguments.json:
        told = [{**asdict(row), "within": row.within} for row in rows]
        Path(arguments.json).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
