"""Where terms of a list stand in a text: longest match, any case, whole words where a script has words.

Terms and text are taken apart into units (text.pieces): words, or single characters of scripts written without spaces.
So ``ill`` is not found in ``pill``, and a Japanese term is found between any characters. The search is Aho and
Corasick's (1975) over units: linear in the text, whatever it holds, and in the terms found.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from polyvigil.text.sentences import units

_IGNORED = dict.fromkeys(map(ord, "\u00ad\u200c\u200d"))  # soft hyphen and joiners: not everybody types them
_AS_PERSIAN = {ord("\u0643"): "\u06a9", ord("\u064a"): "\u06cc"}  # kaf and yeh of Arabic keyboards look the same


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a user's list: ``kind`` is ``drug`` or ``reaction``; ``code`` may be empty."""

    text: str
    kind: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class Mention:
    """``text[start:end]`` is a term."""

    start: int
    end: int
    term: Term


@dataclass(frozen=True, slots=True)
class _Node:
    """What is known after some units: where each next unit leads, where to go on when none does, what ends here."""

    depth: int
    steps: dict[str, int]
    terms: list[tuple[tuple[str, ...], Term]]
    """Terms that end here, each with what stands between its units."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Terms made ready for search by ``lexicon``."""

    nodes: Sequence[_Node]
    shorter: Sequence[int]
    """Of each node that of the longest end of its units which begins a term; 0 is the root."""
    endings: Sequence[int]
    """Of each node the nearest one along ``shorter`` at which a term ends."""

    @property
    def size(self) -> int:
        """How many terms it holds."""
        return sum(len(node.terms) for node in self.nodes)


def folded(term: str) -> tuple[str, ...]:
    """What terms are compared by: the units of a term and what stands between them. Two terms with the same are one.

    Empty for a term without a letter, digit or emoji, which no text holds.
    """
    return tuple(part for unit_and_gap in _parts(term) for part in unit_and_gap)


def lexicon(terms: Iterable[Term]) -> Lexicon:
    """Terms ready for search. Terms without a letter or digit are never found; of equal ones the first is."""
    nodes = [_Node(0, {}, [])]
    for term in terms:
        parts = list(_parts(term.text))
        at = 0
        for unit, _ in parts:
            if unit not in nodes[at].steps:
                nodes[at].steps[unit] = len(nodes)
                nodes.append(_Node(nodes[at].depth + 1, {}, []))
            at = nodes[at].steps[unit]
        gaps = tuple(gap for _, gap in parts[1:])
        if parts and gaps not in [known for known, _ in nodes[at].terms]:
            nodes[at].terms.append((gaps, term))
    shorter, endings = [0] * len(nodes), [0] * len(nodes)
    waiting = deque(nodes[0].steps.values())
    while waiting:
        at = waiting.popleft()
        endings[at] = shorter[at] if nodes[shorter[at]].terms else endings[shorter[at]]
        for unit, then in nodes[at].steps.items():
            back = shorter[at]
            while back and unit not in nodes[back].steps:
                back = shorter[back]
            shorter[then] = nodes[back].steps.get(unit, 0)
            waiting.append(then)
    return Lexicon(nodes, shorter, endings)


def mentions(text: str, terms: Lexicon) -> list[Mention]:
    """The terms that stand in a text, in order, none overlapping another: the leftmost first, of those the longest."""
    words = list(units(text))
    nodes, shorter = terms.nodes, terms.shorter
    matches: list[Mention] = []
    at = 0
    for index, (start, end) in enumerate(words):
        unit = _folded(text[start:end])
        while at and unit not in nodes[at].steps:
            at = shorter[at]
        at = nodes[at].steps.get(unit, 0)
        ending = at if nodes[at].terms else terms.endings[at]
        while ending:
            node = nodes[ending]
            inside = words[index - node.depth + 1 : index + 1]
            gaps = tuple(_gap(text[a.end : b.start]) for a, b in pairwise(inside))
            matches += [Mention(inside[0].start, end, term) for known, term in node.terms if known == gaps]
            ending = terms.endings[ending]
    chosen: list[Mention] = []
    for mention in sorted(matches, key=lambda mention: (mention.start, -mention.end)):
        if not chosen or mention.start >= chosen[-1].end:
            chosen.append(mention)
    return chosen


def _parts(term: str) -> Iterator[tuple[str, str]]:
    """Each unit of a term, and what stands before it."""
    end = 0
    for index, unit in enumerate(units(term)):
        yield _folded(term[unit.start : unit.end]), _gap(term[end : unit.start]) if index else ""
        end = unit.end


@lru_cache(maxsize=1 << 14)
def _folded(unit: str) -> str:
    if unit.isascii():
        return unit.lower()
    composed = unicodedata.normalize("NFKC", unit.translate(_IGNORED)).casefold()
    return unicodedata.normalize("NFKC", composed).translate(_AS_PERSIAN)


def _gap(between: str) -> str:
    """What stands between two units: white space of any kind and length is one space."""
    spaced = " ".join(unicodedata.normalize("NFKC", f"|{between}|").split())  # the bars keep the outer spaces
    return spaced[1:-1]
