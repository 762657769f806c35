"""The analysis behind ``polyvigil audit augmentation``: what each language gains or loses by added posts."""

from __future__ import annotations

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.drift import DriftRow, drift_rows, rate_moved_gate
from polyvigil.checks.audit.gate import Gate, Measured, gate_of
from polyvigil.data.read import Reading
from polyvigil.decide.shift import Side
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.measure import measured
from polyvigil.evaluation.paired import Paired, PairedSlice, System, compare_systems
from polyvigil.types import Frozen


class AugmentationAudit(Frozen):
    """Both bundles on the same labelled posts; differences in ``paired`` are after less before."""

    before: Evaluation
    after: Evaluation
    paired: Paired
    rates: tuple[DriftRow, ...]
    gates: tuple[Gate, ...]


def audit_augmentation(before: Bundle, after: Bundle, reading: Reading) -> AugmentationAudit:
    """Measure both. Raises SplitError where either has trained on the posts, or on mixed splits."""
    first, second = measured(before, reading), measured(after, reading)
    languages = first.gold.languages.tolist()
    systems = [
        System(bundle.flags(side.posts, side.probabilities), side.probabilities)
        for bundle, side in ((before, first), (after, second))
    ]
    paired = compare_systems(first.gold.labels, languages, systems[1], systems[0])
    sides = [
        Side(bundle.policy, side.probabilities, side.abstained) for bundle, side in ((before, first), (after, second))
    ]
    rates = drift_rows(sides[0], sides[1], languages)
    return AugmentationAudit(
        before=first.evaluation,
        after=second.evaluation,
        paired=paired,
        rates=rates,
        gates=(loss_gate(paired), rate_moved_gate(rates)),
    )


def loss_gate(paired: Paired) -> Gate:
    """Languages, and all together, whose F1 is lower after, by more than its paired 95% interval allows for chance.

    Each is judged by itself: of many languages one may fall by chance, and Holm's p beside says so.
    """
    return gate_of("f1-lost", 0.0, [_measured(part) for part in (*paired.languages, paired.pooled) if part.positives])


def _measured(part: PairedSlice) -> Measured:
    f1 = part.f1
    holm = "" if f1.p_holm is None else f", p {f1.p_holm:.3f} over all languages"
    return Measured(
        group=part.name,
        value=-f1.difference,
        beyond=f1.high < 0,
        message=f"{part.name}: F1 fell from {f1.second:.3f} to {f1.first:.3f} on {part.posts:,} posts, by"
        f" {-f1.difference:.3f} (95% {-f1.high:.3f} to {-f1.low:.3f}{holm})",
        advice="leave the added posts out, or those of this language, and add negatives from the same source",
        language="" if part.name == "pooled" else part.name,
    )
