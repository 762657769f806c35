"""Metrics of a store: precision counted, recall from the audit or refused, agreement, and further draws."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.review.scored import scored_rows, write_scored
from tests.review.small import decide_all, fill, key

from polyvigil.config.review import ReviewSpec
from polyvigil.errors import DataError
from polyvigil.evaluation.agreement import agreement
from polyvigil.review.frames import audit_frame, rounds_of, union_inclusion
from polyvigil.review.further import add_further
from polyvigil.review.importing import add_file
from polyvigil.review.measuring import ALL, measure
from polyvigil.review.schema import post, task
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify

ANA, BO, CY = 1, 2, 3


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Store]:
    """A new store on SQLite, where what is tested is arithmetic on what was read."""
    with open_store(tmp_path / "review.db", create=True) as store:
        yield store


def people(store: Store) -> None:
    for name, role in (("ana", "reviewer"), ("bo", "reviewer"), ("cy", "lead")):
        store.add_person(name, role=role)  # type: ignore[arg-type]


def read_all(store: Store, labels: dict[str, str]) -> None:
    """Both reviewers read all that there is, and say what ``labels`` says of each post."""
    decide_all(store, (ANA, BO), lambda card, _: labels[card.source_id])


def world(tmp_path: Path, n: int = 900) -> tuple[Path, dict[str, str]]:
    """A scored file and the truth: calibrated P is true."""
    chance = random.Random(5)
    rows = list(scored_rows(n, flagged=0.15))
    labels = {row["id"]: "ade" if chance.random() < row["p_calibrated"] else "not" for row in rows}
    return write_scored(tmp_path / "scored.csv", rows), labels


def test_an_empty_store_has_no_metrics(empty_store: Store) -> None:
    result = measure(empty_store)
    assert (result.languages, result.agreement, result.reading.decisions) == ((), None, 0)


def test_precision_is_counted_and_recall_waits_for_the_reading(store: Store) -> None:
    for number, verdict in ((1, "ade"), (3, "not"), (2, "ade")):
        store.decide(ANA, number, verdict, key=key(), seconds=1.0 if number == 1 else 5.0)
    result = measure(store)
    german, english, everything = result.languages
    assert (german.name, german.flagged, german.read, german.positives, german.precision) == ("de", 6, 2, 1, 0.5)
    assert (english.name, english.precision, everything.name, everything.read) == ("en", 1.0, ALL, 3)
    assert everything.estimate is None
    assert any("9 flagged posts are still to be read" in remark for remark in everything.remarks)
    assert (result.reading.decisions, result.reading.median_seconds) == (3, 5.0)
    assert result.reading.quick_share == pytest.approx(1 / 3)
    assert result.head == store.head().hash


def test_recall_is_estimated_once_all_is_read(on_disk: Store, tmp_path: Path) -> None:
    people(on_disk)
    path, labels = world(tmp_path)
    add_file(on_disk, path, spec=ReviewSpec(audit=250, double=0, blind_share=0.1))
    waiting = measure(on_disk).languages[-1]
    assert (waiting.estimate, waiting.audit_to_read) == (None, 250)
    read_all(on_disk, labels)
    result = measure(on_disk)
    everything = result.languages[-1]
    assert everything.to_read == everything.audit_to_read == 0
    with on_disk.read() as connection:
        queue = connection.execute(sa.select(post.c.source_id).join(task).where(task.c.purpose == "queue")).scalars()
        flagged = set(queue)
    true = sum(label == "ade" for label in labels.values())
    hit = sum(labels[name] == "ade" for name in flagged)
    assert everything.positives == hit
    assert everything.precision == hit / len(flagged)
    estimate = everything.estimate
    assert estimate is not None
    assert estimate.recall is not None
    assert estimate.recall.low <= hit / true <= estimate.recall.high
    assert estimate.audited == 250
    assert everything.recall_by_scores == pytest.approx(hit / true, abs=0.12)
    wider = measure(on_disk, looks=10).languages[-1].estimate
    assert wider is not None
    assert wider.recall is not None
    assert wider.recall.high - wider.recall.low > estimate.recall.high - estimate.recall.low


def test_a_contradiction_of_the_scores_is_said(on_disk: Store, tmp_path: Path) -> None:
    people(on_disk)
    path, labels = world(tmp_path, n=600)
    add_file(on_disk, path, spec=ReviewSpec(audit=300, double=0, blind_share=0))
    read_all(on_disk, dict.fromkeys(labels, "ade"))
    assert any("calibration does not hold" in remark for remark in measure(on_disk).languages[-1].remarks)


def test_without_an_audit_recall_is_refused(empty_store: Store, tmp_path: Path) -> None:
    people(empty_store)
    rows = list(scored_rows(60, flagged=0.3))
    add_file(empty_store, write_scored(tmp_path / "a.csv", rows), spec=ReviewSpec(audit=0))
    listed = [*scored_rows(9, seed=1, flagged=1.0, purpose="queue", inclusion_p=1)]
    add_file(empty_store, write_scored(tmp_path / "b.csv", listed))
    read_all(empty_store, {row["id"]: "ade" for row in [*rows, *listed]})
    everything = measure(empty_store).languages[-1]
    assert (everything.precision, everything.estimate) == (1.0, None)
    assert any("no audit of its unread posts" in remark for remark in everything.remarks)


def test_agreement_is_of_blind_double_reads_alone(empty_store: Store) -> None:
    people(empty_store)
    fill(empty_store, n=20, double=10)
    verdicts = {number: ("ade", "ade" if number % 3 else "not") for number in range(11, 21)}
    for number, (first, second) in verdicts.items():
        empty_store.decide(ANA, number, first, key=key())
        empty_store.decide(BO, number, second, key=key())
    for number in range(1, 6):
        empty_store.decide(ANA, number, "ade", key=key())
    expected = agreement([1] * 10, [int(second == "ade") for _, second in verdicts.values()])
    assert measure(empty_store).agreement == expected


def test_a_decision_that_was_taken_back_is_not_blind_the_second_time(empty_store: Store) -> None:
    people(empty_store)
    fill(empty_store, n=6, double=6)
    for number in range(1, 6):
        empty_store.decide(ANA, number, "ade", key=key())
        if number == 2:
            empty_store.undo(ANA, key=key())
            empty_store.decide(ANA, number, "not", key=key())
        empty_store.decide(BO, number, "not" if number == 1 else "ade", key=key())
    assert measure(empty_store).agreement == agreement([1, 1, 1, 1], [0, 1, 1, 1])


def test_a_further_audit_is_of_chances_that_can_be_computed_again(empty_store: Store, tmp_path: Path) -> None:
    people(empty_store)
    path, labels = world(tmp_path, n=600)
    add_file(empty_store, path, spec=ReviewSpec(audit=60, double=0))
    further = add_further(empty_store, audit=60)
    assert 30 < further.audit <= 60
    with empty_store.read() as connection:
        frame, rounds = audit_frame(connection, 1), rounds_of(connection)[1]
        expected = dict(zip(frame.posts.tolist(), union_inclusion(frame, rounds).tolist(), strict=True))
        rows = connection.execute(sa.select(task.c.post, task.c.inclusion_p).where(task.c.purpose == "audit")).all()
    assert len(rounds) == 2
    assert {row.post: row.inclusion_p for row in rows} == pytest.approx({row.post: expected[row.post] for row in rows})
    assert len(rows) == 60 + further.audit
    read_all(empty_store, labels)
    estimate = measure(empty_store).languages[-1].estimate
    assert estimate is not None
    assert estimate.audited == len(rows)
    with empty_store.read() as connection:
        assert verify(connection, store="", mac_key=empty_store.mac_key).breaks == ()


def test_posts_to_learn_from_are_near_the_threshold_and_count_nowhere(on_disk: Store, tmp_path: Path) -> None:
    people(on_disk)
    path, labels = world(tmp_path, n=300)
    add_file(on_disk, path, spec=ReviewSpec(audit=30, double=0))
    before = {one.name: one.flagged for one in measure(on_disk).languages}
    further = add_further(on_disk, learn=9, audit=0)
    assert (further.learn, further.audit) == (9, 0)
    assert add_further(on_disk, learn=2, language="ja").learn == 2
    read_all(on_disk, labels)
    after = measure(on_disk)
    assert {one.name: one.flagged for one in after.languages} == before
    estimate = after.languages[-1].estimate
    assert estimate is not None
    assert estimate.unread == 300 - before[ALL] - 11
    with pytest.raises(DataError, match="no post to choose"):
        add_further(on_disk)
    with pytest.raises(DataError, match="no such batch"):
        add_further(on_disk, learn=3, number=9)
