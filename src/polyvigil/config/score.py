"""How files of posts are scored: options of ``polyvigil score``, no section of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyvigil.config.base import Spec

TextForm = Literal["whole", "masked", "dropped"]
"""The text of posts in an output: as it was written, masked (text.mask), or left out."""


class ScoreSpec(Spec):
    """How files of posts are scored: what moves the bytes of the output."""

    part_posts: int = Field(
        default=20_000,
        ge=1,
        le=100_000_000,
        description="rows of one part: what is scored, written and, after an interruption, kept at once",
    )
    dedup: Literal["off", "exact", "near"] = Field(
        default="off",
        description="exact: posts of one part that read the same to a model, in one language, are scored once; near: "
        "also those that differ in case, spaces, punctuation, digits, links, mentions or emoji alone",
    )
    evidence: bool = Field(default=False, description="add the columns that say where a flagged post's score is from")
    text: TextForm = Field(
        default="whole", description="of the posts in the output: as it was written, masked (text.mask), or left out"
    )
    prevalence: dict[str, float] = Field(
        default={},
        description="re-base p_calibrated to these shares of ADEs, by language; under an empty name that of the others",
    )
    raw_csv: bool = Field(default=False, description="leave cells that a spreadsheet would run as they are")
    excel: bool = Field(
        default=False, description="begin CSV with a byte order mark, by which Excel knows that it is UTF-8"
    )
    ask_endpoint: bool = Field(default=False, description="put posts near a threshold to the bundle's chat endpoint")
    on_error: Literal["quarantine", "fail"] = Field(
        default="quarantine", description="a row that cannot be used: set it aside, or stop there"
    )
