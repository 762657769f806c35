"""A service that really listens: in a thread of the tests' own process, or as a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from polyvigil.bundle.store import Bundle
from polyvigil.cli import main as program
from polyvigil.config.serve import ServeSpec
from polyvigil.serve.app import ScoringApp, create_app
from polyvigil.serve.service import Service
from polyvigil.web.server import DrainingServer, listening_socket, server_config

JSON = {"Content-Type": "application/json"}


@dataclass
class Answered:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of the error."""
        code: str = self.json["error"]["code"]
        return code


@dataclass
class Running:
    """A service that listens on this port of 127.0.0.1."""

    port: int
    app: ScoringApp | None = None
    process: subprocess.Popen[str] | None = None
    output: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None, *, timeout: float = 20
    ) -> Answered:
        """One request on a connection of its own; ``body`` is bytes, or what becomes JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            given = (JSON if body is not None else {}) | (headers or {})
            connection.request(method, path, content, given)
            response = connection.getresponse()
            return Answered(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def score(self, *posts: dict[str, Any], headers: dict[str, str] | None = None, timeout: float = 20) -> Answered:
        return self.request("POST", "/v1/score", {"posts": list(posts)}, headers, timeout=timeout)

    def metrics(self, headers: dict[str, str] | None = None) -> dict[str, float]:
        """Each series of /metrics."""
        text = self.request("GET", "/metrics", headers=headers).body.decode()
        pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


def total(metrics: dict[str, float], name: str) -> float:
    """A counter over all its labels."""
    return sum(value for series, value in metrics.items() if series.partition("{")[0] == f"polyvigil_{name}_total")


def check_counts(running: Running, headers: dict[str, str] | None = None) -> dict[str, float]:
    """Every request that was received has one end, and nothing is left in the queue; once all have ended."""
    for _ in range(100):
        metrics = running.metrics(headers)
        if not metrics["polyvigil_requests_in_flight"] and not metrics["polyvigil_queue_posts"]:
            break
        time.sleep(0.05)
    ends = sum(total(metrics, f"requests_{end}") for end in ("answered", "refused", "failed"))
    assert total(metrics, "requests_received") == ends
    assert metrics["polyvigil_requests_in_flight"] == 0
    assert metrics["polyvigil_queue_posts"] == 0
    return metrics


@contextlib.contextmanager
def serving(bundle: Bundle | Path, spec: ServeSpec | None = None, **options: Any) -> Iterator[Running]:
    """A service in a thread."""
    spec = (spec or ServeSpec()).model_copy(update={"port": 0})
    app = create_app(bundle, spec, **options)
    listener = listening_socket(spec)
    ready = threading.Event()
    server = DrainingServer(
        server_config(app, spec, refuse_early=app.refuse_early), app.service, drain=spec.drain, on_ready=ready.set
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield Running(listener.getsockname()[1], app)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@contextlib.contextmanager
def process(folder: Path, *options: str, environment: dict[str, str] | None = None) -> Iterator[Running]:
    """``polyvigil serve`` as a process of its own."""
    command = [sys.executable, "-m", "polyvigil", "serve", str(folder), "--port", "0", *options]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | (environment or {})
    )
    running = Running(0, process=started)
    assert started.stderr
    for line in started.stderr:
        running.output.append(line)
        if match := re.search(r"is served at http://[\d.]+:(\d+)", line):
            running.port = int(match[1])
        if "stop it with" in line:
            break
    assert running.port, running.output
    reader = threading.Thread(target=lambda: running.output.extend(started.stderr or ()), daemon=True)
    reader.start()
    try:
        yield running
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()
        reader.join(5)
        assert started.stdout
        started.stdout.close()
        started.stderr.close()


@contextlib.contextmanager
def stopped(service: Service) -> Iterator[int]:
    """Inside, the process that scores for a service does not run; gives its id."""
    scoring = service.serving.process
    assert scoring
    pid = scoring.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def running(bundle: Bundle) -> Iterator[Running]:
    """A service with the default settings and the session's bundle; its counts are right at the end."""
    with serving(bundle) as one:
        yield one
        check_counts(one)


@pytest.fixture(scope="session")
def post() -> Callable[..., dict[str, Any]]:
    """A post of a request."""

    def made(id: str = "a", text: str = "these pills gave me a headache", **further: Any) -> dict[str, Any]:
        return {"id": id, "text": text, **further}

    return made


@pytest.fixture
def ran(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the program in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = program.run([str(argument) for argument in arguments])
        return (code, *capfd.readouterr())

    return run
