"""The first schema. What review.schema says of tables may change later; this file never does."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from polyvigil.review.schema import POSTGRESQL_FUNCTION, TRIGGERS

revision = "0001"
down_revision = None

_Id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _key(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)


def upgrade() -> None:
    """Make all tables, their indexes, and the triggers of the log."""
    _posts()
    _tasks()
    _log()
    _people()
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(POSTGRESQL_FUNCTION)
    for statement in TRIGGERS[dialect].values():
        op.execute(statement)


def _posts() -> None:
    op.create_table("store_info", _key("key", sa.String(40)), _required("value", sa.Text()))
    op.create_table(
        "batch",
        _key("id", _Id),
        _required("file_name", sa.Text()),
        sa.Column("file_sha256", sa.String(64), nullable=False, unique=True),
        _required("bundle", sa.String(16)),
        _required("n_posts", sa.BigInteger()),
        _required("n_rows", sa.BigInteger()),
        _required("state", sa.String(8)),
        _required("added_at", sa.String(27)),
    )
    op.create_table(
        "post",
        _key("id", _Id),
        sa.Column("batch", _Id, sa.ForeignKey("batch.id"), nullable=False),
        _required("source_id", sa.Text()),
        _required("language", sa.Text()),
        _required("type", sa.Text()),
        sa.Column("text", sa.Text()),
        sa.Column("raw_text", sa.LargeBinary()),
        _required("text_mac", sa.LargeBinary()),
        sa.Column("copy_of", _Id, sa.ForeignKey("post.id")),
        sa.UniqueConstraint("text_mac", "source_id"),
    )
    op.create_index("post_batch", "post", ["batch"])
    op.create_index("post_copy", "post", ["copy_of"])
    op.create_table(
        "scoring",
        sa.Column("post", _Id, sa.ForeignKey("post.id"), primary_key=True, autoincrement=False),
        _key("bundle", sa.String(16)),
        _required("p", sa.Double()),
        _required("p_calibrated", sa.Double()),
        _required("threshold", sa.Double()),
        _required("threshold_source", sa.Text()),
        _required("decision", sa.SmallInteger()),
        sa.Column("spread", sa.Double()),
        sa.Column("evidence_start", sa.Integer()),
        sa.Column("evidence_end", sa.Integer()),
        _required("flags", sa.Text()),
    )


def _tasks() -> None:
    op.create_table(
        "task",
        _key("id", _Id),
        sa.Column("post", _Id, sa.ForeignKey("post.id"), nullable=False),
        _required("bundle", sa.String(16)),
        _required("purpose", sa.String(8)),
        _required("mode", sa.String(8)),
        _required("inclusion_p", sa.Double()),
        _required("stratum", sa.Text()),
        _required("rank", sa.Double()),
        _required("language", sa.Text()),
        _required("reviews", sa.SmallInteger()),
        _required("state", sa.String(12)),
        sa.Column("first_reviewer", sa.Integer()),
        sa.Column("label", sa.SmallInteger()),
    )
    op.create_index("task_next", "task", ["state", "rank", "id"])
    op.create_index("task_post", "task", ["post"])
    op.create_index("task_counts", "task", ["language", "purpose", "state"])
    op.create_table(
        "lease",
        sa.Column("task", _Id, sa.ForeignKey("task.id"), primary_key=True, autoincrement=False),
        _required("reviewer", sa.Integer()),
        _required("until", sa.Double()),
    )
    op.create_index("lease_reviewer", "lease", ["reviewer"])
    op.create_table("parked", _key("task", _Id), _key("reviewer", sa.Integer()), _required("until", sa.Double()))


def _log() -> None:
    op.create_table(
        "event",
        _key("seq", _Id),
        _required("at", sa.String(27)),
        _required("reviewer", sa.Integer()),
        _required("kind", sa.String(12)),
        sa.Column("task", _Id),
        _required("body", sa.Text()),
        sa.Column("key", sa.String(36), nullable=False, unique=True),
        _required("prev", sa.String(64)),
        _required("hash", sa.String(64)),
    )
    op.create_index("event_task", "event", ["task"])
    op.create_index("event_reviewer", "event", ["reviewer", "seq"])
    op.create_table(
        "decision",
        _key("task", _Id),
        _key("reviewer", sa.Integer()),
        _required("verdict", sa.String(6)),
        _required("seq", _Id),
    )
    op.create_table("note", _key("seq", _Id), sa.Column("text", sa.Text()))


def _people() -> None:
    op.create_table(
        "person",
        _key("id", sa.Integer()),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
        _required("role", sa.String(8)),
        sa.Column("link_sha256", sa.String(64), unique=True),
        sa.Column("revoked_at", sa.String(27)),
    )
    op.create_table(
        "session",
        _key("token_sha256", sa.String(64)),
        _required("reviewer", sa.Integer()),
        _required("csrf", sa.String(43)),
        _required("until", sa.Double()),
    )
