"""What a scoring of files is, as data: its inputs, its parts, and what is known of each part that is done.

A **part** is a run of ``part_posts`` consecutive rows of one input: what is scored, written, kept and, after an
interruption, not done again. Which rows a part holds depends on the input alone, not on who scores it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.formats import format_of
from polyvigil.data.languages import LanguageSpelling
from polyvigil.data.read import RowErrorKind
from polyvigil.scoring.facts import OutputFacts
from polyvigil.types import Frozen


class InputFacts(Frozen):
    """An input as it was when the job began."""

    path: str
    bytes: int
    """0 for standard input."""
    modified_ns: int
    columns: tuple[str, ...]
    derived: tuple[str, ...] = ()
    """What its rows have beside columns (data.table.Table.derived)."""
    partition: tuple[tuple[str, str], ...] = ()


class Job(Frozen):
    """All that moves a byte of the output."""

    libraries: dict[str, str]
    """Versions, polyvigil's among them."""
    bundle: str
    inputs: tuple[InputFacts, ...]
    ending: str
    """Of each output file, ``.csv.gz`` say."""
    folder: bool
    """Whether each part is a file of its own in a folder; else they are joined."""
    facts: OutputFacts
    """Of the bundle."""
    columns: tuple[str, ...]
    """Of the output: the inputs', by their names in the output, then ours."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Columns of the inputs that are called otherwise in the output, since their name is ours: name, name there."""
    arrow_schema: str = ""
    """The output's schema where it is Parquet: Arrow's serialisation, base64."""
    data: DataSpec
    how: ScoreSpec

    @property
    def kind(self) -> str:
        """The format of the output: csv, tsv, jsonl, parquet or xlsx."""
        return format_of(f"x{self.ending}")

    @property
    def part_ending(self) -> str:
        """Of the files of parts: those of a workbook are JSON lines until it is made."""
        return ".jsonl" if self.kind == "xlsx" and not self.folder else self.ending

    @property
    def id(self) -> str:
        """A hash of all of it."""
        return _hash(self.model_dump_json())

    @cached_property
    def part_ids(self) -> tuple[str, ...]:
        """Of each input, a hash of all that moves a byte of its parts: other inputs do not."""
        shared = self.model_copy(update={"inputs": ()}).model_dump_json()
        return tuple(_hash(shared + facts.model_dump_json()) for facts in self.inputs)


class WorkItem(Frozen):
    """What is handed to a worker at once: one part that begins at ``offset`` and ``line``, or all parts of an input."""

    input: int
    whole: bool = True
    part: int = 0
    offset: int = 0
    line: int = 0
    bytes: int = 0
    """Of the input, for the progress."""
    last: bool = False


class LanguageCounts(Frozen):
    """What was decided in one language group."""

    language: str
    posts: int
    flagged: int
    threshold: float
    threshold_source: str
    trained: bool
    threshold_warnings: tuple[str, ...] = ()
    """What is doubtful of the threshold, such as too few ADEs to tune on."""
    prevalence: float | None = None
    """The share of ADEs at which ``p_calibrated`` of the language holds; None where there is no such column."""
    abstained: int = 0
    """Posts that were not flagged whatever their P (wire.ABSTAINED)."""


class Counts(Frozen):
    """What was found in some rows. ``copied``: posts that took the decision of one like them (``dedup``)."""

    posts: int = 0
    flagged: int = 0
    no_text: int = 0
    missing: int = 0
    """Those of no_text whose text is empty or gone (text.normalise.MISSING_TEXT)."""
    copied: int = 0
    set_aside: int = 0
    languages: tuple[LanguageCounts, ...] = ()
    faults: tuple[RowErrorKind, ...] = ()
    spellings: tuple[LanguageSpelling, ...] = ()
    judging: tuple[tuple[str, int], ...] = ()
    """How many posts have each flag of wire.JUDGING, by flag."""
    left_out: tuple[str, ...] = ()
    """Columns of piped JSON that were first met when the columns of the output, which are fixed, stood already."""
    late_notes: tuple[str, ...] = ()
    """What is known once the rows have been read (data.table): at the end of an input, or of a part read by itself."""


class PartRecord(Frozen):
    """A part that is done; written once its file is on the disk."""

    of: str = ""
    """The one of ``Job.part_ids``."""
    input: int
    part: int
    last: bool
    """Whether the input ends here."""
    counts: Counts
    bytes: int = 0
    sha256: str = ""
    rejects: int = 0
    """Bytes of its file of rejects; 0: there is none."""
    rejects_sha256: str = ""

    @property
    def name(self) -> str:
        return part_name(self.input, self.part)


class ProgressEvent(Frozen):
    """How far a worker got since its last event."""

    posts: int = 0
    set_aside: int = 0
    bytes: int = 0
    known: bool = False
    """Whether that was done by an earlier run."""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def part_name(input: int, part: int) -> str:
    """The name of a part's file, without its ending; in the order of the rows."""
    return f"part-{input:05d}-{part:05d}"


def total(counts: Iterable[Counts]) -> Counts:
    """The sum. Row errors and spellings are left out: they belong to their inputs."""
    languages: dict[str, LanguageCounts] = {}
    judging: Counter[str] = Counter()
    posts = flagged = no_text = missing = copied = set_aside = 0
    for some in counts:
        posts += some.posts
        flagged += some.flagged
        no_text += some.no_text
        missing += some.missing
        copied += some.copied
        set_aside += some.set_aside
        judging.update(dict(some.judging))
        for language_counts in some.languages:
            held = languages.get(language_counts.language)
            languages[language_counts.language] = (
                language_counts.model_copy(
                    update={
                        "posts": held.posts + language_counts.posts,
                        "flagged": held.flagged + language_counts.flagged,
                        "abstained": held.abstained + language_counts.abstained,
                    }
                )
                if held
                else language_counts
            )
    return Counts(
        posts=posts,
        flagged=flagged,
        no_text=no_text,
        missing=missing,
        copied=copied,
        set_aside=set_aside,
        languages=tuple(languages[language] for language in sorted(languages)),
        judging=tuple(sorted(judging.items())),
    )
