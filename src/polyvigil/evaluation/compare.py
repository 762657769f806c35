"""Two or more bundles on the same labelled posts: which is better, what moved, and which decisions turned."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.outputs import json_document, json_lines
from polyvigil.bundle.store import Bundle
from polyvigil.config.score import TextForm
from polyvigil.data.packed_posts import posts_of
from polyvigil.data.read import Reading
from polyvigil.decide.shift import Shift, Side, shifts
from polyvigil.errors import DataError, SplitError
from polyvigil.evaluation.evaluate import Gold, gold_of, seen_before
from polyvigil.evaluation.paired import Difference, Paired, System, compare_systems, correct_together
from polyvigil.evaluation.reliability import ReliabilitySlice, reliability
from polyvigil.text.mask import mask
from polyvigil.types import Frozen, Post, Probabilities

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
    scored = _scored((first, second), reading)
    (one, other), gold, languages = scored.sides, scored.gold, scored.gold.languages.tolist()
    return Comparison(
        first=first.id,
        second=second.id,
        data=Path(reading.name).name,
        paired=_paired(scored, one, other),
        shifts=shifts(one.side, other.side, languages),
        calibration=_calibration((first, second), (one.side.probabilities, other.side.probabilities), gold),
        flips=_flips(scored, one, other),
        cautions=scored.cautions,
    )


class ComparedBundle(Frozen):
    """A bundle beside the first one."""

    bundle: str
    paired: Paired
    """Differences are its metrics less the first's. Holm's correction of the pooled metrics is over all bundles, that
    of the languages over all bundles and languages."""
    flips: tuple[Flip, ...]
    """Posts that it decides otherwise than the first, in their order; it is the ``second``."""

    @property
    def mended(self) -> int:
        """How many of them it decides rightly."""
        return sum(flip.mended for flip in self.flips)

    @property
    def verdict(self) -> str:
        """What its pooled F1 allows to say, all bundles considered."""
        f1 = self.paired.pooled.f1
        size = f"pooled F1 {f1.difference:+.3f} ({f1.low:+.3f} to {f1.high:+.3f})"
        if f1.p_holm is None:
            return f"not distinguishable from the first: {size}"
        if f1.p_holm >= _SURE or f1.low * f1.high <= 0:
            return f"not distinguishable from the first: {size}, p by Holm {f1.p_holm:.2f}"
        return f"{'better' if f1.difference > 0 else 'worse'} than the first: {size}, p by Holm {f1.p_holm:.3f}"


class SeveralComparison(Frozen):
    """``compare.json`` of more than two bundles, each compared with the first."""

    first: str
    data: str
    bundles: tuple[ComparedBundle, ...]
    """All but the first, in the order in which they were given."""
    cautions: tuple[str, ...]


def compare_several(bundles: Sequence[Bundle], reading: Reading) -> SeveralComparison:
    """Score the posts with each bundle once, and compare each with the first of them, as a baseline.

    p-values are corrected by Holm over all pairs: of pooled metrics over the bundles, of languages over bundles and
    languages, so that the chance of any false alarm in the whole table stays under the level. Raises what ``compare``
    raises.
    """
    scored = _scored(bundles, reading)
    first, *further = scored.sides
    paired = correct_together([_paired(scored, first, side) for side in further])
    return SeveralComparison(
        first=bundles[0].id,
        data=Path(reading.name).name,
        bundles=tuple(
            ComparedBundle(bundle=bundle.id, paired=pair, flips=_flips(scored, first, side))
            for bundle, pair, side in zip(bundles[1:], paired, further, strict=True)
        ),
        cautions=scored.cautions,
    )


SEVERAL = json_document("comparison", ("first", "bundles", "data"))


@dataclass(frozen=True, slots=True)
class _ScoredSide:
    """What one bundle says of the posts: its scores and policy, and its flags, (n_posts,)."""

    side: Side
    flags: NDArray[np.bool_]

    @property
    def system(self) -> System:
        return System(self.flags, self.side.probabilities)


@dataclass(frozen=True, slots=True)
class _Scored:
    """The same posts scored by several bundles."""

    gold: Gold
    posts: Sequence[Post]
    sides: tuple[_ScoredSide, ...]
    cautions: tuple[str, ...]


_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
MOST_BUNDLES = len(_ORDINALS)


def _scored(bundles: Sequence[Bundle], reading: Reading) -> _Scored:
    """Score the posts with each bundle. Raises SplitError when one was trained on them, and for posts that were chosen
    to be read; DataError for a bundle that is given twice."""
    if any(reading.selection.chosen):
        raise SplitError(
            f"cannot be compared on as if they were all posts: {reading.selection.reason}",
            where=reading.name,
            hint="polyvigil compare OLD NEW FILE --gate weighs a whole worklist, and what review export writes",
        )
    seen = [seen_before(reading.posts, bundle.seen.train, bundle.seen.dev, data=reading.name) for bundle in bundles]
    ids = [bundle.id for bundle in bundles]
    if twice := next((bundle_id for bundle_id in ids if ids.count(bundle_id) > 1), ""):
        what = "both bundles are the same" if len(ids) == 2 else "a bundle is given twice"
        raise DataError(what, where=twice, hint="give different ones")
    gold = gold_of(reading.posts)
    languages = gold.languages.tolist()
    posts = posts_of(reading.posts)
    sides = [Side(bundle.policy, bundle.probabilities(posts), bundle.abstains(posts)) for bundle in bundles]
    return _Scored(
        gold, posts, tuple(_ScoredSide(side, side.flags(languages)) for side in sides), tuple(_cautions(seen))
    )


def _cautions(seen: Sequence[Sequence[str]]) -> list[str]:
    """What is to be known of each bundle and the posts, said once where it is so of all."""
    shared = [caution for caution in seen[0] if all(caution in cautions for cautions in seen)]
    every = "either bundle" if len(seen) == 2 else "every bundle"
    return [
        *(f"{every}: {caution}" for caution in shared),
        *(
            f"{ordinal} bundle: {caution}"
            for ordinal, cautions in zip(_ORDINALS, seen, strict=False)
            for caution in cautions
            if caution not in shared
        ),
    ]


def _paired(scored: _Scored, first: _ScoredSide, second: _ScoredSide) -> Paired:
    return compare_systems(scored.gold.labels, scored.gold.languages.tolist(), second.system, first.system)


def _flips(scored: _Scored, first: _ScoredSide, second: _ScoredSide) -> tuple[Flip, ...]:
    return tuple(
        Flip(
            id=scored.posts[index].id,
            language=scored.posts[index].language,
            label=int(scored.gold.labels[index]),
            first_p=float(first.side.probabilities[index]),
            second_p=float(second.side.probabilities[index]),
            flagged_by="first" if first.flags[index] else "second",
        )
        for index in np.flatnonzero(first.flags != second.flags).tolist()
    )


def turned_lines(bundle: str, flips: Sequence[Flip], reading: Reading, form: TextForm) -> Iterator[str]:
    """A line of JSON for each post that ``bundle`` decides otherwise than the first, with its text in that form."""
    texts = {} if form == "dropped" else {item.post.id: item.post.text for item in reading.posts}
    for flip in flips:
        line = {"bundle": bundle, **flip.model_dump(mode="json")}
        if form != "dropped":
            line["text"] = mask(texts[flip.id]) if form == "masked" else texts[flip.id]
        yield json.dumps(line) + "\n"


TURNED = json_lines("file of turned decisions", ("bundle", "id", "flagged_by", "first_p", "second_p"))


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
