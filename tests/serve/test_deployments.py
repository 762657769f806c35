"""In other servers: gunicorn with the application loaded before it forks, uvicorn's spawned workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.serve.conftest import Running

from polyvigil.bundle.store import Bundle
from polyvigil.scoring.wire import score_posts
from polyvigil.types import Post

MODULE = """
from polyvigil.serve.app import create_app

app = create_app({folder!r})
"""


@pytest.mark.parametrize(
    "command",
    [
        [
            "gunicorn",
            "module:app",
            "-k",
            "uvicorn.workers.UvicornWorker",
            "--preload",
            "-w",
            "2",
            "-b",
            "127.0.0.1:{port}",
        ],
        ["uvicorn", "module:app", "--workers", "2", "--port", "{port}"],
    ],
    ids=["gunicorn-preload", "uvicorn-spawn"],
)
def test_workers_decide_alike(command: list[str], bundle_folder: Path, bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip(command[0])
    (tmp_path / "module.py").write_text(MODULE.format(folder=str(bundle_folder.resolve())), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = [sys.executable, "-m", *(word.format(port=port) for word in command)]
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    started = subprocess.Popen(
        words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    running = Running(port)
    try:
        for _ in range(300):
            try:
                if running.request("GET", "/readyz").status == 200:
                    break
            except OSError:
                time.sleep(0.1)
        posts = [Post(str(n), f"these pills gave me a headache {n}", "en") for n in range(20)]
        for post, expected in zip(posts, score_posts(bundle, posts), strict=True):
            (record,) = running.score({"id": post.id, "text": post.text, "language": "en"}).json["data"]
            assert (record["p"], record["decision"], record["bundle"]) == (expected.p, expected.decision, bundle.id)
    finally:
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
