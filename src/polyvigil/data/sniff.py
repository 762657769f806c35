"""The dialect of delimited text, judged by the first 64 kB of a file.

In: the decoded head and what the user said of it (``[data]``). Out: a ``Dialect``. Each delimiter and way of quoting is
tried on the head with the reader that will read the file (``data.delimited``), and the one that explains most of it is
taken. Always holds: in a file that is not plainly quoted a ``"`` is a character, so that no row is swallowed by a quote
that never closes; the same head gives the same dialect.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice

import regex

from polyvigil.config.data import DataSpec, Quoting
from polyvigil.data.columns import KNOWN_NAMES
from polyvigil.data.delimited import Broken, Records, RowShape
from polyvigil.data.dialect import Dialect
from polyvigil.errors import DataError

DELIMITERS = (",", "\t", ";", "|")
_MOST_RECORDS = 400  # of the head, that are looked at
_MOST_TITLES = 12  # lines before the header
_ENOUGH_KNOWN_NAMES = 3
_ESCAPES = regex.compile(r'""|\\.')  # quotes inside quoted cells


@dataclass(frozen=True, slots=True)
class _Trial:
    """How well a dialect explains the head."""

    dialect: Dialect
    n_columns: int
    known_names: int
    """Names of the header that are usual for a column of posts."""
    fitting: int
    """Records as wide as the header."""
    broken: int
    """Records of other widths, or with broken quoting."""

    @property
    def share(self) -> float:
        return self.fitting / max(self.fitting + self.broken, 1)


def sniff_dialect(text: str, *, is_partial: bool, spec: DataSpec, usual: str) -> Dialect:
    """The dialect of a file that begins with ``text``; what ``spec`` says of it holds.

    ``is_partial``: the file goes on, so the last line may be half of one. ``usual``: the delimiter that the file's name
    promises, which is taken where others explain the head no better. Raises DataError for an unusable delimiter.
    """
    return _sniffed(text, is_partial, spec.delimiter, spec.quoting, spec.header, usual)


@lru_cache(maxsize=4)  # a command opens a file several times
def _sniffed(text: str, is_partial: bool, delimiter: str, quoting: Quoting, header: bool, usual: str) -> Dialect:
    spec = DataSpec(delimiter=delimiter, quoting=quoting, header=header)
    line_ends = "\n" if "\n" in text else "\r"
    text = text[: text.rfind(line_ends) + 1] if is_partial and line_ends in text else text
    lines = text.split(line_ends)[: _MOST_RECORDS + _MOST_TITLES]
    declared = _declared_delimiter(lines[0])
    given = _delimiter(spec.delimiter) or declared
    delimiters = [given] if given else [usual, *(mark for mark in DELIMITERS if mark != usual)]
    trials = [
        _trial(
            text,
            lines,
            Dialect(delimiter, quoting, int(bool(declared)), spec.header, line_ends=line_ends),
            is_partial=is_partial,
        )
        for delimiter in delimiters
        for quoting in _quotings(lines, delimiter, spec)
    ]
    best = _best(trials)
    if best.n_columns < 2 and not given:
        return _one_column(trials[0], spec)
    return best.dialect


def _delimiter(given: str) -> str:
    known = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
    delimiter = known.get(given.lower(), given)
    if len(delimiter) > 1 or delimiter in ('"', "\n", "\r", "\0"):
        raise DataError(
            f"{given!r} cannot stand between cells", where="data.delimiter", hint="give one character, or tab"
        )
    return delimiter


def _declared_delimiter(first: str) -> str:
    """The delimiter of a first line ``sep=;``, as Excel writes it."""
    declared = first.strip().strip('"')
    return declared[4:] if declared.lower().startswith("sep=") and len(declared) == 5 else ""


def _quotings(lines: Sequence[str], delimiter: str, spec: DataSpec) -> Sequence[Quoting]:
    if spec.quoting != "auto":
        return (spec.quoting,)
    if delimiter == "\t":
        return ("minimal", "backslash") if is_plainly_quoted(lines, delimiter) else ("none",)
    quoted_cell = regex.compile(
        rf'(?:^|{regex.escape(delimiter)})"(?:[^"\\]|""|\\.)*"(?={regex.escape(delimiter)}|\r?$)'
    )
    if any(quoted_cell.search(line) for line in lines if '"' in line):
        return ("minimal", "backslash")
    return ("minimal", "backslash", "none")


def _one_column(usual: _Trial, spec: DataSpec) -> Dialect:
    """The dialect of a file of one column, whose texts may hold delimiters."""
    if usual.share == 1 or spec.quoting not in ("auto", "none"):
        return usual.dialect
    return replace(usual.dialect, delimiter="", quoting="none")


def _trial(text: str, lines: Sequence[str], dialect: Dialect, *, is_partial: bool) -> _Trial:
    stream = io.StringIO(text, newline=dialect.line_ends)
    for _ in range(dialect.skip):
        stream.readline()
    records = Records(stream, dialect, None, before=dialect.skip)
    first = _taken(records, _MOST_TITLES)
    header = _header_index(first, lines, dialect) if dialect.header else 0
    if header >= len(first) or isinstance(first[header][1], Broken):
        return _Trial(dialect, 0, 0, 0, 1)
    line, cells = first[header]
    assert not isinstance(cells, Broken)
    dialect = replace(dialect, skip=line - 1)
    stream.seek(0)
    for _ in range(line if dialect.header else line - 1):
        stream.readline()
    records = Records(stream, dialect, RowShape.of(lines, dialect, len(cells)), before=line)
    widths = [None if isinstance(record, Broken) else len(record) for _, record in _taken(records, _MOST_RECORDS)]
    while is_partial and widths and widths[-1] is None:
        widths.pop()  # perhaps only the head ends inside a quoted cell
    n_columns = _width(cells)
    row_names = dialect.header and _have_row_names(lines[line - 1] if line <= len(lines) else "", len(cells), widths)
    fitting = sum(width in (len(cells), n_columns) or row_names for width in widths)
    known = sum(name.strip().lower() in KNOWN_NAMES for name in cells) if dialect.header else 0
    return _Trial(replace(dialect, row_names=row_names), n_columns, known, fitting, len(widths) - fitting)


def _taken(records: Records, most: int) -> list[tuple[int, list[str] | Broken]]:
    return list(islice(records, most))


def _best(trials: Sequence[_Trial]) -> _Trial:
    """The trial that explains most; of equals the first, which is the usual delimiter with its usual quoting.

    Known names of columns come first, for they are what the file is read for; then that there are columns at all, the
    share of rows that fit, and that rows come out at all: quotes may swallow all of them and leave nothing unfit.
    """
    most = max(trial.fitting for trial in trials)

    def rank(trial: _Trial) -> tuple[float, ...]:
        return (
            min(trial.known_names, _ENOUGH_KNOWN_NAMES),
            trial.n_columns > 1,
            round(trial.share, 2),
            trial.fitting >= most / 2,
            round(trial.share, 4),
        )

    return max(trials, key=rank)


def _width(cells: Sequence[str]) -> int:
    """The number of columns without Excel's empty ones at the end."""
    width = len(cells)
    while width > 1 and not cells[width - 1].strip():
        width -= 1
    return width


def _header_index(first: Sequence[tuple[int, list[str] | Broken]], lines: Sequence[str], dialect: Dialect) -> int:
    """Which of the first records is the header: titles, which are narrower than the rows, and comments are passed."""
    counts = Counter(len(line.split(dialect.delimiter or None)) for line in lines if line.strip())
    usual = max(counts, key=lambda width: (counts[width], width), default=0)
    for index, (_, cells) in enumerate(first):
        if isinstance(cells, Broken):
            return index
        n_named = sum(bool(name.strip()) for name in cells)
        is_title = n_named <= 1 < usual and not any(name.strip().lower() in KNOWN_NAMES for name in cells)
        if not is_title and not cells[0].startswith("#"):
            return index
    return 0


def _have_row_names(header: str, n_columns: int, widths: Sequence[int | None]) -> bool:
    """Whether rows have one cell more than the header throughout. Only under a quoted header, as R writes it: else it
    may be the delimiter in an unquoted text."""
    return header.startswith('"') and len(widths) > 0 and all(width == n_columns + 1 for width in widths)


def is_plainly_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quotes in tab-separated text are quoting: a whole column is quoted, or cells hold what must be quoted (a
    doubled quote, a delimiter, the end of a line) and no cell begins with a quote and ends without."""
    header = lines[0].rstrip("\r").split(delimiter) if lines else []
    if len(header) > 1 and all(len(cell) > 2 and cell[0] == cell[-1] == '"' for cell in header):
        return True
    doubled = openings = n_lines = 0
    quoted: Counter[int] = Counter()
    for line in lines:
        n_lines += bool(line)
        for index, cell in enumerate(line.rstrip("\r").split(delimiter)):
            if cell.startswith('"'):
                inner = cell[1:-1]
                is_whole = len(cell) > 1 and cell.endswith('"') and '"' not in _ESCAPES.sub("", inner)
                quoted[index] += is_whole
                openings += not is_whole
                doubled += is_whole and '""' in inner
    if any(number >= max(n_lines - 1, 2) for number in quoted.values()):  # the header may stand unquoted
        return True
    return doubled > 0 if not openings else _fit_when_quoted(lines, delimiter)


def _fit_when_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether all lines make rows as wide as the header when quotes are quoting, and do not when they are not."""
    n_columns = len(lines[0].split(delimiter)) if lines else 0
    if n_columns < 2 or all(len(line.split(delimiter)) == n_columns for line in lines if line):
        return False
    text = "".join(f"{line}\n" for line in lines)
    dialect = Dialect(delimiter, "minimal")
    records = Records(io.StringIO(text, newline="\n"), dialect, RowShape.of(lines, dialect, n_columns))
    widths = [None if isinstance(record, Broken) else len(record) for _, record in records]
    while widths and widths[-1] is None:
        widths.pop()
    return len(widths) > 1 and all(width == n_columns for width in widths)
