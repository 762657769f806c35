"""A bundle that serves elsewhere: what is known of it here, and how posts are put to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.store import Bundle
from polyvigil.config.data import Role
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.scoring.facts import OutputFacts, output_facts
from polyvigil.scoring.wire import Decision, score_posts
from polyvigil.types import Post


@dataclass(frozen=True, slots=True)
class RemoteBundle:
    """A bundle behind a scoring service. It decides; here is only what a summary says of its thresholds."""

    manifest: Manifest
    policy: DecisionPolicy
    decide: Callable[[Sequence[Post], Sequence[bool]], list[Decision]]
    """Posts, and whose language was detected -> a decision for each, in order."""
    facts: OutputFacts
    trained_columns: Mapping[Role, str]
    """Which columns played which part when it was trained."""

    @property
    def id(self) -> str:
        return self.manifest.id

    @property
    def normalisation(self) -> str:
        """See Bundle.normalisation."""
        return self.manifest.normalisation

    def is_trained_on(self, language: str) -> bool:
        """See Bundle.is_trained_on."""
        return language in self.manifest.trained_languages


def facts_of(bundle: Bundle | RemoteBundle) -> OutputFacts:
    """What is said once of all that a bundle scores; here, or where it serves."""
    return bundle.facts if isinstance(bundle, RemoteBundle) else output_facts(bundle)


def decide_posts(
    bundle: Bundle | RemoteBundle, posts: Sequence[Post], *, detected: Sequence[bool] | None = None
) -> list[Decision]:
    """See scoring.wire.score_posts; by a bundle here, or by one that serves elsewhere."""
    if isinstance(bundle, RemoteBundle):
        return bundle.decide(posts, [False] * len(posts) if detected is None else detected) if posts else []
    return score_posts(bundle, posts, detected=detected)
