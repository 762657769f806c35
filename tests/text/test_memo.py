from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.text.memo import memoised, memoised_map
from polyvigil.text.normalise import model_text, model_texts


class Counting:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: list[str]) -> list[str]:
        self.seen += texts
        return [text.upper() for text in texts]


def test_nothing_is_cached_outside_the_context() -> None:
    make = Counting()
    for _ in range(2):
        assert memoised_map(["a", "b", "a"], make, work="upper") == ["A", "B", "A"]
    assert make.seen == ["a", "b", "a"] * 2


def test_each_text_is_computed_once_inside() -> None:
    make = Counting()
    with memoised():
        assert memoised_map(["a", "b", "a"], make, work="upper") == ["A", "B", "A"]
        with memoised():  # the outer memory lasts
            assert memoised_map(["c", "a"], make, work="upper") == ["C", "A"]
        assert memoised_map(["b", "c"], make, work="upper") == ["B", "C"]
        assert make.seen == ["a", "b", "c"]
        assert memoised_map(["a"], make, work="other") == ["A"]
        assert make.seen == ["a", "b", "c", "a"]
    memoised_map(["a"], make, work="upper")
    assert make.seen[-1] == "a"
    assert len(make.seen) == 5


def test_an_error_clears_the_cache() -> None:
    def fail(texts: list[str]) -> list[str]:
        raise ValueError(texts)

    with memoised():
        with pytest.raises(ValueError, match="a"):
            memoised_map(["a"], fail, work="x")
        assert memoised_map(["a"], Counting(), work="x") == ["A"]
    with pytest.raises(ValueError, match="b"), memoised():
        memoised_map(["b"], fail, work="x")
    make = Counting()
    for _ in range(2):
        memoised_map(["b"], make, work="x")
    assert make.seen == ["b", "b"]


def test_threads_share_nothing() -> None:
    make = Counting()
    with memoised(), ThreadPoolExecutor(2) as pool:
        memoised_map(["a"], make, work="x")
        assert pool.submit(memoised_map, ["a"], make, work="x").result() == ["A"]
    assert make.seen == ["a", "a"]


@given(st.lists(st.text(max_size=8), max_size=12))
def test_model_texts_are_those_of_each_text(texts: list[str]) -> None:
    with memoised():
        assert model_texts(texts) == [model_text(text) for text in texts] == model_texts(texts)
