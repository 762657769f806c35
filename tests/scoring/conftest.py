"""20,000 posts, what one process makes of them, and the processes of a run."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.config.score import ScoreSpec
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import csv_text
from polyvigil.scoring.batch import score_files
from polyvigil.scoring.engine import ThisProcess

HOW = ScoreSpec(part_posts=2000)


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 synthetic posts in a folder: a large CSV with bad rows, a small one, a packed one."""
    folder = tmp_path_factory.mktemp("many")
    posts = [item.post for item in sample_corpus()]
    rows = [(f"{n}", f"{posts[n % len(posts)].text}\n{n}", posts[n % len(posts)].language) for n in range(20_000)]
    rows[7000:7001] = [("bad", "bad", "no language"), rows[7000]]
    for name, part in (("a", rows[:15_000]), ("b", rows[15_000:15_500])):
        (folder / f"{name}.csv").write_text(csv_text([("id", "text", "language"), *part]), encoding="utf-8")
    packed = csv_text([("id", "text", "language"), *rows[15_500:]])
    (folder / "c.csv.gz").write_bytes(gzip.compress(packed.encode()))
    return folder


@pytest.fixture(scope="session")
def alone(bundle: Bundle, many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of them."""
    folder = tmp_path_factory.mktemp("alone")
    assert score_files(ThisProcess(bundle), [str(many)], str(folder / "o.jsonl"), spec=HOW).posts == 20_000
    return folder


def wait_for(condition: Callable[[], object], *, seconds: float = 300) -> None:
    """Wait until ``condition`` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def children(parent: int, *, title: bytes = b"spawn_main") -> list[int]:
    """The processes below one that score, by what is in their command line."""
    found = []
    for listed in Path(f"/proc/{parent}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # one that has ended meanwhile
            for child in listed.read_text().split():
                if title in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
                found += children(int(child), title=title)
    return sorted(found)
