"""Two bundles on the same labelled posts: which is better, what moved, and which decisions turned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from polyvigil.bundle.outputs import json_document
from polyvigil.bundle.store import Bundle
from polyvigil.data.packed_posts import posts_of
from polyvigil.data.read import Reading
from polyvigil.decide.shift import Shift, Side, shifts
from polyvigil.errors import DataError, SplitError
from polyvigil.evaluation.evaluate import Gold, gold_of, seen_before
from polyvigil.evaluation.paired import Difference, Paired, System, compare_systems
from polyvigil.evaluation.reliability import ReliabilitySlice, reliability
from polyvigil.types import Frozen, Probabilities

_SURE = 0.05


class Calibrated(Frozen):
    """Calibration of both bundles in one language: mean calibrated P beside the share of positives, Brier and ECE."""

    language: str
    prevalence: float
    first: ReliabilitySlice
    second: ReliabilitySlice
    first_mean: float
    second_mean: float


class Flip(Frozen):
    """A post that the two decide differently. ``flagged_by`` is first or second."""

    id: str
    language: str
    label: int
    first_p: float
    second_p: float
    flagged_by: str

    @property
    def mended(self) -> bool:
        """Whether the second is right."""
        return (self.flagged_by == "second") == bool(self.label)


class Comparison(Frozen):
    """``compare.json``."""

    first: str
    second: str
    data: str
    paired: Paired
    """Differences are the second's metrics less the first's."""
    shifts: tuple[Shift, ...]
    calibration: tuple[Calibrated, ...]
    flips: tuple[Flip, ...]
    """In the order of the posts."""
    cautions: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One sentence on the pooled F1."""
        return verdict(self.paired.pooled.f1)


COMPARISON = json_document("comparison", ("first", "second", "paired", "flips"))


def compare(first: Bundle, second: Bundle, reading: Reading) -> Comparison:
    """Score the posts with both bundles, once each, and compare.

    Raises SplitError when one was trained on them, and for posts that were chosen to be read.
    """
    if any(reading.selection.chosen):
        raise SplitError(
            f"cannot be compared on as if they were all posts: {reading.selection.reason}",
            where=reading.name,
            hint="polyvigil compare OLD NEW FILE --gate weighs a whole worklist, and what review export writes",
        )
    seen = [
        seen_before(reading.posts, bundle.seen.train, bundle.seen.dev, data=reading.name) for bundle in (first, second)
    ]
    cautions = [f"either bundle: {caution}" for caution in seen[0] if caution in seen[1]]
    for side, side_cautions, other in (("first", *seen), ("second", *reversed(seen))):
        cautions += [f"{side} bundle: {caution}" for caution in side_cautions if caution not in other]
    if first.id == second.id:
        raise DataError("both bundles are the same", where=first.id, hint="give two different ones")
    gold = gold_of(reading.posts)
    languages = gold.languages.tolist()
    posts = posts_of(reading.posts)
    scores = (first.probabilities(posts), second.probabilities(posts))
    sides = [Side(b.policy, p, b.abstains(posts)) for b, p in zip((first, second), scores, strict=True)]
    flags = [side.flags(languages) for side in sides]
    turned = np.flatnonzero(flags[0] != flags[1])
    return Comparison(
        first=first.id,
        second=second.id,
        data=Path(reading.name).name,
        paired=compare_systems(gold.labels, languages, System(flags[1], scores[1]), System(flags[0], scores[0])),
        shifts=shifts(sides[0], sides[1], languages),
        calibration=_calibration((first, second), scores, gold),
        flips=tuple(
            Flip(
                id=posts[index].id,
                language=posts[index].language,
                label=int(gold.labels[index]),
                first_p=float(scores[0][index]),
                second_p=float(scores[1][index]),
                flagged_by="first" if flags[0][index] else "second",
            )
            for index in turned.tolist()
        ),
        cautions=tuple(cautions),
    )


def verdict(difference: Difference) -> str:
    """What a difference of F1 (second less first) with its tests allows to say."""
    size = f"{difference.difference:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
    p = difference.p_randomisation if difference.p_randomisation is not None else difference.p_bootstrap
    if p < _SURE and difference.low * difference.high > 0:
        better = "second" if difference.difference > 0 else "first"
        return f"the {better} bundle is better: pooled F1 {size}, p = {p:.3f}"
    least = (
        "" if difference.detectable is None else f"; these posts would show a difference of {difference.detectable:.3f}"
    )
    return f"not distinguishable: pooled F1 {size}, p = {p:.2f}{least}"


def _calibration(bundles: Sequence[Bundle], scores: Sequence[Probabilities], gold: Gold) -> tuple[Calibrated, ...]:
    languages = gold.languages.tolist()
    sides = [
        bundle.calibration.calibrated(probabilities, languages)
        for bundle, probabilities in zip(bundles, scores, strict=True)
    ]
    first, second = (reliability(calibrated, gold.labels, languages) for calibrated in sides)
    rows = []
    for one, other in zip(first.languages, second.languages, strict=True):
        mask = gold.languages == one.name
        rows.append(
            Calibrated(
                language=one.name,
                prevalence=float(gold.labels[mask].mean()),
                first=one,
                second=other,
                first_mean=float(sides[0][mask].mean()),
                second_mean=float(sides[1][mask].mean()),
            )
        )
    return tuple(rows)
