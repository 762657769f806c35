"""A request to a chat endpoint ends at its deadline, whatever the server does in the meantime. Real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from polyvigil.config.judge import ChatSpec
from polyvigil.judge.client import ChatClient, Failure, Reply
from polyvigil.judge.deadline import Deadline

SECONDS = 1.0
Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve) -> Iterator[str]:
    """A server that does with each connection what ``serve`` says; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def work(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                serve(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=work, args=(listening.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        listening.shutdown(socket.SHUT_RDWR)


def _drip(connection: socket.socket, text: bytes, then: bytes = b"x") -> None:
    """Send ``text``, then a byte every tenth of a second, for ten seconds."""
    connection.sendall(text)
    for _ in range(100):
        time.sleep(0.1)
        connection.sendall(then)


def _silent(connection: socket.socket) -> None:
    time.sleep(10)


SLOW: dict[str, Serve] = {
    "no answer": _silent,
    "status line, byte by byte": lambda connection: _drip(connection, b"HTTP/1.1 200 "),
    "headers, byte by byte": lambda connection: _drip(connection, b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "interim answers without end": lambda connection: _drip(connection, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "body, byte by byte": lambda connection: _drip(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
    "chunks, byte by byte": lambda connection: _drip(
        connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"
    ),
    "a refusal, byte by byte": lambda connection: _drip(connection, b"HTTP/1.1 503 Busy\r\nRetry-After: "),
}


def _client(url: str) -> ChatClient:
    return ChatClient(ChatSpec(base_url=url, model="m", timeout=SECONDS, attempts=1), key="")


@pytest.mark.parametrize("kind", SLOW)
def test_a_slow_server_is_left_at_the_deadline(kind: str) -> None:
    with server(SLOW[kind]) as url:
        started = time.monotonic()
        outcome = _client(url).request("system", "post")
        took = time.monotonic() - started
    assert isinstance(outcome, Failure)
    assert (outcome.reason, outcome.final) == ("no answer in time", False)
    assert SECONDS - 0.1 < took < SECONDS + 1.5


def test_a_tls_handshake_that_drips_is_left_at_the_deadline() -> None:
    with server(lambda connection: _drip(connection, b"\x16\x03\x03\x40\x00", b"\x02")) as url:
        started = time.monotonic()
        outcome = _client(url.replace("http://", "https://")).request("system", "post")
        took = time.monotonic() - started
    assert isinstance(outcome, Failure)
    assert outcome.reason in {"no answer in time", "out of reach (SSLError)"}
    assert took < SECONDS + 1.5


def test_a_connection_that_is_never_taken_is_left_at_the_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        held = []
        for _ in range(8):  # the queue of the kernel fills; the next ones wait
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(address)
            held.append(waiting)
        started = time.monotonic()
        outcome = _client(f"http://127.0.0.1:{address[1]}/v1").request("system", "post")
        took = time.monotonic() - started
        for waiting in held:
            waiting.close()
    assert isinstance(outcome, Failure)
    assert outcome.reason == "no answer in time"
    assert took < SECONDS + 1.5


def test_a_name_that_is_not_resolved_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(10))
    started = time.monotonic()
    outcome = _client("https://judge.invalid/v1").request("system", "post")
    assert isinstance(outcome, Failure)
    assert outcome.reason == "no answer in time"
    assert time.monotonic() - started < SECONDS + 1.5


def test_an_interim_answer_before_a_real_one_is_passed_over() -> None:
    body = b'{"choices": [{"message": {"content": "{}"}}]}'

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)

    with server(serve) as url:
        outcome = _client(url).request("system", "post")
    assert isinstance(outcome, Reply)
    assert outcome.content == "{}"


def test_a_connection_made_at_the_last_moment_is_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer goes off while the connection is being made, and has nothing to shut down yet."""

    class Late(socket.socket):
        def connect(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            super().connect(address)
            time.sleep(0.5)

    with server(_silent) as address:
        port = int(address.removesuffix("/v1").rpartition(":")[2])
        monkeypatch.setattr(socket, "socket", Late)
        with Deadline(0.2) as deadline, deadline.connect(("127.0.0.1", port)) as connection:
            connection.settimeout(5)
            started = time.monotonic()
            assert connection.recv(1) == b""
            assert time.monotonic() - started < 1
