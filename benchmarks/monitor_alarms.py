"""How often `polyvigil monitor` alarms on streams in which nothing changed, and how soon where something did.

    python benchmarks/monitor_alarms.py [--simulations 200] [--seed 0] [--json FILE]

A world is a number of streams (a language of a source each), with so many posts a week and a prevalence. Posts have
scores: normal on the logit scale, of ADEs around .5 (sd 1.3), of others around -4 (sd 1.4). From week to week all
moves: the prevalence and the other shares by ``between`` (sd of log-odds, autocorrelated by ``auto``), the scores by
half of it (logits), log lengths by a third, the number of posts by ``volume``. The charts are those of the program
(polyvigil.monitor.charts), the first 8 weeks the reference; alarms are counted where they begin, over all charts of the
monitor together.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr

from polyvigil.config.monitor import MonitorSpec
from polyvigil.monitor.charts import (
    RATES,
    Metric,
    WeeklyCounts,
    chart_limits,
    mix_chart,
    prevalence_charts,
    stream_charts,
)
from polyvigil.monitor.counts import LENGTH_EDGES, SCORE_EDGES
from polyvigil.monitor.statistics import Chart, Floats

Flags = NDArray[np.bool_]
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
    streams: tuple[int, ...] = (0,)


CHANGES = (
    Change("doubled", odds=2.06),
    Change("tripled", odds=3.2),
    Change("half another source", source=0.5),
    Change("another source", source=1.0),
)


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
        after[:, list(change.streams), K + 4 :] = 1.0

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


def summed(counts: WeeklyCounts, streams: list[int]) -> WeeklyCounts:
    """Some streams together."""
    return WeeklyCounts(**{one.name: getattr(counts, one.name)[:, streams].sum(1) for one in fields(counts)})


def alarms_of(world: World, counts: WeeklyCounts) -> list[tuple[Metric, list[int], Flags]]:
    """Of each chart its metric, the streams in it, and whether it alarms: (simulations, weeks)."""
    number, languages = len(world.sizes), min(world.languages, len(world.sizes))
    charts: list[tuple[Metric, list[int], Chart]] = []
    for stream in range(number):
        charts += [(name, [stream], chart) for name, chart in stream_charts(summed(counts, [stream]), K).items()]
    of_language = [[one for one in range(number) if one % languages == name] for name in range(languages)]
    joint = [some for some in (*of_language, list(range(number))) if len(some) > 1]
    for some in joint:
        charts += [(name, some, chart) for name, chart in prevalence_charts(summed(counts, some), K).items()]
    if languages > 1:
        by_language = np.stack([counts.posts[:, some].sum(1) for some in of_language], axis=-1)
        charts.append(("languages", list(range(number)), mix_chart(by_language, K)))
    if number > languages:  # of each language the first streams are of one source, the others of a second
        by_source = np.stack([counts.posts[:, :languages].sum(1), counts.posts[:, languages:].sum(1)], axis=-1)
        charts.append(("sources", list(range(number)), mix_chart(by_source, K)))
    metrics, freedom = [name for name, _, _ in charts], [chart.freedom for _, _, chart in charts]
    result = []
    limits = chart_limits(metrics, freedom, false_alarms=SPEC.false_alarms)
    for (name, some, chart), most in zip(charts, limits, strict=True):
        statistic = np.abs(chart.statistic) if name in RATES else chart.statistic
        result.append((name, some, np.nan_to_num(statistic) > most))
    return result


def false_alarms(world: World, simulations: int, random: np.random.Generator) -> dict[str, float]:
    """Alarms that begin, and weeks in which one holds, in 13 weeks; and the largest part of a metric."""
    alarms = alarms_of(world, simulate(world, simulations, random))
    quarters = simulations * (world.weeks - K) / 13
    begun: dict[str, float] = {}
    for name, _, flags in alarms:
        before = np.concatenate([np.zeros_like(flags[..., :1]), flags[..., :-1]], axis=-1)
        begun[name] = begun.get(name, 0.0) + (flags & ~before).sum() / quarters
    held = np.any(np.stack([flags for _, _, flags in alarms]), axis=0).sum() / quarters
    return {"charts": len(alarms), "begun": sum(begun.values()), "weeks": float(held), **begun}


def found(world: World, change: Change, simulations: int, random: np.random.Generator) -> dict[str, float]:
    """The share of simulations in which a chart with the changed stream alarms within 1, 2, 4 weeks."""
    world = replace(world, weeks=K + 8)
    alarms = alarms_of(world, simulate(world, simulations, random, change))
    here = np.any(np.stack([flags for _, some, flags in alarms if {*some} & {*change.streams}]), axis=0)
    return {str(weeks): float(here[:, K + 4 : K + 4 + weeks].any(1).mean()) for weeks in (1, 2, 4)}


def false_alarm_worlds() -> list[World]:
    large, small = World("14 streams"), (100.0,) * 14
    return [
        replace(large, name="14 streams, weeks vary as posts do", between=0.0, volume=0.05),
        replace(large, name="14 streams, by 10%"),
        replace(large, name="14 streams, by 20%", between=0.2),
        replace(large, name="14 streams, by 20%, 13 weeks", between=0.2, weeks=13),
        replace(large, name="14 streams, by 20%, 52 weeks", between=0.2, weeks=52),
        replace(large, name="14 streams, by 20%, autocorrelated", between=0.2, auto=0.5),
        replace(large, name="14 streams, by 20%, heavy tails", between=0.2, heavy=True),
        replace(large, name="14 streams, by 30%", between=0.3),
        replace(large, name="14 streams of 100 posts, by 20%", sizes=small, between=0.2),
        replace(large, name="1 stream of 10,000, by 20%", sizes=(10_000,), between=0.2),
        replace(large, name="1 stream of 10,000, by 30%", sizes=(10_000,), between=0.3),
        replace(large, name="1 stream of 300, by 20%", sizes=(300,), between=0.2),
        replace(large, name="1 stream of 100, by 20%", sizes=(100,), between=0.2),
    ]


def detection_rows(simulations: int, seed: int) -> list[dict[str, Any]]:
    """Doubled prevalence and changed sources, in the first stream of monitors of 1 and 14 streams, and everywhere."""
    rows = []
    for size in (100, 300, 1000, 3000, 10_000):
        for streams in (1, 14):
            for between in (0.1, 0.2):
                world = World("", sizes=(float(size),) + (1000.0,) * (streams - 1), between=between)
                row: dict[str, Any] = {"size": size, "streams": streams, "between": between}
                for change in CHANGES:
                    random = np.random.default_rng([seed, size, streams])
                    row[change.name] = found(world, change, simulations, random)
                rows.append(row)
    everywhere = Change("doubled", odds=2.06, streams=tuple(range(14)))
    for between in (0.1, 0.2):
        world = World("", sizes=(300.0,) * 14, between=between)
        here = found(world, everywhere, simulations, np.random.default_rng(seed))
        rows.append({"size": 300, "streams": "all 14", "between": between, "doubled": here})
    return rows


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    started = time.monotonic()
    print("false alarms in 13 weeks, over all charts        charts   begun   weeks with one   most of")
    stable = []
    for world in false_alarm_worlds():
        number = arguments.simulations * (4 if len(world.sizes) == 1 else 1)
        row = false_alarms(world, number, np.random.default_rng(arguments.seed))
        most = max((name for name in row if name not in ("charts", "begun", "weeks")), key=lambda name: row[name])
        print(f"{world.name:48} {row['charts']:6.0f} {row['begun']:7.2f} {row['weeks']:16.2f}   {most}")
        stable.append({"world": asdict(world), **row})
    print("\nfound within two weeks (four), by posts a week of the stream")
    print(f"{'posts':>7} {'streams':>8} {'weeks vary':>11}" + "".join(f"{one.name:>22}" for one in CHANGES))
    changed = detection_rows(arguments.simulations, arguments.seed)
    for row in changed:
        cells = [f"{row[one.name]['2']:.0%} ({row[one.name]['4']:.0%})" if one.name in row else "" for one in CHANGES]
        print(
            f"{row['size']:7,} {row['streams']:>8} {row['between']:>11.0%}" + "".join(f"{cell:>22}" for cell in cells)
        )
    print(f"\n{time.monotonic() - started:.0f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"stable": stable, "changed": changed}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
