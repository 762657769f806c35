"""What `polyvigil check` returns, and the posts of all checked files laid end to end.

In: what was read of each file, labelled or not. Out: `CheckResult` and its parts, JSON-ready, and `CheckedPosts`:
arrays in the order of the files, then of the rows. A result names files, lines and ids, never the text of a post.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from polyvigil.checks.label_leak import LabelLeak
from polyvigil.data.kept_rows import lines_of
from polyvigil.data.labels import LabelValue
from polyvigil.data.packed_posts import NormalisedTexts, PackedPosts, concatenated, field_of, labels_of, posts_of
from polyvigil.data.packed_strings import StringColumn
from polyvigil.data.read import Reading, Unlabelled
from polyvigil.progress import tracked
from polyvigil.text.normalise import NORMALISATION, no_text_reasons
from polyvigil.types import Frozen, Labels, Post

Severity = Literal["error", "warning", "info"]
SuspectKind = Literal[
    "empty", "url_only", "mention_only", "no_words", "mojibake", "html", "very_long", "repeated_id", "conflicting_id"
]


class PostRef(Frozen):
    """A post by its file, the line its row starts on, and its id."""

    file: str
    line: int
    id: str


class PostPair(Frozen):
    """Two posts that belong together: alike, or of contrary labels."""

    first: PostRef
    second: PostRef


class RowErrorCount(Frozen):
    """Rows set aside in reading, for one reason."""

    column: str
    reason: str
    rows: int


class FileCount(Frozen):
    """One file: its rows, those set aside, and the posts that remain."""

    file: str
    rows: int
    posts: int
    positives: int | None
    """None of a file without labels."""
    set_aside: tuple[RowErrorCount, ...]
    labels: tuple[LabelValue, ...]
    """What stands in the column of labels, the most frequent first, and what it is read as."""


class LanguageCount(Frozen):
    """Posts and positives of a language in one split of a file; ``share`` = positives / posts. None without labels."""

    file: str
    split: str
    language: str
    posts: int
    positives: int | None
    share: float | None


class TypeCount(LanguageCount):
    """The same, for one type of post."""

    type: str


class LengthCount(Frozen):
    """How long a file's posts of one language and type are, in characters of the text as it was read.

    Characters are code points, counted before normalisation: with URLs, mentions and white space as they stand.
    """

    file: str
    language: str
    type: str
    posts: int
    median: float
    mean: float


class ScriptCount(Frozen):
    """Labelled posts of a language in one script over all files; ``training_*``: those of split train or of none."""

    language: str
    script: str
    posts: int
    positives: int
    share: float
    training_posts: int
    training_positives: int


class SplitCount(Frozen):
    """One split of one file: how many of its posts repeat an earlier post there, word for word or nearly."""

    file: str
    split: str
    posts: int
    exact_repeats: int
    near_repeats: int


class Suspect(Frozen):
    """Posts of a file that share a defect: how many, and up to 20 of them."""

    kind: SuspectKind
    file: str
    posts: int
    examples: tuple[PostRef, ...]


class Conflicts(Frozen):
    """Posts of the same normalised text and different labels: ``posts`` of them, ``texts`` texts; up to 20 pairs."""

    posts: int
    texts: int
    pairs: tuple[PostPair, ...]


class Leak(Frozen):
    """Posts that stand in two places (a place is a split of a file).

    ``first`` is the smaller place, with ``first_posts`` posts: ``exact`` of them stand word for word in the second too,
    ``near`` more of them nearly so (Jaccard similarity 0.8 or more, or a chain of such); ``share`` is both together
    over first_posts.
    """

    first_file: str
    first_split: str
    first_posts: int
    second_file: str
    second_split: str
    exact: int
    near: int
    share: float
    pairs: tuple[PostPair, ...]

    @property
    def same_split(self) -> bool:
        """Whether both places play the same part, so that nothing leaks."""
        return self.first_split == self.second_split != ""


class LanguageCheck(Frozen):
    """Of ``checked`` posts that a file gives as ``language``, ``disagree`` are surely another (``mostly`` that one)."""

    file: str
    language: str
    checked: int
    disagree: int
    share: float
    mostly: str


class Where(Frozen):
    """What a finding is about; an empty field means all."""

    file: str = ""
    split: str = ""
    language: str = ""

    def __str__(self) -> str:
        return ", ".join(part for part in (self.file, self.split, self.language) if part)


class Finding(Frozen):
    """One thing to know, and what to do. Errors make metrics wrong; warnings can; the rest is information."""

    severity: Severity
    code: str
    message: str
    hint: str
    where: Where


class CheckResult(Frozen):
    """All that was counted, and ``findings``: errors first, then warnings, then information."""

    files: tuple[FileCount, ...]
    languages: tuple[LanguageCount, ...]
    types: tuple[TypeCount, ...]
    lengths: tuple[LengthCount, ...]
    scripts: tuple[ScriptCount, ...]
    places: tuple[SplitCount, ...]
    suspects: tuple[Suspect, ...]
    conflicts: Conflicts
    leaks: tuple[Leak, ...]
    language_checks: tuple[LanguageCheck, ...]
    giveaways: tuple[LabelLeak, ...]
    findings: tuple[Finding, ...]


UNLABELLED = -1
"""In ``CheckedPosts.labels``: the post has none."""
EXAMPLES = 20  # posts or pairs named in a result, at most
OTHER = "(other)"
_NAMES = 30
_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class CheckedPosts:
    """All fields run over the posts: labels (n_posts,), 0, 1 or UNLABELLED; the files and lines they were read from;
    their splits and types (where a file has more than 30 of them, the rarer as ``(other)``); normalised texts; why
    there is no text in them, or ``""``. All are packed, and texts are normalised each time they are looked at: a
    million posts take what they take as they were read, and 35 MB."""

    posts: PackedPosts
    labels: Labels
    files: Sequence[str]
    lines: Sequence[int]
    splits: Sequence[str]
    types: Sequence[str]
    texts: NormalisedTexts
    no_text: Sequence[str]

    @property
    def languages(self) -> Iterator[str]:
        """The language group of each."""
        return self.posts.values("language")

    def ref(self, index: int) -> PostRef:
        """The post at an index in these sequences, by file, line and id."""
        return PostRef(file=self.files[index], line=self.lines[index], id=self.posts[index].id)

    def refs(self, indices: Sequence[int]) -> tuple[PostRef, ...]:
        """The first of the posts at these indices."""
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


def checked_posts(readings: Sequence[Reading | Unlabelled]) -> CheckedPosts:
    """The posts of the files, in their order."""
    parts = [_posts(reading) for reading in readings]
    posts = concatenated(parts)
    texts = NormalisedTexts(posts, NORMALISATION)
    return CheckedPosts(
        posts=posts,
        labels=np.concatenate([_labels(reading) for reading in readings]),
        files=StringColumn(reading.name for reading in readings for _ in range(len(reading.posts))),
        lines=array("q", (line for reading in readings for line in _lines(reading))),
        splits=StringColumn(name for part in parts for name in _named(part, "split")),
        types=StringColumn(name for part in parts for name in _named(part, "type")),
        texts=texts,
        no_text=StringColumn(map(_no_text_reason, tracked(texts, "cleaning texts", len(posts)))),
    )


def _no_text_reason(text: str) -> str:
    return no_text_reasons([text])[0]


def _posts(reading: Reading | Unlabelled) -> Sequence[Post]:
    return reading.posts if isinstance(reading, Unlabelled) else posts_of(reading.posts)


def _labels(reading: Reading | Unlabelled) -> Labels:
    if isinstance(reading, Unlabelled):
        return np.full(len(reading.posts), UNLABELLED, dtype=np.int8)
    return labels_of(reading.posts)


def _lines(reading: Reading | Unlabelled) -> Sequence[int]:
    return reading.lines if isinstance(reading, Unlabelled) else lines_of(reading.rows)


def counts_by_key(keys: Iterable[tuple[str, ...]], labels: Labels) -> list[KeyCounts]:
    """One tally for each distinct key, in the order of the keys; a key of posts without labels has no positives."""
    posts: Counter[tuple[str, ...]] = Counter()
    positives: Counter[tuple[str, ...]] = Counter()
    for key, label in zip(keys, labels.tolist(), strict=True):
        posts[key] += 1
        positives[key] += label == 1
    return [KeyCounts(key, posts[key], positives[key]) for key in sorted(posts)]


def _named(posts: Sequence[Post], field: str) -> Iterator[str]:
    """The values of a field, if they are names: a column of more kinds of value, or longer ones, may hold anything."""
    kinds = Counter(field_of(posts, field))
    common = {value for value, _ in kinds.most_common(_NAMES) if len(value) <= _NAME_LENGTH}
    return (value if value in common else OTHER for value in field_of(posts, field))
