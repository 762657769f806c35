"""Labels that were given elsewhere (Label Studio, doccano, Prodigy, Argilla, a table) as one person's decisions.

A row belongs to a task by the store and task that our export wrote beside it, else by its text, else by its id. Each
decision's key follows from the file, the row and the person, so that a file that is read twice decides once.
Of Label Studio the annotators are known: whose e-mail address is the name of a person here has decided as that person,
in the time that it took them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from polyvigil.config.data import DataSpec
from polyvigil.data.read import read_labelled
from polyvigil.data.table import Row, cell_at
from polyvigil.errors import DataError, ReviewError
from polyvigil.review.annotation_formats import LABEL_WORDS, annotators
from polyvigil.review.decisions import decide
from polyvigil.review.event_log import append, keyed_hash
from polyvigil.review.people import DECIDING, active_person, person_of_name
from polyvigil.review.schema import post, task
from polyvigil.review.scored_rows import file_sha256
from polyvigil.review.store import Store
from polyvigil.types import Frozen, LabelledPost

_TOGETHER = 200
_NESTS = ("", "data.", "meta.", "metadata.")
"""Where tools keep the cells that they do not know."""


class LabelsResult(Frozen):
    """What became of the labels of a file."""

    rows: int
    decided: int
    again: int
    """Decisions that an earlier reading of the file has made."""
    not_due: int
    """Labels of tasks that did not wait for this person: decided, or on another's screen."""
    unknown: int
    """Labels of posts that are no task of this store."""


def import_labels(
    store: Store, path: str | Path, *, name: str, data: DataSpec | None = None
) -> tuple[LabelsResult, list[str]]:
    """Take the labels of a file as decisions of the person of this name. Returns counts, and notes for the user.

    Raises DataError for a file without labels, ReviewError where the person does not decide.
    """
    data = (data or DataSpec()).model_copy(update={"labels": {**LABEL_WORDS, **(data.labels if data else {})}})
    reading = read_labelled(path, data, on_error="quarantine")
    if not reading.posts:
        raise DataError("no row of it has a label", where=reading.name)
    with store.read() as connection:
        person = person_of_name(connection, name)
        if person is None:
            raise ReviewError("usage", "no person of this name", where="--labels-by", hint="add them: review person")
        active_person(connection, person.id, roles=DECIDING)
    digest = file_sha256(path)
    counts = dict.fromkeys(("decided", "again", "not_due", "unknown"), 0)
    for start in range(0, len(reading.posts), _TOGETHER):
        chunk = slice(start, start + _TOGETHER)
        with store.database.write() as connection:
            numbers = _tasks_of(connection, store, reading.posts[chunk], reading.rows[chunk])
            for offset, (item, number) in enumerate(zip(reading.posts[chunk], numbers, strict=True)):
                for who, seconds in _deciders(connection, reading.rows[start + offset], person.id).items():
                    key = hashlib.sha256(f"{digest}:{who}:{start + offset}".encode()).hexdigest()[:32]
                    counts[_decide(connection, store, who, number, item.label, key, seconds)] += 1
    result = LabelsResult(rows=len(reading.posts), **counts)
    body = {"file_sha256": digest, "person": person.id, **result.model_dump()}
    store.write(lambda connection: append(connection, now=store.clock(), reviewer=0, kind="import", body=body))
    return result, list(reading.notes)


def _deciders(connection: sa.Connection, row: Row, person: int) -> dict[int, float | None]:
    """Who has decided on a row, each with the seconds it took: ``person`` for whoever is not known."""
    deciders: dict[int, float | None] = {}
    for one in annotators(row.cells):
        known = person_of_name(connection, one.email) if one.email else None
        decides = known is not None and known.role in DECIDING and not known.revoked_at
        deciders.setdefault(known.id if known and decides else person, one.seconds)
    return deciders or {person: None}


def _decide(
    connection: sa.Connection,
    store: Store,
    person: int,
    number: int | None,
    label: int,
    key: str,
    seconds: float | None,
) -> str:
    if number is None:
        return "unknown"
    verdict = "ade" if label else "not"
    try:
        made = decide(
            connection, now=store.clock(), reviewer=person, number=number, verdict=verdict, key=key, seconds=seconds
        )
    except ReviewError:  # it was refused before anything was written
        return "not_due"
    return "again" if made.again else "decided"


def _tasks_of(
    connection: sa.Connection, store: Store, items: Sequence[LabelledPost], rows: Sequence[Row]
) -> list[int | None]:
    """Of each labelled post its task; None where there is none."""
    named = [_named_task(row, store.id) for row in rows]
    macs = [keyed_hash(store.mac_key, item.post.text) for item in items]
    by_text = _tasks_by(connection, "text_mac", macs)
    by_id = _tasks_by(connection, "source_id", [item.post.id for item in items])
    return [
        number or by_text.get(mac) or by_id.get(item.post.id)
        for number, mac, item in zip(named, macs, items, strict=True)
    ]


def _named_task(row: Row, store: str) -> int | None:
    """The task that our export named in a row, if it is of this store."""
    for nest in _NESTS:
        if cell_at(row.cells, f"{nest}store") == store:
            number = str(cell_at(row.cells, f"{nest}task"))
            return int(number) if number.isdecimal() else None
    return None


def _tasks_by(connection: sa.Connection, name: str, values: Sequence[Any]) -> dict[Any, int]:
    """The tasks of posts by a column of theirs; of several the first that is not closed."""
    labelled = post.alias("labelled")
    same_text = sa.func.coalesce(labelled.c.copy_of, labelled.c.id)
    query = (
        sa.select(labelled.c[name], task.c.id)
        .join(task, sa.or_(task.c.post == same_text, task.c.post == labelled.c.id))
        .where(labelled.c[name].in_(values), task.c.state.not_in(("new", "closed")))
        .order_by(task.c.id.desc())
    )
    return {value: number for value, number in connection.execute(query)}  # noqa: C416 - a row is no pair to mypy
