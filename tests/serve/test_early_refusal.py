"""A request of posts for which there is no time is refused by its head, before it is an ASGI request."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.serve.conftest import Running, check_counts, serving

from polyvigil.bundle.store import Bundle
from polyvigil.config.serve import ServeSpec
from polyvigil.serve.batching import ScoringQueue
from polyvigil.serve.gate import Gate

BODY = json.dumps({"posts": [{"id": "a", "text": "these pills gave me a headache"}]}).encode()
ROUTES = ("/v1/score", "/v1/explain", "/predict", "/v2/models/polyvigil/infer")
TOKEN = "t" * 40
Headers = dict[str, str]


class Connection:
    """One connection, whose responses are read in turn."""

    def __init__(self, running: Running) -> None:
        self._socket = socket.create_connection(("127.0.0.1", running.port), timeout=10)
        self._stream = self._socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        self._socket.sendall(b"".join(parts))

    def response(self) -> tuple[int, Headers, bytes]:
        status = int(self._stream.readline()[9:12])
        headers: Headers = {}
        while (line := self._stream.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        return status, headers, self._stream.read(int(headers["content-length"]))

    def ends(self) -> bool:
        return self._stream.read(1) == b""

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@contextmanager
def connected(running: Running) -> Iterator[Connection]:
    connection = Connection(running)
    try:
        yield connection
    finally:
        connection.close()


def head(path: str = "/v1/score", *, length: int | None = len(BODY), **headers: str) -> bytes:
    given = {"Host": "localhost", "Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    if length is not None:
        given["Content-Length"] = str(length)
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the requests that came to the application."""
    seen: list[str] = []
    real = Gate.__call__

    async def recorded(self: Gate, scope: dict[str, str], *rest: object) -> None:
        if scope["type"] == "http" and scope["path"] != "/metrics":
            seen.append(scope["path"])
        await real(self, scope, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Gate, "__call__", recorded)
    return seen


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The wait is too long, until it is undone."""
    monkeypatch.setattr(ScoringQueue, "expected_wait", lambda *_: 7.2)
    return monkeypatch


def test_the_refusal_is_that_of_a_request(
    running: Running, busy: pytest.MonkeyPatch, requests: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="polyvigil.serve.access")
    for path in ROUTES:
        with connected(running) as connection:
            connection.send(head(path, X_Request_Id="mine.7"), BODY)
            status, headers, body = connection.response()
            assert (status, headers["x-request-id"], headers["retry-after"]) == (429, "mine.7", "8")
            assert requests == []
            connection.send(head(path, X_Request_Id="mine.7", Expect="100-continue"), BODY)  # comes as a request
            as_request = connection.response()
            assert as_request == (status, headers | {"date": as_request[1]["date"]}, body)
            assert requests.pop() == path
    early = [record.getMessage() for record in caplog.records][::2]
    assert [line.split(" 0.")[0] for line in early] == [
        f"mine.7 {route} 429 busy 0 posts 0 characters"
        for route in ("/v1/score", "/v1/explain", "/predict", "/v2/infer")
    ]
    counts = check_counts(running)
    assert counts['polyvigil_requests_refused_total{reason="busy",route="/predict"}'] == 2


def test_the_connection_stays_and_answers_in_order(
    running: Running, busy: pytest.MonkeyPatch, requests: list[str]
) -> None:
    with connected(running) as connection:
        connection.send(head(), BODY, head(X_Request_Id="second"), BODY[:9])
        assert [connection.response()[0], connection.response()[1]["x-request-id"]] == [429, "second"]
        connection.send(BODY[9:], b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", head(), BODY)
        assert [connection.response()[0] for _ in range(2)] == [200, 429]
        busy.undo()
        connection.send(head(), BODY)
        status, _, body = connection.response()
        assert (status, json.loads(body)["data"][0]["id"]) == (200, "a")
    check_counts(running)


def test_what_comes_as_a_request_all_the_same(running: Running, busy: pytest.MonkeyPatch, requests: list[str]) -> None:
    """Bodies that are large or of unknown length, other methods and paths, connections that close."""
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    for sent, status in (
        (head(length=None, Transfer_Encoding="chunked") + chunked, 429),
        (head(length=2**16 + 1) + b" " * (2**16 + 1), 429),
        (head(Connection="close") + BODY, 429),
        (head("/v1/score?x=1") + BODY, 429),
        (head("/v1/reload", length=2) + b"{}", 409),
        (head().replace(b"POST", b"PUT") + BODY, 405),
        (head(Host="example.org") + BODY, 421),
    ):
        with connected(running) as connection:
            connection.send(sent)
            assert connection.response()[0] == status
    assert len(requests) == 7
    check_counts(running)


def test_who_may_not_ask_hears_so(bundle: Bundle, busy: pytest.MonkeyPatch, requests: list[str]) -> None:
    with serving(bundle, token=TOKEN) as running, connected(running) as connection:
        connection.send(head(Authorization="Bearer " + "x" * 40), BODY)
        assert connection.response()[0] == 401
        assert requests.pop() == "/v1/score"
        connection.send(head(Authorization=f"Bearer {TOKEN}"), BODY)
        assert connection.response()[0] == 429
        assert requests == []
        check_counts(running, {"Authorization": f"Bearer {TOKEN}"})


def test_a_body_that_never_comes_and_an_idle_connection_end(bundle: Bundle, busy: pytest.MonkeyPatch) -> None:
    spec = ServeSpec(body_time=0.3, keep_alive=1)
    with serving(bundle, spec) as running:
        for rest, least, most in ((b"", 0.2, 0.9), (BODY[1:], 0.9, 5.0)):
            with connected(running) as connection:
                connection.send(head(), BODY[:1])
                assert connection.response()[0] == 429
                connection.send(rest)
                started = time.monotonic()
                assert connection.ends()
                assert least < time.monotonic() - started < most


def test_while_it_stops_it_says_that_it_stops(bundle: Bundle, busy: pytest.MonkeyPatch) -> None:
    with serving(bundle) as running, connected(running) as connection:
        assert running.app
        running.app.service.begin_draining()
        connection.send(head(), BODY)
        status, headers, _ = connection.response()
        assert (status, headers["connection"]) == (503, "close")
        assert connection.ends()
