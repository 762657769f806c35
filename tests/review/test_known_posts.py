"""Which posts are there, and which read the same: one task, one unit of the audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.review.scored import letters, scored_rows, write_scored

pytest.importorskip("sqlalchemy", reason="pip install 'polyvigil[review]'")

import sqlalchemy as sa

from polyvigil.config.review import ReviewSpec
from polyvigil.review.frames import AuditRound, audit_frame, sample_frame
from polyvigil.review.importing import add_file
from polyvigil.review.known_posts import NewTexts, reads_as
from polyvigil.review.schema import TRIGGERS, post, task, triggers_on_event
from polyvigil.review.store import Store, open_store


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


def _repeated(n_texts: int, *, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Posts in three languages, of which many read the same as another: case, numbers, links and signs differ."""
    chance = np.random.default_rng(seed)
    forms = ("{} hurts", "{} HURTS!!", "{} hurts 12", "{} hurts https://example.org/a :-(", "  {} ... hurts")
    for number, row in enumerate(scored_rows(3 * n_texts, flagged=0.1, seed=seed)):
        word = letters(int(chance.integers(n_texts)))
        yield row | {"text": forms[int(chance.integers(len(forms)))].format(word) + "9" * (number % 3)}


def test_posts_that_read_the_same_are_one_task_and_one_unit_of_the_audit(empty_store: Store, tmp_path: Path) -> None:
    rows = list(_repeated(120))
    result, _ = add_file(empty_store, write_scored(tmp_path / "a.csv", rows), spec=ReviewSpec(audit=0))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        word = row["text"].split()[0]
        groups.setdefault((word, row["language"]), []).append(row)
    assert result.posts - result.copies == len(groups) < result.posts
    flagged = {key for key, members in groups.items() if any(row["decision"] for row in members)}
    assert result.queue == len(flagged)
    with empty_store.read() as connection:
        frame = audit_frame(connection, 1)
        sources = {row.id: row.source_id for row in connection.execute(sa.select(post.c.id, post.c.source_id))}
        firsts = {key: members[0]["id"] for key, members in groups.items() if key not in flagged}
        assert {sources[number] for number in frame.posts.tolist()} == set(firsts.values())
        tasks = connection.execute(sa.select(task.c.id, task.c.post)).all()
    sizes = {row["id"]: len(members) for members in groups.values() for row in members}
    person = empty_store.add_person("ana")[0].id
    for number, of in tasks:
        assert empty_store.card(number, reviewer=person).copies == sizes[sources[of]] - 1


def test_the_chance_of_a_unit_counts_its_group_once(empty_store: Store, tmp_path: Path) -> None:
    """The sum of 1 / chance over draws is the number of texts that are positive, not of their posts."""
    add_file(empty_store, write_scored(tmp_path / "a.csv", _repeated(150)), spec=ReviewSpec(audit=0))
    with empty_store.read() as connection:
        frame = audit_frame(connection, 1)
    positive = frame.calibrated > np.quantile(frame.calibrated, 0.7)
    sums = []
    for seed in range(300):
        sampled, inclusion = sample_frame(frame, AuditRound(40, seed))
        sums.append(float((1 / inclusion[sampled & positive]).sum()))
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - positive.sum()) < 4 * error


def test_a_later_file_finds_what_reads_the_same(empty_store: Store, tmp_path: Path) -> None:
    first, second = list(scored_rows(40, flagged=0.5)), list(scored_rows(40, flagged=0.5, bundle="fedcba9876543210"))
    add_file(empty_store, write_scored(tmp_path / "a.csv", first), spec=ReviewSpec(audit=0))
    again = [row | {"id": f"again {row['id']}", "text": row["text"].upper() + " 7!"} for row in second]
    result, _ = add_file(empty_store, write_scored(tmp_path / "b.csv", again), spec=ReviewSpec(audit=0))
    assert (result.posts, result.copies) == (40, 40)
    assert result.tasks == 0
    _, plain = add_file(empty_store, write_scored(tmp_path / "c.csv", again), spec=ReviewSpec(audit=0))
    assert "already" in " ".join(plain)


def test_a_store_of_before_goes_on(location: str, tmp_path: Path) -> None:
    """Posts without ``reads_as``: their frame stays as it was, and the same text is a copy as it was then."""
    rows = list(scored_rows(40, flagged=0.5))
    with open_store(location, create=True) as store:
        add_file(store, write_scored(tmp_path / "a.csv", rows), spec=ReviewSpec(audit=0))
        with store.read() as connection:
            before = audit_frame(connection, 1)
        with store.database.write() as connection:
            connection.execute(sa.text("DROP INDEX post_reads_as"))
            connection.execute(sa.text("ALTER TABLE post DROP COLUMN reads_as"))
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    with open_store(location) as store:
        again = [row | {"id": f"again {row['id']}"} for row in rows]
        result, _ = add_file(store, write_scored(tmp_path / "b.csv", again), spec=ReviewSpec(audit=0))
        assert (result.posts, result.copies, result.tasks) == (40, 40, 0)
        with store.read() as connection:
            np.testing.assert_array_equal(audit_frame(connection, 1).posts, before.posts)
            assert triggers_on_event(connection) == set(TRIGGERS[connection.dialect.name])


def test_what_reads_as_nothing_reads_as_itself() -> None:
    key = b"k" * 32
    assert reads_as(key, "", "en") is None
    assert reads_as(key, "12", "en") != reads_as(key, "13", "en")
    assert reads_as(key, "A pill!", "en") == reads_as(key, "a PILL 5 https://a.example/x", "en")
    assert reads_as(key, "A pill", "en") != reads_as(key, "A pill", "de")
    assert reads_as(key, "A pill", "en") != reads_as(b"l" * 32, "A pill", "en")


@pytest.mark.parametrize("numbers", [[], [1], [-1, 2**63 - 1, -(2**63)]])
def test_numbers_are_taken_like_hashes(numbers: list[int]) -> None:
    texts = NewTexts()
    assert texts.take_numbers(numbers) == []
    assert texts.take_numbers(numbers) == numbers
