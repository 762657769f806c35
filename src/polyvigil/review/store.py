"""``Store``: one open review store. What the pages and the commands hold; threads may share it.

What reads runs on the caller's thread and sees one state of the store. What writes is put to the store's one writer
thread and returns when it is on the disk: a result means that a kill, a crash or a power cut loses nothing of it. What
cannot be done raises ReviewError with a code; a database that is away raises StoreAwayError, and nothing was written.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import sqlalchemy as sa

from polyvigil.review import conflicts, decisions, event_log, notes, people, tasks
from polyvigil.review.conflicts import Conflict
from polyvigil.review.engine import Database, open_database
from polyvigil.review.event_log import Event, Head
from polyvigil.review.people import Person, Session
from polyvigil.review.schema import Role, store_info, utc_text
from polyvigil.review.states import Outcome
from polyvigil.review.tasks import Card, Filter, TaskCount
from polyvigil.review.writer import Writer

Result = TypeVar("Result")


class Store:
    """An open store; close it, or use it as a context manager.

    ``id`` is that of the store, ``location`` as it may be shown. ``clock`` gives the seconds of ``time.time``.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        """Use ``open_store``, which opens the database first."""
        self.database = database
        self.location = database.location
        self.clock = clock
        with database.read() as connection:
            info = {row.key: row.value for row in connection.execute(sa.select(store_info))}
        self.id = info["store_id"]
        self.mac_key = bytes.fromhex(info["mac_key"])
        self._writer = Writer(database)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is being written, then close the database."""
        self._writer.close()
        self.database.close()

    def read(self) -> AbstractContextManager[sa.Connection]:
        """A connection that sees one state of the store, for the functions of this package that take one."""
        return self.database.read()

    def write(self, run: Callable[[sa.Connection], Result]) -> Result:
        """``run(connection)`` in a writing transaction, perhaps together with others'; returns after its COMMIT.

        ``run`` checks everything before it writes, and may run twice, as where a neighbour fails.
        """
        return self._writer.submit(run).result()

    # --- reading on -------------------------------------------------------------------------------------------------

    def lease_next(
        self, reviewer: int, *, n: int = tasks.LEASED_POSTS, chosen: Filter | None = None, showing: Sequence[int] = ()
    ) -> list[Card]:
        """The next cards of a person, leased to them for ten minutes (``tasks.lease_next``)."""
        return self.write(
            lambda connection: tasks.lease_next(
                connection, now=self.clock(), reviewer=reviewer, n=n, chosen=chosen, showing=showing
            )
        )

    def release(self, reviewer: int) -> None:
        """Give back all that a person holds."""
        self.write(lambda connection: tasks.release(connection, reviewer=reviewer))

    def card(self, number: int, *, reviewer: int) -> Card:
        """One task's card; of a blind one with what the model says once this person has decided it."""
        with self.read() as connection:
            return tasks.card_of(connection, number, reviewer=reviewer)

    def waiting(self, reviewer: int, *, chosen: Filter | None = None, limit: int = 50) -> list[Card]:
        """The posts that a person would be given next; nothing is leased."""
        with self.read() as connection:
            return tasks.waiting(connection, reviewer=reviewer, chosen=chosen, limit=limit)

    def task_counts(self) -> list[TaskCount]:
        """How many tasks there are of each language, purpose and state."""
        with self.read() as connection:
            return tasks.task_counts(connection)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def decide(
        self,
        reviewer: int,
        number: int,
        verdict: str,
        *,
        key: str,
        seconds: float | None = None,
        criteria: Sequence[int] = (),
        serious: bool = False,
    ) -> Outcome:
        """A person's verdict (ade, not, unsure) on a task (``decisions.decide``)."""
        return self.write(
            lambda connection: decisions.decide(
                connection,
                now=self.clock(),
                reviewer=reviewer,
                number=number,
                verdict=verdict,
                key=key,
                seconds=seconds,
                criteria=criteria,
                serious=serious,
            )
        )

    def undo(self, reviewer: int, *, key: str, seq: int | None = None) -> Outcome:
        """Take back a person's last decision, or that of ``seq`` (``decisions.undo``)."""
        return self.write(
            lambda connection: decisions.undo(connection, now=self.clock(), reviewer=reviewer, key=key, seq=seq)
        )

    def later(self, reviewer: int, number: int, *, key: str) -> Outcome:
        """Put a post off (``decisions.later``)."""
        return self.write(
            lambda connection: decisions.later(connection, now=self.clock(), reviewer=reviewer, number=number, key=key)
        )

    def note(self, reviewer: int, number: int, text: str, *, key: str) -> Outcome:
        """Keep a note on a task (``notes.add_note``)."""
        return self.write(
            lambda connection: notes.add_note(
                connection,
                now=self.clock(),
                mac_key=self.mac_key,
                reviewer=reviewer,
                number=number,
                text=text,
                key=key,
            )
        )

    def correct_language(self, reviewer: int, number: int, language: str, *, key: str) -> Outcome:
        """Say that a post is in another language (``notes.correct_language``)."""
        return self.write(
            lambda connection: notes.correct_language(
                connection, now=self.clock(), reviewer=reviewer, number=number, language=language, key=key
            )
        )

    def conflicts(self, lead: int, *, limit: int = 100) -> list[Conflict]:
        """The tasks that wait for this lead, the oldest first."""
        with self.read() as connection:
            return conflicts.conflicts(connection, lead=lead, limit=limit)

    def adjudicate(self, lead: int, number: int, verdict: str, *, reason: str, key: str) -> Outcome:
        """A lead's verdict on a conflict, with its reason (``conflicts.adjudicate``)."""
        return self.write(
            lambda connection: conflicts.adjudicate(
                connection,
                now=self.clock(),
                mac_key=self.mac_key,
                lead=lead,
                number=number,
                verdict=verdict,
                reason=reason,
                key=key,
            )
        )

    def set_policy(self, lead: int, text: str, *, key: str) -> Outcome:
        """Set the labelling policy (``notes.set_policy``)."""
        return self.write(
            lambda connection: notes.set_policy(connection, now=self.clock(), lead=lead, text=text, key=key)
        )

    def policy(self) -> str:
        """The labelling policy in Markdown; empty where none was set."""
        with self.read() as connection:
            return notes.policy(connection)

    # --- people -----------------------------------------------------------------------------------------------------

    def add_person(self, name: str, *, role: Role = "reviewer", by: int = 0) -> tuple[Person, str]:
        """Add a person or renew their link; the secret of the link is returned once (``people.add_person``)."""
        return self.write(
            lambda connection: people.add_person(
                connection, now=self.clock(), mac_key=self.mac_key, name=name, role=role, by=by
            )
        )

    def revoke(self, name: str, *, by: int = 0) -> Person:
        """End a person's link and sessions at once."""
        return self.write(lambda connection: people.revoke(connection, now=self.clock(), name=name, by=by))

    def people(self) -> list[Person]:
        """Everybody, revoked ones included."""
        with self.read() as connection:
            return people.people(connection)

    def sign_in(self, secret: str) -> Session:
        """Begin a session with the secret of a link. Raises ReviewError (``role``) for one that is none."""
        return self.write(lambda connection: people.sign_in(connection, now=self.clock(), secret=secret))

    def sign_in_by_name(self, name: str) -> Session:
        """Begin a session of a person whom a trusted proxy names. Raises ReviewError (``role``)."""
        return self.write(lambda connection: people.sign_in_by_name(connection, now=self.clock(), name=name))

    def session(self, token: str) -> Session | None:
        """The session of a cookie, renewed where it is in use; None where it is over or its person revoked."""
        now = self.clock()
        with self.read() as connection:
            one = people.session_of_token(connection, now=now, token=token)
        if one is not None and people.needs_renewal(one, now=now):
            self.write(lambda connection: people.renew_session(connection, now=now, token=token))
        return one

    def sign_out(self, token: str) -> None:
        """End a session."""
        self.write(lambda connection: people.sign_out(connection, token=token))

    # --- the log ----------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """The end of the log."""
        with self.read() as connection:
            return event_log.head(connection)

    def newest_events(
        self,
        *,
        before: int | None = None,
        reviewer: int | None = None,
        kind: str = "",
        task: int | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """The newest events first (``event_log.newest_events``)."""
        with self.read() as connection:
            return event_log.newest_events(
                connection, before=before, reviewer=reviewer, kind=kind, task=task, limit=limit
            )

    def is_alive(self) -> bool:
        """Whether the store can be written to now: a transaction of the writer that changes nothing."""
        return self.write(lambda connection: connection.execute(sa.select(sa.literal(1))).scalar() == 1)


def open_store(
    location: str | Path, *, create: bool = False, server: bool = False, clock: Callable[[], float] = time.time
) -> Store:
    """Open the store at a path or at ``postgresql://user@host/name``.

    ``create``: make one where there is none. ``server``: be its one server, until it is closed. Raises RecipeError,
    StoreError, StoreAwayError as ``engine.open_database``; StoreAwayError where another server has it.
    """
    database = open_database(location, create=create)
    try:
        if server:
            database.lock_for_server()
        _ensure_identity(database, clock)
        return Store(database, clock=clock)
    except BaseException:
        database.close()
        raise


def _ensure_identity(database: Database, clock: Callable[[], float]) -> None:
    """Give a new store its id and the key of its keyed hashes."""
    query = sa.select(store_info.c.value).where(store_info.c.key == "store_id")
    with database.read() as connection:
        if connection.execute(query).scalar() is not None:
            return
    values = {
        "store_id": secrets.token_hex(8),
        "mac_key": secrets.token_hex(32),
        "created_at": utc_text(clock()),
    }
    with database.write() as connection:
        if connection.execute(query).scalar() is None:  # another process may have been first
            rows = [{"key": key, "value": value} for key, value in values.items()]
            connection.execute(sa.insert(store_info), rows)
