"""Which members of an ensemble count in which language: those that know it.

A member that reads n-grams gives noise in a language that it never saw; in a mean with an encoder that can rank posts
there, the noise takes the ranking away (docs/decisions/0020). So a member counts in the languages that it was trained
on, in those that a measure without labels shows it to read, and, unless it reads n-grams alone, in all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from pydantic import field_serializer, field_validator

from polyvigil.types import Frozen


class MemberCoverage(Frozen):
    """The indices of the members that count, ascending and at least one: by language group, and in all other groups."""

    languages: Mapping[str, tuple[int, ...]]
    elsewhere: tuple[int, ...]

    @field_validator("languages")
    @classmethod
    def _freeze(cls, value: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[int, ...]]:
        for members in value.values():
            _check(members)
        return MappingProxyType(dict(sorted(value.items())))

    @field_validator("elsewhere")
    @classmethod
    def _some(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _check(value)

    @field_serializer("languages")
    def _thaw(self, value: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return dict(value)

    def members(self, language: str) -> tuple[int, ...]:
        """The indices of the members that count in a language group."""
        return self.languages.get(language, self.elsewhere)

    def mask(self, languages: Sequence[str], *, members: int) -> NDArray[np.bool_]:
        """Whether each of so many members counts for each post, (members, n_posts), by the posts' language groups."""
        names, group_of = np.unique(np.asarray(languages, dtype=np.str_), return_inverse=True)
        by_group = np.zeros((members, len(names)), dtype=np.bool_)
        for column, name in enumerate(names.tolist()):
            by_group[list(self.members(name)), column] = True
        return by_group[:, group_of]

    def of(self, indices: Sequence[int]) -> MemberCoverage | None:
        """That of the members at these indices alone, numbered anew; all of them count where none would."""
        position = {index: new for new, index in enumerate(indices)}

        def kept(members: Sequence[int]) -> tuple[int, ...]:
            return tuple(sorted(position[index] for index in members if index in position)) or tuple(
                range(len(indices))
            )

        renumbered = {name: kept(members) for name, members in self.languages.items()}
        return coverage_of(renumbered, kept(self.elsewhere), members=len(indices))


def coverage_of(
    languages: Mapping[str, Sequence[int]], elsewhere: Sequence[int], *, members: int
) -> MemberCoverage | None:
    """The coverage of so many members; None where all of them count everywhere, as they do without one.

    Where no member would count, all do. Groups in which the same members count as elsewhere are left out.
    """
    everyone = tuple(range(members))
    further = tuple(elsewhere) or everyone
    named = {name: tuple(chosen) or everyone for name, chosen in languages.items()}
    named = {name: chosen for name, chosen in named.items() if chosen != further}
    return MemberCoverage(languages=named, elsewhere=further) if named or further != everyone else None


def _check(members: tuple[int, ...]) -> tuple[int, ...]:
    if not members or members[0] < 0 or any(first >= second for first, second in pairwise(members)):
        raise ValueError("the members that count are named by ascending indices, at least one")
    return members
