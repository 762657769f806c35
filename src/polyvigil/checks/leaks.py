"""Where posts stand more than once: inside a split, under contrary labels, and, worst, on both sides of a split."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, compress
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyvigil.checks.check_result import EXAMPLES, UNLABELLED, CheckedPosts, Conflicts, Leak, PostPair, SplitCount
from polyvigil.checks.duplicates import find_duplicates

Indices: TypeAlias = NDArray[np.int64]
_ERASED = ("empty", "url_only", "mention_only")
SplitKey: TypeAlias = tuple[str, str]  # file, split


@dataclass(frozen=True, slots=True)
class Repeats:
    """The posts by text, by cluster of near-duplicates and by place (a split of a file).

    Posts of nothing but links or mentions are left out: normalised they are all alike, and need not have been before.
    ``members`` (n,): where each stands in ``posts``; ``exact`` and ``near`` (n,): see checks.duplicates; ``inside``:
    the members of each place.
    """

    posts: CheckedPosts
    members: Indices
    exact: Indices
    near: Indices
    inside: Mapping[SplitKey, Indices]

    @classmethod
    def of(cls, posts: CheckedPosts) -> Repeats:
        """Find the duplicates among the posts."""
        readable = array("q", (index for index, reason in enumerate(posts.no_text) if reason not in _ERASED))
        inside: defaultdict[SplitKey, array[int]] = defaultdict(lambda: array("q"))
        is_readable = (reason not in _ERASED for reason in posts.no_text)
        split_keys = compress(zip(posts.files, posts.splits, strict=True), is_readable)
        for member, key in enumerate(split_keys):
            inside[key].append(member)
        duplicates = find_duplicates(posts.posts.take(readable))
        arrays = {key: np.array(inside[key], dtype=np.int64) for key in sorted(inside)}
        return cls(posts, np.array(readable, dtype=np.int64), duplicates.exact, duplicates.near, arrays)

    def split_counts(self) -> tuple[SplitCount, ...]:
        """Each split of each file, and the posts that repeat an earlier one of it."""
        counts = []
        for (file, split), inside in self.inside.items():
            texts, clusters = len(np.unique(self.exact[inside])), len(np.unique(self.near[inside]))
            repeats = len(inside) - texts
            counts.append(
                SplitCount(
                    file=file, split=split, posts=len(inside), exact_repeats=repeats, near_repeats=texts - clusters
                )
            )
        return tuple(counts)

    def conflicts(self) -> Conflicts:
        """Texts that stand as a positive and as a negative."""
        labels = self.posts.labels[self.members]
        positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
        both, first, second = np.intersect1d(self.exact[positive], self.exact[negative], return_indices=True)
        pairs = np.sort(np.stack([positive[first], negative[second]], axis=1), axis=1)
        return Conflicts(
            posts=int((np.isin(self.exact, both) & (labels != UNLABELLED)).sum()),
            texts=len(both),
            pairs=self._pairs(pairs[np.argsort(pairs[:, 0])]),
        )

    def leaks(self) -> tuple[Leak, ...]:
        """Every two places that share posts, the smaller first."""
        results = []
        for one, other in combinations(self.inside, 2):
            small, large = sorted((one, other), key=lambda key: len(self.inside[key]))
            inside, outside = self.inside[small], self.inside[large]
            exact = np.isin(self.exact[inside], self.exact[outside])
            near = np.isin(self.near[inside], self.near[outside]) & ~exact
            if not exact.any() and not near.any():
                continue
            pairs = [_matched(inside[exact], self.exact, outside), _matched(inside[near], self.near, outside)]
            results.append(
                Leak(
                    first_file=small[0],
                    first_split=small[1],
                    first_posts=len(inside),
                    second_file=large[0],
                    second_split=large[1],
                    exact=int(exact.sum()),
                    near=int(near.sum()),
                    share=float((exact | near).mean()),
                    pairs=self._pairs(np.concatenate(pairs)),
                )
            )
        return tuple(results)

    def _pairs(self, pairs: Indices) -> tuple[PostPair, ...]:
        return tuple(
            PostPair(first=self.posts.ref(first), second=self.posts.ref(second))
            for first, second in self.members[pairs[:EXAMPLES]].tolist()
        )


def _matched(inside: Indices, keys: Indices, outside: Indices) -> Indices:
    """Each of the first posts inside, beside the first post outside with the same key: (n, 2)."""
    inside = inside[:EXAMPLES]
    known, first = np.unique(keys[outside], return_index=True)
    return np.stack([inside, outside[first[np.searchsorted(known, keys[inside])]]], axis=1)
