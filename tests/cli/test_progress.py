"""No long silence: stages are named as they begin, counted as they go on, and named again while nothing is heard."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from polyvigil.cli import command, output
from polyvigil.cli import main as program
from polyvigil.cli.output import Answer, Output


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(output, "_CHECK_SECONDS", 0.02)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_silent_stage_is_named_again(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    out = Output()
    with out.heartbeat():
        until(lambda: "still working, 0 s\n" in heard.getvalue())  # nothing was named yet
        out.log("loading a model")
        until(lambda: heard.getvalue().count("still working, 0 s: loading a model\n") >= 2)
    before = heard.getvalue()
    time.sleep(0.4)
    assert heard.getvalue() == before
    assert not any(thread.name == "heartbeat" for thread in threading.enumerate())


def test_who_speaks_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    monkeypatch.setattr(output, "_SILENT_SECONDS", 5.0)
    out = Output()
    with out.heartbeat():
        for number in range(10):
            out.log(f"stage {number}")
            time.sleep(0.03)
    assert heard.getvalue() == "".join(f"stage {number}\n" for number in range(10))


@pytest.mark.parametrize("options", [{"quiet": True}, {"mute": True}])
def test_quiet_is_quiet(monkeypatch: pytest.MonkeyPatch, options: dict[str, bool]) -> None:
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    with Output(**options).heartbeat():
        time.sleep(0.5)
    assert heard.getvalue() == ""


def test_a_terminal_keeps_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Terminal()
    monkeypatch.setattr(sys, "stderr", heard)
    out = Output()
    with out.heartbeat():
        out.log("loading")
        until(lambda: "still working" in heard.getvalue())
    out.count("tokenising", time.monotonic() - 2, 3000, 12_000)
    out.log("done")
    text = heard.getvalue()
    assert text.startswith("loading\n\r\x1b[2Kstill working, 0 s: loading")
    assert text.endswith("\r\x1b[2Kdone\n")


def test_a_command_that_waits_for_others_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a service does: nobody who calls is no news."""
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    monkeypatch.setattr(command, "_registered", {})

    def listens(out: Output) -> Answer:
        out.log("listening")
        time.sleep(0.5)
        return Answer({}, ())

    for heartbeat in (False, True):
        command.command(examples=("a", "b"), heartbeat=heartbeat)(listens)
        command.build_command(command.registered_command("listens")).main([], standalone_mode=False)
        assert ("still working" in heard.getvalue()) == heartbeat


def test_every_stage_of_a_training_is_named_and_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.nn.tiny import tiny_folder
    from tests.workflows.test_encoder_recipes import _posts

    from polyvigil.data.write import write_posts
    from polyvigil.learn import transformer

    monkeypatch.setattr(output, "_SILENT_SECONDS", 60.0)
    counted: list[tuple[str, int, int]] = []
    monkeypatch.setattr(Output, "count", lambda _, what, __, done, total: counted.append((what, done, total)))
    monkeypatch.setattr(transformer, "_TOKENISED_TOGETHER", 50)
    for name, number in (("train", 120), ("dev", 60)):
        write_posts(tmp_path / f"{name}.csv", _posts(number, name))
    tiny_folder(tmp_path / "model", "modernbert")
    line = ["train", "quick", "--train", f"{tmp_path}/train.csv", "--dev", f"{tmp_path}/dev.csv", "--offline"]
    line += ["-o", f"{tmp_path}/bundle", "--device", "cpu"]
    for setting in (f"model.name={tmp_path}/model", "model.max_tokens=8", "training.epochs=2"):
        line += ["--set", setting]
    assert program.run(line) == 0
    lines = capfd.readouterr().err.splitlines()
    stages = ["learning from", "loading ", "tokenising 120 training and 60 dev posts", "epoch 1/2", "epoch 2/2"]
    stages += [
        "windows of a long post are pooled",
        "seed 42: scoring the 60 dev posts",
        "tuning thresholds",
        "writing ",
    ]
    found = iter(lines)
    assert all(any(line.startswith(stage) for line in found) for stage in stages), lines
    assert [done for what, done, _ in counted if what == "tokenising"] == [50, 100, 120, 50, 60]
    for epoch in (1, 2):
        scored = [each[1:] for each in counted if each[0] == f"scoring dev posts, after epoch {epoch}"]
        assert len(scored) >= 1
        assert scored[-1][0] == scored[-1][1] >= 60  # windows
    assert not any("still working" in line for line in lines)
