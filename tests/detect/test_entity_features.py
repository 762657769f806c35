"""P and the nine features of entity lists, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from polyvigil.detect.entity_features import FEATURES, Entity, features, merged, probability

# "aspirin gave me a bad rash and nausea": 37 characters
ASPIRIN = Entity(0, 7, "drug", 0.8)
RASH = Entity(22, 26, "reaction", 0.6)
BAD_RASH = Entity(18, 26, "reaction", 0.4)
NAUSEA = Entity(31, 37, "reaction", 0.9)


def named(entities: list[Entity], *, characters: int = 37) -> dict[str, float]:
    return dict(zip(FEATURES, features(entities, characters=characters).tolist(), strict=True))


def test_there_are_nine_features() -> None:
    assert len(FEATURES) == len(set(FEATURES)) == 9
    assert features([], characters=10).shape == (9,)
    assert features([], characters=10).dtype == np.float64


def test_a_post_with_a_drug_and_reactions() -> None:
    assert named([ASPIRIN, RASH, BAD_RASH, NAUSEA]) == pytest.approx(
        {
            "reactions": math.log(4),
            "drugs": math.log(2),
            "best_reaction": 0.9,
            "best_drug": 0.8,
            "mean_reaction": (0.6 + 0.4 + 0.9) / 3,
            "mean_drug": 0.8,
            "together": 0.9 * 0.8,
            "nearness": 1 / (1 + 11 / 20),  # from the end of aspirin (7) to the start of bad rash (18)
            "covered": (8 + 6) / 37,  # rash lies inside bad rash
        }
    )


def test_missing_drug_and_reaction_features() -> None:
    alone = named([NAUSEA])
    assert (alone["drugs"], alone["best_drug"], alone["mean_drug"], alone["together"], alone["nearness"]) == (0,) * 5
    assert (alone["best_reaction"], alone["covered"]) == (0.9, 6 / 37)
    drug = named([ASPIRIN])
    assert (drug["best_drug"], drug["reactions"], drug["covered"], drug["nearness"]) == (0.8, 0, 0, 0)
    assert not features([], characters=37).any()
    assert not features([], characters=0).any()


@pytest.mark.parametrize(
    ("drug", "reaction", "gap"),
    [((0, 5), (5, 9), 0), ((0, 5), (3, 9), 0), ((0, 9), (3, 5), 0), ((10, 14), (2, 6), 4), ((0, 4), (24, 30), 20)],
)
def test_the_gap_of_a_pair(drug: tuple[int, int], reaction: tuple[int, int], gap: int) -> None:
    found = named([Entity(*drug, "drug", 0.5), Entity(*reaction, "reaction", 0.5)])
    assert found["nearness"] == pytest.approx(1 / (1 + gap / 20))


def test_overlapping_reactions_are_covered_once() -> None:
    spans = [(0, 5), (3, 8), (3, 4), (10, 12)]
    found = named([Entity(start, end, "reaction", 0.5) for start, end in spans], characters=20)
    assert found["covered"] == 10 / 20


def test_the_order_of_entities_does_not_count() -> None:
    entities = [ASPIRIN, RASH, BAD_RASH, NAUSEA]
    assert np.allclose(features(entities, characters=37), features(entities[::-1], characters=37))


@pytest.mark.parametrize(
    ("entities", "alone", "expected"),
    [
        ([], 0.5, 0.0),
        ([ASPIRIN], 0.5, 0.0),
        ([NAUSEA], 0.5, 0.45),
        ([NAUSEA], 0.0, 0.0),
        ([NAUSEA], 1.0, 0.9),
        ([NAUSEA, RASH, ASPIRIN], 0.5, 0.9 * (0.5 + 0.5 * 0.8)),
        ([NAUSEA, RASH, ASPIRIN], 0.0, 0.9 * 0.8),
        ([NAUSEA, RASH, ASPIRIN], 1.0, 0.9),
        ([Entity(0, 1, "reaction", 1.0), Entity(2, 3, "drug", 1.0)], 0.3, 1.0),
    ],
)
def test_p_is_the_best_reaction_and_what_a_drug_adds(entities: list[Entity], alone: float, expected: float) -> None:
    assert probability(entities, alone=alone) == pytest.approx(expected)


def test_overlapping_labels_keep_the_higher_score() -> None:
    low, high = Entity(22, 26, "reaction", 0.3), Entity(22, 26, "reaction", 0.7)
    as_drug = Entity(22, 26, "drug", 0.1)
    assert merged([low, ASPIRIN, high, as_drug]) == (ASPIRIN, as_drug, high)
    assert merged([high, as_drug, low, ASPIRIN]) == (ASPIRIN, as_drug, high)
    assert merged([]) == ()
