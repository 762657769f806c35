"""Who reviews: people with a role, their personal links, and the sessions of their browsers.

A link holds a secret of 256 bits, of which the store keeps the SHA-256 alone, so that there is nothing to guess, reset
or leak; it is shown once. A session is the same for a browser, with the token that its forms must carry.
"""

from __future__ import annotations

import getpass
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review import event_log
from polyvigil.review.schema import ROLES, Role, event, person, session, utc_text

DECIDING: tuple[str, ...] = ("reviewer", "lead")
"""The roles that decide."""
SESSION_SECONDS = 8 * 3600.0
"""An idle session ends after so many."""
_RENEW_SECONDS = 600.0
"""A session is renewed at most this often, so that reading makes few writes."""
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Person:
    """A person of the store; ``id`` is what stands in the log."""

    id: int
    name: str
    role: str
    revoked_at: str | None = None

    @property
    def may_decide(self) -> bool:
        return self.role in DECIDING


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that has signed in. ``token`` goes into a cookie, ``csrf`` into every form and request that writes."""

    token: str
    csrf: str
    person: Person
    until: float


def add_person(
    connection: sa.Connection, *, now: float, mac_key: bytes, name: str, role: Role = "reviewer", by: int = 0
) -> tuple[Person, str]:
    """Add a person, or give one who is there a new link and this role; the old link ends, and its sessions with it.

    Returns the person and the secret of the link, which is stored nowhere. ``by``: the lead who does it; 0 a command.
    """
    name = name.strip()
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise ReviewError("usage", f"a name of 1 to {_MAX_NAME} printable characters is needed", where="NAME")
    if role not in ROLES:
        raise ReviewError("usage", f"{role!r} is no role", where="--role", hint=f"one of {', '.join(ROLES)}")
    secret = secrets.token_urlsafe(32)
    stored = person_of_name(connection, name)
    number = stored.id if stored else _next_id(connection)
    values = {"name": name, "role": role, "link_sha256": _sha256(secret), "revoked_at": None}
    if stored:
        connection.execute(sa.update(person).where(person.c.id == number).values(values))
        connection.execute(sa.delete(session).where(session.c.reviewer == number))
    else:
        connection.execute(sa.insert(person).values(id=number, **values))
    name_mac = event_log.keyed_hash(mac_key, name).hex()
    body = {"person": number, "action": "link" if stored else "add", "role": role, "name_mac": name_mac}
    event_log.append(connection, now=now, reviewer=by, kind="person", body=body)
    return Person(number, name, role), secret


def _next_id(connection: sa.Connection) -> int:
    return (connection.execute(sa.select(sa.func.max(person.c.id))).scalar() or 0) + 1


def revoke(connection: sa.Connection, *, now: float, name: str, by: int = 0) -> Person:
    """End a person's link and sessions at once; what they decided stays. Raises ReviewError for a name not there."""
    stored = person_of_name(connection, name.strip())
    if stored is None:
        raise ReviewError("usage", "no person of this name", where="NAME", hint="see them all: review person STORE")
    connection.execute(
        sa.update(person).where(person.c.id == stored.id).values(link_sha256=None, revoked_at=utc_text(now))
    )
    connection.execute(sa.delete(session).where(session.c.reviewer == stored.id))
    body = {"person": stored.id, "action": "revoke", "role": stored.role}
    event_log.append(connection, now=now, reviewer=by, kind="person", body=body)
    return Person(stored.id, stored.name, stored.role, utc_text(now))


def people(connection: sa.Connection) -> list[Person]:
    """Everybody, revoked ones included, in the order in which they were added."""
    rows = connection.execute(_people_query().order_by(person.c.id))
    return [Person(*row) for row in rows]


def _people_query() -> sa.Select[Any]:
    return sa.select(person.c.id, person.c.name, person.c.role, person.c.revoked_at)


def person_of_name(connection: sa.Connection, name: str) -> Person | None:
    """The person of a name, as a trusted proxy gives it; None where there is none."""
    row = connection.execute(_people_query().where(person.c.name == name)).one_or_none()
    return Person(*row) if row else None


def person_of_id(connection: sa.Connection, number: int) -> Person | None:
    """The person of an id; None where there is none."""
    row = connection.execute(_people_query().where(person.c.id == number)).one_or_none()
    return Person(*row) if row else None


def active_person(connection: sa.Connection, number: int, *, roles: tuple[str, ...]) -> Person:
    """The person of an id who is there still and has one of the roles. Raises ReviewError."""
    one = person_of_id(connection, number)
    if one is None or one.revoked_at:
        raise ReviewError("role", "this person has no access any more", hint="ask a lead for a new link")
    if one.role not in roles:
        raise ReviewError("role", f"this is for a {' or a '.join(roles)}; this person is {one.role}")
    return one


def sign_in(connection: sa.Connection, *, now: float, secret: str) -> Session:
    """Begin a session with the secret of a personal link. Raises ReviewError (``role``) for one that is none."""
    query = _people_query().where(person.c.link_sha256 == _sha256(secret), person.c.revoked_at.is_(None))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise ReviewError("role", "this link is not valid", hint="ask a lead for a new one")
    return begin_session(connection, now=now, one=Person(*row))


def sign_in_by_name(connection: sa.Connection, *, now: float, name: str) -> Session:
    """Begin a session of a person whom a trusted proxy names. Raises ReviewError (``role``)."""
    one = person_of_name(connection, name)
    if one is None or one.revoked_at:
        raise ReviewError("role", "the store has no such person", hint="a lead adds them: polyvigil review person")
    return begin_session(connection, now=now, one=one)


def begin_session(connection: sa.Connection, *, now: float, one: Person) -> Session:
    """Begin a session of a person whom a link or a trusted proxy has named."""
    made = Session(secrets.token_urlsafe(32), secrets.token_urlsafe(32), one, now + SESSION_SECONDS)
    connection.execute(sa.delete(session).where(session.c.until < now))
    connection.execute(
        sa.insert(session).values(token_sha256=_sha256(made.token), reviewer=one.id, csrf=made.csrf, until=made.until)
    )
    return made


def session_of_token(connection: sa.Connection, *, now: float, token: str) -> Session | None:
    """The session of a cookie; None where it is unknown, over, or its person revoked."""
    row = connection.execute(
        sa.select(session.c.csrf, session.c.until, person.c.id, person.c.name, person.c.role)
        .join(person, person.c.id == session.c.reviewer)
        .where(session.c.token_sha256 == _sha256(token), session.c.until >= now, person.c.revoked_at.is_(None))
    ).one_or_none()
    return Session(token, row.csrf, Person(row.id, row.name, row.role), row.until) if row else None


def needs_renewal(one: Session, *, now: float) -> bool:
    """Whether a session that is in use should be renewed."""
    return one.until - now < SESSION_SECONDS - _RENEW_SECONDS


def renew_session(connection: sa.Connection, *, now: float, token: str) -> None:
    """Let a session last for SESSION_SECONDS from now."""
    connection.execute(
        sa.update(session).where(session.c.token_sha256 == _sha256(token)).values(until=now + SESSION_SECONDS)
    )


def sign_out(connection: sa.Connection, *, token: str) -> None:
    """End a session."""
    connection.execute(sa.delete(session).where(session.c.token_sha256 == _sha256(token)))


def has_decided(connection: sa.Connection, number: int) -> bool:
    """Whether anything in the log is by this person."""
    return connection.execute(sa.select(event.c.seq).where(event.c.reviewer == number).limit(1)).scalar() is not None


def login_name() -> str:
    """The name of the first person of a store: that of the login."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "lead"


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
