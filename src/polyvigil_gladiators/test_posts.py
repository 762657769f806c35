"""The test posts of a reproduction, with labels where the file has them: read, checked, known by a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import map_columns
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.formats import RowError, open_table
from polyvigil.data.read import numeric_label, read_rows, row_error
from polyvigil.errors import DataError, SplitError
from polyvigil.types import LabelledPost, Labels, Post

UNKNOWN = -1
"""The label of a test post where the file has none."""


@dataclass(frozen=True, slots=True)
class TestPosts:
    """``labels`` (n_posts,): 0, 1, or UNKNOWN for all."""

    __test__ = False  # no test of pytest's

    posts: tuple[Post, ...]
    labels: Labels
    name: str

    @property
    def has_labels(self) -> bool:
        """Whether every post has its label; a file with labels in some rows only is refused."""
        return bool((self.labels != UNKNOWN).all())

    @property
    def items(self) -> tuple[LabelledPost, ...]:
        """The posts with their labels, UNKNOWN ones too."""
        return tuple(LabelledPost(post, int(label)) for post, label in zip(self.posts, self.labels, strict=True))

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of ids, languages and texts in their order; no score depends on the labels."""
        whole = hashlib.sha256()
        for post in self.posts:
            whole.update(f"{post.id}\0{post.language}\0{post.text}\0".encode(errors="surrogatepass"))
        return whole.hexdigest()[:16]


def read_test(paths: Sequence[Path]) -> TestPosts | None:
    """The test posts in these files, in their order: of a file with several splits the rows of split test. None without
    a file.

    Raises DataError at the first row that cannot be used, and where some rows have a label and others have none: the
    official score needs all of them.
    """
    posts: list[Post] = []
    labels: list[int] = []
    for path in paths:
        file = _read_file(path)
        posts += file.posts
        labels += file.labels.tolist()
    if not posts:
        return None
    result = TestPosts(tuple(posts), np.array(labels, dtype=np.int8), ", ".join(path.name for path in paths))
    _check_labels(result, "--test")
    return result


def check_unseen(test: TestPosts, train: Sequence[LabelledPost], dev: Sequence[LabelledPost]) -> None:
    """Raise SplitError where half of the test posts or more are train posts, or dev posts, by their texts."""
    hashes = post_hashes(test.posts)
    for part, items in (("train", train), ("dev", dev)):
        shared = int(np.isin(hashes, post_hashes(item.post for item in items)).sum())
        if 2 * shared >= len(test.posts):
            raise SplitError(
                f"{shared:,} of {len(test.posts):,} test posts are {part} posts; metrics on them prove nothing",
                where=test.name,
                hint="give the task's test file: --test FILE",
            )


def _read_file(path: Path) -> TestPosts:
    posts: list[Post] = []
    labels: list[int] = []
    with open_table(path) as table:
        columns = map_columns(table.columns, DataSpec(), required=("text",), where=table.name, derived=table.derived)
        column = columns.get("label")
        for item in read_rows(table, columns, DataSpec(), labelled=False):
            if isinstance(item, RowError):
                raise row_error(item, table.name)
            cell = item.row.cell(column) if column else None
            label = numeric_label(cell)
            if label is None and str("" if cell is None else cell).strip():
                error = RowError(item.row.line, column or "", "is not 0, 1 or empty", {})
                raise row_error(error, table.name)
            posts.append(item.post)
            labels.append(UNKNOWN if label is None else label)
        splits = {post.split for post in posts}
        if len(splits) > 1 and "test" in splits:
            labels = [label for post, label in zip(posts, labels, strict=True) if post.split == "test"]
            posts = [post for post in posts if post.split == "test"]
        if not posts:
            raise DataError("holds no posts", where=table.name, hint="give the task's test file: --test FILE")
        result = TestPosts(tuple(posts), np.array(labels, dtype=np.int8), table.name)
        _check_labels(result, table.name)
    return result


def _check_labels(test: TestPosts, where: str) -> None:
    missing = int((test.labels == UNKNOWN).sum())
    if 0 < missing < len(test.labels):
        raise DataError(
            f"{missing:,} of {len(test.labels):,} test posts have no label, and the others have one",
            where=where,
            hint="fill in the label column, or leave it empty: the posts are scored then, and Table 3 is left out",
        )
