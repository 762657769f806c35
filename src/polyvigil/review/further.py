"""Further tasks from posts that are in the store: a larger audit, or posts whose labels would teach most."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import sqlalchemy as sa
from scipy.special import logit

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
from polyvigil.review.frames import (
    AuditRound,
    audit_frame,
    possible_size,
    rounds_of,
    union_inclusion,
    worklist_batches,
)
from polyvigil.review.learn_picks import MOST_CANDIDATES, LearnPool, pick_to_learn
from polyvigil.review.sampling import allocation
from polyvigil.review.schema import batch, post, scoring, task
from polyvigil.review.store import Store
from polyvigil.types import Frozen

AUDIT_SHARE = 0.2
"""Of posts that are to be learned from: so many are audited instead, drawn first."""
_MOST_KNOWN = 2_000
_CLIP = 1e-9


class FurtherResult(Frozen):
    """What was added."""

    batch: int
    audit: int
    """Posts of the new draw that had not been audited before."""
    learn: int


def add_further(
    store: Store, *, audit: int | None = None, learn: int = 0, language: str = "", number: int = 0
) -> FurtherResult:
    """Add tasks from a batch (0: the newest): first a further audit draw, independent of earlier ones, then posts to
    learn from (review.learn_picks), equally many of each language.

    ``audit``: None is a fifth of ``learn``, taken out of it, where the batch can be audited and no ``language`` is
    given. Raises DataError where there is no such batch, or nothing to choose from.
    """
    spec = ReviewSpec()
    with store.database.import_lock():
        open_announced(store)
        with store.read() as connection:
            chosen, digest = _batch(connection, store, number)
            rounds = rounds_of(connection).get(chosen, [])
            frame = audit_frame(connection, chosen)
            if audit is None:
                can_audit = not language and chosen not in worklist_batches(connection)
                audit = min(possible_size(frame, round(AUDIT_SHARE * learn)), learn) if can_audit else 0
                learn -= audit
            taken = posts_with_tasks(connection)
            one = AuditRound(possible_size(frame, audit), seed_of(digest) + len(rounds))
            choices = [choice for choice in audit_choices(frame, one) if choice.post not in taken]
            audited = {choice.post for choice in choices}
            learned = _to_learn(connection, chosen, frame.bundle, learn, language, taken | audited)
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


def _to_learn(
    connection: sa.Connection, number: int, bundle: str, learn: int, language: str, taken: set[int]
) -> list[Choice]:
    """``learn`` posts of a batch that would teach most, equally many of each language; each text once."""
    if not learn:
        return []
    names = sa.select(post.c.language).distinct().where(post.c.batch == number)
    candidates = {
        name: _candidates(connection, number, bundle, name, taken)
        for name in sorted(connection.execute(names).scalars())
        if not language or name == language
    }
    sizes = {name: len(rows) for name, rows in candidates.items() if rows}
    total = min(max(learn, len(sizes)), sum(sizes.values()))
    choices = []
    for name, n in (allocation(total, sizes, {}) if total else {}).items():
        rows = candidates[name]
        scores = [_logit(row.p) - _logit(row.threshold) for row in rows]
        pool = LearnPool([row.text or "" for row in rows], np.array(scores), _known_ades(connection, name))
        picked = [rows[index] for index in pick_to_learn(pool, n).tolist()]
        choices += [Choice(row.id, name, row.p_calibrated, "learn") for row in picked]
    return choices


def _candidates(
    connection: sa.Connection, number: int, bundle: str, language: str, taken: set[int]
) -> list[sa.Row[Any]]:
    """The posts of a language that are no task, nearest to the threshold first."""
    query = (
        sa.select(post.c.id, post.c.text, scoring.c.p, scoring.c.threshold, scoring.c.p_calibrated)
        .join(scoring, sa.and_(scoring.c.post == post.c.id, scoring.c.bundle == bundle))
        .where(post.c.batch == number, post.c.copy_of.is_(None), post.c.language == language)
        .order_by(sa.func.abs(scoring.c.p - scoring.c.threshold), post.c.id)
    )
    rows: Iterator[Any] = (
        row for row in connection.execution_options(yield_per=1_000).execute(query) if row.id not in taken
    )
    return [*islice(rows, MOST_CANDIDATES)]


def _known_ades(connection: sa.Connection, language: str) -> list[str]:
    """Texts of posts of a language that were decided to be ADEs, the newest tasks first."""
    query = (
        sa.select(post.c.text)
        .join(task, task.c.post == post.c.id)
        .where(task.c.label == 1, task.c.language == language, post.c.text.is_not(None))
        .order_by(task.c.id.desc())
        .limit(_MOST_KNOWN)
    )
    return [str(text) for text in connection.execute(query).scalars()]


def _logit(p: float) -> float:
    return float(logit(min(max(p, _CLIP), 1 - _CLIP)))


def _set_inclusion(connection: sa.Connection, number: int, inclusion: dict[int, float]) -> None:
    """The chance to be in at least one of all draws, for the audited posts of a batch."""
    query = sa.select(task.c.id, task.c.post).join(post, post.c.id == task.c.post)
    rows = connection.execute(query.where(task.c.purpose == "audit", post.c.batch == number)).all()
    changed = sa.update(task).where(task.c.id == sa.bindparam("number")).values(inclusion_p=sa.bindparam("chance"))
    values = [{"number": row.id, "chance": inclusion[row.post]} for row in rows if inclusion.get(row.post, 0.0) > 0]
    if values:
        connection.execute(changed, values)
