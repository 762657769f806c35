"""How a store's tables are made and brought up to date (alembic); run when a store is opened (review.engine)."""
