"""Further tasks from posts that are in the store: a larger audit, or posts whose labels would teach most."""

from __future__ import annotations

import sqlalchemy as sa

from polyvigil.config.review import ReviewSpec
from polyvigil.errors import DataError
from polyvigil.review.choosing import (
    Choice,
    MadeTasks,
    announce_tasks,
    audit_choices,
    open_announced,
    open_tasks,
    posts_with_tasks,
    seed_of,
    store_tasks,
)
from polyvigil.review.frames import AuditRound, audit_frame, possible_size, rounds_of, union_inclusion
from polyvigil.review.sampling import allocation
from polyvigil.review.schema import batch, post, scoring, task
from polyvigil.review.store import Store
from polyvigil.types import Frozen


class FurtherResult(Frozen):
    """What was added."""

    batch: int
    audit: int
    """Posts of the new draw that had not been audited before."""
    learn: int


def add_further(store: Store, *, audit: int = 0, learn: int = 0, language: str = "", number: int = 0) -> FurtherResult:
    """Add tasks from a batch (0: the newest): a further audit draw, independent of earlier ones, and posts nearest to
    the threshold, equally many of each language.

    Raises DataError where there is no such batch, or nothing to choose from.
    """
    spec = ReviewSpec()
    with store.database.import_lock():
        open_announced(store)
        with store.read() as connection:
            chosen, digest = _batch(connection, store, number)
            rounds = rounds_of(connection).get(chosen, [])
            frame = audit_frame(connection, chosen)
            taken = posts_with_tasks(connection)
            one = AuditRound(possible_size(frame, audit), seed_of(digest) + len(rounds))
            choices = [choice for choice in audit_choices(frame, one) if choice.post not in taken]
            audited = {choice.post for choice in choices}
            learned = _near_threshold(connection, chosen, frame.bundle, learn, language, taken | audited)
        if not one.size and not learned:
            raise DataError("there is no post to choose", where=store.location, hint="give --audit or --learn a number")
        made: MadeTasks = store_tasks(store, [*choices, *learned], frame.bundle, spec, one)
        with store.database.write() as connection:
            if one.size:
                inclusion = union_inclusion(frame, [*rounds, one])
                _set_inclusion(connection, chosen, dict(zip(frame.posts.tolist(), inclusion.tolist(), strict=True)))
            announce_tasks(connection, store, kind="sample", number=chosen, made=made, body={"learn": len(learned)})
        open_tasks(store, chosen)
    return FurtherResult(batch=chosen, audit=len(choices), learn=len(learned))


def _batch(connection: sa.Connection, store: Store, number: int) -> tuple[int, str]:
    query = sa.select(batch.c.id, batch.c.file_sha256).where(batch.c.state == "ready").order_by(batch.c.id.desc())
    row = connection.execute((query.where(batch.c.id == number) if number else query).limit(1)).one_or_none()
    if row is None:
        raise DataError("there is no such batch", where=store.location, hint="add scored posts first: review add")
    return row.id, row.file_sha256


def _near_threshold(
    connection: sa.Connection, number: int, bundle: str, learn: int, language: str, taken: set[int]
) -> list[Choice]:
    """The ``learn`` posts whose P is nearest to the threshold, equally many of each language; each text once."""
    if not learn:
        return []
    distance = sa.func.abs(scoring.c.p - scoring.c.threshold)
    query = (
        sa.select(post.c.id, post.c.language, scoring.c.p_calibrated)
        .join(scoring, sa.and_(scoring.c.post == post.c.id, scoring.c.bundle == bundle))
        .where(post.c.batch == number, post.c.copy_of.is_(None))
        .order_by(distance, post.c.id)
    )
    if language:
        query = query.where(post.c.language == language)
    by_language: dict[str, list[Choice]] = {}
    for row in connection.execute(query):
        if row.id not in taken:
            one = Choice(row.id, row.language, row.p_calibrated, "learn")
            by_language.setdefault(row.language, []).append(one)
    sizes = {name: len(of_language) for name, of_language in by_language.items()}
    total = min(max(learn, len(sizes)), sum(sizes.values()))
    numbers = allocation(total, sizes, {}) if total else {}
    return [choice for name, part in numbers.items() for choice in by_language[name][:part]]


def _set_inclusion(connection: sa.Connection, number: int, inclusion: dict[int, float]) -> None:
    """The chance to be in at least one of all draws, for the audited posts of a batch."""
    query = sa.select(task.c.id, task.c.post).join(post, post.c.id == task.c.post)
    rows = connection.execute(query.where(task.c.purpose == "audit", post.c.batch == number)).all()
    changed = sa.update(task).where(task.c.id == sa.bindparam("number")).values(inclusion_p=sa.bindparam("chance"))
    values = [{"number": row.id, "chance": inclusion[row.post]} for row in rows if inclusion.get(row.post, 0.0) > 0]
    if values:
        connection.execute(changed, values)
