"""The scores of several detectors for the same posts: each reads a post once, which gives its P and its window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyvigil.detect.base import ReadsWindows, Scores, Window, read_windows
from polyvigil.text.memo import memoised
from polyvigil.text.normalise import model_texts, no_text_reasons
from polyvigil.types import Post


@dataclass(frozen=True, slots=True)
class MemberScores:
    """By member and post, (n_members, n_posts): P(ADE) in [0, 1], NaN where a member did not score a post; and the
    number of the window that carried it, -1 where the member read the post whole."""

    probabilities: NDArray[np.float64]
    carried: NDArray[np.int64]

    @staticmethod
    def empty(members: int, posts: int) -> MemberScores:
        """No score yet; ``assign`` writes them."""
        return MemberScores(np.full((members, posts), np.nan), np.full((members, posts), -1, dtype=np.int64))

    @staticmethod
    def stacked(parts: Sequence[MemberScores]) -> MemberScores:
        """The members of all ``parts``, one after another, for the same posts."""
        return MemberScores(
            np.concatenate([part.probabilities for part in parts]), np.concatenate([part.carried for part in parts])
        )

    def assign(self, scores: MemberScores, members: ArrayLike, posts: ArrayLike) -> None:
        """Write the ``scores`` of the members and posts at these indices."""
        index = np.ix_(np.asarray(members, dtype=np.int64), np.asarray(posts, dtype=np.int64))
        self.probabilities[index], self.carried[index] = scores.probabilities, scores.carried


@memoised()
def score_members(members: Sequence[Scores], posts: Sequence[Post], *, normalisation: str) -> MemberScores:
    """Every member reads every post once.

    A post with nothing to read (empty, a link, only emoji) by the members' ``normalisation`` is given to none of them
    and has exactly 0, which no threshold flags.
    """
    texts = model_texts([post.text for post in posts], normalisation)
    readable = [index for index, reason in enumerate(no_text_reasons(texts)) if not reason]
    chosen = [posts[index] for index in readable]
    result = MemberScores.empty(len(members), len(posts))
    result.probabilities[:] = 0.0
    for p, carried, member in zip(result.probabilities, result.carried, members, strict=True):
        read = read_windows(member, chosen)
        p[readable], carried[readable] = read.probabilities, read.carried
    return result


def carrying_windows(members: Sequence[object], posts: Sequence[Post], scores: MemberScores) -> list[Window | None]:
    """The window that carried each post's score, None where no member read the post in windows. Runs no model.

    Of the members that did, the one with the largest P counts, the first of equals; of its windows likewise.
    """
    chosen = np.where(scores.carried >= 0, scores.probabilities, -1.0).argmax(axis=0)
    result: list[Window | None] = [None] * len(posts)
    for number, member in enumerate(members):
        indices = np.flatnonzero((chosen == number) & (scores.carried[number] >= 0))
        if len(indices) and isinstance(member, ReadsWindows):
            windows = member.locate([posts[index] for index in indices.tolist()], scores.carried[number, indices])
            for index, window in zip(indices.tolist(), windows, strict=True):
                result[index] = window
    return result
