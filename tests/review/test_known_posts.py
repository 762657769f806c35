"""Texts that a first import has met: none is ever called new that was there, and few are asked for in vain."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="pip install 'polyvigil[review]'")

from polyvigil.review.known_posts import NewTexts


def test_whatever_was_taken_is_asked_for_again() -> None:
    random = np.random.default_rng(0)
    macs = [random.bytes(32) for _ in range(20_000)]
    texts, taken, in_vain = NewTexts(), set[bytes](), 0
    for start in range(0, len(macs), 2_000):
        again = [macs[number] for number in random.integers(0, start + 1, 200)]
        chunk = [*macs[start : start + 2_000], *again]
        maybe = texts.take(chunk)
        assert [mac for mac in chunk if mac in taken] == [mac for mac in maybe if mac in taken]
        in_vain += len(set(maybe) - taken)
        taken.update(chunk)
    assert in_vain <= 10  # 20,000^2 / 2^28, and a margin


def test_nothing_is_taken_of_nothing() -> None:
    texts = NewTexts()
    assert texts.take([]) == []
    assert texts.take([b"a" * 32]) == []
    assert texts.take([b"a" * 32, b"b" * 32]) == [b"a" * 32]
