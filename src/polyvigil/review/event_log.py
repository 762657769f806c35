"""The append-only log: who did what when, each event chained to the one before by SHA-256.

``hash = sha256(json([seq, at, reviewer, kind, task, body, key, prev]))``, JSON in ASCII without spaces. ``body`` is
hashed as the text that is stored: JSON with sorted keys and no floats (numbers that matter are strings), so that no
engine and no language can write it differently. Post text, names and notes are never in it: only their keyed hashes,
so that they can be erased without breaking the chain.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review.schema import KINDS, event, utc_text

GENESIS = "0" * 64
"""The ``prev`` of the first event."""
COMMAND = 0
"""The reviewer of an event that a command made, no person."""
_MAX_KEY = 36
_CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event as it is stored."""

    seq: int
    at: str
    reviewer: int
    kind: str
    task: int | None
    body: str
    key: str
    prev: str
    hash: str

    def fields(self) -> dict[str, Any]:
        """The body as the object that it is."""
        return dict(json.loads(self.body))


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log: every export and metrics file states it, and ``verify --head`` compares."""

    seq: int
    hash: str


def body_text(fields: Mapping[str, Any]) -> str:
    """The body of an event. Raises TypeError for a float, which languages write differently."""
    _refuse_floats(fields)
    return json.dumps(fields, sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("an event's numbers are integers or strings")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)


def event_hash(one: Event) -> str:
    """The hash that an event must have."""
    fields = [one.seq, one.at, one.reviewer, one.kind, one.task, one.body, one.key, one.prev]
    return hashlib.sha256(json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode()).hexdigest()


def keyed_hash(mac_key: bytes, text: str) -> bytes:
    """HMAC-SHA-256 of a text: nobody without the store's key can guess the text by trying."""
    return hmac.digest(mac_key, text.encode("utf-8", "surrogatepass"), "sha256")


def new_key() -> str:
    """A key for an event that no page has given one to."""
    return str(uuid.uuid4())


def head(connection: sa.Connection) -> Head:
    """The last event; seq 0 in an empty log."""
    row = connection.execute(sa.select(event.c.seq, event.c.hash).order_by(event.c.seq.desc()).limit(1)).one_or_none()
    return Head(row.seq, row.hash) if row else Head(0, GENESIS)


def append(
    connection: sa.Connection,
    *,
    now: float,
    reviewer: int,
    kind: str,
    body: Mapping[str, Any],
    task: int | None = None,
    key: str = "",
) -> Event:
    """Append an event, in a writing transaction. ``key``: given once, else the database refuses."""
    assert kind in KINDS, kind
    last = head(connection)
    one = Event(
        seq=last.seq + 1,
        at=utc_text(now),
        reviewer=reviewer,
        kind=kind,
        task=task,
        body=body_text(body),
        key=key or new_key(),
        prev=last.hash,
        hash="",
    )
    one = Event(**{**_columns(one), "hash": event_hash(one)})
    connection.execute(sa.insert(event), _columns(one))
    return one


def _columns(one: Event) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Event.__slots__}


def event_of_key(connection: sa.Connection, key: str, *, reviewer: int, kind: str, task: int | None) -> Event | None:
    """The event that a resent request has made already; None for a new key.

    Raises ReviewError for a key that is empty, too long, or that another request has used.
    """
    if not 0 < len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise ReviewError("usage", f"a key of 1 to {_MAX_KEY} ASCII characters is needed", where="key")
    row = connection.execute(sa.select(event).where(event.c.key == key)).one_or_none()
    if row is None:
        return None
    one = Event(*row)
    if (one.reviewer, one.kind) != (reviewer, kind) or (task is not None and one.task != task):
        raise ReviewError("usage", "this key was used for something else", where="key", hint="use a new one")
    return one


def events(connection: sa.Connection, *, after: int = 0) -> Iterator[Event]:
    """All events behind a seq, in order, a chunk at a time."""
    while True:
        rows = connection.execute(sa.select(event).where(event.c.seq > after).order_by(event.c.seq).limit(_CHUNK)).all()
        yield from (Event(*row) for row in rows)
        if len(rows) < _CHUNK:
            return
        after = rows[-1].seq


def newest_events(
    connection: sa.Connection,
    *,
    before: int | None = None,
    reviewer: int | None = None,
    kind: str = "",
    task: int | None = None,
    limit: int = 100,
) -> list[Event]:
    """The newest events first, before a seq, of a person, a kind or a task where these are given."""
    query = sa.select(event).order_by(event.c.seq.desc()).limit(limit)
    conditions = [
        *([] if before is None else [event.c.seq < before]),
        *([] if reviewer is None else [event.c.reviewer == reviewer]),
        *([event.c.kind == kind] if kind else []),
        *([] if task is None else [event.c.task == task]),
    ]
    return [Event(*row) for row in connection.execute(query.where(*conditions))]
