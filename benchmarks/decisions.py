"""Threshold rules where the truth is known: regret, optimism, and languages without labels. All data are simulated.

    python benchmarks/decisions.py [--worlds 40] [--json FILE]

A world has six languages. The logits of P are normal, with standard deviation 1.0 for negatives and 1.3 for positives,
so far apart that the best F1 of a language is the paper's dev F1, and shifted so that it is reached at the paper's
threshold; numbers of dev posts and of positives are the paper's. So the F1 that a threshold reaches on the population
is known in closed form, and regret is what it lacks to the best one. Kinds of world: thresholds as the paper's; all at
.5; scattered (standard deviation .5 on the logit); and the paper's with 15% of the positives scoring like negatives.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from polyvigil.config.decide import DecideSpec, ThresholdRule
from polyvigil.decide.crossfit import cross_fitted_flags
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.decide.tune import tune
from polyvigil.decide.unlabelled import by_prior, references, similar_threshold
from polyvigil.metrics import count

PAPER = {  # dev posts, positives, dev F1, threshold: the paper's ensemble
    "de": (634, 35, 0.698, 0.56),
    "en": (888, 61, 0.815, 0.32),
    "fr": (418, 30, 0.783, 0.36),
    "ja": (3045, 72, 0.662, 0.70),
    "ru": (2669, 272, 0.730, 0.49),
    "zh": (379, 38, 0.960, 0.66),
}
RULES: tuple[ThresholdRule, ...] = (
    "fixed",
    "paper-grid",
    "pooled",
    "argmax",
    "bagged-argmax",
    "platt-fstar",
    "shrunk",
    "blend",
)
KINDS = ("paper", "half", "scattered", "hidden")
SIZES = (5, 10, 20, 35, 70, 200)
SD = (1.0, 1.3)
GRID = np.linspace(-9.0, 12.0, 2101)  # of logits, for the best threshold of a population


@dataclass(frozen=True)
class Language:
    """Normal logits: negatives around ``shift``, positives ``apart`` above; a share ``hidden`` scores as negatives."""

    prevalence: float
    shift: float
    apart: float
    hidden: float = 0.0

    def f1(self, threshold: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the population, at thresholds on P."""
        p = np.clip(np.asarray(threshold, dtype=float), 1e-9, 1 - 1e-9)
        return self.f1_at(np.log(p / (1 - p)))

    def f1_at(self, cut: NDArray[np.float64]) -> NDArray[np.float64]:
        noise = ndtr((self.shift - cut) / SD[0])
        recall = (1 - self.hidden) * ndtr((self.shift + self.apart - cut) / SD[1]) + self.hidden * noise
        return (
            2 * self.prevalence * recall / (self.prevalence + self.prevalence * recall + (1 - self.prevalence) * noise)
        )

    @property
    def best(self) -> float:
        return float(self.f1_at(GRID).max())

    def draw(self, posts: int, positives: int, random: np.random.Generator) -> tuple[NDArray, NDArray]:
        labels = (np.arange(posts) < positives).astype(np.int8)
        seen = (labels == 1) & (random.random(posts) >= self.hidden)
        logits = self.shift + np.where(seen, self.apart + SD[1] * random.normal(size=posts), random.normal(size=posts))
        return 1 / (1 + np.exp(-logits)), labels


def language(posts: int, positives: int, f1: float, threshold: float, *, hidden: float = 0.0) -> Language:
    """The language of this prevalence and best F1, reached at ``threshold``."""
    prevalence = positives / posts

    def gap(apart: float) -> float:
        return Language(prevalence, 0.0, apart, hidden).best - f1

    reachable = min(f1, Language(prevalence, 0.0, 11.0, hidden).best - 0.01)
    apart = brentq(lambda d: gap(d) + f1 - reachable, 0.1, 11.0, xtol=1e-6)
    flat = Language(prevalence, 0.0, apart, hidden)
    at = float(GRID[np.argmax(flat.f1_at(GRID))])
    return Language(prevalence, float(np.log(threshold / (1 - threshold))) - at, apart, hidden)


def world(kind: str, random: np.random.Generator) -> dict[str, Language]:
    made = {}
    for name, (posts, positives, f1, threshold) in PAPER.items():
        at = {"half": 0.5, "scattered": float(1 / (1 + np.exp(-random.normal(0, 0.5))))}.get(kind, threshold)
        made[name] = language(posts, positives, f1, at, hidden=0.15 if kind == "hidden" else 0.0)
    return made


def draw(truth: dict[str, Language], random: np.random.Generator, small: dict[str, int] | None = None) -> DevScores:
    """Dev posts at the paper's sizes; a language in ``small`` has so many positives, at its own prevalence."""
    parts = []
    for name, (posts, positives, _, _) in PAPER.items():
        wanted = (small or {}).get(name, positives)
        scores, labels = truth[name].draw(round(posts * wanted / positives), wanted, random)
        parts.append(DevScores(scores, labels, np.full(len(labels), name)))
    return DevScores(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.languages for part in parts]),
    )


def tuned(posts: DevScores, rule: ThresholdRule) -> DecisionPolicy:
    spec = DecideSpec(rule=rule)
    return tune(posts.probabilities, posts.labels, posts.languages.tolist(), spec=spec, dev_fingerprint="")


def regrets_by_size(worlds: int, seed: int) -> dict[str, dict[str, float]]:
    """Mean regret of a language with few positives, the others at the paper's sizes: every language, every kind."""
    found: dict[str, dict[str, list[float]]] = {rule: {str(size): [] for size in SIZES} for rule in RULES}
    for number in range(worlds):
        random = np.random.default_rng([seed, number])
        truth = world(KINDS[number % len(KINDS)], random)
        name = list(PAPER)[(number // len(KINDS)) % len(PAPER)]
        for size in SIZES:
            posts = draw(truth, random, {name: size})
            for rule in RULES:
                value = tuned(posts, rule).threshold(name).value
                found[rule][str(size)].append(truth[name].best - float(truth[name].f1(value)))
    return {rule: {size: float(np.mean(values)) for size, values in row.items()} for rule, row in found.items()}


def optimism(worlds: int, seed: int) -> dict[str, dict[str, float]]:
    """Same-set and cross-fitted F1 minus the F1 on the population of the very same thresholds: pooled, and mean."""
    told: dict[str, dict[str, list[float]]] = {}
    for number in range(worlds):
        random = np.random.default_rng([seed, 1, number])
        truth = world(KINDS[number % len(KINDS)], random)
        posts = draw(truth, random)
        for rule in ("paper-grid", "argmax", "blend"):
            policy = tuned(posts, rule)
            flags = policy.flags(posts.probabilities, posts.languages.tolist())
            crossed = cross_fitted_flags(posts, spec=DecideSpec(rule=rule), repeats=1, seed=number)[0]
            for way, decided in (("same-set", flags), ("cross-fitted", crossed)):
                row = told.setdefault(f"{rule}, {way}", {})
                row.setdefault("pooled", []).append(count(posts.labels, decided).f1 - population_f1(truth, policy))
                for name in PAPER:
                    mine = posts.languages == name
                    true = float(truth[name].f1(policy.threshold(name).value))
                    row.setdefault(name, []).append(count(posts.labels[mine], decided[mine]).f1 - true)
    return {way: {part: float(np.mean(values)) for part, values in row.items()} for way, row in told.items()}


def population_f1(truth: dict[str, Language], policy: DecisionPolicy) -> float:
    """Pooled over languages in the mix of the dev posts."""
    tp = flagged = positives = 0.0
    for name, part in truth.items():
        posts, gold = PAPER[name][:2]
        p = policy.threshold(name).value
        cut = np.log(p / (1 - p))
        noise = ndtr((part.shift - cut) / SD[0])
        recall = (1 - part.hidden) * ndtr((part.shift + part.apart - cut) / SD[1]) + part.hidden * noise
        tp += gold * recall
        flagged += gold * recall + (posts - gold) * noise
        positives += gold
    return float(2 * tp / (flagged + positives))


def unlabelled(worlds: int, seed: int) -> dict[str, dict[str, float]]:
    """Regret in a language without labels: mean, 95th percentile and worst over languages and kinds of world."""
    found: dict[str, list[float]] = {}
    for number in range(worlds):
        random = np.random.default_rng([seed, 2, number])
        truth = world(KINDS[number % len(KINDS)], random)
        harder = random.uniform(0.5, 0.8) if number % 2 else 1.0  # than the labelled languages
        for name in PAPER:
            part = truth[name]
            new = Language(part.prevalence, part.shift, part.apart * harder, part.hidden)
            posts = draw(truth, random)
            known = posts.where(posts.languages != name)
            scores, _ = new.draw(*PAPER[name][:2], random)
            grid = np.mean([t.value for t in tuned(known, "paper-grid").thresholds.values()])
            policy = tuned(known, "blend")
            reference = references(known, policy)
            cuts = {
                "0.5": 0.5,
                "the paper's mean of its grid's thresholds": float(grid),
                "mean of blend's thresholds": similar_threshold(scores, reference, rule="mean").value,
                "overlap-weighted and clamped": similar_threshold(scores, reference).value,
                "rate matched to the true prevalence": by_prior(scores, part.prevalence).value,
            }
            for rule, value in cuts.items():
                found.setdefault(rule, []).append(new.best - float(new.f1(value)))
    return {
        rule: {"mean": float(np.mean(v)), "95%": float(np.quantile(v, 0.95)), "worst": float(np.max(v))}
        for rule, v in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=96, help="simulated worlds for each table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", help="write the numbers here too")
    arguments = parser.parse_args()
    begun = time.monotonic()
    tables = {
        "mean regret of a language by its positives in dev": regrets_by_size(arguments.worlds, arguments.seed),
        "F1 told minus F1 on the population": optimism(arguments.worlds // 4, arguments.seed),
        "regret in a language without labels": unlabelled(arguments.worlds // 2, arguments.seed),
    }
    print(f"simulated, {arguments.worlds} worlds, seed {arguments.seed}, Python {platform.python_version()}")
    for title, table in tables.items():
        print(f"\n{title}")
        columns = list(next(iter(table.values())))
        print(" " * 44 + "".join(f"{column:>9}" for column in columns))
        for name, row in table.items():
            print(f"{name:<44}" + "".join(f"{row[column]:>9.3f}" for column in columns))
    print(f"\n{time.monotonic() - begun:.0f} s")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
