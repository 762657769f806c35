from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvigil.nn.batching import inverse_permutation, token_batches

LENGTHS = st.lists(st.integers(0, 300), max_size=60)


@given(LENGTHS, st.integers(1, 500), st.booleans())
def test_every_item_once_and_the_budget_held(lengths: list[int], budget: int, padded: bool) -> None:
    batches = token_batches(lengths, budget=budget, padded=padded)
    assert sorted(int(place) for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        sizes = [lengths[place] for place in batch]
        tokens = len(sizes) * max(sizes) if padded else sum(sizes)
        assert len(batch) >= 1
        assert tokens <= budget or len(batch) == 1


@given(LENGTHS, st.integers(1, 500), st.booleans())
def test_batches_are_longest_first_and_full(lengths: list[int], budget: int, padded: bool) -> None:
    batches = token_batches(lengths, budget=budget, padded=padded)
    order = [int(place) for batch in batches for place in batch]
    assert order == sorted(range(len(lengths)), key=lambda place: -lengths[place])
    for batch, following in pairwise(batches):
        sizes = [lengths[place] for place in [*batch, following[0]]]
        assert (len(sizes) * max(sizes) if padded else sum(sizes)) > budget


def test_a_small_case_by_hand() -> None:
    lengths = [3, 9, 3, 5, 1]
    assert [batch.tolist() for batch in token_batches(lengths, budget=9)] == [[1], [3, 0], [2, 4]]
    assert [batch.tolist() for batch in token_batches(lengths, budget=9, padded=True)] == [[1], [3], [0, 2, 4]]


def test_no_items_give_no_batches() -> None:
    assert token_batches([], budget=5) == []


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a budget of 0 tokens holds nothing; it must be at least 1"):
        token_batches([1, 2], budget=0)


@given(st.permutations(list(range(12))))
def test_the_inverse_permutation_undoes(order: list[int]) -> None:
    permutation = np.array(order, dtype=np.int64)
    values = np.arange(100, 112)
    np.testing.assert_array_equal(values[permutation][inverse_permutation(permutation)], values)


def test_it_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = sys.modules['transformers'] = None; import polyvigil.nn.batching"
    subprocess.run([sys.executable, "-c", code], check=True)
