"""How often `polyvigil monitor` alarms on streams in which nothing changed, and how soon where something did.

    python benchmarks/monitor_alarms.py [--simulations 200] [--seed 0] [--json FILE]

A world is a number of streams (a language of a source each), with so many posts a week and a prevalence. Posts have
scores: normal on the logit scale, of ADEs around .5 (sd 1.3), of others around -4 (sd 1.4). From week to week all
moves: the prevalence and the other shares by ``between`` (sd of log-odds, autocorrelated by ``auto``), the scores by
half of it (logits), log lengths by a third, the number of posts by ``volume``. The charts are those of the program (polyvigil.monitor.charts),
the first 8 weeks the reference; alarms are counted where they begin, over all charts of the monitor together.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from scipy.special import expit, logit, ndtr

from polyvigil.config.monitor import MonitorSpec
from polyvigil.monitor.charts import RATES, Metric, WeeklyCounts, mix_chart, stream_charts
from polyvigil.monitor.counts import LENGTH_EDGES, SCORE_EDGES
from polyvigil.monitor.statistics import Chart, Floats, limit

SPEC = MonitorSpec()
K = SPEC.reference_weeks
THRESHOLD = 0.3
_LOGITS = np.concatenate([[-50.0], logit(np.array(SCORE_EDGES)), [50.0]])
_MIDDLES = expit(np.concatenate([[_LOGITS[1] - 1], (_LOGITS[1:-2] + _LOGITS[2:-1]) / 2, [_LOGITS[-2] + 1]]))
_LENGTHS = np.concatenate([[-50.0], np.log(np.array(LENGTH_EDGES)), [50.0]])
assert THRESHOLD in SCORE_EDGES


@dataclass(frozen=True)
class World:
    """Streams in which nothing changes: ``sizes``, posts a week of each."""

    name: str
    sizes: tuple[float, ...] = (50, 100, 100, 300, 300, 300, 500, 1000, 1000, 1000, 2000, 3000, 5000, 10000)
    languages: int = 7
    weeks: int = 26
    prevalence: float = 0.03
    between: float = 0.1
    auto: float = 0.0
    volume: float = 0.15
    heavy: bool = False
    """Shocks of Student's distribution of 4 degrees of freedom, of the same variance."""


@dataclass(frozen=True)
class Change:
    """What becomes different at week K + 4, in the stream of index ``stream``."""

    name: str
    odds: float = 1.0
    """By which the prevalence's odds are multiplied."""
    source: float = 0.0
    """The share of posts that come from a source of another kind: longer, less separated scores, half prevalence."""
    stream: int = 0


@dataclass
class Simulated:
    counts: WeeklyCounts
    onset: int = K + 4
    charts: dict[tuple[Metric, int], Chart] = field(default_factory=dict)


def shocks(random: np.random.Generator, shape: tuple[int, ...], world: World) -> Floats:
    """Standard shocks (..., n_weeks), autocorrelated."""
    raw = random.standard_t(4, shape) / np.sqrt(2) if world.heavy else random.standard_normal(shape)
    result = raw.copy()
    for week in range(1, shape[-1]):
        result[..., week] = world.auto * result[..., week - 1] + np.sqrt(1 - world.auto**2) * raw[..., week]
    return result


def shares_of(edges: Floats, mean: Floats, deviation: float) -> Floats:
    return np.diff(ndtr((edges - mean[..., None]) / deviation), axis=-1)


def simulate(world: World, simulations: int, random: np.random.Generator, change: Change | None = None) -> WeeklyCounts:
    """Counts (simulations, streams, weeks)."""
    shape = (simulations, len(world.sizes), world.weeks)
    after = np.zeros(shape)
    if change:
        after[:, change.stream, K + 4 :] = 1.0

    def moved(share: float, factor: Floats | float = 1.0) -> Floats:
        return expit(logit(share) + np.log(factor) + world.between * shocks(random, shape, world))

    sizes = np.array(world.sizes)[None, :, None]
    posts = random.poisson(sizes * np.exp(world.volume * shocks(random, shape, world))).astype(np.int64)
    odds = change.odds if change else 1.0
    prevalence = moved(world.prevalence, np.where(after > 0, odds, 1.0))
    shift = world.between / 2 * shocks(random, shape, world)
    scores = prevalence[..., None] * shares_of(_LOGITS, 0.5 + shift, 1.3)
    scores += (1 - prevalence[..., None]) * shares_of(_LOGITS, -4 + shift, 1.4)
    length = 4.5 + world.between / 3 * shocks(random, shape, world)
    lengths = shares_of(_LENGTHS, length, 0.8)
    if change and change.source:
        part = (change.source * after)[..., None]
        new = world.prevalence / 2
        other = new * shares_of(_LOGITS, shift, 1.5) + (1 - new) * shares_of(_LOGITS, -3.2 + shift, 1.5)
        scores = (1 - part) * scores + part * other
        lengths = (1 - part) * lengths + part * shares_of(_LENGTHS, length + 0.7, 0.9)
    scores, lengths = (random.multinomial(posts, some / some.sum(-1, keepdims=True)) for some in (scores, lengths))
    unread = random.binomial(posts, moved(0.005))
    scripts = random.binomial(posts, moved(0.01))
    return WeeklyCounts(
        rows=(posts + unread).astype(float),
        posts=posts.astype(float),
        flagged=scores[..., SCORE_EDGES.index(THRESHOLD) + 1 :].sum(-1).astype(float),
        sums=scores @ _MIDDLES,
        squares=scores @ _MIDDLES**2,
        unread=unread.astype(float),
        duplicates=random.binomial(posts, moved(0.05)).astype(float),
        scores=scores.astype(float),
        lengths=lengths.astype(float),
        scripts=np.stack([posts - scripts, scripts], axis=-1).astype(float),
    )


def alarms_of(world: World, counts: WeeklyCounts) -> dict[str, np.ndarray]:
    """Whether each chart alarms, by metric: (simulations, streams or 1, weeks)."""
    charts: dict[str, Chart] = dict(stream_charts(counts, K))
    mixes = {}
    if len(world.sizes) > 1:
        by_language = np.zeros((*counts.posts[:, 0].shape, world.languages))
        for stream in range(len(world.sizes)):
            by_language[..., stream % world.languages] += counts.posts[:, stream]
        half = len(world.sizes) // 2
        by_source = np.stack([counts.posts[:, :half].sum(1), counts.posts[:, half:].sum(1)], axis=-1)
        mixes = {"languages": mix_chart(by_language, K), "sources": mix_chart(by_source, K)}
    number = len(charts) * len(world.sizes) + len(mixes)
    result = {}
    for name, chart in {**charts, **mixes}.items():
        two = name in RATES
        most = limit(chart.freedom, charts=number, false_alarms=SPEC.false_alarms, sides=2 if two else 1)
        statistic = np.abs(chart.statistic) if two else chart.statistic
        result[name] = np.nan_to_num(statistic) > most
        if result[name].ndim == 2:
            result[name] = result[name][:, None]
    return result


def false_alarms(world: World, simulations: int, random: np.random.Generator) -> dict[str, float]:
    """Alarms that begin, a quarter, over all charts; and of each metric."""
    alarms = alarms_of(world, simulate(world, simulations, random))
    quarters = (world.weeks - K) / 13
    begun = {
        name: (some & ~np.concatenate([np.zeros_like(some[..., :1]), some[..., :-1]], -1)).sum()
        / simulations
        / quarters
        for name, some in alarms.items()
    }
    held = np.any(np.concatenate([some.any(1, keepdims=True) for some in alarms.values()], 1), axis=1)
    return {"all": float(sum(begun.values())), "weeks": float(held.sum() / simulations / quarters), **begun}


def found(world: World, change: Change, simulations: int, random: np.random.Generator) -> dict[str, float]:
    """The share of simulations in which a chart of the changed stream alarms within 1, 2, 4 weeks."""
    world = replace(world, weeks=K + 8)
    alarms = alarms_of(world, simulate(world, simulations, random, change))
    here = np.any(np.stack([some[:, change.stream if some.shape[1] > 1 else 0] for some in alarms.values()]), axis=0)
    return {str(weeks): float(here[:, K + 4 : K + 4 + weeks].any(1).mean()) for weeks in (1, 2, 4)}
