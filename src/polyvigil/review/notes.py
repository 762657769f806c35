"""What people write or correct: notes on a post, its language, the labelling policy.

Their texts stand beside the log, which holds hashes of them, so that they can be erased without breaking its chain.
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review import event_log
from polyvigil.review.event_log import append, event_of_key
from polyvigil.review.people import DECIDING, active_person
from polyvigil.review.schema import event, note, store_info
from polyvigil.review.states import Outcome, task_row
from polyvigil.text.normalise import replace_lone_surrogates

_MAX_TEXT = 20_000
MAX_POLICY = 200_000


def add_note(
    connection: sa.Connection, *, now: float, mac_key: bytes, reviewer: int, number: int, text: str, key: str
) -> Outcome:
    """Keep a note on a task; its text stands beside the log, which holds its keyed hash."""
    active_person(connection, reviewer, roles=DECIDING)
    if made := event_of_key(connection, key, reviewer=reviewer, kind="note", task=number):
        return Outcome(made.seq, True, number)
    task_row(connection, number)
    kept = kept_text(text, where="note")
    body = {"text_mac": event_log.keyed_hash(mac_key, kept).hex()}
    one = append(connection, now=now, reviewer=reviewer, kind="note", task=number, body=body, key=key)
    connection.execute(sa.insert(note).values(seq=one.seq, text=kept))
    return Outcome(one.seq, False, number)


def kept_text(text: str, *, where: str, most: int = _MAX_TEXT) -> str:
    """A text that people write, as both engines can keep it. Raises ReviewError for an empty or a very long one."""
    kept = replace_lone_surrogates(text).replace("\0", "\ufffd").strip()
    if not kept:
        raise ReviewError("usage", "some text is needed", where=where)
    if len(kept) > most:
        raise ReviewError("usage", f"at most {most:,} characters", where=where)
    return kept


def notes_of(connection: sa.Connection, number: int) -> list[tuple[int, str | None]]:
    """(seq, text) of the notes and reasons on a task, the oldest first; the text is None after a purge."""
    query = (
        sa.select(note.c.seq, note.c.text)
        .join(event, event.c.seq == note.c.seq)
        .where(event.c.task == number)
        .order_by(note.c.seq)
    )
    return [(row.seq, row.text) for row in connection.execute(query)]


def correct_language(
    connection: sa.Connection, *, now: float, reviewer: int, number: int, language: str, key: str
) -> Outcome:
    """Say that a post is in another language; the task stays in the queue that it is in."""
    active_person(connection, reviewer, roles=DECIDING)
    if made := event_of_key(connection, key, reviewer=reviewer, kind="language", task=number):
        return Outcome(made.seq, True, number)
    task_row(connection, number)
    if not (language.isascii() and language.replace("_", "").isalnum() and 2 <= len(language) <= 16):
        raise ReviewError(
            "usage", "is no code of a language", where="language", hint="such as en, de, ja; und: unknown"
        )
    body = {"language": language}
    one = append(connection, now=now, reviewer=reviewer, kind="language", task=number, body=body, key=key)
    return Outcome(one.seq, False, number)


def set_policy(connection: sa.Connection, *, now: float, lead: int, text: str, key: str) -> Outcome:
    """Set the labelling policy that reviewers see; the log holds its SHA-256. ``lead``: 0 for a command."""
    if lead != event_log.COMMAND:
        active_person(connection, lead, roles=("lead",))
    if made := event_of_key(connection, key, reviewer=lead, kind="policy", task=None):
        return Outcome(made.seq, True, None)
    kept = kept_text(text, where="policy", most=MAX_POLICY)
    digest = hashlib.sha256(kept.encode()).hexdigest()
    one = append(connection, now=now, reviewer=lead, kind="policy", body={"sha256": digest}, key=key)
    for name, value in (("policy", kept), ("policy_sha256", digest)):
        connection.execute(sa.delete(store_info).where(store_info.c.key == name))
        connection.execute(sa.insert(store_info).values(key=name, value=value))
    return Outcome(one.seq, False, None)


def policy(connection: sa.Connection) -> str:
    """The labelling policy in Markdown; empty where none was set."""
    query = sa.select(store_info.c.value).where(store_info.c.key == "policy")
    return connection.execute(query).scalar() or ""
