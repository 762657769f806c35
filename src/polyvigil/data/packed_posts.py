"""Many posts in little memory: their columns are kept, and a post is made when it is looked at.

A million posts of 442 bytes take 0.49 GB when a file of them has been read, their texts and ids in UTF-8 and 45 bytes
each; as objects 0.78 GB and more, since one emoji makes four bytes of every character of its post.
What always holds: a sequence of them is equal to the tuple of the same posts, and may be walked through many times.
"""

from __future__ import annotations

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from itertools import chain, islice
from operator import eq
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from polyvigil.data.packed_strings import CHUNK, FrozenStrings, StringColumn, pack
from polyvigil.text.normalise import model_text, model_texts
from polyvigil.types import LabelledPost, Labels, Post

_SHOWN = 3  # posts, as Python shows them
_FIELDS = tuple(field.name for field in fields(Post))
T_co = TypeVar("T_co", covariant=True)


class PostColumns:
    """The fields of posts, each a column, to which posts are added."""

    __slots__ = ("_columns",)

    def __init__(self, posts: Iterable[Post] = ()) -> None:
        self._columns = {name: StringColumn() for name in _FIELDS}
        for post in posts:
            self.append(post)

    def append(self, post: Post) -> None:
        """Add a post."""
        for name, column in self._columns.items():
            column.append(getattr(post, name))

    def add_chunk(self, posts: Sequence[Post], *, texts: FrozenStrings | None = None) -> None:
        """Add posts; ``texts``: theirs, where they are packed already."""
        for name, column in self._columns.items():
            packed = texts if name == "text" and texts is not None else pack([getattr(post, name) for post in posts])
            column.add_chunk(packed)

    def add(self, posts: PackedPosts) -> None:
        """Add posts that are packed: those of whole chunks are not copied."""
        for name, column in self._columns.items():
            posts.append_to(column, name)

    def __len__(self) -> int:
        return len(self._columns["id"])

    def column(self, name: str) -> StringColumn:
        """One field of all posts."""
        return self._columns[name]

    def post(self, index: int) -> Post:
        """The post at an index from 0."""
        return Post(*(column[index] for column in self._columns.values()))

    def posts(self, start: int, stop: int) -> Iterator[Post]:
        """The posts from index ``start`` up to ``stop``, without the last."""
        return map(Post, *(column.between(start, stop) for column in self._columns.values()))


class _Selected(Sequence[T_co]):
    """Some rows of columns, by their indices: a range where nothing is left out."""

    __slots__ = ("_indices",)

    def __init__(self, indices: Sequence[int]) -> None:
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> T_co: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T_co]: ...

    def __getitem__(self, index: int | slice) -> T_co | Sequence[T_co]:
        return self._part(index) if isinstance(index, slice) else self._item(index)

    @abstractmethod
    def _item(self, index: int) -> T_co:
        """What stands at an index, which may be negative."""

    @abstractmethod
    def _part(self, index: slice) -> Sequence[T_co]:
        """What stands at some of the indices."""

    def _spans(self) -> Iterator[range]:
        """The indices in runs without a gap, none longer than a chunk."""
        indices = self._indices
        if isinstance(indices, range) and indices.step == 1:
            for start in range(indices.start, indices.stop, CHUNK):
                yield range(start, min(start + CHUNK, indices.stop))
            return
        for first in range(0, len(indices), CHUNK):
            some = np.asarray(indices[first : first + CHUNK], dtype=np.int64)
            for run in np.split(some, np.flatnonzero(np.diff(some) != 1) + 1):
                yield range(int(run[0]), int(run[-1]) + 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        further = f", ... {len(self):,} in all" if len(self) > _SHOWN else ""
        return f"[{', '.join(map(repr, self[:_SHOWN]))}{further}]"


class PackedPosts(_Selected[Post]):
    """Posts of columns, (n_posts,)."""

    __slots__ = ("_columns",)

    def __init__(self, columns: PostColumns, indices: Sequence[int] | None = None) -> None:
        super().__init__(range(len(columns)) if indices is None else indices)
        self._columns = columns

    def __iter__(self) -> Iterator[Post]:
        for span in self._spans():
            yield from self._columns.posts(span.start, span.stop)

    def take(self, indices: Iterable[int]) -> PackedPosts:
        """Those at some indices, in their order."""
        return PackedPosts(self._columns, array("q", (self._indices[index] for index in indices)))

    def values(self, name: str) -> Iterator[str]:
        """One field of each, ``language`` for example, without making the posts."""
        column = self._columns.column(name)
        for span in self._spans():
            yield from column.between(span.start, span.stop)

    def append_to(self, column: StringColumn, name: str) -> None:
        """Add one field of each to a column."""
        if isinstance(self._indices, range) and len(self) == len(self._columns):
            column.add_column(self._columns.column(name))
            return
        for value in self.values(name):
            column.append(value)

    def _item(self, index: int) -> Post:
        return self._columns.post(self._indices[index])

    def _part(self, index: slice) -> PackedPosts:
        return PackedPosts(self._columns, self._indices[index])


class PackedLabelledPosts(_Selected[LabelledPost]):
    """Labelled posts of columns: ``posts`` and ``labels``, (n_posts,) each."""

    __slots__ = ("labels", "posts")

    def __init__(self, posts: PackedPosts, labels: Labels) -> None:
        super().__init__(range(len(posts)))
        self.posts = posts
        self.labels = labels

    def __iter__(self) -> Iterator[LabelledPost]:
        return map(LabelledPost, self.posts, self.labels.tolist())

    def _item(self, index: int) -> LabelledPost:
        return LabelledPost(self.posts[index], int(self.labels[index]))

    def _part(self, index: slice) -> PackedLabelledPosts:
        return PackedLabelledPosts(self.posts._part(index), self.labels[index])


def concatenated(parts: Sequence[Sequence[Post]]) -> PackedPosts:
    """The posts of all parts, one after another, packed; texts that are packed already are not copied."""
    columns = PostColumns()
    for posts in parts:
        columns.add(posts if isinstance(posts, PackedPosts) else PackedPosts(PostColumns(posts)))
    return PackedPosts(columns)


def posts_of(items: Sequence[LabelledPost]) -> Sequence[Post]:
    """The posts of labelled ones, in their order; none is made where they are packed."""
    return items.posts if isinstance(items, PackedLabelledPosts) else [item.post for item in items]


def taken(posts: Sequence[Post], indices: Iterable[int]) -> Sequence[Post]:
    """The posts at some indices, in their order; none is made where they are packed."""
    return posts.take(indices) if isinstance(posts, PackedPosts) else [posts[index] for index in indices]


def labels_of(items: Sequence[LabelledPost]) -> Labels:
    """The labels of posts, (n_posts,), in their order."""
    if isinstance(items, PackedLabelledPosts):
        return items.labels
    return np.array([item.label for item in items], dtype=np.int8)


def field_of(posts: Sequence[Post], name: str) -> Iterator[str]:
    """One field of each post, in their order."""
    return posts.values(name) if isinstance(posts, PackedPosts) else (getattr(post, name) for post in posts)


def field_array(posts: Sequence[Post], name: str) -> NDArray[np.str_]:
    """One field of each post, (n_posts,)."""
    return np.array(list(field_of(posts, name)), dtype=np.str_)


class NormalisedTexts(Sequence[str]):
    """The texts of posts as a model reads them (text.normalise), made each time they are looked at."""

    __slots__ = ("_normalisation", "_posts")

    def __init__(self, posts: Sequence[Post], normalisation: str) -> None:
        self._posts = posts
        self._normalisation = normalisation

    def __len__(self) -> int:
        return len(self._posts)

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self.batches())

    def batches(self) -> Iterator[list[str]]:
        """All of them in order, as many at a time as are normalised together."""
        texts = field_of(self._posts, "text")
        while batch := list(islice(texts, CHUNK)):
            yield model_texts(batch, self._normalisation)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> NormalisedTexts: ...

    def __getitem__(self, index: int | slice) -> str | NormalisedTexts:
        if isinstance(index, slice):
            return NormalisedTexts(self._posts[index], self._normalisation)
        return model_text(self._posts[index].text, self._normalisation)
