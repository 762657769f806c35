"""Scored posts as arrays: outputs of ``polyvigil score`` in, what a worklist and an estimate need of them out.

In: files, folders and globs of scored posts, gone through row by row. Out: ``ScoredPosts``, about 50 bytes a post,
without their texts; ``rows_at`` reads chosen rows again. Posts with nothing to read are counted and left out.

Posts of one language that read the same but for case, links, numbers, punctuation and white space (text.canonical) have
one ``group``: they are one post to whoever counts.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import ColumnMap, column_list, map_columns
from polyvigil.data.formats import RowError, Table, open_table
from polyvigil.data.inputs import find_inputs
from polyvigil.data.read import ReadPost, cell_text
from polyvigil.data.shown import shown_column, shown_value
from polyvigil.data.table import Row
from polyvigil.errors import DataError
from polyvigil.review.sampling import representatives
from polyvigil.scoring.wire import ABSTAINED, CALIBRATED, Decision
from polyvigil.text.normalise import model_text
from polyvigil.text.shingles import canonical
from polyvigil.types import Post, Probabilities

NEEDED = ("p", "decision", "language", "threshold", "flags", "bundle")
"""Columns by which an output of ``polyvigil score`` is known (scoring.wire.Decision), whatever bundle scored it."""
assert set(NEEDED) <= set(Decision.__dataclass_fields__)
_NO_TEXT = "no_text:"
_PROGRESS_ROWS = 20_000

Progress = Callable[[int, int, float | None], None]
"""Called with the rows read, the rows left out, and the share read where it is known."""


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """One file: where its posts stand in the arrays, what columns it has, and which of them is what."""

    path: str
    start: int
    stop: int
    columns: tuple[str, ...]
    roles: ColumnMap
    fingerprint: int
    """Of what is known of its posts, whatever the order of the rows; of several files the sum."""


@dataclass(frozen=True, slots=True)
class Names:
    """A name for each post: ``names[codes[i]]`` of post i."""

    codes: NDArray[np.int32]
    names: tuple[str, ...]

    def has(self, name: str) -> NDArray[np.bool_]:
        """Whether each post has this name: (n_posts,)."""
        mask: NDArray[np.bool_] = self.codes == (self.names.index(name) if name in self.names else -1)
        return mask


@dataclass(frozen=True)
class ScoredPosts:
    """Posts with something to read, in the order of the files; all arrays (n_posts,)."""

    files: tuple[ScoredFile, ...]
    calibrated: Probabilities
    decision: NDArray[np.int8]
    languages: NDArray[np.str_]
    types: Names
    bundles: Names
    group: NDArray[np.int64]
    """The same number: the same language, and the same text but for case, links, numbers, punctuation and spaces."""
    row: NDArray[np.int64]
    """Which row of its file each post is, from 0."""
    abstained: NDArray[np.bool_]
    trained: NDArray[np.bool_]
    """Whether its bundle was trained on its language."""
    threshold: NDArray[np.float64]
    without_text: int
    notes: tuple[str, ...] = field(default=())

    @property
    def distinct(self) -> NDArray[np.bool_]:
        """Of each group the post of the highest P: (n_posts,)."""
        return representatives(self.calibrated, self.languages, self.group)

    @property
    def fingerprint(self) -> str:
        """What names this set of scored posts: 12 hexadecimal digits."""
        return fingerprint_text(sum(file.fingerprint for file in self.files))


def fingerprint_text(fingerprint: int) -> str:
    """The name of a set of scored posts by the sum of its files' fingerprints."""
    return f"{fingerprint % (1 << 48):012x}"


def read_scored(
    sources: Sequence[str], spec: DataSpec | None = None, *, progress: Progress = lambda *_: None
) -> ScoredPosts:
    """Read scored files, folders and globs.

    Raises DataError for a file that is no output of ``polyvigil score``, a row of one that cannot be read, standard
    input, which cannot be read twice, and where no post is left.
    """
    spec = spec or DataSpec()
    if "-" in sources:
        raise DataError(
            "scored posts are read twice", where="-", hint="write them to a file first: score -o scored.csv"
        )
    inputs = find_inputs(sources, scored=True)
    reader = _Reader(spec, progress)
    files = tuple(reader.read(given.path) for given in inputs.files)
    if not len(reader.calibrated):
        raise DataError("no post with a text among the scored ones", where=", ".join(sources), hint="check the files")
    return reader.posts(files, inputs.notes)


def check_scored(table: Table) -> None:
    """Raise DataError for a table that is no output of ``polyvigil score``."""
    if missing := [column for column in NEEDED if column not in table.columns]:
        raise DataError(
            f"is no output of polyvigil score: it lacks {column_list(missing)} and has {column_list(table.columns)}",
            where=table.name,
            hint="score it first: polyvigil score BUNDLE POSTS -o scored.csv; or give the bundle: polyvigil worklist "
            "POSTS --bundle BUNDLE -o worklist.csv",
        )


class _NameColumn:
    """Collects a name for each post."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._codes = array("i")

    def add(self, name: str) -> None:
        self._codes.append(self._numbers.setdefault(name, len(self._numbers)))

    def names(self) -> Names:
        return Names(np.frombuffer(self._codes, dtype=np.int32), tuple(self._numbers))


class _Reader:
    """Collects rows of several files into arrays."""

    def __init__(self, spec: DataSpec, progress: Progress) -> None:
        self._spec, self._progress = spec, progress
        self.calibrated, self.threshold = array("d"), array("d")
        self._decision, self._state = array("b"), array("b")
        self._group, self._row = array("q"), array("q")
        self._languages, self._types, self._bundles = _NameColumn(), _NameColumn(), _NameColumn()
        self._left_out = 0
        self._notes: list[str] = []

    def read(self, path: str) -> ScoredFile:
        with open_table(path, self._spec) as table:
            check_scored(table)
            roles = map_columns(table.columns, self._spec, required=("text",), where=table.name, derived=table.derived)
            start, fingerprint, index = len(self.calibrated), 0, -1
            for index, row in enumerate(table.rows):
                if isinstance(row, RowError):
                    raise _unreadable(table.name, row.line, "", row.reason)
                fingerprint += self._add(index, row, roles, table.name)
                if index % _PROGRESS_ROWS == 0:
                    self._progress(len(self.calibrated), self._left_out, table.fraction() if table.fraction else None)
            self._notes += [*table.notes, *(f"{table.name}: {guess}" for guess in roles.guesses)]
        return ScoredFile(path, start, len(self.calibrated), table.columns, roles, fingerprint)

    def _add(self, index: int, row: Row, roles: ColumnMap, name: str) -> int:
        """Take a row; its part of the file's fingerprint."""
        flags = cell_text(row.cells.get("flags")).split(";")
        if any(flag.startswith(_NO_TEXT) for flag in flags):
            self._left_out += 1
            return 0
        calibrated = number_in(row, calibrated_column(row), name, most=1.0)
        decision = number_in(row, "decision", name, most=1.0)
        language = cell_text(row.cells.get("language"))
        group = group_of(cell_text(row.cell(roles.columns["text"])), language)
        self.calibrated.append(calibrated)
        self.threshold.append(number_in(row, "threshold", name, most=1.0))
        self._decision.append(int(decision))
        self._state.append((ABSTAINED in flags) + 2 * ("language_not_trained" in flags))
        self._group.append(group)
        self._row.append(index)
        self._languages.add(language)
        kind, bundle = roles.get("type"), cell_text(row.cells.get("bundle"))
        self._types.add(cell_text(row.cell(kind)) if kind else "")
        self._bundles.add(bundle)
        return _hash(f"{group}\0{calibrated:.6g}\0{decision:g}\0{bundle}")

    def posts(self, files: tuple[ScoredFile, ...], notes: Sequence[str]) -> ScoredPosts:
        state, languages = np.frombuffer(self._state, dtype=np.int8), self._languages.names()
        return ScoredPosts(
            files,
            np.frombuffer(self.calibrated),
            np.frombuffer(self._decision, dtype=np.int8),
            np.array(languages.names)[languages.codes],
            self._types.names(),
            self._bundles.names(),
            np.frombuffer(self._group, dtype=np.int64),
            np.frombuffer(self._row, dtype=np.int64),
            state % 2 == 1,
            state < 2,
            np.frombuffer(self.threshold),
            self._left_out,
            (*notes, *self._notes),
        )


def group_of(text: str, language: str) -> int:
    """A number for the posts of a language that read like this one: a signed 64-bit hash."""
    read = model_text(text)
    return _hash(f"{canonical(read) or read}\0{language}")


def _hash(key: str) -> int:
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def calibrated_column(row: Row) -> str:
    """The column of calibrated P: ``p`` in a file of a bundle without a calibration, which has no other."""
    return CALIBRATED if CALIBRATED in row.cells else "p"


def number_in(row: Row, column: str, name: str, *, most: float) -> float:
    """A number of an output of ours, in [0, ``most``]. Raises DataError for anything else."""
    cell = row.cells.get(column)
    try:
        value = float(cell_text(cell))
    except ValueError:
        value = float("nan")
    if not 0 <= value <= most:
        given = shown_value(cell_text(cell))
        raise _unreadable(name, row.line, column, f"{given} is not a number from 0 to {most:g}")
    return value


def _unreadable(name: str, line: int, column: str, reason: str) -> DataError:
    return DataError(
        f"{shown_column(column)}: {reason}" if column else reason,
        where=f"{name}:{line}",
        hint="the file is not as polyvigil score wrote it; score the posts again",
    )


def rows_at(
    posts: ScoredPosts, indices: NDArray[np.int64], spec: DataSpec | None = None
) -> Iterator[tuple[int, ScoredFile, Row]]:
    """The rows of chosen posts, in the order of the files: index, file, row. Raises DataError where a file was changed
    meanwhile."""
    chosen = np.sort(indices)
    for file in posts.files:
        within = chosen[(chosen >= file.start) & (chosen < file.stop)]
        if not len(within):
            continue
        position = {int(posts.row[index]): int(index) for index in within}
        with open_table(file.path, spec or DataSpec(), columns=file.columns) as table:
            for number, row in enumerate(table.rows):
                index = position.pop(number, -1)
                if index >= 0 and isinstance(row, Row):
                    yield index, file, row
                if not position:
                    break
        if position:
            raise DataError("was changed while it was read", where=file.path, hint="run the same command again")


def posts_at(posts: ScoredPosts, indices: NDArray[np.int64], spec: DataSpec | None = None) -> Mapping[int, ReadPost]:
    """Chosen posts with their texts, by index."""
    return {index: _read_post(file, row) for index, file, row in rows_at(posts, indices, spec)}


def _read_post(file: ScoredFile, row: Row) -> ReadPost:
    cells = {role: cell_text(row.cell(column)) for role, column in file.roles.columns.items()}
    language = cell_text(row.cells.get("language"))
    post = Post(cells.get("id") or f"row-{row.line}", cells["text"], language, cells.get("type", ""))
    return ReadPost(post, row)
