"""What ``polyvigil check`` knows of a set of files: counts, suspects, leaks, findings. No field holds a post's text.

Files, splits, languages and types go by the names they have in the data; an empty split, language or type is one the
file does not give (in a ``Where``: all of them).
"""

from __future__ import annotations

from typing import Literal

from polyvigil.checks.label_leak import LabelLeak
from polyvigil.types import Frozen

Severity = Literal["error", "warning", "info"]
SuspectKind = Literal[
    "empty", "url_only", "mention_only", "no_words", "mojibake", "very_long", "repeated_id", "conflicting_id"
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
    positives: int
    set_aside: tuple[RowErrorCount, ...]


class LanguageCount(Frozen):
    """Posts and positives of a language in one split of a file; ``share`` = positives / posts."""

    file: str
    split: str
    language: str
    posts: int
    positives: int
    share: float


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
    """Posts of a language in one script over all files; ``training_*`` are those of split train or of no split."""

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
    """One thing to know, and what to do. Errors make figures wrong; warnings can; the rest is information."""

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
