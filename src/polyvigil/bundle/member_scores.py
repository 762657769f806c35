"""What the members of a bundle say of posts: each reads a post once, and that gives its P and the window behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyvigil.detect.base import Detector, ReadsWindows, Scores, Window, read_windows
from polyvigil.text.memo import memoised
from polyvigil.text.normalise import model_texts, no_text_reason
from polyvigil.types import Post


@dataclass(frozen=True, slots=True)
class Answers:
    """Of each member to each post, (n_members, n_posts): P(ADE), NaN of one that was not asked; and the number of the
    window that carried it, -1 where the member read the post whole."""

    probabilities: NDArray[np.float64]
    carried: NDArray[np.int64]

    @staticmethod
    def fill(members: int, posts: int) -> Answers:
        """Before anybody is asked; ``put`` fills it."""
        return Answers(np.full((members, posts), np.nan), np.full((members, posts), -1, dtype=np.int64))

    def assign(self, answers: Answers, members: ArrayLike, posts: ArrayLike) -> None:
        """Write the answers of some members to some posts into their places."""
        index = np.ix_(np.asarray(members, dtype=np.int64), np.asarray(posts, dtype=np.int64))
        self.probabilities[index], self.carried[index] = answers.probabilities, answers.carried


@memoised()
def score_members(members: Sequence[Scores], posts: Sequence[Post]) -> Answers:
    """Every member reads every post once.

    A post with nothing to read (empty, a link, only emoji) is given to no member and has exactly 0, which no threshold
    flags.
    """
    texts = model_texts([post.text for post in posts])
    readable = [index for index, text in enumerate(texts) if not no_text_reason(text)]
    chosen = [posts[index] for index in readable]
    result = Answers.fill(len(members), len(posts))
    result.probabilities[:] = 0.0
    for p, carried, member in zip(result.probabilities, result.carried, members, strict=True):
        read = read_windows(member, chosen)
        p[readable], carried[readable] = read.probabilities, read.carried
    return result


def carrying_windows(members: Sequence[Detector], posts: Sequence[Post], answers: Answers) -> list[Window | None]:
    """The window that carried each post's score, None where no member read the post in windows. Runs no model.

    Of the members that did, the one with the largest P counts, the first of equals; of its windows likewise.
    """
    chosen = np.where(answers.carried >= 0, answers.probabilities, -1.0).argmax(axis=0)
    result: list[Window | None] = [None] * len(posts)
    for number, member in enumerate(members):
        indices = np.flatnonzero((chosen == number) & (answers.carried[number] >= 0))
        if len(indices) and isinstance(member, ReadsWindows):
            windows = member.locate([posts[index] for index in indices.tolist()], answers.carried[number, indices])
            for index, window in zip(indices.tolist(), windows, strict=True):
                result[index] = window
    return result
