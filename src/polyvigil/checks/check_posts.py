"""The posts of all checked files, end to end, and what every part of the check asks of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyvigil.checks.check_result import PostRef
from polyvigil.data.read import Reading
from polyvigil.text.normalise import model_text, no_text_reason
from polyvigil.types import Labels, Post

EXAMPLES = 20  # posts or pairs named in a result, at most
OTHER = "(other)"
_NAMES = 30
_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class CheckedPosts:
    """All fields run over the posts: labels (n_posts,); the files, lines and cells they were read from; their splits
    and types (where a file has more than 30 of them, the rarer as ``(other)``); normalised texts; why there is no text
    in them, or ``""``."""

    posts: Sequence[Post]
    labels: Labels
    files: Sequence[str]
    lines: Sequence[int]
    cells: Sequence[Mapping[str, Any]]
    splits: Sequence[str]
    types: Sequence[str]
    texts: Sequence[str]
    no_text: Sequence[str]

    def ref(self, index: int) -> PostRef:
        """The post at a place in these sequences, by file, line and id."""
        return PostRef(file=self.files[index], line=self.lines[index], id=self.posts[index].id)

    def refs(self, indices: Sequence[int]) -> tuple[PostRef, ...]:
        """The first of the posts at these places."""
        return tuple(self.ref(index) for index in indices[:EXAMPLES])


@dataclass(frozen=True, slots=True)
class KeyCounts:
    """Posts with one key, and how many of them are positive."""

    key: tuple[str, ...]
    posts: int
    positives: int

    @property
    def share(self) -> float:
        """Positives among the posts, in [0, 1]."""
        return self.positives / self.posts


def checked_posts(readings: Sequence[Reading]) -> CheckedPosts:
    """The posts of the files, in their order."""
    texts = [model_text(item.post.text) for reading in readings for item in reading.posts]
    return CheckedPosts(
        posts=[item.post for reading in readings for item in reading.posts],
        labels=np.array([item.label for reading in readings for item in reading.posts], dtype=np.int8),
        files=[reading.name for reading in readings for _ in reading.posts],
        lines=[row.line for reading in readings for row in reading.rows],
        cells=[row.cells for reading in readings for row in reading.rows],
        splits=[name for reading in readings for name in _named([item.post.split for item in reading.posts])],
        types=[name for reading in readings for name in _named([item.post.type for item in reading.posts])],
        texts=texts,
        no_text=[no_text_reason(text) for text in texts],
    )


def counts_by_key(keys: Iterable[tuple[str, ...]], labels: Labels) -> list[KeyCounts]:
    """One tally for each distinct key, in the order of the keys."""
    posts: Counter[tuple[str, ...]] = Counter()
    positives: Counter[tuple[str, ...]] = Counter()
    for key, label in zip(keys, labels.tolist(), strict=True):
        posts[key] += 1
        positives[key] += label
    return [KeyCounts(key, posts[key], positives[key]) for key in sorted(posts)]


def _named(values: Sequence[str]) -> list[str]:
    """The values, if they are names: a column with more kinds of value than that, or longer ones, may hold anything."""
    common = {value for value, _ in Counter(values).most_common(_NAMES) if len(value) <= _NAME_LENGTH}
    return [value if value in common else OTHER for value in values]
