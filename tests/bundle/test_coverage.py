"""Which members count in which language: by training, by a look at posts, and by what kind they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from polyvigil.bundle.coverage import MEASURED_POSTS, knowing_members, member_coverage
from polyvigil.decide.coverage import MemberCoverage
from polyvigil.detect.base import FitRecord
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows.train import Trained


@dataclass(frozen=True)
class _Encoder:
    """Trained on English; knows ``share`` of any post."""

    share: float = 0.9
    kind: str = "encoder"

    @property
    def fit_record(self) -> FitRecord:
        return FitRecord(seed=1, posts=2, positives=1, languages=("en",), train_fingerprint="")

    def known_shares(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        assert 0 < len(posts) <= MEASURED_POSTS
        return np.full(len(posts), self.share)


@pytest.fixture(scope="module")
def posts(corpus: tuple[LabelledPost, ...]) -> list[Post]:
    return [item.post for item in corpus if item.post.language in {"en", "fr", "ru"}]


def test_a_linear_member_counts_where_it_was_trained_or_knows_the_ngrams(trained: Trained, posts: list[Post]) -> None:
    (linear,) = trained.bundle.members  # of de, en and ja
    coverage = member_coverage([linear, _Encoder()], posts, least_known=0.35)
    assert coverage == MemberCoverage(
        languages=dict.fromkeys(("de", "de_cadec", "en", "fr", "ja"), (0, 1)), elsewhere=(1,)
    )
    assert coverage.members("ru") == (1,)
    strict = member_coverage([linear, _Encoder()], posts, least_known=0.9)
    assert strict is not None
    assert strict.members("fr") == (1,)  # it shares letters with French, and not 90% of its n-grams
    assert strict.members("ja") == (0, 1)  # trained, whatever it knows


def test_without_posts_a_linear_member_counts_where_it_was_trained(trained: Trained) -> None:
    (linear,) = trained.bundle.members
    assert knowing_members([linear, _Encoder()], "fr", [], least_known=0.35) == (1,)
    assert knowing_members([linear, _Encoder()], "de", [], least_known=0.35) == (0, 1)


def test_an_encoder_does_not_count_where_its_vocabulary_spells(trained: Trained, posts: list[Post]) -> None:
    (linear,) = trained.bundle.members
    blind = _Encoder(share=0.1)
    assert knowing_members([linear, blind], "fr", posts, least_known=0.35) == (0,)
    assert knowing_members([linear, blind], "en", posts, least_known=0.35) == (0, 1)


def test_where_none_would_count_all_do(trained: Trained, posts: list[Post]) -> None:
    (linear,) = trained.bundle.members
    assert member_coverage([linear, linear], posts, least_known=0.35) is None
    assert member_coverage([_Encoder(), _Encoder()], posts, least_known=0.35) is None
    assert member_coverage([linear, _Encoder()], posts, least_known=0.0) is None
