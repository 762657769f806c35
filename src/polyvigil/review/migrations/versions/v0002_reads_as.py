"""Posts that read the same, beside those of the same text: a keyed hash of what is left of a post without case,
numbers, links and punctuation. Empty for posts of before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and its index; on SQLite, too, without making the table anew."""
    op.add_column("post", sa.Column("reads_as", sa.BigInteger()))
    op.create_index("post_reads_as", "post", ["reads_as"])
