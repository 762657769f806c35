"""Clients that mean no good: slow ones by the hundred, bombs, endless bodies; and more load than it can do."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.serve.conftest import Running, check_counts, serving

from polyvigil.bundle.store import Bundle
from polyvigil.config.serve import ServeSpec

HEAD = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SPEC = ServeSpec(body_time=1.0)


@pytest.fixture(scope="module")
def strict(bundle: Bundle) -> Iterator[Running]:
    """A service that waits a second for headers and bodies."""
    with serving(bundle, SPEC) as one:
        yield one
        check_counts(one)


def sent(running: Running, *parts: bytes, pause: float = 0.0, timeout: float = 10.0) -> bytes:
    """All that comes back when these bytes are sent, until the other side closes."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=timeout) as connection:
        answer = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while block := connection.recv(65536):
                answer += block
        except ConnectionError:  # it has closed while more was being sent
            pass
        return answer


def test_slow_clients_do_not_stop_others(strict: Running, post: Callable[..., dict[str, Any]]) -> None:
    """500 connections that send their headers, or their body, a byte now and then: all are closed with 408."""

    async def slow(number: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", strict.port)
        start = HEAD + ("Content-Length: 99\r\n\r\n{" if number % 2 else "X-Slow: ")
        try:
            writer.write(start.encode())
            for _ in range(3 + 10 * (number % 10 == 0)):  # a tenth goes on when it has been closed
                await asyncio.sleep(0.2)
                writer.write(b"a")
                await writer.drain()
        except ConnectionError:
            pass
        try:
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def all_slow() -> tuple[list[bytes], list[float]]:
        tasks = [asyncio.create_task(slow(number)) for number in range(500)]
        times = []
        for _ in range(10):
            await asyncio.sleep(0.1)
            started = time.monotonic()
            assert (await asyncio.to_thread(strict.score, post())).status == 200
            times.append(time.monotonic() - started)
        return await asyncio.gather(*tasks), times

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        answers, times = asyncio.run(all_slow())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    starts = Counter(answer[:12] for answer in answers)
    # One that was closed while it wrote reads nothing; how many are depends on the load of the machine.
    assert starts[b"HTTP/1.1 408"], starts
    assert starts.keys() <= {b"HTTP/1.1 408", b""}
    assert starts.total() == 500
    assert max(times) < 5


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ((b"nonsense\r\n\r\n",), 400),
        ((b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",), 400),
        ((b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n",), 421),
        ((HEAD.encode() + b"X: " + b"a" * 20_000 + b"\r\n\r\n",), 431),
        ((HEAD.encode(), *[b"X: " + b"a" * 3000 + b"\r\n"] * 7), 431),
        ((b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",), 431),
        ((HEAD.encode() + b"Content-Length: 3000000\r\n\r\n",), 413),
        ((HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n", *[b"80000\r\n" + b"a" * 0x80000 + b"\r\n"] * 5), 413),
        ((HEAD.encode() + b"Content-Length: 10\r\n\r\n{",), 408),
        ((HEAD.encode() + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",), 415),
        ((b"GET",), 408),
        ((b"",), 408),
    ],
)
def test_what_is_no_request(strict: Running, parts: tuple[bytes, ...], status: int) -> None:
    answer = sent(strict, *parts, pause=0.02)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())


def test_a_gzip_bomb_is_not_unpacked(strict: Running) -> None:
    bomb = gzip.compress(b" " * 100_000_000)
    started = time.monotonic()
    answered = strict.request("POST", "/v1/score", bomb, {"Content-Encoding": "gzip"})
    assert (answered.status, answered.code) == (415, "encoding")
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("opening", [b"[", b'{"posts":', b'{"posts":[{"id":'])
def test_deep_json_is_refused(strict: Running, opening: bytes) -> None:
    answered = strict.request("POST", "/v1/score", opening * 10_000)
    assert (answered.status, answered.code) == (400, "json")


def test_a_body_after_the_answer_is_passed_over(strict: Running, post: Callable[..., dict[str, Any]]) -> None:
    """A refusal before the body leaves the connection good for the next request."""
    body = json.dumps({"posts": [post()]}).encode()
    first = HEAD.replace("/v1/score", "/v1/nothing") + f"Content-Length: {len(body)}\r\n\r\n"
    second = HEAD + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    answer = sent(strict, first.encode(), body, second.encode(), body, pause=0.05)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"HTTP/1.1 200 OK" in answer


def test_connections_are_bounded(bundle: Bundle) -> None:
    with serving(bundle, ServeSpec(max_connections=3)) as running:
        held = [socket.create_connection(("127.0.0.1", running.port), timeout=5) for _ in range(3)]
        try:
            time.sleep(0.2)
            assert sent(running) == b""
        finally:
            for connection in held:
                connection.close()
        time.sleep(0.2)
        assert running.request("GET", "/livez").status == 200


async def _client(
    running: Running, name: int, end: float, results: list[tuple[int, float]], *, posts: int, pause: float
) -> None:
    """Sends requests on one connection until ``end``, pauses between them, and checks that answers are its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    number = 0
    chance = random.Random(name)
    while time.monotonic() < end:
        await asyncio.sleep(chance.uniform(0, pause))
        number += 1
        ids = [f"{name}-{number}-{index}" for index in range(posts)]
        items = [{"id": id, "text": f"these pills gave me a headache {id}", "language": "en"} for id in ids]
        body = json.dumps({"posts": items}).encode()
        started = time.monotonic()
        writer.write(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await reader.readuntil(b"\r\n\r\n")
        content = json.loads(
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        )
        status = int(head[9:12])
        results.append((status, time.monotonic() - started))
        if status == 200:
            assert [record["id"] for record in content["data"]] == ids
        else:
            assert status == 429
            assert b"retry-after: " in head.lower()
    writer.close()


def test_200_clients_have_their_own_answers(bundle: Bundle) -> None:
    """benchmarks/serving.py does it for a minute."""
    with serving(bundle) as running:

        async def load() -> list[tuple[int, float]]:
            results: list[tuple[int, float]] = []
            end = time.monotonic() + 2
            await asyncio.gather(*(_client(running, name, end, results, posts=1, pause=0.05) for name in range(200)))
            return results

        results = asyncio.run(load())
        assert {status for status, _ in results} == {200}
        metrics = check_counts(running)
        assert metrics['polyvigil_requests_answered_total{route="/v1/score"}'] == len(results)


def test_overload_is_refused_and_small_and_large_requests_alike(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring is slowed to 1,000 posts/s, and far more are sent: who is taken waits a bounded time."""
    from polyvigil.serve import loaded

    real = loaded.score_posts

    def slowed(bundle: Bundle, posts: Any, **options: Any) -> Any:
        time.sleep(len(posts) / 1000)
        return real(bundle, posts, **options)

    monkeypatch.setattr(loaded, "score_posts", slowed)
    spec = ServeSpec(max_wait=0.3)
    with serving(bundle, spec) as running:

        async def load() -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
            small: list[tuple[int, float]] = []
            large: list[tuple[int, float]] = []
            end = time.monotonic() + 3
            clients = [(1, small, name) for name in range(30)] + [(32, large, name) for name in range(30, 60)]
            await asyncio.gather(
                *(_client(running, n, end, into, posts=posts, pause=0.2) for posts, into, n in clients)
            )
            return small, large

        small, large = asyncio.run(load())
        check_counts(running)
    refused = sorted(seconds for status, seconds in small + large if status == 429)
    taken = sorted(seconds for status, seconds in small + large if status == 200)
    assert len(refused) > len(taken) > 20
    assert taken[int(0.99 * len(taken))] < spec.max_wait + 1.5
    assert refused[len(refused) // 2] < 0.5 * taken[len(taken) // 2]
    shares = [sum(status == 200 for status, _ in results) / len(results) for results in (small, large)]
    assert max(shares) < 3 * min(shares)
