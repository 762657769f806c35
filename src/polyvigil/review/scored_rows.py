"""A file that ``polyvigil score`` or ``polyvigil worklist`` wrote -> checked rows for the store, one by one.

A row that cannot be used is a RowError, with its line and reason and never its text; a file that is no output of
scoring, or that was changed behind its manifest, raises DataError.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import map_columns
from polyvigil.data.formats import open_table
from polyvigil.data.inputs import MANIFEST
from polyvigil.data.table import Row, RowError, Table
from polyvigil.errors import DataError
from polyvigil.review.schema import PURPOSES
from polyvigil.text.normalise import replace_lone_surrogates

_NEEDED = ("p", "threshold", "decision", "bundle")
_ROW_ID = re.compile(r"row-\d+")
"""An id that scoring gave to a row without one: it is the same in every file."""
_BLOCK = 1 << 20
_MAX_ID = 1000


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """A post as it was scored; ``purpose`` and ``inclusion_p`` are those of a worklist, else empty and 0."""

    line: int
    source_id: str
    text: str
    language: str
    type: str
    bundle: str
    p: float
    p_calibrated: float
    """``p`` in a file of a bundle without a calibration, which has no other."""
    threshold: float
    threshold_source: str
    decision: int
    disagreement: float | None
    evidence_start: int | None
    evidence_end: int | None
    flags: str
    purpose: str = ""
    inclusion_p: float = 0.0
    scored_posts: str = ""
    """The name of the scored posts that a worklist was made of (review.scored_posts)."""


@dataclass(frozen=True, slots=True)
class ScoredFile:
    """An open file of scored posts."""

    name: str
    sha256: str
    is_worklist: bool
    """Whether its rows say why each is read (``purpose``) and with what chance it was chosen (``inclusion_p``)."""
    has_evidence: bool
    has_text: bool
    notes: tuple[str, ...]
    rows: Iterator[ScoredRow | RowError]


@contextmanager
def open_scored(path: str | Path, spec: DataSpec | None = None, *, needs_text: bool = True) -> Iterator[ScoredFile]:
    """Open a scored file. Raises DataError where it is none, has no text though ``needs_text``, or was changed."""
    spec = spec or DataSpec()
    digest = file_sha256(path)
    _check_manifest(Path(path), digest)
    with open_table(path, spec) as table:
        missing = [name for name in _NEEDED if name not in table.columns]
        if missing:
            raise DataError(
                f"is no output of polyvigil score: it has no column {', '.join(missing)}",
                where=table.name,
                hint=f"make one: polyvigil score BUNDLE {Path(path).name} -o scored.csv",
            )
        required = ("text",) if needs_text else ()
        columns = map_columns(table.columns, spec, required=required, where=table.name, derived=table.derived)
        has_evidence = {"evidence_start", "evidence_end"} <= set(table.columns)
        notes = () if has_evidence else ("no sentence is marked; score with --evidence to mark what carries the score",)
        yield ScoredFile(
            name=table.name,
            sha256=digest,
            is_worklist={"purpose", "inclusion_p"} <= set(table.columns),
            has_evidence=has_evidence,
            has_text=columns.get("text") is not None,
            notes=(*table.notes, *columns.guesses, *notes),
            rows=_rows(table, columns.columns, digest),
        )


def file_sha256(path: str | Path) -> str:
    """The SHA-256 of a file. Raises DataError where there is none."""
    seen = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while block := stream.read(_BLOCK):
                seen.update(block)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError("no such file", where=str(path), hint="name a file that polyvigil score wrote") from error
    return seen.hexdigest()


def _check_manifest(path: Path, digest: str) -> None:
    """Raise DataError where the manifest beside the file is of another content than it has."""
    manifest = Path(f"{path}{MANIFEST}")
    if not manifest.is_file():
        return
    try:
        outputs = json.loads(manifest.read_text(encoding="utf-8"))["outputs"]
        expected = {Path(output["path"]).name: output["sha256"] for output in outputs}
    except (ValueError, KeyError, TypeError, OSError):
        return  # of another program; the file speaks for itself
    if path.name in expected and expected[path.name] != digest:
        raise DataError(
            "was changed after it was scored: its SHA-256 is not that of its manifest",
            where=str(path),
            hint=f"score again; or remove {manifest.name} where the change was meant",
        )


def _rows(table: Table, columns: Mapping[str, str], digest: str) -> Iterator[ScoredRow | RowError]:
    bundle = ""
    for row in table.rows:
        made = _scored_row(row, columns, digest) if isinstance(row, Row) else row
        if isinstance(made, ScoredRow):
            bundle = bundle or made.bundle
            if made.bundle != bundle:
                made = RowError(made.line, "bundle", "is of another bundle than the first row")
        yield made if isinstance(made, ScoredRow) else RowError(made.line, made.column, made.reason)


class _BadCellError(ValueError):
    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column, self.reason = column, reason


def _scored_row(row: Row, columns: Mapping[str, str], digest: str) -> ScoredRow | RowError:
    cells = row.cells
    try:
        text = _cell(row.cell(columns["text"])) if "text" in columns else ""
        identity = _shown(_cell(row.cell(columns["id"]))) if "id" in columns else ""
        if not identity or _ROW_ID.fullmatch(identity):
            identity = f"{digest[:12]}:{identity or f'row-{row.line}'}"
        if len(identity) > _MAX_ID:
            raise _BadCellError("id", f"has over {_MAX_ID} characters")
        purpose = _cell(cells.get("purpose"))
        if purpose and purpose not in PURPOSES:
            raise _BadCellError("purpose", f"is none of {', '.join(PURPOSES)}")
        return ScoredRow(
            line=row.line,
            source_id=identity,
            text=text,
            language=_language(_cell(cells.get("language"))),
            type=_shown(_cell(row.cell(columns["type"]))) if "type" in columns else "",
            bundle=_bundle(_cell(cells["bundle"])),
            p=_share("p", cells["p"]),
            p_calibrated=_share("p_calibrated", cells.get("p_calibrated", cells["p"])),
            threshold=_number("threshold", cells["threshold"]),
            threshold_source=_shown(_cell(cells.get("threshold_source"))),
            decision=_decision(cells["decision"]),
            disagreement=_optional("spread", cells.get("spread")),
            evidence_start=_position("evidence_start", cells.get("evidence_start")),
            evidence_end=_position("evidence_end", cells.get("evidence_end")),
            flags=_shown(_cell(cells.get("flags"))),
            purpose=purpose,
            inclusion_p=_inclusion(cells.get("inclusion_p")) if purpose else 0.0,
            scored_posts=_shown(_cell(cells.get("scored_posts"))),
        )
    except _BadCellError as error:
        return RowError(row.line, error.column, error.reason)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _shown(text: str) -> str:
    return as_shown(text) if not text.isascii() or "\0" in text else text


def as_shown(text: str) -> str:
    """A text as both databases can hold it: U+FFFD for NUL and for halves of surrogate pairs, one for one."""
    return replace_lone_surrogates(text).replace("\0", "\ufffd")


def _language(text: str) -> str:
    if len(text) > 40:
        raise _BadCellError("language", "has over 40 characters")
    return _shown(text) or "und"


def _bundle(text: str) -> str:
    if not 0 < len(text) <= 16 or not text.isalnum():
        raise _BadCellError("bundle", "is no id of a bundle")
    return text


def _number(column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise _BadCellError(column, "is no number") from None
    if not math.isfinite(number):
        raise _BadCellError(column, "is no number")
    return number


def _share(column: str, value: Any) -> float:
    number = _number(column, value)
    if not 0 <= number <= 1:
        raise _BadCellError(column, "is not in [0, 1]")
    return number


def _inclusion(value: Any) -> float:
    number = _share("inclusion_p", value)
    if number == 0:
        raise _BadCellError("inclusion_p", "is 0, so the post cannot have been chosen")
    return number


def _decision(value: Any) -> int:
    if str(value) not in ("0", "1", "0.0", "1.0"):
        raise _BadCellError("decision", "is not 0 or 1")
    return int(float(value))


def _optional(column: str, value: Any) -> float | None:
    return None if value is None or value == "" or value != value else _number(column, value)  # noqa: PLR0124 - NaN


def _position(column: str, value: Any) -> int | None:
    number = _optional(column, value)
    if number is not None and (number < 0 or number != int(number) or number > 2**31 - 1):
        raise _BadCellError(column, "is no position in a text")
    return None if number is None else int(number)
