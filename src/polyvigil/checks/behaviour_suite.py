"""The behaviour suites: authored templates in seven languages, and the cases that a seed makes of them.

The texts are synthetic: nobody wrote such a post. ``behaviour_suites/behaviours.toml`` says what is looked at and what
is expected, one file for each language has the templates and what fits into their slots.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from math import prod
from random import Random
from typing import Any, Literal

from polyvigil.errors import RecipeError
from polyvigil.types import Frozen

Expect = Literal["ade", "no ade", "same", "not lower", "not higher"]
Kind = Literal["functionality", "invariance", "direction"]

LANGUAGES = ("en", "de", "fr", "ja", "ru", "zh", "fa")
MAX_FAILURE = 0.5
"""The gate's default: a capability that surely fails more often than not is no capability."""
CASES = 24  # of a behaviour in a language, the same number from each of its templates or one more
_KINDS: dict[Expect, Kind] = {
    "ade": "functionality",
    "no ade": "functionality",
    "same": "invariance",
    "not lower": "direction",
    "not higher": "direction",
}
_SLOT = re.compile(r"\{([a-z]+)(?::(\d))?\}")
_PAIR = " => "


class Behaviour(Frozen):
    """One thing that a bundle must do: ``expect`` of one text (ade, no ade) or of two (the others)."""

    name: str
    capability: str
    expect: Expect
    rule: str

    @property
    def kind(self) -> Kind:
        """Minimum functionality, invariance or direction (Ribeiro et al. 2020)."""
        return _KINDS[self.expect]


class Suite(Frozen):
    """What is authored for one language: the entries of each slot in their forms, the templates of each behaviour.

    ``{n:1}`` in a template is the second form of the entry taken from slot n; a template of two texts is a pair.
    """

    language: str
    slots: Mapping[str, tuple[tuple[str, ...], ...]]
    templates: Mapping[str, tuple[tuple[str, ...], ...]]


class Case(Frozen):
    """One text, or a pair of them; ``template`` is its place among the behaviour's templates, from 0."""

    behaviour: Behaviour
    language: str
    template: int
    texts: tuple[str, ...]


@cache
def behaviours() -> tuple[Behaviour, ...]:
    """All that is looked at, in the order of the tables."""
    return tuple(Behaviour.model_validate(entry) for entry in _read("behaviours")["behaviour"])


@cache
def suite(language: str) -> Suite:
    """The suite of a language of ``LANGUAGES``."""
    data = _read(language)
    slots = {name: tuple(tuple(line.split("|")) for line in _lines(text)) for name, text in data["slots"].items()}
    pairs = {name: tuple(tuple(line.split(_PAIR)) for line in _lines(text)) for name, text in data["templates"].items()}
    return Suite(language=language, slots=slots, templates=pairs)


def cases(*, languages: Sequence[str] = (), capabilities: Sequence[str] = (), seed: int = 42) -> tuple[Case, ...]:
    """``CASES`` of each behaviour in each language, by behaviour, then language; the same for the same seed.

    None named means all. Raises RecipeError for a language without a suite, or an unknown capability.
    """
    known = tuple(dict.fromkeys(behaviour.capability for behaviour in behaviours()))
    _check(languages, LANGUAGES, what="no behaviour suite for language", where="--language")
    _check(capabilities, known, what="no capability", where="--capability")
    return tuple(
        case
        for behaviour in behaviours()
        if not capabilities or behaviour.capability in capabilities
        for language in LANGUAGES
        if not languages or language in languages
        for case in expand(suite(language), behaviour, seed=seed)
    )


def expand(language_suite: Suite, behaviour: Behaviour, *, seed: int) -> list[Case]:
    """The cases of one behaviour: of each template, distinct draws of what fits into its slots, without replacement."""
    templates = language_suite.templates[behaviour.name]
    random = Random(f"{seed}-{language_suite.language}-{behaviour.name}")
    share, more = divmod(CASES, len(templates))
    expanded: list[Case] = []
    for index, template in enumerate(templates):
        names = list(dict.fromkeys(match[1] for text in template for match in _SLOT.finditer(text)))
        sizes = [len(language_suite.slots[name]) for name in names]
        for combination in random.sample(range(prod(sizes)), min(share + (index < more), prod(sizes))):
            number, entries = combination, {}
            for name, size in zip(names, sizes, strict=True):
                number, chosen = divmod(number, size)
                entries[name] = language_suite.slots[name][chosen]
            texts = tuple(_fill(text, entries) for text in template)
            expanded.append(Case(behaviour=behaviour, language=language_suite.language, template=index, texts=texts))
    return expanded


def _fill(template: str, entries: Mapping[str, tuple[str, ...]]) -> str:
    text = _SLOT.sub(lambda match: entries[match[1]][int(match[2] or 0)], template)
    return unicodedata.normalize("NFC", text[:1].upper() + text[1:])


def _check(given: Sequence[str], known: Sequence[str], *, what: str, where: str) -> None:
    for name in given:
        if name not in known:
            raise RecipeError(f"{what} {name!r}", where=where, hint=f"there are: {', '.join(known)}")


def _lines(text: str) -> list[str]:
    return text.strip().splitlines()


def _read(name: str) -> dict[str, Any]:
    source = files("polyvigil.checks").joinpath("behaviour_suites", f"{name}.toml")
    return tomllib.loads(source.read_text(encoding="utf-8"))
