"""A post that is longer than a model reads at once: overlapping windows, its two ends, its beginning. Knows no torch.

Token ids come framed by the tokenizer's special tokens, as ``[CLS] ... [SEP]``; every piece of a post gets that frame.
All windows of a post are equally long, so a long post is an array of two dimensions and a short one stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from polyvigil.config.model import LongPosts, Pooling
from polyvigil.types import Probabilities

TokenIds: TypeAlias = NDArray[np.int32]
"""Token ids of one post, special tokens included: (n_tokens,), or of its windows, (n_windows, n_tokens)."""


@dataclass(frozen=True, slots=True)
class LongRule:
    """What becomes of a post that is too long (config.model.EncoderSpec).

    ``overlap``: share of a window's own tokens that the next one holds too, at least; ``most``: windows of one post.
    """

    how: LongPosts = "cut"
    overlap: float = 0.0
    most: int = 1


TRUNCATE = LongRule()


@dataclass(frozen=True, slots=True)
class Reader:
    """``rule`` for a model of ``max_tokens`` at once, ``before`` and ``after`` a text's own tokens special ones.

    Raises ValueError where the special tokens leave no room.
    """

    max_tokens: int
    before: int
    after: int
    rule: LongRule = TRUNCATE

    def __post_init__(self) -> None:
        if self.room < 1:
            raise ValueError(f"{self.max_tokens} tokens hold {self.before + self.after} special ones and no post")

    @property
    def room(self) -> int:
        """A window's own tokens."""
        return self.max_tokens - self.before - self.after

    @property
    def stride(self) -> int:
        """The most by which a window begins after the one before it, in tokens."""
        return max(1, self.room - int(self.rule.overlap * self.room))

    @property
    def capacity(self) -> int:
        """The longest post of which every token is read, special ones counted."""
        return self.max_tokens + ((self.rule.most - 1) * self.stride if self.rule.how == "windows" else 0)

    def starts(self, tokens: int) -> NDArray[np.int64]:
        """Where the windows of a post of ``tokens``, special ones counted, begin: (n_windows,), ascending, from 0.

        Counted in own tokens, those between the special ones. As few windows as the overlap allows, evenly spread:
        the last ends with the post (or where ``most`` windows end), and every token before that is in one.
        """
        beyond = min(tokens, self.capacity) - self.max_tokens
        if beyond <= 0:
            return np.zeros(1, dtype=np.int64)
        further = -(-beyond // self.stride)
        return np.arange(further + 1, dtype=np.int64) * beyond // further

    def read(self, ids: Sequence[int]) -> TokenIds:
        """What a model is given of a post with these ``ids``, uncut: of at most ``max_tokens`` exactly these."""
        whole = np.array(ids, dtype=np.int32)
        if len(whole) <= self.max_tokens:
            return whole
        end = len(whole) - self.after
        before, content, after = whole[: self.before], whole[self.before : end], whole[end:]
        if self.rule.how == "windows":
            rows = [np.concatenate([before, content[at : at + self.room], after]) for at in self.starts(len(whole))]
            return np.stack(rows) if len(rows) > 1 else rows[0]
        tail = self.room // 2 if self.rule.how == "head-tail" else 0
        return np.concatenate([before, content[: self.room - tail], content[len(content) - tail :], after])


@dataclass(frozen=True, slots=True)
class Pieces:
    """The windows of several posts, post after post: those of post i are ``rows[starts[i]:starts[i + 1]]``."""

    rows: list[TokenIds]
    starts: NDArray[np.int64]


def pieces(items: Sequence[TokenIds]) -> Pieces:
    """All windows of ``items``; a post in one piece counts as one window."""
    counts = [len(item) if item.ndim == 2 else 1 for item in items]
    rows = [row for item in items for row in (item if item.ndim == 2 else (item,))]
    return Pieces(rows, starts_of(counts))


def starts_of(counts: ArrayLike) -> NDArray[np.int64]:
    """(n,) numbers of windows -> (n + 1,) where each post's begin, and the end."""
    return np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))])


@dataclass(frozen=True, slots=True)
class WindowScores:
    """P(ADE) of each window, float64 (n_windows,), post after post: of post i ``p[starts[i]:starts[i + 1]]``."""

    p: Probabilities
    starts: NDArray[np.int64]

    def pooled(self, pooling: Pooling) -> Probabilities:
        """P(ADE) of each post, (n_posts,), in [0, 1]; of a post of one window that window's, bit by bit."""
        first, counts = self.starts[:-1], np.diff(self.starts)
        if not len(first):
            return np.empty(0)
        if pooling == "max":
            result = np.maximum.reduceat(self.p, first)
        elif pooling == "mean":
            result = np.add.reduceat(self.p, first) / counts
        else:
            with np.errstate(divide="ignore"):  # a window with p = 1
                result = -np.expm1(np.add.reduceat(np.log1p(-self.p), first))
        return np.where(counts == 1, self.p[first], result)

    def strongest(self) -> NDArray[np.int64]:
        """Which window of each post has the largest P, the first of equals: (n_posts,); -1 of a post of one window."""
        result = np.full(len(self.starts) - 1, -1, dtype=np.int64)
        for index in np.flatnonzero(np.diff(self.starts) > 1).tolist():
            result[index] = np.argmax(self.p[self.starts[index] : self.starts[index + 1]])
        return result
