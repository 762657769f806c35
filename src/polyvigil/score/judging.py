"""What a judge did to the posts of a file: how many it was for, how many it decided, what asking took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from polyvigil.bundle.store import Bundle
from polyvigil.detect.chat import Usage
from polyvigil.score.wire import FAILED, JUDGED, JUDGING, NOT_ASKED, Decision


class JudgeTally(BaseModel):
    """Posts near a threshold, by what became of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judged: int
    not_asked: int
    failed: int
    share: float = Field(ge=0, le=1)
    """Of all posts, those near a threshold."""
    usage: Usage | None
    """Of a chat endpoint that was asked, since the bundle was loaded."""


def judging_of(decisions: Iterable[Decision]) -> Counter[str]:
    """How many posts have each flag of wire.JUDGING."""
    found = (decision.flags.rpartition(";")[2] for decision in decisions)
    return Counter(flag for flag in found if flag in JUDGING)


def judge_tally(bundle: Bundle, counts: Counter[str], *, posts: int) -> JudgeTally | None:
    """``counts`` of ``judging_of``, over all ``posts``; None for a bundle without a judge."""
    if bundle.combination.judge is None:
        return None
    return JudgeTally(
        judged=counts[JUDGED],
        not_asked=counts[NOT_ASKED],
        failed=counts[FAILED],
        share=counts.total() / posts if posts else 0.0,
        usage=bundle.usage,
    )
