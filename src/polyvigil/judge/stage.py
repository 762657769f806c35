"""The second stage of a bundle: it scores the posts near a threshold, and a judge decides them by its scores.

In come posts with the first stage's probabilities; out come the same probabilities, moved inside their band where the
second stage gave a score of its own. Which posts these are and how far they move is arithmetic (decide.judge); this
module only has the posts scored, by detectors or by a chat endpoint, which may leave a post without an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.combine import Combination
from polyvigil.decide.judge import Judge
from polyvigil.detect.base import Detector
from polyvigil.detect.member_scores import MemberScores, score_members
from polyvigil.judge.endpoint import Endpoint, Usage
from polyvigil.types import Post, Probabilities


@dataclass(frozen=True, slots=True)
class SecondStageResult:
    """What the second stage did with some posts."""

    in_band: NDArray[np.bool_]
    """Which posts it was to score, (n_posts,)."""
    scores: MemberScores
    """(n_members, n_posts); NaN outside of the band, and where an endpoint gave no answer."""
    usage: Usage | None
    """What requests to an endpoint took for these posts; None without any."""

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which posts it gave a score, and so decided: (n_posts,)."""
        return np.asarray((~np.isnan(self.scores.probabilities)).any(axis=0))


@dataclass(frozen=True, slots=True)
class SecondStage:
    """The detectors of another bundle or a chat endpoint, and the bands in which they decide."""

    judge: Judge
    source: tuple[Detector, ...] | Endpoint
    combination: Combination
    """How the detectors become one; of an endpoint it has one weight or none."""

    @property
    def detectors(self) -> tuple[Detector, ...]:
        """None of an endpoint."""
        return () if isinstance(self.source, Endpoint) else self.source

    @property
    def members(self) -> tuple[Detector | Endpoint, ...]:
        """What is stored of it, in order: its detectors, or its endpoint alone."""
        return (self.source,) if isinstance(self.source, Endpoint) else self.source

    @property
    def has_endpoint(self) -> bool:
        """Whether it is a chat endpoint, open or not."""
        return isinstance(self.source, Endpoint)

    @property
    def usage(self) -> Usage | None:
        """What all requests took since the bundle was loaded; None where none is allowed."""
        return self.source.session.usage if isinstance(self.source, Endpoint) and self.source.session else None

    def score(
        self, posts: Sequence[Post], first: Probabilities, thresholds: NDArray[np.float64], *, normalisation: str
    ) -> SecondStageResult:
        """Score the posts that are in their band by the first stage's P, ``first``, and their ``thresholds``;
        ``normalisation`` is how both stages read posts."""
        in_band = self.judge.inside(first, thresholds, [post.language for post in posts])
        indices = np.flatnonzero(in_band)
        chosen = [posts[index] for index in indices.tolist()]
        result = MemberScores.empty(len(self.members), len(posts))
        usage = None
        if isinstance(self.source, Endpoint):
            reply = self.source.request(chosen)
            result.probabilities[0, indices] = reply.probabilities
            usage = reply.usage
        else:
            result.assign(
                score_members(self.source, chosen, normalisation=normalisation), range(len(self.source)), indices
            )
        return SecondStageResult(in_band, result, usage)

    def decide(
        self,
        first: Probabilities,
        by_member: NDArray[np.float64],
        thresholds: NDArray[np.float64],
        languages: Sequence[str],
    ) -> Probabilities:
        """P of both stages, (n_posts,), in [0, 1]: ``first`` outside of the bands and where this stage has no score.

        ``by_member``: this stage's scores, (n_members, n_posts), NaN where there is none.
        """
        return self.judge.decide(first, self.combination.mean(by_member), thresholds, languages)
