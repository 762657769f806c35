"""Probes: texts that say nothing of medicine, and what a bundle flags of them in each script.

In: a bundle and labelled posts. Out: `Probe` for each script and kind (random letters; negatives whose letters are
mapped into another script), and the gates on them. A bundle that flags such texts has learned the script or the source
instead of the ADE. Texts are made from a fixed seed.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Literal

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.gate import PROBE_DEVIATIONS, PROBE_LIFT, PROBE_SHARE, Gate, Measured, gate_of
from polyvigil.data.packed_posts import NormalisedTexts, field_of, taken
from polyvigil.decide.policy import Threshold, flagged
from polyvigil.decide.thresholds import logit
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.progress import tracked
from polyvigil.text.normalise import FIRST_NORMALISATION, model_text
from polyvigil.text.script import LETTERS, SCRIPTS, alphabet, common_letters
from polyvigil.types import Frozen, Labels, Post

TEXTS = 100
"""Of either kind, in each script."""
_UNKNOWN = "ᚠᚢᚦ ᚨᚱ"  # runes, in which nobody posts
_SAME = 1e-9  # the least change of P that counts as a reaction
_MAPPINGS = 4
_MARK = re.compile(r"\[URL\]|@USER|\[PLACE\]")
_LEAST = 20  # letters that a text must hold to be mapped


def known_letters(bundle: Bundle, script: str, *, seen: Iterable[str] = ()) -> str:
    """The letters of a script that the bundle reacts to; all of them where it reacts to none.

    ``seen``: texts, whose letters of the script come before those of its alphabet.
    """
    letters = "".join(dict.fromkeys([*common_letters(seen, script, most=LETTERS), *alphabet(script)]))
    posts = [Post("", " ".join([letter] * 3)) for letter in letters]
    scores = bundle.probabilities([Post("", _UNKNOWN), *posts])
    known = np.flatnonzero(np.abs(scores[1:] - scores[0]) > _SAME)
    return "".join(letters[index] for index in known) or letters


def junk(letters: str, *, number: int = TEXTS, seed: int = 0) -> list[str]:
    """Texts of 6 to 24 words of 2 to 9 random letters. Deterministic."""
    generator = random.Random(seed)
    return [
        " ".join(
            "".join(generator.choices(letters, k=generator.randint(2, 9))) for _ in range(generator.randint(6, 24))
        )
        for _ in range(number)
    ]


def mapped(
    texts: Iterable[str],
    letters: str,
    *,
    normalisation: str = FIRST_NORMALISATION,
    number: int = TEXTS,
    seed: int = 0,
) -> list[str]:
    """Texts whose letters are replaced by ``letters``, one to one while there are enough, in four different ways.

    They are normalised first. Words, marks and placeholders stay as they are. At most ``number`` texts, none when
    none holds enough letters. Deterministic.
    """
    plain = [model_text(text, normalisation) for text in texts]
    return _mapped([text for text in plain if _has_enough_letters(text)], letters, number=number, seed=seed)


def _has_enough_letters(text: str) -> bool:
    """Whether a text can be mapped."""
    return sum(map(str.isalpha, text)) >= _LEAST


def _mapped(texts: Sequence[str], letters: str, *, number: int = TEXTS, seed: int = 0) -> list[str]:
    """``mapped`` of normalised texts that hold enough letters, of which those that are chosen are looked at."""
    generator = random.Random(seed)
    lowered = [_lower(texts[index]) for index in generator.sample(range(len(texts)), min(number, len(texts)))]
    source = [letter for letter, _ in Counter(filter(str.isalpha, "".join(lowered))).most_common()]
    made = []
    for way in range(_MAPPINGS):
        target = generator.sample(letters, len(letters))
        table = {letter: target[index % len(target)] for index, letter in enumerate(source)}
        made += [_translated(text, table) for text in lowered[way::_MAPPINGS]]
    return made


def _lower(text: str) -> str:
    return "".join(part if _MARK.fullmatch(part) else part.lower() for part in _parts(text))


def _translated(text: str, table: dict[str, str]) -> str:
    return "".join(
        part if _MARK.fullmatch(part) else "".join(table.get(letter, letter) for letter in part)
        for part in _parts(text)
    )


def _parts(text: str) -> list[str]:
    """Placeholders and what stands between them."""
    return re.split(rf"({_MARK.pattern})", text)


ProbeKind = Literal["junk", "mapped"]
_SYLLABIC = {"Han", "Japanese", "Hangul"}  # too many letters to be mapped into an alphabet


class Probe(Frozen):
    """Texts of one kind in one script: ``threshold`` is the lowest of the script's languages, else the fallback;
    ``own_threshold``: those languages all have one of their own, found on labelled posts, which has answered any lift.

    ``lift``: their mean logit less that of the same kind of text in the middle one of all scripts, most of which a
    model has not learned anything about. ``deviation``: of those means over the other scripts, their median absolute
    deviation times 1.4826, as far as a standard deviation; an encoder knows letters of scripts that it was not
    fine-tuned on, and its scores of them lie far apart.
    """

    kind: ProbeKind
    script: str
    letters: int
    """How many different ones the texts are made of."""
    texts: int
    threshold: float
    own_threshold: bool
    flagged: int
    share: float
    share_interval: Interval
    lift: float
    deviation: float


def probe(bundle: Bundle, posts: Sequence[Post], labels: Labels, scripts: Sequence[str]) -> tuple[Probe, ...]:
    """Every script that text.script distinguishes, both kinds; the mapped texts are negatives among the posts that are
    written in another alphabet. ``scripts``: of each post (n_posts,), by its normalised text."""
    name_of = np.array(list(scripts))
    texts = NormalisedTexts(posts, bundle.normalisation)
    eligible = (labels == 0) & ~np.isin(name_of, ["none", "other", *_SYLLABIC])
    candidates = compress(tracked(texts, "looking for negatives", len(texts)), eligible.tolist())
    eligible[eligible] = list(map(_has_enough_letters, candidates))
    results: list[Probe] = []
    for script in SCRIPTS:
        script_posts = taken(posts, np.flatnonzero(name_of == script).tolist())
        seen = tracked(field_of(script_posts, "text"), f"letters of {script}", len(script_posts))
        letters = known_letters(bundle, script, seen=seen)
        elsewhere = taken(posts, np.flatnonzero(eligible & (name_of != script)).tolist())
        thresholds = _common_thresholds(bundle, script_posts)
        results.append(_probe(bundle, "junk", script, junk(letters), letters=letters, thresholds=thresholds))
        if made := _mapped(NormalisedTexts(elsewhere, bundle.normalisation), letters):
            results.append(_probe(bundle, "mapped", script, made, letters=letters, thresholds=thresholds))
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
                beyond=part.lift > max(PROBE_LIFT, PROBE_DEVIATIONS * part.deviation),
                message=f"{part.script} script: {name} score {part.lift:.1f} logits above those in other scripts (limit"
                f" {PROBE_LIFT:g}, and {PROBE_DEVIATIONS:g} times the deviation of the others, {part.deviation:.2f}):"
                " the script itself counts as a sign of an ADE",
                advice=_ADVICE,
            )
            for part in of_kind
            if not part.own_threshold
        ]
        gates += [gate_of(f"{kind}-share", PROBE_SHARE, shares), gate_of(f"{kind}-lift", PROBE_LIFT, lifts)]
    return tuple(gates)


_ADVICE = "see what was trained on in it (--train), then add negatives of the same source or leave its positives out"


def _common_thresholds(bundle: Bundle, posts: Sequence[Post]) -> list[Threshold]:
    """Of the languages of these posts that are no rare exception; the fallback where there are none."""
    languages = Counter(field_of(posts, "language"))
    common = [name for name, number in languages.items() if number * 20 >= len(posts)]
    return [bundle.policy.threshold(name) for name in common] or [bundle.policy.fallback]


def _probe(
    bundle: Bundle, kind: ProbeKind, script: str, texts: Sequence[str], *, letters: str, thresholds: Sequence[Threshold]
) -> Probe:
    scores = bundle.probabilities([Post("", text) for text in texts])
    threshold = min(each.value for each in thresholds)
    count = int(flagged(scores, threshold).sum())
    return Probe(
        kind=kind,
        script=script,
        letters=len(letters),
        texts=len(texts),
        threshold=threshold,
        own_threshold=all(each.source == "own" for each in thresholds),
        flagged=count,
        share=count / len(texts),
        share_interval=share_interval(count, len(texts)),
        lift=float(logit(scores).mean()),
        deviation=0,
    )


def _with_lift(part: Probe, results: Sequence[Probe]) -> Probe:
    """``part``, whose ``lift`` is a mean logit yet, beside the results of its kind, itself among them."""
    of_kind = [other for other in results if other.kind == part.kind]
    middle = float(np.median([other.lift for other in of_kind]))
    rest = np.array([other.lift for other in of_kind if other.script != part.script])
    deviation = 1.4826 * float(np.median(np.abs(rest - np.median(rest)))) if len(rest) else 0.0
    return part.model_copy(update={"lift": part.lift - middle, "deviation": deviation})
