"""Splitting: groups whole, shares kept, the seed decides."""

from __future__ import annotations

import pytest

from polyvigil.data.fingerprint import fingerprint, post_hashes
from polyvigil.data.split import group_key, split_off
from polyvigil.errors import SplitError
from polyvigil.types import LabelledPost, Post


def test_groups_stay_whole_and_strata_keep_their_share(corpus: tuple[LabelledPost, ...]) -> None:
    train = [item for item in corpus if item.post.split == "train"]
    split = split_off(train, dev_share=0.2, seed=1)
    assert len(split.train) + len(split.dev) == len(train)
    assert len(split.dev) / len(train) == pytest.approx(0.2, abs=0.02)
    sides = []
    for side in (split.train, split.dev):
        hashes = post_hashes(item.post for item in side)
        sides.append({group_key(item.post, int(text)) for item, text in zip(side, hashes, strict=True)})
    assert not sides[0] & sides[1]
    for language in ("en", "ja", "ru"):
        mine = [item.label for item in split.dev if item.post.language == language]
        whole = [item.label for item in train if item.post.language == language]
        assert sum(mine) / len(mine) == pytest.approx(sum(whole) / len(whole), abs=0.02)


def test_the_seed_decides(corpus: tuple[LabelledPost, ...]) -> None:
    train = [item for item in corpus if item.post.split == "train"][:1000]
    first, again, other = (split_off(train, dev_share=0.2, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_translations_of_one_review_share_a_group() -> None:
    german, french = Post("de_cadecv2_1599", "Kopfweh"), Post("fr_cadecv2_1599", "mal de tête")
    assert group_key(german, 1) == group_key(french, 2)
    assert group_key(Post("de_1", "x", group="7"), 1) == "group:7"
    assert group_key(Post("de_1", "x"), 1) != group_key(Post("de_2", "y"), 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 1], "too few to hold 20% out"), ([0] * 20 + [1], "one class only")],
)
def test_too_little_to_split_is_an_error(labels: list[int], message: str) -> None:
    items = [LabelledPost(Post(str(i), f"text {i}", "en"), label) for i, label in enumerate(labels)]
    with pytest.raises(SplitError, match=message):
        split_off(items, dev_share=0.2, seed=1)


def test_fingerprints_ignore_order() -> None:
    posts = [Post("1", "a  b"), Post("2", "c")]
    assert fingerprint(posts) == fingerprint(posts[::-1])
    assert fingerprint(posts) == fingerprint([Post("1", "a b"), Post("2", "c")])  # equal once normalised
    assert fingerprint(posts) != fingerprint([Post("1", "a b"), Post("2", "d")])
    assert post_hashes(posts).tolist() == post_hashes([Post("x", "A b"), Post("y", "c")]).tolist()
