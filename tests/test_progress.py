"""Long steps say how far they are to whoever listens, and work the same where nobody does."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from polyvigil.cli.output import Output
from polyvigil.data.packed_posts import posts_of
from polyvigil.data.read import read_labelled, read_unlabelled
from polyvigil.progress import listening, report_share, tracked
from polyvigil.workflows.train import Trained


def test_only_a_listener_inside_hears() -> None:
    heard: list[tuple[str, float]] = []
    report_share("before", 1)
    with listening(lambda what, share: heard.append((what, share))):
        report_share("scoring", 3, 12)
        report_share("scoring", 30, 12)
        report_share("nothing", 0, 0)
        with listening(lambda *_: None):
            report_share("another listens", 1)
        thread = Thread(target=report_share, args=("of another thread", 0.5))
        thread.start()
        thread.join()
    report_share("after", 1)
    assert heard == [("scoring", 0.25), ("scoring", 1.0)]


def test_tracked_items_are_the_items() -> None:
    heard: list[tuple[str, float]] = []
    with listening(lambda what, share: heard.append((what, share))):
        assert list(tracked(iter(range(2500)), "counting", 2500)) == list(range(2500))
        assert list(tracked([], "nothing", 0)) == []
    assert heard == [("counting", 0.0), ("counting", 0.4), ("counting", 0.8)]


def test_reading_and_scoring_are_heard(tmp_path: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "posts.csv"
    rows = (f"{number},these pills number {number} make me tired,{number % 2}" for number in range(9000))
    file.write_text("id,text,label\n" + "\n".join(rows) + "\n")
    monkeypatch.setattr("polyvigil.bundle.store._POSTS_OF_A_BATCH", 40)
    heard: dict[str, list[float]] = {}
    with listening(lambda what, share: heard.setdefault(what, []).append(share)):
        reading = read_labelled(file)
        read_unlabelled(file)
        trained.bundle.probabilities(posts_of(reading.posts)[:200])
    of_reading, of_scoring = heard["reading posts.csv"], heard["scoring"]
    assert len(of_reading) == 10, "five blocks, twice"
    assert of_reading[:5] == sorted(of_reading[:5])
    assert all(0 <= share <= 1 for share in of_reading)
    assert of_scoring == [0, 0.2, 0.4, 0.6, 0.8]


def test_a_command_shows_how_far_it_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("polyvigil.cli.output.time.monotonic", lambda: now)
    out = Output()
    for what, share, seconds in (("scoring", 0.0, 1), ("scoring", 0.25, 5), ("scoring", 0.5, 6), ("measuring", 0.1, 9)):
        now = 100.0 + seconds
        out.listen(what, share)
    now = 114.0
    out.listen("measuring", 0.5)
    now = 120.0
    out.listen("measuring", 0.0)
    now = 130.0
    out.listen("measuring", 0.2)
    lines = ["scoring: 25%, 12 s left", "measuring: 50%, 5 s left", "measuring: 20%, 40 s left"]
    assert capsys.readouterr().err.splitlines() == lines, "a step that begins again has its own time"
