"""The way back: reviewed posts teach, never tune a threshold unseen, and audited ones never train."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.review.made import Cells, write_rows

from polyvigil.config.load import load_text
from polyvigil.data.selection import is_held_out
from polyvigil.errors import SplitError
from polyvigil.workflows.train import gather

LINEAR = load_text("[model]\nkind = 'linear'\n", where="test")
HELD_OUT = load_text("[model]\nkind = 'linear'\n[data]\nfolds = 0\n", where="test")


def posts(n: int, **more: str) -> list[Cells]:
    name = more.get("purpose", "plain")
    return [
        {"id": f"{name}{i}", "text": f"{name} post {i}", "label": str(i % 2), "language": "en", **more}
        for i in range(n)
    ]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    reviewed = [*posts(10, purpose="queue", inclusion_p="1.0"), *posts(6, purpose="audit", inclusion_p="0.1")]
    return write_rows(tmp_path / "plain.csv", posts(30)), write_rows(tmp_path / "reviewed.csv", reviewed)


def test_queue_rows_train_and_tune_nothing(files: tuple[Path, Path]) -> None:
    data = gather(LINEAR, train=files, dev=[])
    assert len(data.train) == 40
    assert {item.post.id[:5] for item in data.dev} == {"plain"}
    assert len(data.dev) == 30
    assert any("6 audited posts are left out" in note for note in data.notes)
    assert any("10 training posts were chosen by their score" in note for note in data.notes)
    held_out = gather(HELD_OUT, train=files, dev=[])
    assert {item.post.id[:5] for item in held_out.dev} == {"plain"}
    assert sum(item.post.id.startswith("queue") for item in held_out.train) == 10


def test_a_fifth_of_a_queue_never_trains(tmp_path: Path) -> None:
    plain, queue = posts(30), posts(60, purpose="queue", inclusion_p="1.0")
    files = [write_rows(tmp_path / "plain.csv", plain), write_rows(tmp_path / "reviewed.csv", queue)]
    data = gather(LINEAR, train=files, dev=[])
    out = {row["text"] for row in queue} - {item.post.text for item in data.train}
    assert out == {row["text"] for row in queue if is_held_out(row["text"])}
    assert 0 < len(out) < 30
    assert any(f"{len(out)} of 60 posts read for their score are left out" in note for note in data.notes)


def test_reviewed_posts_alone_have_nothing_to_tune_on(files: tuple[Path, Path]) -> None:
    with pytest.raises(SplitError, match="cannot be dev posts"):
        gather(LINEAR, train=files[1:], dev=[])
    with pytest.raises(SplitError, match="cannot be dev posts"):
        gather(LINEAR, train=files[:1], dev=files[1:])
    with_dev = gather(LINEAR, train=files[1:], dev=files[:1])
    assert (len(with_dev.train), len(with_dev.dev)) == (10, 30)
