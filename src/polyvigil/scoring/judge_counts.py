"""What a judge did to the posts of a file: how many it was for, how many it decided, what asking took."""

from __future__ import annotations

from pydantic import Field

from polyvigil.judge.endpoint import Usage
from polyvigil.scoring.job import Counts
from polyvigil.scoring.wire import FAILED, JUDGED, SKIPPED
from polyvigil.types import Frozen


class JudgeCounts(Frozen):
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


def judge_counts(counts: Counts, *, usage: Usage | None) -> JudgeCounts | None:
    """None where no post was near a threshold, and for a bundle without a judge."""
    by_flag = dict(counts.judging)
    if not by_flag:
        return None
    return JudgeCounts(
        judged=by_flag.get(JUDGED, 0),
        not_asked=by_flag.get(SKIPPED, 0),
        failed=by_flag.get(FAILED, 0),
        share=sum(by_flag.values()) / counts.posts,
        usage=usage,
    )
