"""The parity gate of an export: does it decide as the bundle it was made from? By language, on labelled posts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyvigil.checks.audit import gate
from polyvigil.checks.audit.gate import Gate, Measured, gate_of
from polyvigil.evaluation.groups import POOLED
from polyvigil.evaluation.intervals import share_interval
from polyvigil.metrics import Counts, count
from polyvigil.types import Frozen, Labels, Probabilities

Form = Literal["int8", "bf16", "onnx"]
_SHIFTS = {"int8": gate.INT8_SHIFT, "bf16": gate.BF16_SHIFT, "onnx": gate.ONNX_SHIFT}
_ADVICE = {
    "int8": "score with the bundle as it is, or train and export another seed",
    "bf16": "score with the bundle as it is, or train and export another seed",
    "onnx": "score with the bundle as it is, and report the versions of torch and onnxruntime",
}


class ExportSlice(Frozen):
    """The posts of one language, or of all: ``pooled``."""

    name: str
    posts: int
    positives: int
    shift: float
    """Largest move of a post's P, |new - old|, in [0, 1]."""
    flips: int
    """Posts decided otherwise."""
    f1_before: float
    f1_after: float
    one_post: float
    """What F1 falls by when one more positive is missed: a smaller loss cannot be told from none on these posts."""

    @property
    def lost(self) -> float:
        """F1 before less F1 after."""
        return self.f1_before - self.f1_after


class ExportComparison(Frozen):
    """What an export does to the decisions. ``parity.json``."""

    form: Form
    source: str
    """Id of the bundle that was exported."""
    data: str
    retuned: bool
    """Whether the posts are the dev posts, on which the thresholds were tuned again for the export."""
    languages: tuple[ExportSlice, ...]
    pooled: ExportSlice
    gates: tuple[Gate, ...]
    cautions: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether no gate says no."""
        return all(gate.passed for gate in self.gates)


@dataclass(frozen=True, slots=True)
class Decided:
    """What a bundle says of some posts: ``flags`` and P of each, (n_posts,)."""

    flags: NDArray[np.bool_]
    probabilities: Probabilities


def compare_export(
    form: Form,
    before: Decided,
    after: Decided,
    *,
    labels: Labels,
    languages: Sequence[str],
    source: str,
    data: str,
    tuned: bool = False,
    cautions: Sequence[str] = (),
) -> ExportComparison:
    """Compare both on the same posts, in the same order; at least one post. ``pooled`` holds all of them."""
    names = np.asarray(languages)
    parts = tuple(
        _part(name, names == name, before, after, labels=labels) for name in sorted({str(name) for name in names})
    )
    pooled = _part(POOLED, np.ones(len(names), dtype=np.bool_), before, after, labels=labels)
    few = [part.name for part in parts if part.posts < gate.LEAST_POSTS]
    note = f"under {gate.LEAST_POSTS} posts, which shows little: {', '.join(few)}"
    every = (*parts, pooled)
    return ExportComparison(
        form=form,
        source=source,
        data=data,
        retuned=tuned,
        languages=parts,
        pooled=pooled,
        gates=(
            gate_of("score-moved", _SHIFTS[form], [_shift(form, part) for part in every]),
            gate_of("decided-otherwise", gate.FLIPPED, [_flips(form, part) for part in every]),
            gate_of("f1-lost", gate.F1_LOST, [_lost(form, part) for part in every if part.positives]),
        ),
        cautions=(*cautions, *([note] if few else [])),
    )


def _part(name: str, mask: NDArray[np.bool_], before: Decided, after: Decided, *, labels: Labels) -> ExportSlice:
    was, now = count(labels[mask], before.flags[mask]), count(labels[mask], after.flags[mask])
    one_fewer = Counts(was.tp - 1, was.fp, was.fn + 1, was.tn)
    return ExportSlice(
        name=name,
        posts=int(mask.sum()),
        positives=int(labels[mask].sum()),
        shift=float(np.abs(after.probabilities[mask] - before.probabilities[mask]).max()),
        flips=int(np.count_nonzero(before.flags[mask] != after.flags[mask])),
        f1_before=was.f1,
        f1_after=now.f1,
        one_post=was.f1 - one_fewer.f1 if was.tp else 0.0,
    )


def _shift(form: Form, part: ExportSlice) -> Measured:
    return Measured(
        group=part.name,
        value=part.shift,
        beyond=not part.shift <= _SHIFTS[form],  # NaN is beyond
        message=f"{part.name}: the P of a post moves by {part.shift:.4f} of {part.posts:,} posts",
        advice=_ADVICE[form],
        language="" if part.name == POOLED else part.name,
    )


def _flips(form: Form, part: ExportSlice) -> Measured:
    share = part.flips / part.posts
    return Measured(
        group=part.name,
        value=share,
        beyond=share_interval(part.flips, part.posts).low > gate.FLIPPED,
        message=f"{part.name}: {part.flips:,} of {part.posts:,} posts ({share:.1%}) are decided otherwise",
        advice=_ADVICE[form],
        language="" if part.name == POOLED else part.name,
    )


def _lost(form: Form, part: ExportSlice) -> Measured:
    return Measured(
        group=part.name,
        value=part.lost,
        beyond=part.lost > max(gate.F1_LOST, part.one_post) + 1e-12,
        message=f"{part.name}: F1 falls from {part.f1_before:.4f} to {part.f1_after:.4f} on "
        f"{part.positives:,} positives,"
        f" where one post is worth {part.one_post:.4f}",
        advice=_ADVICE[form],
        language="" if part.name == POOLED else part.name,
    )
