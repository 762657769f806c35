"""Replicas on a real Ray on this machine: the decisions of one process, one replica killed, another bundle, the end."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from tests.scoring.conftest import children, wait_for
from tests.serve.conftest import process

from polyvigil.bundle.store import load
from polyvigil.cli.main import run as command
from polyvigil.data.sample import sample_corpus
from polyvigil.scoring.wire import Decision, score_posts
from polyvigil.serve.client import Client
from polyvigil.types import Post

if os.environ.get("POLYVIGIL_NO_RAY"):
    pytest.skip("POLYVIGIL_NO_RAY is set", allow_module_level=True)
pytest.importorskip("ray.serve", reason="needs the extra ray-serve")


def _replicas(parent: int) -> list[int]:
    return children(parent, title=b"ray::ServeReplica")


def test_replicas_answer_as_one_process_and_outlive_one_of_them(bundle_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bundle_folder, tmp_path / "bundle"))
    posts = [item.post for item in sample_corpus() if item.post.split == "test"][:200]
    expected = score_posts(load(folder), posts)
    with process(folder, "--engine", "ray", "--replicas", "2", "--device", "cpu", "--drain", "3") as running:
        assert running.process
        assert len(_replicas(running.process.pid)) == 2
        assert running.request("GET", "/readyz").status == 200
        assert running.request("POST", "/v1/reload", {}).code == "bundle"  # of one replica alone it would be wrong
        client = Client(running.url, posts_per_request=20)
        assert client.score_posts(posts) == expected

        stop, seen = threading.Event(), list[list[Decision]]()
        asking = threading.Thread(target=_ask_until, args=(stop, client, posts, seen))
        asking.start()
        wait_for(lambda: seen)
        killed = _replicas(running.process.pid)[0]
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: len({*_replicas(running.process.pid)} - {killed}) == 2)
        stop.set()
        asking.join(60)
        assert len(seen) > 1
        assert all(decisions == expected for decisions in seen)

        _replace(folder, tmp_path / "other")
        other = load(folder)
        os.kill(running.process.pid, signal.SIGHUP)
        wait_for(lambda: any(f"bundle {other.id} serves" in line for line in running.output))
        assert {client.bundle()["manifest"]["id"] for _ in range(10)} == {other.id}
        assert client.score_posts(posts) == score_posts(other, posts)
        (folder / "bundle.json").unlink()
        os.kill(running.process.pid, signal.SIGHUP)
        wait_for(lambda: any("SIGHUP changed nothing" in line for line in running.output))
        assert client.score_posts(posts[:20]) == score_posts(other, posts[:20])
        below = children(running.process.pid, title=b"")
        running.process.terminate()
        assert running.process.wait(90) == 0
    wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in below))


def _ask_until(stop: threading.Event, client: Client, posts: list[Post], seen: list[list[Decision]]) -> None:
    while not stop.is_set():
        seen.append(client.score_posts(posts))


def _replace(folder: Path, made: Path) -> None:
    """Put a bundle of other thresholds in the place of the one that serves."""
    assert command(["tune", str(folder), "-o", str(made), "-q", "--set", "decide.rule=argmax"]) == 0
    shutil.rmtree(folder)
    made.rename(folder)


def test_what_replicas_cannot_do_is_refused(bundle_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["serve", str(bundle_folder), "--port", "0"]
    for more, told in (
        (["--replicas", "2"], "add --engine ray"),
        (["--engine", "ray", "--ask-endpoint"], "one process asks the endpoint"),
        (["--engine", "ray", "--replicas", "-1"], "--replicas"),
        (["--engine", "ray", "--address", "127.0.0.1:9"], "no Ray cluster can be reached"),
    ):
        assert command([*line, *more]) in {1, 2}
        assert told in capsys.readouterr().err
