"""Worklists that people have filled in: their decisions, brought back to the scored posts that they were chosen from.

In: scored posts and worklists (review.worklist) with labels. Out: for each language what was read and found, and what
was missed (evaluation.audit_estimate), or why nothing can be said of it.

A row of a worklist is found among the scored posts by its language, bundle and calibrated P, on which alone the audit's
probabilities depend; so they can be computed again, and a worklist in which audited rows are missing, or which was made
of other posts, is recognised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.data import DataSpec
from polyvigil.data.columns import column_list
from polyvigil.data.formats import open_table
from polyvigil.data.labels import is_missing, label_map
from polyvigil.data.read import cell_text
from polyvigil.data.shown import shown_column, shown_value
from polyvigil.data.table import Row, RowError
from polyvigil.errors import DataError
from polyvigil.evaluation.audit_estimate import AuditPart
from polyvigil.evaluation.rate_curve import logits
from polyvigil.review.sampling import inclusion_probabilities, representatives
from polyvigil.review.scored_posts import ScoredPosts, calibrated_column, fingerprint_text, number_in
from polyvigil.review.worklist import AUDIT, LABELS, PURPOSES, QUEUE
from polyvigil.scoring.digits import rounded

_NEEDED = ("label", "purpose", "inclusion_p", "p", "decision", "language", "bundle", "scored_posts")
_TOLERANCE = 1e-4  # of inclusion probabilities, which are written with six digits


@dataclass(frozen=True, slots=True)
class ReviewedRow:
    """One row of a worklist. ``label`` is None where nobody has decided, or two have and differ."""

    file: str
    line: int
    language: str
    bundle: str
    calibrated: float
    flagged: bool
    purpose: str
    inclusion: float
    scored_posts: str
    label: int | None
    readers: int
    """How many people have decided on it."""


@dataclass(frozen=True)
class ReviewedLanguage:
    """What was read of one language, of one set of scored posts and by one bundle."""

    part: AuditPart
    in_order: NDArray[np.int8]
    """Labels of the queue, in the order of reading: (n_read,)."""
    flagged_true: int
    """ADEs among flagged posts that were read or audited."""
    flagged_unread: int
    """Flagged posts that were neither."""
    undecided_queue: int
    undecided_audit: int
    unconfirmed: int
    """Audited ADEs that one person alone has seen."""


def read_reviewed(paths: Sequence[str], spec: DataSpec | None = None) -> list[ReviewedRow]:
    """The rows of worklists, in their order. Raises DataError for a file that is none, and for a label that means
    nothing."""
    return [row for path in paths for row in _read_worklist(path, spec or DataSpec())]


def _read_worklist(path: str, spec: DataSpec) -> list[ReviewedRow]:
    with open_table(path, spec) as table:
        if missing := [column for column in _NEEDED if column not in table.columns]:
            raise DataError(
                f"is no worklist: it lacks {column_list(missing)} and has {column_list(table.columns)}",
                where=table.name,
                hint="make one: polyvigil worklist scored.csv -o worklist.csv",
            )
        rows: list[Row] = []
        for row in table.rows:
            if isinstance(row, RowError):
                raise DataError(row.reason, where=f"{table.name}:{row.line}", hint="mend the row")
            rows.append(row)
        given = Counter(cell_text(row.cells.get(column)).strip() for row in rows for column in LABELS)
        labels = label_map(given, spec.labels)
        return [_reviewed(row, table.name, [_label(row, column, table.name, labels.labels) for column in LABELS])
                for row in rows]  # fmt: skip


def _label(row: Row, column: str, name: str, meaning: Mapping[str, int]) -> int | None:
    """The label that one person has given; None where the cell is empty."""
    given = cell_text(row.cells.get(column)).strip()
    label = meaning.get(given)
    if label is None and not is_missing(given):
        raise DataError(
            f"{shown_column(column)}: {shown_value(given)} is not 0 or 1",
            where=f"{name}:{row.line}",
            hint="1 for an ADE, 0 for none, empty while undecided; other words: --set data.labels.yes=1",
        )
    return label


def _reviewed(row: Row, name: str, labels: Sequence[int | None]) -> ReviewedRow:
    purpose = cell_text(row.cells.get("purpose")).strip().lower()
    if purpose not in PURPOSES:
        raise DataError(
            f"{shown_column('purpose')}: {shown_value(purpose)} is none of {', '.join(PURPOSES)}",
            where=f"{name}:{row.line}",
            hint="leave the columns of the worklist as they are, but for those of the labels",
        )
    given = [label for label in labels if label is not None]
    return ReviewedRow(
        file=name,
        line=row.line,
        language=cell_text(row.cells.get("language")),
        bundle=cell_text(row.cells.get("bundle")),
        calibrated=number_in(row, calibrated_column(row), name, most=1.0),
        flagged=number_in(row, "decision", name, most=1.0) == 1,
        purpose=purpose,
        inclusion=number_in(row, "inclusion_p", name, most=1.0) if purpose == AUDIT else 1.0,
        scored_posts=cell_text(row.cells.get("scored_posts")).strip(),
        label=_majority(given),
        readers=len(given),
    )


def _majority(labels: Sequence[int]) -> int | None:
    """The label of most readers; None of none, or where as many say the one as the other."""
    ones = sum(labels)
    return None if 2 * ones == len(labels) else int(2 * ones > len(labels))


def reviewed_languages(posts: ScoredPosts, rows: Sequence[ReviewedRow]) -> list[ReviewedLanguage]:
    """Each language and bundle of each worklist, in the order of the scored files.

    Raises DataError where a worklist is not of these scored posts, a scored file has no worklist, or the rows of an
    audit are not all there.
    """
    by_name: dict[str, list[ReviewedRow]] = {}
    for row in rows:
        by_name.setdefault(row.scored_posts, []).append(row)
    distinct = posts.distinct
    result = []
    for name, start, stop in _frames(posts, by_name):
        mask = np.zeros(len(distinct), dtype=bool)
        mask[start:stop] = True
        # repeats count within the posts of one worklist, as when it was made
        mask[start:stop] = distinct[start:stop] if (start, stop) == (0, len(mask)) else _distinct(posts, start, stop)
        for language in np.unique(posts.languages[mask]).tolist():
            of_language = [row for row in by_name[name] if row.language == language]
            result += _language_parts(posts, mask & (posts.languages == language), language, of_language)
    return result


def _distinct(posts: ScoredPosts, start: int, stop: int) -> NDArray[np.bool_]:
    span = slice(start, stop)
    return representatives(posts.calibrated[span], posts.languages[span], posts.group[span])


def _frames(posts: ScoredPosts, by_name: dict[str, list[ReviewedRow]]) -> list[tuple[str, int, int]]:
    """The scored files of each worklist, as the span of their posts: neighbouring files whose fingerprints add up."""
    frames, first = [], 0
    while first < len(posts.files):
        total = 0
        for last in range(first, len(posts.files)):
            total += posts.files[last].fingerprint
            name = fingerprint_text(total)
            if name in by_name:
                frames.append((name, posts.files[first].start, posts.files[last].stop))
                first = last + 1
                break
        else:
            raise _no_worklist(posts.files[first].path, by_name)
    if unmatched := [name for name in by_name if name not in {frame[0] for frame in frames}]:
        raise DataError(
            "was made of other scored posts",
            where=by_name[unmatched[0]][0].file,
            hint="name the scored files that it was made of, as they were then, in the same order",
        )
    return frames


def _no_worklist(path: str, by_name: dict[str, list[ReviewedRow]]) -> DataError:
    files = sorted({row.file for rows in by_name.values() for row in rows})
    return DataError(
        f"none of the worklists given ({', '.join(files)}) was made of these scored posts",
        where=path,
        hint="name the scored files that a worklist was made of, as they were then, in the same order",
    )


def _language_parts(
    posts: ScoredPosts, mask: NDArray[np.bool_], language: str, rows: Sequence[ReviewedRow]
) -> list[ReviewedLanguage]:
    """One language of one worklist, by bundle."""
    indices = np.flatnonzero(mask)
    index_of = _Index(posts, indices)
    queue = [row for row in rows if row.purpose == QUEUE]
    audit = [row for row in rows if row.purpose == AUDIT]
    queue_at = index_of.take(queue)
    frame = np.setdiff1d(indices, queue_at, assume_unique=True)
    audit_at = index_of.take(audit)
    inclusion = np.zeros(len(posts.calibrated))
    inclusion[frame] = inclusion_probabilities(posts.calibrated[frame], len(audit))
    _check_inclusion(audit, inclusion[audit_at], language)
    codes = posts.bundles.codes
    return [
        _bundle_part(
            posts,
            language,
            code,
            frame[codes[frame] == code],
            inclusion,
            [(row, int(at)) for row, at in zip(queue, queue_at, strict=True) if codes[at] == code],
            [(row, int(at)) for row, at in zip(audit, audit_at, strict=True) if codes[at] == code],
        )
        for code in np.unique(codes[indices]).tolist()
    ]


class _Index:
    """Scored posts of one language by bundle and calibrated P; each is taken once."""

    def __init__(self, posts: ScoredPosts, indices: NDArray[np.int64]) -> None:
        self._free: dict[tuple[str, float], list[int]] = {}
        names = posts.bundles.names
        for index in indices[::-1].tolist():
            key = (names[posts.bundles.codes[index]], rounded(float(posts.calibrated[index])))
            self._free.setdefault(key, []).append(index)

    def take(self, rows: Sequence[ReviewedRow]) -> NDArray[np.int64]:
        """The post of each row. Raises DataError for a row that is none of them."""
        taken = []
        for row in rows:
            free = self._free.get((row.bundle, rounded(row.calibrated)))
            if not free:
                raise DataError(
                    f"no scored post of {row.language} has this row's bundle and p_calibrated, or it is there twice",
                    where=f"{row.file}:{row.line}",
                    hint="leave the columns of the worklist as they are, and name each worklist once",
                )
            taken.append(free.pop())
        return np.array(taken, dtype=np.int64)


def _check_inclusion(audit: Sequence[ReviewedRow], inclusion: NDArray[np.float64], language: str) -> None:
    stored = np.array([row.inclusion for row in audit])
    if len(audit) and not np.allclose(stored, inclusion, rtol=_TOLERANCE, atol=1e-9):
        worst = audit[int(np.abs(stored - inclusion).argmax())]
        raise DataError(
            f"the audit of {language} is not whole: {len(audit):,} rows do not have the inclusion_p written here",
            where=f"{worst.file}:{worst.line}",
            hint="give the whole worklist, all of its files, with the rows that are not decided yet",
        )


def _bundle_part(
    posts: ScoredPosts,
    language: str,
    code: int,
    frame: NDArray[np.int64],
    inclusion: NDArray[np.float64],
    queue: Sequence[tuple[ReviewedRow, int]],
    audit: Sequence[tuple[ReviewedRow, int]],
) -> ReviewedLanguage:
    read = [(row, at) for row, at in queue if row.label is not None]
    decided = {at: row for row, at in audit if row.label is not None}
    read_labels = np.array([row.label for row, _ in read], dtype=np.int8)
    read_logits = logits(posts.calibrated[[at for _, at in read]])
    frame_logits = logits(posts.calibrated[frame])
    of_bundle = (posts.languages == language) & (posts.bundles.codes == code)
    # a frame nobody audited has no probabilities: 1 stands for them, and nothing is estimated
    part = AuditPart(
        language=language,
        read=read_logits,
        read_labels=read_labels,
        frame=frame_logits,
        inclusion=np.where(inclusion[frame] > 0, inclusion[frame], 1.0),
        audited=np.array([int(at) in decided for at in frame], dtype=bool),
        audit_labels=np.array([decided[at].label for at in frame.tolist() if at in decided], dtype=np.int8),
        threshold=float(read_logits.min() if read else frame_logits.max(initial=0.0)),
        is_trained=bool(posts.trained[of_bundle].all()),
        bundle=posts.bundles.names[code],
    )
    return ReviewedLanguage(
        part=part,
        in_order=read_labels,
        flagged_true=sum(row.label == 1 for row in (*(row for row, _ in read), *decided.values()) if row.flagged),
        flagged_unread=int((posts.decision[frame] == 1).sum()) - sum(row.flagged for row in decided.values()),
        undecided_queue=len(queue) - len(read),
        undecided_audit=len(audit) - len(decided),
        unconfirmed=sum(row.label == 1 and row.readers < 2 for row in decided.values()),
    )
