"""Masks against a brute-force twin, their shares against binomial limits, and what is never masked."""

from __future__ import annotations

import math

import numpy as np
import pytest

from polyvigil.learn.masking import MaskedBatch, Vocabulary, mask_tokens
from polyvigil.nn.masked import IGNORE_INDEX

WORDS = Vocabulary(size=1000, mask=4, special=np.array([0, 1, 2, 3, 4], dtype=np.int32))


def _items(posts: int, length: int, *, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [np.concatenate([[2], random.integers(5, 1000, size=length), [1, 3]]).astype(np.int32) for _ in range(posts)]


def _within(count: int, of: int, share: float) -> bool:
    return abs(count - of * share) <= 5 * math.sqrt(of * share * (1 - share))


def test_masking_equals_brute_force() -> None:
    items = _items(7, 11)
    found = mask_tokens(items, WORDS, share=0.3, seed=9, step=5)
    random = np.random.default_rng(np.random.SeedSequence([9, 5, 2]))
    total = sum(map(len, items))
    chances, fates = random.random(total).tolist(), random.random(total).tolist()
    others = random.integers(995, size=total).tolist()
    place = 0
    for item, seen, target in zip(items, found.tokens, found.targets, strict=True):
        for token, shown, asked in zip(item.tolist(), seen.tolist(), target.tolist(), strict=True):
            if token < 5 or chances[place] >= 0.3:
                assert (shown, asked) == (token, IGNORE_INDEX)
            else:
                assert asked == token
                fate = fates[place]
                assert shown == (4 if fate < 0.8 else others[place] + 5 if fate < 0.9 else token)
            place += 1
    assert found.tokens[0].dtype == found.targets[0].dtype == np.int32


@pytest.mark.parametrize("share", [0.05, 0.15, 0.5])
def test_shares_lie_within_binomial_limits(share: float) -> None:
    items = _items(300, 100)
    found = mask_tokens(items, WORDS, share=share, seed=1, step=0)
    ids, seen, targets = (np.concatenate(side) for side in (items, found.tokens, found.targets))
    asked = targets != IGNORE_INDEX
    assert found.n_targets == asked.sum()
    assert _within(int(asked.sum()), 30_000, share)
    assert np.array_equal(targets[asked], ids[asked])
    assert np.array_equal(seen[~asked], ids[~asked])
    masked, kept = int((seen[asked] == 4).sum()), int((seen[asked] == ids[asked]).sum())
    assert _within(masked, int(asked.sum()), 0.8)
    assert _within(kept, int(asked.sum()), 0.1 + 0.1 / 995)
    assert _within(int(asked.sum()) - masked - kept, int(asked.sum()), 0.1)


def test_special_tokens_are_never_masked_or_inserted() -> None:
    items = _items(200, 50)
    found = mask_tokens(items, WORDS, share=0.9, seed=2, step=0)
    for item, seen, target in zip(items, found.tokens, found.targets, strict=True):
        special = item < 5
        assert np.array_equal(seen[special], item[special])
        assert (target[special] == IGNORE_INDEX).all()
        assert ((seen[~special] >= 5) | (seen[~special] == 4)).all()


def test_masks_follow_from_seed_and_step_alone() -> None:
    items = _items(5, 30)

    def drawn(seed: int, step: int) -> list[list[int]]:
        return [item.tolist() for item in mask_tokens(items, WORDS, share=0.15, seed=seed, step=step).tokens]

    assert drawn(1, 1) == drawn(1, 1)
    assert drawn(1, 1) != drawn(1, 2)
    assert drawn(1, 1) != drawn(2, 1)
    np.random.default_rng().random()
    assert drawn(1, 1) == drawn(1, 1)


def test_posts_without_ordinary_tokens() -> None:
    items = [np.array([2, 3], dtype=np.int32), np.array([2, 9, 3], dtype=np.int32)]
    assert mask_tokens(items[:1], WORDS, share=0.99, seed=0, step=0).n_targets == 0
    assert isinstance(mask_tokens(items, WORDS, share=0.5, seed=0, step=0), MaskedBatch)
    assert mask_tokens([], WORDS, share=0.5, seed=0, step=0).n_targets == 0
