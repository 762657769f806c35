from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from polyvigil.checks.label_leak import (
    EMPTY,
    HIDDEN,
    LabelLeak,
    beyond_chance,
    leave_pair_out_auc,
    measure_columns,
)


def brute_force(values: Sequence[int], labels: Sequence[int]) -> float:
    """Every pair left out in turn, every share counted again from the posts that remain."""
    n, won = len(values), 0.0
    pairs = [(i, j) for i in range(n) for j in range(n) if labels[i] == 1 and labels[j] == 0]
    for i, j in pairs:
        rest = [k for k in range(n) if k not in (i, j)]
        base = sum(labels[k] for k in rest) / len(rest)

        def score(value: int, rest: list[int] = rest, base: float = base) -> float:
            same = [labels[k] for k in rest if values[k] == value]
            return (sum(same) + base) / (len(same) + 1)

        one, other = score(values[i]), score(values[j])
        won += 0.5 if values[i] == values[j] or one == pytest.approx(other, abs=1e-12) else float(one > other)
    return won / len(pairs)


def measured(
    columns: Mapping[str, Sequence[str | None]], labels: Sequence[int], language: str = "de", text: str = "Kopfschmerz"
) -> dict[str, LabelLeak]:
    found = measure_columns(columns, languages=[language] * len(labels), labels=labels, texts=[text] * len(labels))
    return {item.column: item for item in found}


@pytest.mark.parametrize("seed", range(60))
def test_leave_pair_out_auc_equals_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    n = rng.randint(4, 24)
    labels = [1, 0, *rng.choices([0, 1], k=n - 2)]
    raw = rng.choices(range(rng.randint(1, n)), k=n)
    codes = np.unique(raw, return_inverse=True)[1]
    assert leave_pair_out_auc(codes, np.array(labels)) == pytest.approx(brute_force(raw, labels), abs=1e-12)


def test_with_large_groups_it_is_the_auc_of_the_shares() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.02, 0.2, 0.4, 0.8])
    codes = rng.integers(0, 4, 20_000)
    labels = (rng.random(20_000) < shares[codes]).astype(np.int64)
    assert leave_pair_out_auc(codes, labels) == pytest.approx(roc_auc_score(labels, shares[codes]), abs=1e-9)


@pytest.mark.parametrize("cardinality", [1, 2, 7, 40, 200, 400])
def test_a_random_column_has_mean_auc_half(cardinality: int) -> None:
    rng = np.random.default_rng(cardinality)
    labels = np.arange(400) < 40
    found = [
        leave_pair_out_auc(
            np.unique(rng.integers(0, cardinality, 400), return_inverse=True)[1], rng.permutation(labels).astype(int)
        )
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("n", "positives"), [(60, 10), (400, 25), (1500, 150)])
def test_random_columns_raise_no_alarm(n: int, positives: int) -> None:
    """200 random columns of cardinality 2 to n: at most 1% are flagged, on 10 positives too."""
    rng = np.random.default_rng(n)
    labels = rng.permutation(np.arange(n) < positives).astype(int).tolist()
    cardinalities = np.unique(np.geomspace(2, n, 200).astype(int), return_inverse=True)
    columns = {
        f"column {place}": [f"v{value}" for value in rng.integers(0, cardinality, n)]
        for place, cardinality in enumerate(cardinalities[0][cardinalities[1]])
    }
    columns |= {f"number {place}": [f"{value:.6f}" for value in rng.normal(size=n)] for place in range(20)}
    assert sum(item.verdict != "quiet" for item in measured(columns, labels).values()) <= 2


def test_a_collection_of_positives_alone_is_a_leak() -> None:
    """German of the shared task: 83 positives of one collection, 1,399 negatives of others."""
    labels = [1] * 83 + [0] * 1399
    origin = ["SMM4H_24_de"] * 83 + ["Lifeline"] * 700 + ["KEEPHA"] * 699
    found = measured({"origin": origin, "constant": ["x"] * len(labels)}, labels)
    assert found["origin"].verdict == "gives-away"
    assert found["origin"].auc == 1.0
    first = found["origin"].telling[0]
    assert (first.value, first.posts, first.positives, first.share) == ("SMM4H_24_de", 83, 83, 1.0)
    assert "constant" not in found


def test_a_few_positives_suffice_when_the_column_is_perfect() -> None:
    found = measured({"origin": ["a"] * 10 + ["b"] * 40}, [1] * 10 + [0] * 40)
    assert found["origin"].verdict == "gives-away"


def test_too_few_positives_are_not_measured() -> None:
    assert not measured({"origin": ["a"] * 9 + ["b"] * 40}, [1] * 9 + [0] * 40)


def test_a_weaker_column_hints() -> None:
    labels = [1] * 200 + [0] * 800
    origin = ["a"] * 150 + ["b"] * 50 + ["a"] * 100 + ["b"] * 700
    assert measured({"origin": origin}, labels)["origin"].verdict == "hints"


def test_id_patterns_and_number_ranges_are_measured() -> None:
    labels = [1] * 100 + [0] * 400
    ids = [f"pos_{place}" for place in range(100)] + [f"neg_{place}" for place in range(400)]
    dates = [str(20_000 + place) for place in range(100)] + [str(90_000 + 7 * place) for place in range(400)]
    found = measured({"id": ids, "day": dates}, labels)
    assert (found["id"].read_as, found["id"].verdict) == ("pattern", "gives-away")
    assert found["id"].telling[0].value == "pos_#"
    assert (found["day"].read_as, found["day"].verdict) == ("range", "gives-away")


def test_languages_are_measured_separately() -> None:
    labels = [1, 0] * 100
    note = ["yes" if label else "" for label in labels[:100]] + [None] * 100
    found = measure_columns({"note": note}, languages=["fr"] * 100 + ["de"] * 100, labels=labels, texts=[""] * 200)
    assert [(item.column, item.language) for item in found] == [("note", "fr")]
    assert {value.value for value in found[0].telling} == {"yes", EMPTY}


def test_rare_values_and_post_text_are_not_shown() -> None:
    labels = [1] * 50 + [0] * 50
    copy = ["Mir ist seit gestern uebel"] * 50 + ["x"] * 50
    rare = [f"user {place // 2}" for place in range(100)]
    texts = ["Mir ist seit gestern uebel, sagt sie"] * 50 + ["anders"] * 50
    found = measure_columns({"copy": copy, "rare": rare}, languages=["de"] * 100, labels=labels, texts=texts)
    by_name = {item.column: item for item in found}
    assert {value.value for value in by_name["copy"].telling} == {HIDDEN, "x"}
    assert all(not value.value.startswith("user") for value in by_name["rare"].telling)


def test_beyond_chance_needs_more_than_luck() -> None:
    rng = np.random.default_rng(1)
    labels = (np.arange(40) < 10).astype(np.int64)
    codes = rng.integers(0, 3, 40)
    assert not beyond_chance(codes, labels, leave_pair_out_auc(codes, labels))
    assert beyond_chance(labels, labels, 1.0)
