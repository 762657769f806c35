"""The analysis behind ``polyvigil check``: files that were read go in, counts and findings come out.

Prints nothing, and no post's text is in the result.
"""

from __future__ import annotations

import math
import re
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import accumulate, compress, pairwise, repeat
from typing import Any, overload

import numpy as np
from ftfy.badness import is_bad

from polyvigil.checks.check_result import (
    UNLABELLED,
    CheckedPosts,
    CheckResult,
    FileCount,
    LanguageCheck,
    LanguageCount,
    LengthCount,
    RowErrorCount,
    ScriptCount,
    Suspect,
    SuspectKind,
    TypeCount,
    checked_posts,
    counts_by_key,
)
from polyvigil.checks.findings import findings_of
from polyvigil.checks.label_leak import LabelLeak, measure_columns
from polyvigil.checks.leaks import Repeats
from polyvigil.config.data import DataSpec
from polyvigil.data.columns import map_columns
from polyvigil.data.exports import holds_label
from polyvigil.data.formats import RowError
from polyvigil.data.kept_rows import column_cells, column_names
from polyvigil.data.packed_posts import labels_of
from polyvigil.data.packed_strings import CHUNK, StringColumn
from polyvigil.data.read import Reading, Unlabelled
from polyvigil.errors import DataError
from polyvigil.progress import report_share, tracked
from polyvigil.text.html import holds_html
from polyvigil.text.language import UNDETERMINED, base_language, detect_languages
from polyvigil.text.script import main_script, main_scripts

VERY_LONG = 16_384  # characters; more is seldom one post
LANGUAGE_SAMPLE = 2_000  # posts of a file whose language is looked at
_ENOUGH = 40  # letters; a shorter post says too little about its language ...
_ENOUGH_DENSE = 15  # ... but that many suffice in Han, kana and Hangul
_SAMPLE_SEED = 0
_PLACEHOLDERS = re.compile(r"\[URL\]|@USER|\[PLACE\]")
_SHOWN = re.compile(r"(['\"]).*\1|^\(a value of [\d,]+ characters\)", re.DOTALL)

Progress = Callable[[str], None]


def check(
    readings: Sequence[Reading | Unlabelled], *, spec: DataSpec | None = None, progress: Progress | None = None
) -> CheckResult:
    """Look at files together. ``spec`` is the one they were read with; ``progress`` gets each stage's name.

    In files without labels all is looked for that needs none: leaks to and from them, repeats, languages, texts.

    The same files always give the same result. Raises DataError when there is no file, or when one stands twice.
    """
    if not readings:
        raise DataError("no file to check", hint="name one or more")
    names = Counter(reading.name for reading in readings)
    if twice := next((name for name, number in names.items() if number > 1), None):
        raise DataError("the same file is given twice", where=twice, hint="name each file once")
    unlabelled = {reading.name for reading in readings if isinstance(reading, Unlabelled)}
    report_stage = progress or (lambda _: None)
    report_stage("texts")
    posts = checked_posts(readings)
    suspects = tuple(_suspects(posts))
    report_stage("scripts")
    scripts = script_counts(posts)
    report_stage("duplicates")
    repeats = Repeats.of(posts)
    report_stage("languages")
    language_checks = tuple(_language_checks(posts))
    report_stage("label leaks")
    label_leaks = _label_leaks(readings, posts, spec or DataSpec())
    report_stage("findings")
    result = CheckResult(
        files=tuple(_file_count(reading) for reading in readings),
        languages=_languages(posts, unlabelled),
        types=_types(posts, unlabelled),
        lengths=_lengths(posts),
        scripts=scripts,
        places=repeats.split_counts(),
        suspects=suspects,
        conflicts=repeats.conflicts(),
        leaks=repeats.leaks(),
        language_checks=language_checks,
        giveaways=label_leaks,
        findings=(),
    )
    return result.model_copy(update={"findings": findings_of(result)})


def _file_count(reading: Reading | Unlabelled) -> FileCount:
    reasons = Counter((row_error.column, _reason(row_error)) for row_error in reading.row_errors)
    return FileCount(
        file=reading.name,
        rows=len(reading.posts) + len(reading.row_errors),
        posts=len(reading.posts),
        positives=None if isinstance(reading, Unlabelled) else int(labels_of(reading.posts).sum()),
        set_aside=tuple(RowErrorCount(column=key[0], reason=key[1], rows=rows) for key, rows in reasons.most_common()),
        labels=() if isinstance(reading, Unlabelled) else reading.label_values,
    )


def _reason(row_error: RowError) -> str:
    """The reason without what it shows of a cell, so that rows of one kind are counted together."""
    return _SHOWN.sub("a value", row_error.reason).split(" (")[0]


def _languages(posts: CheckedPosts, unlabelled: Collection[str]) -> tuple[LanguageCount, ...]:
    keys = zip(posts.files, posts.splits, posts.languages, strict=True)
    return tuple(
        LanguageCount(
            file=counts.key[0],
            split=counts.key[1],
            language=counts.key[2],
            posts=counts.posts,
            positives=None if counts.key[0] in unlabelled else counts.positives,
            share=None if counts.key[0] in unlabelled else counts.share,
        )
        for counts in counts_by_key(keys, posts.labels)
    )


def _types(posts: CheckedPosts, unlabelled: Collection[str]) -> tuple[TypeCount, ...]:
    keys = zip(posts.files, posts.splits, posts.languages, posts.types, strict=True)
    return tuple(
        TypeCount(
            file=counts.key[0],
            split=counts.key[1],
            language=counts.key[2],
            type=counts.key[3],
            posts=counts.posts,
            positives=None if counts.key[0] in unlabelled else counts.positives,
            share=None if counts.key[0] in unlabelled else counts.share,
        )
        for counts in counts_by_key(keys, posts.labels)
    )


def _lengths(posts: CheckedPosts) -> tuple[LengthCount, ...]:
    characters: defaultdict[tuple[str, str, str], array[int]] = defaultdict(lambda: array("q"))
    lengths = map(len, posts.posts.values("text"))
    for file, language, kind, length in zip(posts.files, posts.languages, posts.types, lengths, strict=True):
        characters[file, language, kind].append(length)
    return tuple(
        LengthCount(
            file=file,
            language=language,
            type=kind,
            posts=len(numbers),
            median=float(np.median(numbers)),
            mean=float(np.mean(numbers)),
        )
        for (file, language, kind), numbers in sorted(characters.items())
    )


def script_counts(posts: CheckedPosts) -> tuple[ScriptCount, ...]:
    """Each language of labelled posts in each script it is written in, by name."""
    labelled = posts.labels != UNLABELLED
    labels = posts.labels[labelled]
    chosen = labelled.tolist()
    scripts = StringColumn(compress(_scripts(posts), chosen))
    languages = StringColumn(compress(posts.languages, chosen))
    trains = np.array([split in ("train", "") for split in compress(posts.splits, chosen)], dtype=bool)
    of_training = compress(zip(languages, scripts, strict=True), trains.tolist())
    in_training = {counts.key: counts for counts in counts_by_key(of_training, labels[trains])}
    return tuple(
        ScriptCount(
            language=counts.key[0],
            script=counts.key[1],
            posts=counts.posts,
            positives=counts.positives,
            share=counts.share,
            training_posts=in_training[counts.key].posts if counts.key in in_training else 0,
            training_positives=in_training[counts.key].positives if counts.key in in_training else 0,
        )
        for counts in counts_by_key(zip(languages, scripts, strict=True), labels)
    )


def _scripts(posts: CheckedPosts) -> Iterator[str]:
    """The script of each post, links and mentions left out."""
    for number, batch in enumerate(posts.texts.batches()):
        report_share("looking at scripts", number * CHUNK, len(posts.texts))
        yield from main_scripts([_PLACEHOLDERS.sub(" ", text) for text in batch])


def _suspects(posts: CheckedPosts) -> Iterator[Suspect]:
    """Posts with a defect of their own, and ids that stand twice in a file."""
    suspects: defaultdict[tuple[str, SuspectKind], array[int]] = defaultdict(lambda: array("q"))
    texts = tracked(posts.posts.values("text"), "looking at texts", len(posts.posts))
    rows = zip(posts.files, texts, posts.no_text, strict=True)
    for index, (file, text, reason) in enumerate(rows):
        if reason:
            suspects[file, _NO_TEXT[reason]].append(index)
        if not text.isascii() and is_bad(text):
            suspects[file, "mojibake"].append(index)
        if holds_html(text):
            suspects[file, "html"].append(index)
        if len(text) > VERY_LONG:
            suspects[file, "very_long"].append(index)
    for first, indices in sorted(_repeated_ids(posts).items()):
        alike = len({(posts.texts[index], int(posts.labels[index])) for index in indices}) == 1
        suspects[posts.files[first], "repeated_id" if alike else "conflicting_id"].extend(indices)
    for (file, kind), indices in sorted(suspects.items()):
        yield Suspect(kind=kind, file=file, posts=len(indices), examples=posts.refs(indices))


def _repeated_ids(posts: CheckedPosts) -> dict[int, array[int]]:
    """Of each id that stands twice in a file the posts, by the first of them. Looked for by hashes, so that no more ids
    are in memory than those of posts that may have another's."""
    keys = zip(posts.files, posts.posts.values("id"), strict=True)
    hashes = np.fromiter(map(hash, keys), dtype=np.int64, count=len(posts.posts))
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    index_of: dict[tuple[str, str], int] = {}
    repeats: dict[int, array[int]] = {}
    for index in np.flatnonzero(counts[inverse] > 1).tolist():
        first = index_of.setdefault((posts.files[index], posts.posts[index].id), index)
        if first != index:
            repeats.setdefault(first, array("q", [first])).append(index)
    return repeats


def _language_checks(posts: CheckedPosts) -> Iterator[LanguageCheck]:
    """What the detector says of a seeded sample of each file's longer posts, by the language they are given as."""
    by_file: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
    texts = tracked(posts.texts, "looking at languages", len(posts.texts))
    for index, (file, language, text) in enumerate(zip(posts.files, posts.languages, texts, strict=True)):
        if language != UNDETERMINED and _has_enough_letters(text):
            by_file[file].append(index)
    generator = np.random.default_rng(_SAMPLE_SEED)
    for file, indices in by_file.items():
        size = min(len(indices), LANGUAGE_SAMPLE)
        sample = np.sort(generator.choice(np.asarray(indices), size, replace=False)).tolist()
        detected = detect_languages([_PLACEHOLDERS.sub(" ", posts.texts[index]) for index in sample])
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for index, language in zip(sample, detected, strict=True):
            seen[posts.posts[index].language][language] += 1
        for language, counts in sorted(seen.items()):
            other_languages = Counter(
                {k: v for k, v in counts.items() if k not in (UNDETERMINED, base_language(language))}
            )
            checked, disagree = counts.total(), other_languages.total()
            yield LanguageCheck(
                file=file,
                language=language,
                checked=checked,
                disagree=disagree,
                share=disagree / checked,
                mostly=min(other_languages, key=lambda code: (-other_languages[code], code)) if other_languages else "",
            )


def _has_enough_letters(text: str) -> bool:
    letters = sum(map(str.isalpha, text[:400]))
    return letters >= _ENOUGH or (letters >= _ENOUGH_DENSE and main_script(text) in ("Han", "Japanese", "Hangul"))


def _label_leaks(
    readings: Sequence[Reading | Unlabelled], posts: CheckedPosts, spec: DataSpec
) -> tuple[LabelLeak, ...]:
    """Every column but text and label, of the ids their pattern: in each file and over all files that have the column.

    Of each column and language the measurement with the highest AUC; over all files when it is no lower than another.
    """
    languages, labels = StringColumn(posts.languages), posts.labels
    everywhere: dict[str, list[Sequence[str] | None]] = {}
    best: dict[tuple[str, str], LabelLeak] = {}
    alone = sum(not isinstance(reading, Unlabelled) for reading in readings) == 1  # then it is measured with all
    start = 0
    for number, reading in enumerate(readings):
        here = slice(start, start + len(reading.posts))
        start = here.stop
        if isinstance(reading, Unlabelled):  # whose cells stay None, which is left out
            continue
        columns = _columns(reading, spec)
        for name, cells in columns.items():
            everywhere.setdefault(name, [None] * len(readings))[number] = cells
        if alone:
            continue
        leaks = measure_columns(
            columns, languages=languages[here], labels=labels[here], texts=posts.texts[here], file=reading.name
        )
        for item in leaks:
            known = best.get((item.column, item.language))
            best[item.column, item.language] = item if known is None or item.auc > known.auc else known
    lengths = [len(reading.posts) for reading in readings]
    columns_of_all = {name: _CellsOfFiles(parts, lengths) for name, parts in everywhere.items()}
    for item in measure_columns(columns_of_all, languages=languages, labels=labels, texts=posts.texts):
        known = best.get((item.column, item.language))
        best[item.column, item.language] = item if known is None or item.auc >= known.auc else known
    return tuple(sorted(best.values(), key=lambda item: (-item.auc, item.language, item.column)))


class _CellsOfFiles(Sequence[str | None]):
    """The cells of a column of several files, one after another; None of each post of a file without it."""

    def __init__(self, parts: Sequence[Sequence[str] | None], lengths: Sequence[int]) -> None:
        """``lengths``: the posts of each file."""
        self._parts = parts
        self._starts = list(accumulate(lengths, initial=0))

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[str | None]:
        for part, (start, stop) in zip(self._parts, pairwise(self._starts), strict=True):
            yield from repeat(None, stop - start) if part is None else part

    @overload
    def __getitem__(self, index: int) -> str | None: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str | None]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str | None] | None:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        at = bisect_right(self._starts, index) - 1
        part = self._parts[at]
        return None if part is None else part[index - self._starts[at]]


def _columns(reading: Reading, spec: DataSpec) -> dict[str, Sequence[str]]:
    names = column_names(reading.rows)
    roles = map_columns(names, spec, required=(), where=reading.name)
    return {
        name: StringColumn(map(_cell, column_cells(reading.rows, name)))
        for name in names
        if name not in (roles.get("text"), roles.get("label")) and not holds_label(name, reading.rows[0].derived)
    }


def _cell(value: Any) -> str:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)


_NO_TEXT: dict[str, SuspectKind] = {
    "empty": "empty",
    "url_only": "url_only",
    "mention_only": "mention_only",
    "no_words": "no_words",
    **dict.fromkeys(("deleted", "missing", "spreadsheet_error"), "empty"),
}
