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
    results: list[Probe] = []
    for script in SCRIPTS:
        script_posts = [item.post for item, name in zip(items, scripts, strict=True) if name == script]
        letters = probes.known_letters(bundle, script, seen=[post.text for post in script_posts])
        other_texts = [
            item.post.text
            for item, name in zip(items, scripts, strict=True)
            if not item.label and name not in {script, "none", "other"} | _SYLLABIC
        ]
        threshold = _lowest_threshold(bundle, script_posts)
        results.append(_probe(bundle, "junk", script, probes.junk(letters), letters=letters, threshold=threshold))
        if texts := probes.mapped(other_texts, letters):
            results.append(_probe(bundle, "mapped", script, texts, letters=letters, threshold=threshold))
    return tuple(_with_lift(part, results) for part in sorted(results, key=lambda part: part.kind))


def probe_gates(results: Sequence[Probe]) -> tuple[Gate, ...]:
    """Two gates for each kind: the share flagged, and what the script adds."""
    names: dict[ProbeKind, str] = {"junk": "junk of random letters", "mapped": "negatives in replaced letters"}
    gates = []
    for kind, name in names.items():
        of_kind = [part for part in results if part.kind == kind]
        shares = [
            Measured(
                group=part.script,
                value=part.share,
                beyond=part.share_interval.low > PROBE_SHARE,
                message=f"{part.script} script: {part.share:.0%} of {part.texts:,} texts of {name} are flagged at"
                f" {part.threshold:.2f} (95% {part.share_interval.low:.0%} to {part.share_interval.high:.0%}; limit"
                f" {PROBE_SHARE:.0%}), though they say nothing",
                advice=_ADVICE,
            )
            for part in of_kind
        ]
        lifts = [
            Measured(
                group=part.script,
                value=part.lift,
                beyond=part.lift > PROBE_LIFT,
                message=f"{part.script} script: {name} score {part.lift:.1f} logits above those in other scripts (limit"
                f" {PROBE_LIFT:g}), so the script itself counts as a sign of an ADE",
                advice=_ADVICE,
            )
            for part in of_kind
        ]
        gates += [gate_of(f"{kind}-share", PROBE_SHARE, shares), gate_of(f"{kind}-lift", PROBE_LIFT, lifts)]
    return tuple(gates)


_ADVICE = "see what was trained on in it (--train), then add negatives of the same source or leave its positives out"


def _lowest_threshold(bundle: Bundle, posts: Sequence[Post]) -> float:
    """Over the languages of these posts that are no rare exception; the fallback where there are none."""
    languages = Counter(post.language for post in posts)
    common = [name for name, number in languages.items() if number * 20 >= len(posts)]
    return min((bundle.policy.threshold(name).value for name in common), default=bundle.policy.fallback.value)


def _probe(
    bundle: Bundle, kind: ProbeKind, script: str, texts: Sequence[str], *, letters: str, threshold: float
) -> Probe:
    scores = bundle.probabilities([Post("", text) for text in texts])
    count = int(flagged(scores, threshold).sum())
    return Probe(
        kind=kind,
        script=script,
        letters=len(letters),
        texts=len(texts),
        threshold=threshold,
        flagged=count,
        share=count / len(texts),
        share_interval=share_interval(count, len(texts)),
        lift=float(logit(scores).mean()),
    )


def _with_lift(part: Probe, results: Sequence[Probe]) -> Probe:
    middle = float(np.median([other.lift for other in results if other.kind == part.kind]))
    return part.model_copy(update={"lift": part.lift - middle})
