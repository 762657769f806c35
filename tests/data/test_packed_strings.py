"""Packed strings are the strings, whatever stands in them and in whatever way they were added."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvigil.data.packed_strings import CHUNK, CodedStrings, EncodedStrings, StringColumn, pack

ODD = ["", "\0", "🙂 ok", "\ud83d", "\ud83d\ude42", "ปวดหัว", "a" * 5000, "é", "e\u0301", "\r\n"]
STRINGS = st.lists(st.one_of(st.sampled_from(ODD), st.text(max_size=12)), max_size=40)


@settings(max_examples=150, deadline=None)
@given(STRINGS, st.integers(-50, 50), st.integers(-50, 50))
def test_packed_strings_equal_the_list(values: list[str], start: int, stop: int) -> None:
    for packed in (pack(values), CodedStrings(dict.fromkeys(values), values), EncodedStrings(values)):
        assert list(packed) == values
        assert packed == values
        assert packed[start:stop] == values[start:stop]
        assert [packed[index] for index in range(-len(values), len(values))] == values + values
        for beyond in (len(values), -len(values) - 1):
            with pytest.raises(IndexError):
                packed[beyond]


def test_values_that_repeat_take_a_byte_each() -> None:
    assert isinstance(pack(["en", "de"] * 50), CodedStrings)
    assert isinstance(pack([f"id {number}" for number in range(100)]), EncodedStrings)
    assert isinstance(pack([str(number % 300) for number in range(9000)]), EncodedStrings), "a byte holds 256 codes"
    assert pack(["en"] * 10) != ["en"] * 9
    assert pack(["en"] * 10) != ["de"] * 10


@pytest.mark.parametrize("seed", range(8))
def test_a_column_equals_the_list_however_it_grew(seed: int) -> None:
    generator = random.Random(seed)
    column, expected = StringColumn(), list[str]()
    for _ in range(generator.randrange(12)):
        size = generator.choice([0, 1, 7, CHUNK - 1, CHUNK, CHUNK + 1])
        values = [generator.choice([*ODD, str(number)]) for number in range(size)]
        match generator.randrange(3):
            case 0:
                for value in values:
                    column.append(value)
            case 1:
                column.add_chunk(pack(values))
            case 2:
                column.add_column(StringColumn(values))
        expected += values
    assert len(column) == len(expected)
    assert list(column) == expected
    assert column == expected
    for _ in range(200):
        start, stop = (generator.randrange(len(expected) + 1) for _ in range(2))
        assert list(column.between(start, stop)) == expected[start:stop]
        if expected:
            index = generator.randrange(len(expected))
            assert column[index] == expected[index]
