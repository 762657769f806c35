"""What the model of a fold learns from: nothing that tells of the fold."""

from __future__ import annotations

import numpy as np
import pytest

from polyvigil.data.split import assign_folds
from polyvigil.errors import SplitError
from polyvigil.learn.folds import folds_of, out_of_fold
from polyvigil.types import LabelledPost, Post

POSTS = [LabelledPost(Post(f"p{n}", f"text {n}", "en", group=f"g{n // 2}"), n % 2) for n in range(12)]
FOLD_OF = np.arange(12) // 2 % 3


def _ids(items: list[LabelledPost]) -> set[str]:
    return {item.post.id for item in items}


def test_each_post_is_held_out_once_and_learned_from_elsewhere() -> None:
    folds = folds_of(POSTS, FOLD_OF, train=POSTS)
    assert sorted(index for fold in folds for index in fold.indices) == list(range(12))
    for number, fold in enumerate(folds):
        assert fold.held_out == [POSTS[index] for index in fold.indices]
        assert fold.rest == [item for item, own in zip(POSTS, FOLD_OF, strict=True) if own != number]


def test_posts_in_no_fold_teach_where_nothing_of_them_is_held_out() -> None:
    further = [
        LabelledPost(Post("t1", "übersetzt", "de", origin="translated:x", group="g0"), 1),
        LabelledPost(Post("of a group", "chosen by its score", "en", group="g1"), 1),
        LabelledPost(Post("alone", "chosen by its score too", "en"), 1),
    ]
    ungrouped = LabelledPost(Post("p12", "the same text", "en"), 0)
    twin = LabelledPost(Post("twin", "the same text", "en"), 0)
    posts, fold_of = [*POSTS, ungrouped], np.append(FOLD_OF, 2)
    folds = folds_of(posts, fold_of, train=[*posts, *further, twin])
    taught = [_ids(fold.rest) - _ids(posts) for fold in folds]
    assert taught[int(FOLD_OF[0])] == {"of a group", "alone", "twin"}
    assert taught[int(FOLD_OF[2])] == {"t1", "alone", "twin"}
    assert taught[2] == {"t1", "of a group", "alone"}


def test_scores_stand_where_the_posts_do() -> None:
    learned = []

    def fit(fold: int, rest: list[LabelledPost]) -> object:
        learned.append(_ids(rest))
        return lambda posts: np.array([100 * fold + int(post.id[1:]) for post in posts])

    scores = out_of_fold(POSTS, FOLD_OF, fit)  # type: ignore[arg-type]
    assert scores.tolist() == [100 * fold + n for n, fold in enumerate(FOLD_OF)]
    assert all(f"p{n}" not in learned[fold] for n, fold in enumerate(FOLD_OF))


def test_a_fold_of_one_class_is_refused_where_each_is_to_be_scored() -> None:
    posts = [LabelledPost(Post(f"p{n}", f"text {n}", "en"), int(n < 3)) for n in range(40)]
    assert set(assign_folds(posts, folds=5, seed=1)) == set(range(5))
    with pytest.raises(SplitError, match="posts with label 1 stand in 3 of 5 folds") as raised:
        assign_folds(posts, folds=5, seed=1, setting="data.folds", both_classes=True)
    assert str(raised.value.hint) == "set data.folds to 3 or less"
