"""Posts to learn from: how many, which halves, unlike one another; and their share of audits in a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="pip install 'polyvigil[review]'")

from tests.review.scored import scored_rows, write_scored
from tests.review.small import key

from polyvigil.config.review import ReviewSpec
from polyvigil.review.further import add_further
from polyvigil.review.importing import add_file
from polyvigil.review.learn_picks import BANDS, LearnPool, pick_to_learn, text_vectors
from polyvigil.review.schema import task
from polyvigil.review.store import Store

WORDS = ("rash", "sleep", "dizzy", "cough", "fine", "doctor", "better", "again", "week", "pain")


def texts(n: int, *, start: str = "") -> list[str]:
    return [f"{start} {WORDS[i % 10]} {WORDS[i // 10 % 10]} {WORDS[i // 100 % 10]} {i}" for i in range(n)]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 39, 40, 60])
@pytest.mark.parametrize("positives", [[], ["the pill gave me a rash"]])
def test_each_is_picked_once(n: int, positives: list[str]) -> None:
    pool = LearnPool(texts(40), np.linspace(-4, 4, 40), positives)
    picked = pick_to_learn(pool, n).tolist()
    assert len(picked) == len(set(picked)) == min(n, 40)
    assert all(0 <= index < 40 for index in picked)


def test_half_is_near_the_threshold_and_half_like_a_known_ade() -> None:
    like = [f"{WORDS[i]} {WORDS[-i]} shaking hands from sertraline {WORDS[i - 3]} {WORDS[i - 7]}" for i in range(10)]
    pool = LearnPool([*texts(90), *like], np.array([*np.linspace(0.01, 3, 90), *[-9.0] * 10]), like[:1])
    picked = pick_to_learn(pool, 10).tolist()
    assert picked[:5] == [0, 1, 2, 3, 4]
    assert picked[5] == 90  # the known ADE itself, said again
    assert sum(index >= 90 for index in picked[5:]) >= 2
    assert not set(picked[:5]) & set(picked[5:])


def test_the_same_said_again_is_picked_last() -> None:
    same = [f"i was so dizzy after the pill {'!' * n}" for n in range(6)]
    pool = LearnPool([*same, *texts(6)], np.linspace(0, 0.1, 12), ["no"])
    picked = pick_to_learn(pool, 6).tolist()
    assert picked[:3] == [0, 6, 7]


def test_without_a_known_ade_each_band_of_scores_has_its_share() -> None:
    scores = np.linspace(5, -5, 200)
    picked = pick_to_learn(LearnPool(texts(200), scores), 40)
    assert [int(((picked >= start) & (picked < end)).sum()) for start, end in ((0, 20), (20, 100), (100, 200))] == [
        round(40 * share) for _, share in BANDS
    ]


def test_vectors_have_length_one_and_rare_runs_weigh_more() -> None:
    vectors = text_vectors(["the pill, the pill", "the pill and a rash", "吃了药全身起疹子", "x"])
    assert np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel() == pytest.approx(1)
    similarity = (vectors @ vectors.T).todense()
    assert 0 < similarity[0, 1] < 1
    assert similarity[0, 2] == 0


def test_a_fifth_is_audited_first(empty_store: Store, tmp_path: Path) -> None:
    empty_store.add_person("ana", role="reviewer")
    rows = scored_rows(200, flagged=0.2)
    add_file(empty_store, write_scored(tmp_path / "scored.csv", rows), spec=ReviewSpec(audit=0, double=0))
    for card in empty_store.lease_next(1, n=3):
        empty_store.decide(1, card.task, "ade", key=key())
    further = add_further(empty_store, learn=40)
    assert (further.audit, further.learn) == (8, 32)
    assert add_further(empty_store, learn=10, audit=0).audit == 0
    assert add_further(empty_store, learn=6, language="de").audit == 0
    with empty_store.read() as connection:
        query = task.select().where(task.c.purpose.in_(("audit", "learn")))
        made = connection.execute(query).all()
    assert {row.mode for row in made if row.purpose == "audit"} == {"blind"}
    assert all(0 < row.inclusion_p < 1 for row in made if row.purpose == "audit")
    assert len({row.post for row in made}) == len(made) == 56
