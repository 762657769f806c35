"""Which members count in which language, by what they were trained on and by what a look at posts shows.

In: fitted members, and posts without labels where there are some. Out: a decide.coverage.MemberCoverage, or None where
every member counts everywhere. A member knows a language if it was trained on it; else, where posts of it are given, if
it knows at least ``least_known`` of the median post; else, unless it reads n-grams alone (docs/decisions/0020).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from polyvigil.decide.coverage import MemberCoverage, coverage_of
from polyvigil.detect.base import NGRAM_KINDS, FitRecord, KnowsShares
from polyvigil.types import Post

MEASURED_POSTS = 400
"""How many posts of a language are looked at: the first ones."""


class Fitted(Protocol):
    """What of a member says which languages it knows."""

    @property
    def kind(self) -> str: ...

    @property
    def fit_record(self) -> FitRecord: ...


def member_coverage(members: Sequence[Fitted], posts: Iterable[Post], *, least_known: float) -> MemberCoverage | None:
    """Of the languages that a member was trained on, those of ``posts``, and all others.

    ``least_known`` in [0, 1], as ``decide.least_known``; 0: every member counts everywhere.
    """
    by_language = posts_by_language(posts)
    names = {*by_language, *(name for member in members for name in member.fit_record.languages)}
    languages = {
        name: knowing_members(members, name, by_language.get(name, []), least_known=least_known)
        for name in sorted(names)
    }
    elsewhere = knowing_members(members, "", [], least_known=least_known)
    return coverage_of(languages, elsewhere, members=len(members))


def knowing_members(
    members: Sequence[Fitted], language: str, posts: Sequence[Post], *, least_known: float
) -> tuple[int, ...]:
    """The indices of the members that know a language group, by its ``posts`` if there are any; possibly none."""
    chosen = posts[:MEASURED_POSTS]
    return tuple(
        index
        for index, member in enumerate(members)
        if not least_known or _knows(member, language, chosen, least_known)
    )


def posts_by_language(posts: Iterable[Post]) -> dict[str, list[Post]]:
    """The first posts of each language group, in their order: as many as are looked at."""
    result: dict[str, list[Post]] = defaultdict(list)
    for post in posts:
        if len(kept := result[post.language]) < MEASURED_POSTS:
            kept.append(post)
    return dict(result)


def _knows(member: Fitted, language: str, posts: Sequence[Post], least_known: float) -> bool:
    if language in member.fit_record.languages:
        return True
    if posts and isinstance(member, KnowsShares):
        return float(np.median(member.known_shares(posts))) >= least_known
    return member.kind not in NGRAM_KINDS
