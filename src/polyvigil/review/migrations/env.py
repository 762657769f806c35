"""What alembic runs: the migrations of versions/, in the transaction of the connection that review.engine hands in."""

from __future__ import annotations

from alembic import context

from polyvigil.review.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
