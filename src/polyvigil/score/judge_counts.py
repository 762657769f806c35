"""What a judge did to the posts of a file: how many it was for, how many it decided, what asking took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from pydantic import Field

from polyvigil.detect.chat import Usage
from polyvigil.score.job import Counts
from polyvigil.score.wire import FAILED, JUDGED, NOT_ASKED, Decision, judging_in
from polyvigil.types import Frozen


class JudgeTally(Frozen):
    """Posts near a threshold, by what became of them."""

    judged: int
    not_asked: int
    failed: int
    share: float = Field(ge=0, le=1)
    """Of all posts, those near a threshold."""
    usage: Usage | None
    """Of a chat endpoint that was asked, by this run alone."""

    @property
    def near(self) -> int:
        """Posts near a threshold."""
        return self.judged + self.not_asked + self.failed


def judging_of(decisions: Iterable[Decision]) -> Counter[str]:
    """How many posts have each flag of wire.JUDGING."""
    return Counter(flag for decision in decisions if (flag := judging_in(decision.flags)))


def judge_tally(counts: Counts, *, usage: Usage | None) -> JudgeTally | None:
    """None where no post was near a threshold, and for a bundle without a judge."""
    told = dict(counts.judging)
    if not told:
        return None
    return JudgeTally(
        judged=told.get(JUDGED, 0),
        not_asked=told.get(NOT_ASKED, 0),
        failed=told.get(FAILED, 0),
        share=sum(told.values()) / counts.posts,
        usage=usage,
    )
