"""The deletion test: explanations of the fixtures' bundle pass it, explanations that point elsewhere do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.detect.base import Evidence
from polyvigil.detect.linear import LinearDetector
from polyvigil.evaluation.deletion_test import DeletionSlice, deletion_test
from polyvigil.evaluation.intervals import share_interval
from polyvigil.types import LabelledPost, Post


class Elsewhere:
    """A linear member whose evidence is turned round: it points at what speaks least for an ADE."""

    kind = "linear"

    def __init__(self, member: LinearDetector) -> None:
        self.member = member
        self.probabilities = member.probabilities

    def evidence(self, posts: list[Post]) -> list[Evidence]:
        return [replace(found, characters=-found.characters) for found in self.member.evidence(posts)]


@pytest.fixture(scope="module")
def posts(corpus: tuple[LabelledPost, ...]) -> list[Post]:
    chosen = {"de", "de_cadec", "en", "ja"}
    return [item.post for item in corpus if item.post.split == "test" and item.post.language in chosen]


def test_deleting_the_evidence_lowers_the_score(bundle: Bundle, posts: list[Post]) -> None:
    found = deletion_test(bundle, posts)
    flagged = bundle.policy.flags(bundle.probabilities(posts), [post.language for post in posts])
    assert (found.bundle, found.posts) == (bundle.id, len(posts))
    pooled = found.pooled
    assert pooled.flagged == int(flagged.sum())
    assert 0.9 * pooled.flagged <= pooled.compared <= pooled.flagged
    assert 0 < pooled.sentences < pooled.compared
    assert pooled.interval == share_interval(pooled.better, pooled.compared)
    assert pooled.interval.low > 0.8
    assert pooled.drop > 5 * abs(pooled.other_drop)
    assert [part.language for part in found.languages] == ["de", "de_cadec", "en", "ja"]
    for name in ("flagged", "compared", "sentences", "better"):
        assert sum(getattr(part, name) for part in found.languages) == getattr(pooled, name)
    assert deletion_test(bundle, posts) == found
    assert deletion_test(bundle, posts, seed=1) != found


def test_wrong_evidence_fails_the_deletion_test(bundle: Bundle, posts: list[Post]) -> None:
    (member,) = bundle.members
    found = deletion_test(replace(bundle, members=(Elsewhere(member),)), posts)
    assert found.pooled.interval.high < 0.5
    assert found.pooled.drop < found.pooled.other_drop


def test_control_deletions_are_disjoint_and_equally_long(bundle: Bundle) -> None:
    """Every text that is scored is the post without one stretch, and the two stretches of a post lie apart."""
    before, planted, after = (
        "It rained. ",
        "The tramadol gave me a terrible headache, i threw up.",
        " We went home and we sat down. It was late. The dog slept all day.",
    )
    text = before + planted + after
    asked: list[list[str]] = []

    def score(posts: list[Post]) -> np.ndarray:
        asked.append([post.text for post in posts])
        return np.array([0.99 if "headache" in post.text else 0.1 for post in posts])

    class Scoring(Elsewhere):
        def __init__(self, member: LinearDetector) -> None:
            self.member, self.probabilities = member, score

        def evidence(self, posts: list[Post]) -> list[Evidence]:
            return self.member.evidence(posts)

    posts = [Post(str(n), text, "en") for n in range(30)]
    found = deletion_test(replace(bundle, members=(Scoring(bundle.members[0]),)), posts)
    _, pointed, others = asked
    assert set(pointed) == {before + after}
    for other in others:
        assert len(other) == len(text) - len(planted)
        assert planted in other
    assert len(set(others)) > 1
    assert (found.pooled.better, found.pooled.drop) == (30, pytest.approx(0.89))


def test_short_posts_and_no_posts(bundle: Bundle) -> None:
    short = Post("1", "headache", "en")
    sure = replace(
        bundle,
        policy=bundle.policy.with_thresholds({"en": bundle.policy.threshold("en").model_copy(update={"value": 1e-9})}),
    )
    found = deletion_test(sure, [short])
    nothing = {"compared": 0, "sentences": 0, "better": 0, "share": 0.0, "drop": 0.0, "other_drop": 0.0}
    expected = DeletionSlice(language="pooled", flagged=1, interval=share_interval(0, 0), **nothing)
    assert found.pooled == expected
    assert deletion_test(bundle, []).pooled == expected.model_copy(update={"flagged": 0})
    assert deletion_test(bundle, []).languages == ()
