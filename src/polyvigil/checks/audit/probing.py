"""Texts that say nothing, in every script: how many of them a bundle flags, and what the script adds to their score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit import probes
from polyvigil.checks.audit.gate import Gate, Measured, gate_of
from polyvigil.checks.audit.limits import PROBE_LIFT, PROBE_SHARE
from polyvigil.decide.policy import flagged
from polyvigil.decide.thresholds import logit
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.text.normalise import model_text
from polyvigil.text.script import SCRIPTS, main_script
from polyvigil.types import Frozen, LabelledPost, Post

ProbeKind = Literal["junk", "mapped"]
_SYLLABIC = {"Han", "Japanese", "Hangul"}  # too many letters to be mapped into an alphabet


class Probe(Frozen):
    """Texts of one kind in one script: ``threshold`` is the lowest of the script's languages, else the fallback.

    ``lift``: their mean logit less that of the same kind of text in the middle one of all scripts, most of which a
    model has not learned anything about.
    """

    kind: ProbeKind
    script: str
    letters: int
    """How many different ones the texts are made of."""
    texts: int
    threshold: float
    flagged: int
    share: float
    share_interval: Interval
    lift: float


def probe(bundle: Bundle, items: Sequence[LabelledPost]) -> tuple[Probe, ...]:
    """Every script that text.script tells apart, both kinds; the mapped texts are negatives among ``items`` that are
    written in another alphabet."""
    scripts = [main_script(model_text(item.post.text)) for item in items]
    told: list[Probe] = []
    for script in SCRIPTS:
        mine = [item.post for item, name in zip(items, scripts, strict=True) if name == script]
        letters = probes.known_letters(bundle, script, seen=[post.text for post in mine])
        others = [
            item.post.text
            for item, name in zip(items, scripts, strict=True)
            if not item.label and name not in {script, "none", "other"} | _SYLLABIC
        ]
        cut = _lowest_threshold(bundle, mine)
        told.append(_probe(bundle, "junk", script, probes.junk(letters), letters=letters, cut=cut))
        if texts := probes.mapped(others, letters):
            told.append(_probe(bundle, "mapped", script, texts, letters=letters, cut=cut))
    return tuple(_with_lift(part, told) for part in sorted(told, key=lambda part: part.kind))


def probe_gates(told: Sequence[Probe]) -> tuple[Gate, ...]:
    """Two gates for each kind: the share flagged, and what the script adds."""
    names: dict[ProbeKind, str] = {"junk": "junk of random letters", "mapped": "negatives in replaced letters"}
    gates = []
    for kind, name in names.items():
        mine = [part for part in told if part.kind == kind]
        shares = [
            Measured(
                place=part.script,
                figure=part.share,
                beyond=part.share_interval.low > PROBE_SHARE,
                told=f"{part.script} script: {part.share:.0%} of {part.texts:,} texts of {name} are flagged at"
                f" {part.threshold:.2f} (95% {part.share_interval.low:.0%} to {part.share_interval.high:.0%}; limit"
                f" {PROBE_SHARE:.0%}), though they say nothing",
                advice=_ADVICE,
            )
            for part in mine
        ]
        lifts = [
            Measured(
                place=part.script,
                figure=part.lift,
                beyond=part.lift > PROBE_LIFT,
                told=f"{part.script} script: {name} score {part.lift:.1f} logits above those in other scripts (limit"
                f" {PROBE_LIFT:g}), so the script itself counts as a sign of an ADE",
                advice=_ADVICE,
            )
            for part in mine
        ]
        gates += [gate_of(f"{kind}-share", PROBE_SHARE, shares), gate_of(f"{kind}-lift", PROBE_LIFT, lifts)]
    return tuple(gates)


_ADVICE = "see what was trained on in it (--train), then add negatives of the same source or leave its positives out"


def _lowest_threshold(bundle: Bundle, posts: Sequence[Post]) -> float:
    """Over the languages of these posts that are no rare exception; the fallback where there are none."""
    languages = Counter(post.language for post in posts)
    common = [name for name, number in languages.items() if number * 20 >= len(posts)]
    return min((bundle.policy.threshold(name).value for name in common), default=bundle.policy.fallback.value)


def _probe(bundle: Bundle, kind: ProbeKind, script: str, texts: Sequence[str], *, letters: str, cut: float) -> Probe:
    scores = bundle.probabilities([Post("", text) for text in texts])
    count = int(flagged(scores, cut).sum())
    return Probe(
        kind=kind,
        script=script,
        letters=len(letters),
        texts=len(texts),
        threshold=cut,
        flagged=count,
        share=count / len(texts),
        share_interval=share_interval(count, len(texts)),
        lift=float(logit(scores).mean()),
    )


def _with_lift(part: Probe, told: Sequence[Probe]) -> Probe:
    middle = float(np.median([other.lift for other in told if other.kind == part.kind]))
    return part.model_copy(update={"lift": part.lift - middle})
