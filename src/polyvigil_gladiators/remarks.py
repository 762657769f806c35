"""Metrics that the paper gives in its text: further models, the Farsi augmentations, distributions of scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.unlabelled import overlap
from polyvigil.detect import stacked
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.evaluation.paired import Difference, System, compare_systems
from polyvigil_gladiators import paper, plan
from polyvigil_gladiators.context import Context, Result, judged
from polyvigil_gladiators.measure import f1_of, mean_scores, same_set_flags, together, whole
from polyvigil_gladiators.plan import Row, Training
from polyvigil_gladiators.result import Measured, Metric

_ROUNDS = 2_000
"""Resamples for the interval of a difference."""


def text(context: Context, rows: Sequence[Row]) -> list[Metric]:
    """The metrics of these rows of the text."""
    makers: Mapping[str, Callable[[Context, Row], list[Metric]]] = {
        "mdeberta": _mdeberta,
        "fourth": _fourth,
        "coefficients": _coefficients,
        "french": _french,
        "scores": _scores,
    }
    return [metric for row in rows for metric in makers.get(row.key, _farsi)(context, row)]


def _blank(row: str, what: str, value: float | None, *, decimals: int) -> Metric:
    return Metric(table="text", row=row, what=what, paper=value, decimals=decimals, verdict="not judged")


def _mdeberta(context: Context, row: Row) -> list[Metric]:
    def measure(context: Context) -> Result:
        return Result(f1_of(together([whole(context.records[plan.MDEBERTA])]).pooled))

    return [judged(_blank("mDeBERTa-v3-base alone", "F1", paper.MDEBERTA, decimals=3), context, row, measure)]


def _fourth(context: Context, row: Row) -> list[Metric]:
    def measure(context: Context) -> Result:
        seeds, fourth = whole(context.records[plan.SEEDS]), whole(context.records[plan.FOURTH])
        three, alone = together([seeds]).pooled.f1, together([fourth]).pooled.f1
        return Result(
            f1_of(together([seeds, fourth]).pooled),
            (
                f"without it F1 is {three:.4f}, by itself {alone:.4f}; the paper does not say which model"
                f" its fourth was: here XLM-R-large with seed {plan.FOURTH.seeds[0]}",
            ),
        )

    return [judged(_blank("a fourth model", "F1", paper.FOURTH_MODEL, decimals=3), context, row, measure)]


def _coefficients(context: Context, row: Row) -> list[Metric]:
    def measure(context: Context, *, first: bool) -> Result:
        record = context.records[plan.STACKED]
        values = stacked.read(record.folder / record.manifest.members[0].folder).coefficients
        if first:
            return Result(Measured(value=values[0]))
        return Result(Measured(value=max(map(abs, values[1:]))), ("the paper has: below this",))

    name = "XLM-R-base + GLiNER features"
    return [
        judged(
            _blank(name, "coefficient of P", paper.STACKED_P, decimals=2), context, row, partial(measure, first=True)
        ),
        judged(
            _blank(name, "largest of the other nine", paper.STACKED_FURTHER, decimals=2),
            context,
            row,
            partial(measure, first=False),
        ),
    ]


def _french(context: Context, row: Row) -> list[Metric]:
    blank = _blank("translation augmentation", "change of F1, fr", paper.FRENCH_CHANGE, decimals=3)
    return [judged(blank, context, row, partial(_change, new=plan.BASE_DE_FR, old=plan.BASE, language="fr"))]


def _farsi(context: Context, row: Row) -> list[Metric]:
    """One of the Farsi augmentations: what it does to the dev posts, to Farsi posts, and what the audit says."""
    version = row.key.removeprefix("farsi-")
    training = plan.SEEDS_FA[version]
    name = f"Farsi {version}" + (", ours" if version == "v3" else "")
    is_first, is_second = version == "v1", version == "v2"
    change = _blank(name, "change of dev F1", paper.FARSI_V1_CHANGE if is_first else None, decimals=4)
    share = _blank(name, "Farsi flagged", paper.FARSI_V1_FLAGGED if is_first else None, decimals=3)
    second = paper.JAPANESE_THRESHOLDS[1] if is_second else None
    japanese = _blank(name, "threshold, ja", second, decimals=2)
    return [
        judged(change, context, row, partial(_change, new=training, old=plan.SEEDS)),
        judged(share, context, row, partial(_farsi_flagged, training=training)),
        judged(japanese, context, row, partial(_japanese_threshold, training=training)),
    ]


def _change(context: Context, *, new: Training, old: Training, language: str = "") -> Result | None:
    """Dev F1 of one bundle less that of another, on the same posts: pooled, or of one language."""
    after, before = context.records[new], context.records[old]
    dev = after.dev
    paired = compare_systems(
        dev.labels,
        dev.languages.tolist(),
        System(same_set_flags(after, dev)),
        System(same_set_flags(before, dev)),
        rounds=_ROUNDS,
    )
    part = next((part for part in paired.languages if part.name == language), None) if language else paired.pooled
    return Result(_of_difference(part.f1)) if part else None


def _of_difference(difference: Difference) -> Measured:
    return Measured(value=difference.difference, interval=Interval(low=difference.low, high=difference.high))


def _farsi_flagged(context: Context, *, training: Training) -> Result | None:
    scores = context.scores[training]
    chosen = scores.languages == "fa"
    number = int(np.count_nonzero(chosen))
    if not number:
        return None
    p = mean_scores(scores)[chosen]
    flagged = int(np.count_nonzero(context.records[training].policy.flags(p, ["fa"] * number)))
    refused = [gate.name for gate in context.audits[training].gates if not gate.passed]
    verdict = f"refused by {', '.join(refused)}" if refused else "passed"
    return Result(
        Measured(value=flagged / number, interval=share_interval(flagged, number), flagged=flagged),
        (f"of {number:,} Farsi posts; polyvigil audit shortcuts: {verdict}",),
    )


def _japanese_threshold(context: Context, *, training: Training) -> Result | None:
    before, after = (context.records[one].policy.thresholds.get("ja") for one in (plan.SEEDS, training))
    if not before or not after:
        return None
    known = after.low is not None and after.high is not None
    interval = Interval(low=after.low, high=after.high) if known else None
    return Result(
        Measured(value=after.value, interval=interval),
        (f"without Farsi {before.value:.2f}; the paper's {paper.JAPANESE_THRESHOLDS[0]:.2f}",),
    )


def _scores(context: Context, row: Row) -> list[Metric]:
    alike = _blank("3-seed ensemble", "overlap of scores, fa and ru", paper.OVERLAP, decimals=3)
    made = [judged(alike, context, row, _overlap)]
    for language, mean in paper.MEAN_SCORES.items():
        blank = _blank("3-seed ensemble", f"mean P, {language}", mean, decimals=3)
        made.append(judged(blank, context, row, partial(_mean_p, language=language)))
    return made


def _of_language(context: Context, language: str) -> NDArray[np.float64]:
    scores = context.scores[plan.SEEDS]
    chosen: NDArray[np.float64] = mean_scores(scores)[scores.languages == language]
    return chosen


def _overlap(context: Context) -> Result | None:
    farsi, russian = _of_language(context, "fa"), _of_language(context, "ru")
    if not len(farsi) or not len(russian):
        return None
    note = "of histograms of the logit of P in steps of 0.5, of the test posts; the paper does not tell its bins"
    return Result(Measured(value=overlap(farsi, russian)), (note,))


def _mean_p(context: Context, *, language: str) -> Result | None:
    p = _of_language(context, language)
    if len(p) < 2:
        return None
    margin = 1.96 * float(p.std(ddof=1)) / len(p) ** 0.5
    mean = float(p.mean())
    return Result(Measured(value=mean, interval=Interval(low=max(0.0, mean - margin), high=min(1.0, mean + margin))))
