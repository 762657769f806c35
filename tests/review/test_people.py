"""Links, sessions and roles: a secret is shown once, kept as its hash, and ended at once."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from tests.review.small import Clock, key

from polyvigil.errors import ReviewError
from polyvigil.review.people import SESSION_SECONDS
from polyvigil.review.schema import metadata
from polyvigil.review.store import Store


def everything(store: Store) -> str:
    """All that the database holds, as text."""
    with store.read() as connection:
        return repr([connection.execute(sa.select(table)).all() for table in metadata.sorted_tables])


def test_a_link_signs_in_and_its_secret_is_not_kept(empty_store: Store) -> None:
    person, secret = empty_store.add_person(" ana ", role="lead")
    session = empty_store.sign_in(secret)
    assert (person.id, person.name, session.person) == (1, "ana", person)
    assert len(secret) == len(session.csrf) == 43
    assert not [one for one in (secret, session.token) if one in everything(empty_store)]
    again = empty_store.session(session.token)
    assert again is not None
    assert (again.person, again.csrf) == (person, session.csrf)


def test_a_wrong_link_or_cookie_is_nobody(empty_store: Store) -> None:
    empty_store.add_person("ana")
    for secret in ("", "x", "0" * 43):
        with pytest.raises(ReviewError, match="not valid") as caught:
            empty_store.sign_in(secret)
        assert caught.value.code == "role"
        assert empty_store.session(secret) is None


def test_revoking_ends_link_and_sessions_at_once(store: Store) -> None:
    _, secret = store.add_person("di")
    session = store.sign_in(secret)
    store.revoke("di")
    assert store.session(session.token) is None
    with pytest.raises(ReviewError):
        store.sign_in(secret)
    with pytest.raises(ReviewError):
        store.sign_in_by_name("di")
    with pytest.raises(ReviewError, match="no access any more"):
        store.decide(4, 1, "ade", key=key())
    assert [one.name for one in store.people() if one.revoked_at] == ["di"]
    with pytest.raises(ReviewError, match="no person of this name"):
        store.revoke("nobody")


def test_a_new_link_ends_the_old_one(empty_store: Store) -> None:
    _, old = empty_store.add_person("ana")
    session = empty_store.sign_in(old)
    person, new = empty_store.add_person("ana", role="lead")
    assert (person.id, person.role) == (1, "lead")
    assert empty_store.session(session.token) is None
    with pytest.raises(ReviewError):
        empty_store.sign_in(old)
    assert empty_store.sign_in(new).person.role == "lead"


def test_an_idle_session_ends_and_one_in_use_goes_on(empty_store: Store, clock: Clock) -> None:
    _, secret = empty_store.add_person("ana")
    used, idle = empty_store.sign_in(secret), empty_store.sign_in(secret)
    for _ in range(3):
        clock.now += SESSION_SECONDS / 2
        assert empty_store.session(used.token) is not None
    assert empty_store.session(idle.token) is None
    empty_store.sign_out(used.token)
    assert empty_store.session(used.token) is None


def test_a_person_whom_a_proxy_names(empty_store: Store) -> None:
    empty_store.add_person("ana@example.org")
    assert empty_store.sign_in_by_name("ana@example.org").person.id == 1
    with pytest.raises(ReviewError, match="no such person"):
        empty_store.sign_in_by_name("bo@example.org")


@pytest.mark.parametrize(
    ("name", "role"), [("", "lead"), (" ", "lead"), ("a\nb", "lead"), ("x" * 101, "lead"), ("a", "x")]
)
def test_a_name_or_role_that_is_none(empty_store: Store, name: str, role: str) -> None:
    with pytest.raises(ReviewError) as caught:
        empty_store.add_person(name, role=role)  # type: ignore[arg-type]
    assert caught.value.code == "usage"
    assert empty_store.head().seq == 0


def test_the_log_holds_no_names(empty_store: Store) -> None:
    empty_store.add_person("zebrafinch")
    empty_store.revoke("zebrafinch")
    events = empty_store.newest_events()
    assert [event.fields()["action"] for event in events] == ["revoke", "add"]
    assert not [event for event in events if "zebrafinch" in event.body]
