"""Values of a report -> SVG coordinates. Two kinds of chart; neither computes a metric.

The chart of F1 by language is as wide as its box: x in percent. The small pictures are panels of 240 x 176 units, the
square from (0, 0) to (1, 1) inside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from polyvigil.detect.base import TrainingLog
from polyvigil.evaluation.evaluate import Slice
from polyvigil.report.report import MemberSummary

_HEAD, _ROW, _FOOT = 30, 34, 30  # px: the chart's band for the label of the pooled line, one row, the axis
WIDTH, HEIGHT = 240, 176
LEFT, RIGHT, TOP, BOTTOM = 30, 232, 10, 146


@dataclass(frozen=True, slots=True)
class Mark:
    """One row of the chart. ``y`` in px; ``low``, ``at``, ``high`` in percent of the axis.

    ``shape`` is empty for a slice without positives, which has no F1. Where the thresholds were tuned on these posts
    the mark is the cross-fitted F1, and ``same_set`` the other one.
    """

    name: str
    y: int
    low: str
    at: str
    high: str
    same_set: str
    shape: Literal["dot", "ring", "diamond", ""]
    slice: Slice


@dataclass(frozen=True, slots=True)
class Chart:
    """Geometry of the dot-and-whisker chart, in px: the last mark is the pooled one, under the rule."""

    marks: tuple[Mark, ...]
    head: int
    row: int
    foot: int
    rule: int
    bottom: int
    anchor: Literal["start", "middle", "end"]
    """How the label of the pooled line stands to it, so that it stays inside the chart."""


def chart(languages: Sequence[Slice], pooled: Slice) -> Chart:
    """One mark for each language, and the pooled one."""
    marks = [
        _mark(part, row, name=part.name, shape="dot" if part.validated else "ring")
        for row, part in enumerate(languages)
    ]
    marks.append(_mark(pooled, len(languages), name="pooled", shape="diamond"))
    bottom = _HEAD + _ROW * len(marks)
    anchor: Literal["start", "middle", "end"] = "middle"
    at = (pooled.cross_fitted or pooled).f1
    if at < 0.15:
        anchor = "start"
    elif at > 0.85:
        anchor = "end"
    return Chart(tuple(marks), _HEAD, _ROW, _FOOT, bottom - _ROW, bottom, anchor)


def _mark(part: Slice, row: int, *, name: str, shape: Literal["dot", "ring", "diamond"]) -> Mark:
    shown = part.cross_fitted or part
    low, at, high = (f"{100 * x:.2f}%" for x in (shown.f1_interval.low, shown.f1, shown.f1_interval.high))
    same_set = f"{100 * part.f1:.2f}%" if part.cross_fitted else ""
    y = _HEAD + _ROW * row + _ROW // 2
    return Mark(name, y, low, at, high, same_set, shape if part.positives else "", part)


def across(x: float) -> str:
    """Where x in [0, 1] stands in a panel."""
    return _short(LEFT + x * (RIGHT - LEFT))


def down(y: float) -> str:
    """Where y in [0, 1] stands in a panel; 1 is at the top."""
    return _short(BOTTOM - y * (BOTTOM - TOP))


def polyline(xs: Sequence[float], ys: Sequence[float]) -> str:
    """A path through points of [0, 1] x [0, 1]."""
    return "M" + "L".join(f"{across(x)} {down(y)}" for x, y in zip(xs, ys, strict=True))


def steps(recall: Sequence[float], precision: Sequence[float]) -> str:
    """The path whose area is the average precision: level to each recall, at its precision."""
    path, at = f"M{across(0)} {down(precision[0])}", ""
    for x, y in zip(recall, precision, strict=True):
        path += (f"V{down(y)}" if at != down(y) and at else "") + f"H{across(x)}"
        at = down(y)
    return path


def bars(counts: Sequence[int], *, upward: bool, tallest: int = 0) -> str:
    """A path of bars from the middle line; ``tallest``, by default the largest count, is half a panel high.

    Empty for no posts at all.
    """
    tallest, middle, half = tallest or max(counts), (TOP + BOTTOM) / 2, (BOTTOM - TOP) / 2
    width = (RIGHT - LEFT) / len(counts)
    path = ""
    for index, number in enumerate(counts):
        if number:
            height = max(half * number / tallest, 1.0) * (-1 if upward else 1)
            left = LEFT + index * width + 0.6
            path += f"M{_short(left)} {_short(middle)}v{_short(height)}h{_short(width - 1.2)}v{_short(-height)}z"
    return path


def epoch_position(index: int, number: int) -> float:
    """Where the ``place``-th of ``number`` epochs stands, in [0, 1]."""
    return index / (number - 1) if number > 1 else 0.5


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


@dataclass(frozen=True, slots=True)
class EpochCurve:
    """One member's line: its path, and where each epoch's point stands."""

    name: str
    path: str
    points: tuple[tuple[str, str, bool], ...]
    """x, y, and whether it is the epoch whose weights are kept."""


@dataclass(frozen=True, slots=True)
class EpochPanel:
    """One metric of all members, epoch by epoch, on an axis from ``low`` to ``high``."""

    title: str
    low: str
    high: str
    epochs: int
    lines: tuple[EpochCurve, ...]


def epoch_panels(members: Sequence[MemberSummary]) -> tuple[EpochPanel, ...]:
    """Loss, and dev F1; of the members that were trained in epochs, none where there is none."""
    logs = [(member.name, member.log) for member in members if member.log]
    if not logs:
        return ()
    losses = [[record.loss for record in log.epochs] for _, log in logs]
    scores = [[record.dev_f1 for record in log.epochs] for _, log in logs]
    top = max(max(values) for values in losses) or 1.0
    low, high = min(min(values) for values in scores), max(max(values) for values in scores)
    low, high = math.floor(low * 10) / 10, max(math.ceil(high * 10) / 10, math.floor(low * 10) / 10 + 0.1)
    return (
        _panel("Loss by epoch", logs, losses, 0.0, top, f"{top:.3g}"),
        _panel("Dev F1 by epoch, same set", logs, scores, low, high, f"{high:.1f}"),
    )


def _panel(
    title: str,
    logs: Sequence[tuple[str, TrainingLog]],
    values: Sequence[Sequence[float]],
    low: float,
    high: float,
    top_label: str,
) -> EpochPanel:
    longest = max(len(some) for some in values)
    lines = []
    for (name, log), some in zip(logs, values, strict=True):
        xs = [epoch_position(index, longest) for index in range(len(some))]
        ys = [(value - low) / (high - low) for value in some]
        kept = [record is log.best for record in log.epochs]
        points = tuple((across(x), down(y), best) for x, y, best in zip(xs, ys, kept, strict=True))
        lines.append(EpochCurve(name, polyline(xs, ys), points))
    return EpochPanel(title, f"{low:.1f}" if low else "0", top_label, longest, tuple(lines))
