"""What an audit is drawn from: the posts of a batch that its bundle cleared, and the draws so far.

Posts that read the same are one unit, the first of them, and only where none of them is flagged in the batch: who reads
the flagged one has read them all.

A frame follows from stored scores alone and never changes, so the chance with which each post was drawn can be computed
again whenever it is needed; the log holds the size and seed of each draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from polyvigil.review.event_log import Event
from polyvigil.review.sampling import sample_audit
from polyvigil.review.schema import batch, event, post, scoring
from polyvigil.types import Probabilities

_CHUNK = 20_000


@dataclass(frozen=True, slots=True)
class AuditFrame:
    """The cleared posts of one batch, in the order of their ids; all of shape (n_posts,)."""

    batch: int
    bundle: str
    posts: NDArray[np.int64]
    languages: NDArray[np.str_]
    calibrated: Probabilities


@dataclass(frozen=True, slots=True)
class AuditRound:
    """One audit sample of a batch: how many posts, and the seed that says which."""

    size: int
    seed: int


def audit_frame(connection: sa.Connection, number: int) -> AuditFrame:
    """The frame of a batch."""
    bundle = connection.execute(sa.select(batch.c.bundle).where(batch.c.id == number)).scalar_one()
    copy = post.alias("copy")
    flagged_copies = (
        sa.select(copy.c.copy_of)
        .join(scoring, sa.and_(scoring.c.post == copy.c.id, scoring.c.bundle == bundle))
        .where(copy.c.batch == number, copy.c.copy_of.is_not(None), scoring.c.decision == 1)
    )
    query = (
        sa.select(post.c.id, post.c.language, scoring.c.p_calibrated)
        .join(scoring, sa.and_(scoring.c.post == post.c.id, scoring.c.bundle == bundle))
        .where(post.c.batch == number, post.c.copy_of.is_(None), scoring.c.decision == 0)
        .where(post.c.id.not_in(flagged_copies))
        .order_by(post.c.id)
    )
    posts, codes, calibrated = [], [], []
    names: dict[str, int] = {}
    for rows in connection.execution_options(yield_per=_CHUNK).execute(query).partitions():
        posts.append(np.array([row[0] for row in rows], dtype=np.int64))
        codes.append(np.array([names.setdefault(row[1], len(names)) for row in rows], dtype=np.int64))
        calibrated.append(np.array([row[2] for row in rows], dtype=np.float64))
    languages = np.array(list(names) or [""], dtype=str)
    return AuditFrame(
        batch=number,
        bundle=bundle,
        posts=np.concatenate([np.empty(0, dtype=np.int64), *posts]),
        languages=languages[np.concatenate([np.empty(0, dtype=np.int64), *codes])],
        calibrated=np.concatenate([np.empty(0), *calibrated]),
    )


def sample_frame(frame: AuditFrame, one: AuditRound) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which posts of the frame a draw takes, and with what chance each could have been taken: both (n_posts,)."""
    sample = sample_audit(frame.calibrated, [str(name) for name in frame.languages], one.size, seed=one.seed)
    return sample.sampled, sample.inclusion


def possible_size(frame: AuditFrame, size: int) -> int:
    """A size near ``size`` that the frame can carry: at least one post of each language, at most all of them."""
    n_languages = len(np.unique(frame.languages))
    return min(max(size, n_languages), len(frame.posts)) if size else 0


def union_inclusion(frame: AuditFrame, rounds: Sequence[AuditRound]) -> NDArray[np.float64]:
    """The chance of each post to be in at least one of several independent draws: (n_posts,)."""
    never = np.ones(len(frame.posts))
    for one in rounds:
        never *= 1 - sample_frame(frame, one)[1]
    return 1 - never


def rounds_of(connection: sa.Connection) -> dict[int, list[AuditRound]]:
    """The draws of each batch, as the log has them."""
    rounds: dict[int, list[AuditRound]] = {}
    for body in _bodies(connection):
        if body.get("audit"):
            rounds.setdefault(int(body["batch"]), []).append(AuditRound(int(body["audit"]), int(body["seed"])))
    return rounds


def worklist_batches(connection: sa.Connection) -> set[int]:
    """The batches that came as worklists: the posts that were not chosen are not in the store."""
    return {int(body["batch"]) for body in _bodies(connection) if body.get("worklist")}


def _bodies(connection: sa.Connection) -> list[dict[str, Any]]:
    query = sa.select(event).where(event.c.kind.in_(("add", "sample"))).order_by(event.c.seq)
    return [Event(*row).fields() for row in connection.execute(query)]
