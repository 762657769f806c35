"""The tables of a review store, the same on SQLite and PostgreSQL, and the triggers that guard its log.

``metadata`` describes the newest schema, for queries. A store's tables are made by the migrations alone
(review/migrations); a test holds both to the same. Times are UTC text with microseconds, ``utc_text``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import sqlalchemy as sa

Verdict = Literal["ade", "not", "unsure"]
VERDICTS: tuple[Verdict, ...] = ("ade", "not", "unsure")
"""What a reviewer can say: mentions an adverse drug event, does not, cannot tell (which goes to a lead)."""
LABELS: dict[str, int] = {"ade": 1, "not": 0}
"""The label that a verdict gives."""
Role = Literal["reviewer", "lead", "auditor"]
ROLES: tuple[Role, ...] = ("reviewer", "lead", "auditor")
"""A lead also adjudicates, exports and sets the policy; an auditor reads all and writes nothing."""
PURPOSES = ("queue", "audit", "learn")
"""Why a post is read: it was flagged; it is in the sample of cleared posts; its label helps training."""
ONE_REVIEW, TWO_REVIEWS, SECOND_FOR_ADE = 1, 2, 0
"""How many people read a task; SECOND_FOR_ADE: one, and a second where the first calls it an ADE, since among rare ADEs
one reader's false alarms outnumber what was missed."""
STATES = ("new", "open", "second", "conflict", "done", "closed")
"""Of a task. new: its batch is still being loaded; second: one of two reviews is there; conflict: verdicts differ or
one is unsure; closed: no longer to be read, as a newer bundle does not flag the post."""
KINDS = (
    *("add", "sample", "decide", "undo", "later", "note", "adjudicate"),
    *("language", "policy", "person", "export", "purge", "import"),
)
"""Of an event."""
SCHEMA_VERSION = "0002"
"""The newest migration."""

metadata = sa.MetaData()
_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # an INTEGER PRIMARY KEY is SQLite's own row number


def _id(name: str = "id") -> sa.Column[int]:
    return sa.Column(name, _Id, primary_key=True, autoincrement=False)


def _text(name: str, length: int | None = None, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=null)


store_info = sa.Table(
    "store_info", metadata, sa.Column("key", sa.String(40), primary_key=True), _text("value")
)  # store_id, created_at, mac_key, policy, policy_sha256

batch = sa.Table(
    "batch",
    metadata,
    _id(),
    _text("file_name"),
    sa.Column("file_sha256", sa.String(64), nullable=False, unique=True),
    _text("bundle", 16),
    sa.Column("n_posts", sa.BigInteger(), nullable=False),
    sa.Column("n_rows", sa.BigInteger(), nullable=False),  # rows of the file that are in the store, bad ones included
    _text("state", 8),  # loading | tasks | ready
    _text("added_at", 27),
)

post = sa.Table(
    "post",
    metadata,
    _id(),
    sa.Column("batch", _Id, sa.ForeignKey("batch.id"), nullable=False),
    _text("source_id"),
    _text("language"),
    _text("type"),
    _text("text", null=True),  # NUL and lone surrogates as U+FFFD
    sa.Column("raw_text", sa.LargeBinary(), nullable=True),  # only where ``text`` differs from what was given
    sa.Column("text_mac", sa.LargeBinary(), nullable=False),  # HMAC-SHA-256 with the store's key; stays after a purge
    sa.Column("copy_of", _Id, sa.ForeignKey("post.id"), nullable=True),  # an earlier post that reads the same
    sa.Column("reads_as", sa.BigInteger(), nullable=True),  # the same number: read the same (known_posts.reads_as)
    sa.UniqueConstraint("text_mac", "source_id"),
)
sa.Index("post_batch", post.c.batch)
sa.Index("post_copy", post.c.copy_of)
sa.Index("post_reads_as", post.c.reads_as)

scoring = sa.Table(
    "scoring",
    metadata,
    sa.Column("post", _Id, sa.ForeignKey("post.id"), primary_key=True, autoincrement=False),
    sa.Column("bundle", sa.String(16), primary_key=True),
    sa.Column("p", sa.Double(), nullable=False),
    sa.Column("p_calibrated", sa.Double(), nullable=False),
    sa.Column("threshold", sa.Double(), nullable=False),
    _text("threshold_source"),
    sa.Column("decision", sa.SmallInteger(), nullable=False),
    sa.Column("spread", sa.Double(), nullable=True),
    sa.Column("evidence_start", sa.Integer(), nullable=True),
    sa.Column("evidence_end", sa.Integer(), nullable=True),
    _text("flags"),
)

task = sa.Table(
    "task",
    metadata,
    _id(),
    sa.Column("post", _Id, sa.ForeignKey("post.id"), nullable=False),
    _text("bundle", 16),
    _text("purpose", 8),
    _text("mode", 8),  # blind | assisted
    sa.Column("inclusion_p", sa.Double(), nullable=False),  # the chance with which the post was chosen; 1: all are
    _text("stratum"),
    sa.Column("rank", sa.Double(), nullable=False),  # the smallest is read first
    _text("language"),
    sa.Column("reviews", sa.SmallInteger(), nullable=False),  # ONE_REVIEW, TWO_REVIEWS or SECOND_FOR_ADE
    _text("state", 12),
    sa.Column("first_reviewer", sa.Integer(), nullable=True),
    sa.Column("label", sa.SmallInteger(), nullable=True),
)
sa.Index("task_next", task.c.state, task.c.rank, task.c.id)
sa.Index("task_post", task.c.post)
sa.Index("task_counts", task.c.language, task.c.purpose, task.c.state)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("task", _Id, sa.ForeignKey("task.id"), primary_key=True, autoincrement=False),
    sa.Column("reviewer", sa.Integer(), nullable=False),
    sa.Column("until", sa.Double(), nullable=False),
)
sa.Index("lease_reviewer", lease.c.reviewer)

parked = sa.Table(
    "parked",
    metadata,
    sa.Column("task", _Id, primary_key=True, autoincrement=False),
    sa.Column("reviewer", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("until", sa.Double(), nullable=False),
)

event = sa.Table(
    "event",
    metadata,
    _id("seq"),
    _text("at", 27),
    sa.Column("reviewer", sa.Integer(), nullable=False),  # 0: a command, not a person
    _text("kind", 12),
    sa.Column("task", _Id, nullable=True),
    _text("body"),
    sa.Column("key", sa.String(36), nullable=False, unique=True),
    _text("prev", 64),
    _text("hash", 64),
)
sa.Index("event_task", event.c.task)
sa.Index("event_reviewer", event.c.reviewer, event.c.seq)

decision = sa.Table(
    "decision",  # the decisions that stand; rebuilt from the events
    metadata,
    sa.Column("task", _Id, primary_key=True, autoincrement=False),
    sa.Column("reviewer", sa.Integer(), primary_key=True, autoincrement=False),
    _text("verdict", 6),
    sa.Column("seq", _Id, nullable=False),
)

note = sa.Table("note", metadata, _id("seq"), _text("text", null=True))  # the event holds its HMAC

person = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text(), nullable=False, unique=True),
    _text("role", 8),
    sa.Column("link_sha256", sa.String(64), unique=True, nullable=True),
    _text("revoked_at", 27, null=True),
)

session = sa.Table(
    "session",
    metadata,
    sa.Column("token_sha256", sa.String(64), primary_key=True),
    sa.Column("reviewer", sa.Integer(), nullable=False),
    _text("csrf", 43),
    sa.Column("until", sa.Double(), nullable=False),
)

APPEND_ONLY = "the log of events is append-only"
"""What the triggers say."""
TRIGGERS = {
    "sqlite": {
        "event_no_update": f"CREATE TRIGGER event_no_update BEFORE UPDATE ON event "
        f"BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END",
        "event_no_delete": f"CREATE TRIGGER event_no_delete BEFORE DELETE ON event "
        f"BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END",
        # INSERT OR REPLACE removes a row without a DELETE trigger
        "event_no_replace": f"CREATE TRIGGER event_no_replace BEFORE INSERT ON event "
        f"WHEN EXISTS (SELECT 1 FROM event WHERE seq = NEW.seq OR key = NEW.key) "
        f"BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END",
    },
    "postgresql": {
        "event_append_only": "CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON event "
        "FOR EACH STATEMENT EXECUTE FUNCTION event_append_only()",
    },
}
"""Of each engine its triggers on ``event``, by name. SQLite loses them where a table is made anew, as alembic's batch
mode does: no migration may do that to ``event``, and ``review.engine`` looks for them whenever a store is opened."""
POSTGRESQL_FUNCTION = (
    "CREATE FUNCTION event_append_only() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{APPEND_ONLY}'; END $$"
)


def utc_text(seconds: float) -> str:
    """A time of ``time.time()`` as ``2026-11-28T13:05:07.123456Z``, which sorts as the times do."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def triggers_on_event(connection: sa.Connection) -> set[str]:
    """The names of the triggers that are alive on ``event``."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'event'"
    else:
        query = (
            "SELECT tgname FROM pg_trigger WHERE tgrelid = 'event'::regclass AND NOT tgisinternal AND tgenabled <> 'D'"
        )
    return set(connection.execute(sa.text(query)).scalars())
