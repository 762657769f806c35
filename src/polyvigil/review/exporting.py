"""Decisions out of a store: one row a task (or a decision), as a table or as annotation tools read it.

What leaves the store is masked (text.mask) unless it is asked for whole or without texts, says how each row was chosen
(``purpose``, ``inclusion_p``), marks the audit and a fifth of the queue (``split`` is test: they measure and never
train), and has a manifest beside it with the head of the log. The export itself is an event.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import sqlalchemy as sa

from polyvigil.bundle.outputs import OutputKind, check_output, json_document
from polyvigil.config.score import ScoreSpec, TextForm
from polyvigil.data.atomic import whole_file, write_whole
from polyvigil.data.inputs import MANIFEST
from polyvigil.data.recognise import format_of
from polyvigil.data.selection import AUDIT, QUEUE, is_held_out
from polyvigil.errors import DataError, RecipeError
from polyvigil.review.annotation_formats import FORMATS, LABEL_CONFIG, Annotator, document
from polyvigil.review.event_log import Head, append, head
from polyvigil.review.known_posts import further_posts
from polyvigil.review.schema import LABELS, SECOND_FOR_ADE, TWO_REVIEWS, decision, event, person, post, scoring, task
from polyvigil.review.scored_rows import file_sha256
from polyvigil.review.store import Store
from polyvigil.scoring.write import header, row_writer
from polyvigil.text.mask import mask
from polyvigil.types import Frozen

LabelsOption = Literal["adjudicated", "all", "none"]
"""Rows: of each task that is done its label; of each decision its verdict; of each task that waits, no label."""
LABEL_OPTIONS: tuple[LabelsOption, ...] = ("adjudicated", "all", "none")
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("id", "text", "language", "type")),
        *((name, pa.int8()) for name in ("label", "label_2")),
        *((name, pa.string()) for name in ("provenance", "split", "purpose", "mode")),
        ("inclusion_p", pa.float64()),
        ("reviewers", pa.int32()),
        ("agreed", pa.int8()),
        ("copies", pa.int64()),
        *((name, pa.float64()) for name in ("p", "p_calibrated", "threshold")),
        ("decision", pa.int8()),
        ("flags", pa.string()),
        ("bundle", pa.string()),
        ("scored_posts", pa.string()),
        ("seq", pa.int64()),
        ("task", pa.int64()),
        ("store", pa.string()),
        ("reviewer", pa.int32()),
        ("verdict", pa.string()),
    ]
)
_OF_DECISIONS = ("reviewer", "verdict")
_CHUNK = 2_000
_TABLES = ("csv", "tsv", "jsonl", "parquet")


_MANIFEST_OF = json_document("manifest of an export", ("head_seq", "audit_rows", "sha256"))


def _has_manifest(path: Path) -> bool:
    beside = Path(f"{path}{MANIFEST}")
    return beside.is_file() and _MANIFEST_OF.is_earlier(beside)


EXPORT = OutputKind("export of a review store", _has_manifest)
_LABEL_CONFIG = OutputKind("labelling configuration", lambda path: path.read_bytes() == LABEL_CONFIG.encode())


class ExportResult(Frozen):
    """What was written; stands beside the file as its manifest, too."""

    output: str
    format: str
    labels: str
    rows: int
    audit_rows: int
    """Of these: drawn for the audit, with ``split`` test."""
    positives: int
    masked: bool
    """Whether texts are masked: links, names of users, dates, numbers."""
    has_text: bool
    """False: the table has no column of texts."""
    bundles: tuple[str, ...]
    store: str
    head_seq: int
    head: str
    """The log's head that the file is of: ``polyvigil review verify --head`` finds whether the log still has it."""
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is written, and how. ``format``: empty, as the file's name ends."""

    format: str = ""
    labels: LabelsOption = "adjudicated"
    text: TextForm = "masked"
    language: str = ""


def check_export(output: Path, options: ExportOptions, *, store: str, replace: bool) -> None:
    """Raise DataError where the export, its manifest or what goes with it may not be written; RecipeError for an
    unknown format. ``store``: where the store is, which is no output."""
    check_output(output, EXPORT, replace=replace, inputs=[store])
    check_output(Path(f"{output}{MANIFEST}"), _MANIFEST_OF, replace=True, inputs=[store])
    if _kind(output, options) == "label-studio":
        check_output(_label_config(output), _LABEL_CONFIG, replace=True, inputs=[store])


def _label_config(output: Path) -> Path:
    return output.with_suffix(".label-config.xml")


def export(store: Store, output: Path, options: ExportOptions, *, replace: bool = False) -> ExportResult:
    """Write a file of decisions and its manifest. Raises as ``check_export``."""
    check_export(output, options, store=store.location, replace=replace)
    kind = _kind(output, options)
    counts: Counter[str] = Counter()
    bundles: set[str] = set()
    with store.read() as connection, whole_file(output, replace=replace) as stream:
        at: Head = head(connection)
        rows = _counted(_rows(connection, store, options), counts, bundles)
        if kind == "label-studio":
            rows = _with_annotators(connection, rows)
        _write(stream, kind, output, rows, options)
        if not counts["rows"]:
            raise DataError(
                "no task of the store is of this kind, so there is nothing to write",
                where=store.location,
                hint="decide some posts first; --labels none writes those that wait",
            )
    digest = file_sha256(output)
    result = ExportResult(
        output=str(output),
        format=kind,
        labels=options.labels,
        rows=counts["rows"],
        audit_rows=counts["audit"],
        positives=counts["positives"],
        masked=options.text == "masked",
        has_text=options.text != "dropped",
        bundles=tuple(sorted(bundles)),
        store=store.id,
        head_seq=at.seq,
        head=at.hash,
        sha256=digest,
    )
    write_whole(Path(f"{output}{MANIFEST}"), result.model_dump_json(indent=2) + "\n", replace=True)
    if kind == "label-studio":
        write_whole(_label_config(output), LABEL_CONFIG, replace=True)
    body = {"rows": result.rows, "masked": result.masked, "format": kind, "labels": options.labels, "sha256": digest}
    body |= {} if result.has_text else {"has_text": False}
    store.write(lambda connection: append(connection, now=store.clock(), reviewer=0, kind="export", body=body))
    return result


def _kind(output: Path, options: ExportOptions) -> str:
    if options.labels not in LABEL_OPTIONS:
        raise RecipeError(f"{options.labels!r} is none of {', '.join(LABEL_OPTIONS)}", where="--labels")
    kind = options.format or format_of(output)
    if kind not in (*_TABLES, *FORMATS):
        raise RecipeError(f"{kind!r} is no format", where="--format", hint=f"one of {', '.join((*_TABLES, *FORMATS))}")
    if kind in FORMATS and options.labels == "all":
        raise RecipeError(f"{kind} holds one label a post", where="--labels", hint="use adjudicated or none")
    if kind in FORMATS and options.text == "dropped":
        raise RecipeError(f"{kind} shows texts to people", where="--drop-text", hint="use csv, tsv, jsonl or parquet")
    return kind


def _counted(rows: Iterator[dict[str, Any]], counts: Counter[str], bundles: set[str]) -> Iterator[dict[str, Any]]:
    for row in rows:
        counts["rows"] += 1
        counts["audit"] += row["purpose"] == "audit"
        counts["positives"] += row["label"] == 1
        bundles.add(row["bundle"])
        yield row


def _write(stream: IO[bytes], kind: str, output: Path, rows: Iterator[dict[str, Any]], options: ExportOptions) -> None:
    if kind in FORMATS:
        for block in document(kind, rows):
            stream.write(block)
        return
    left_out = (*(() if options.labels == "all" else _OF_DECISIONS), *(("text",) if options.text == "dropped" else ()))
    names = [name for name in _SCHEMA.names if name not in left_out]
    schema = pa.schema([_SCHEMA.field(name) for name in names])
    ending = f".{kind}" + "".join(suffix for suffix in output.suffixes[-1:] if suffix in (".gz", ".zst"))
    stream.write(header(names, ending=ending, spec=ScoreSpec()))
    with row_writer(stream, names, ending=ending, schema=schema, raw=False) as write:
        chunk: list[Mapping[str, Any]] = []
        for row in rows:
            chunk.append({name: row[name] for name in names})
            if len(chunk) == _CHUNK:
                write.rows(chunk)
                chunk = []
        if chunk:
            write.rows(chunk)


def _rows(connection: sa.Connection, store: Store, options: ExportOptions) -> Iterator[dict[str, Any]]:
    states = {"adjudicated": ("done",), "all": ("second", "conflict", "done"), "none": ("open", "second")}
    query = _query(of_decisions=options.labels == "all").where(task.c.state.in_(states[options.labels]))
    if options.language:
        query = query.where(task.c.language == options.language)
    result = connection.execution_options(yield_per=_CHUNK).execute(query)
    for row in result:
        yield _row(row, store.id, options)


def _with_annotators(connection: sa.Connection, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows with the people whose decisions are their label, and how long each took."""
    query = (
        sa.select(decision.c.task, decision.c.verdict, person.c.name, event.c.body)
        .join(person, person.c.id == decision.c.reviewer)
        .join(event, event.c.seq == decision.c.seq)
        .order_by(decision.c.seq)
    )
    made: dict[tuple[int, int | None], list[Annotator]] = {}
    for one in connection.execute(query):
        seconds = json.loads(one.body).get("seconds")
        annotator = Annotator(one.name, float(seconds) if seconds else None)
        made.setdefault((one.task, LABELS.get(one.verdict)), []).append(annotator)
    for row in rows:
        yield row | {"annotators": made.get((row["task"], row["label"]), [])}


def _query(*, of_decisions: bool) -> sa.Select[Any]:
    """Tasks with their post and score, once, or once for each decision that stands."""
    made = decision.alias("made")
    of_task = sa.select(sa.func.count(), sa.func.max(made.c.seq), sa.func.count(sa.distinct(made.c.verdict)))
    numbers = [
        sa.select(column).where(made.c.task == task.c.id).correlate(task).scalar_subquery()
        for column in of_task.selected_columns
    ]
    query = (
        sa.select(
            *(post.c.source_id, post.c.text, post.c.type, post.c.raw_text, further_posts().label("copies")),
            *(task.c.id, task.c.language, task.c.label, task.c.purpose, task.c.mode, task.c.inclusion_p),
            *(task.c.stratum, task.c.reviews, task.c.bundle, numbers[0].label("reviewers"), numbers[1].label("seq")),
            *(numbers[2].label("verdicts"), scoring.c.p, scoring.c.p_calibrated, scoring.c.threshold),
            *(scoring.c.decision, scoring.c.flags),
            *((decision.c.reviewer, decision.c.verdict, decision.c.seq.label("own_seq")) if of_decisions else ()),
        )
        .join(post, post.c.id == task.c.post)
        .outerjoin(scoring, sa.and_(scoring.c.post == task.c.post, scoring.c.bundle == task.c.bundle))
    )
    if of_decisions:
        return query.join(decision, decision.c.task == task.c.id).order_by(decision.c.seq)
    return query.order_by(task.c.id)


def _never_trains(purpose: str, text: str | None) -> bool:
    return purpose == AUDIT or (purpose == QUEUE and text is not None and is_held_out(text))


def _row(row: sa.Row[Any], store: str, options: ExportOptions) -> dict[str, Any]:
    text = row.text
    if text is not None:
        original = text if row.raw_text is None else bytes(row.raw_text).decode("utf-8", "surrogatepass")
        text = original if options.text == "whole" else mask(original)
    is_double = row.reviews in (TWO_REVIEWS, SECOND_FOR_ADE) and row.reviewers > 1
    of_decision = options.labels == "all"
    return {
        "id": row.source_id,
        "text": text,
        "language": row.language,
        "type": row.type,
        "label": LABELS.get(row.verdict) if of_decision else row.label,
        "label_2": row.label
        if row.reviewers > 1 and not of_decision
        else None,  # as a worklist that two have filled in
        "provenance": "reviewed",
        "split": "test" if _never_trains(row.purpose, row.text) else "train",
        "purpose": row.purpose,
        "mode": row.mode,
        "inclusion_p": row.inclusion_p,
        "reviewers": row.reviewers,
        "agreed": int(row.verdicts == 1) if is_double else None,
        "copies": row.copies,
        "p": row.p,
        "p_calibrated": row.p_calibrated,
        "threshold": row.threshold,
        "decision": row.decision,
        "flags": row.flags or "",
        "bundle": row.bundle,
        "scored_posts": row.stratum,
        "seq": row.own_seq if of_decision else row.seq,
        "task": row.id,
        "store": store,
        "reviewer": row.reviewer if of_decision else None,
        "verdict": row.verdict if of_decision else None,
    }
