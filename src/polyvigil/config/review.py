"""How scored posts are put before people: options of ``polyvigil review``, no section of a recipe."""

from __future__ import annotations

from pydantic import Field

from polyvigil.config.base import Spec


class ReviewSpec(Spec):
    """How many posts are audited, and which share of the tasks is blind or read twice."""

    audit: int = Field(default=200, ge=0, description="posts of a file to audit, drawn from those not flagged")
    double: float = Field(default=0.1, ge=0, le=1, description="share of the tasks that two people read, blind")
    blind_share: float = Field(
        default=0.2, ge=0, le=1, description="share of the flagged posts that are read without score and evidence"
    )
