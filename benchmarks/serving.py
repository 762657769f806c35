"""How fast the scoring service is, beside a plain FastAPI endpoint and LitServe, and how it behaves under load.

    python benchmarks/serving.py [--bundle FOLDER] [--seconds 5] [--rounds 2] [--soak 60] [--overload 10]
                                  [--stops 20] [--no-kill] [--apart] [--json FILE]

Needs fastapi, litserve and uvicorn. All servers score the same posts by the same bundle with ``score_posts``; each runs
alone, one after the other, in turns, on 127.0.0.1 beside the clients, so that on a machine with few cores the clients
are a good part of what is measured: read the ratios. Then 200 clients for a minute (memory, swapped answers), ten times
what it can do (refusals; with Debian's ``hey`` where it is installed), a kill of what scores, and SIGTERM under load.
With --apart the clients keep to the first core and what they ask to the others (Linux).
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

CLIENTS = (1, 16, 64, 200)
_HEAD = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_PLAIN = """
import sys
from fastapi import FastAPI
from pydantic import BaseModel
import uvicorn
from polyvigil import Post, load, score_posts
from polyvigil.scoring.wire import as_cells

app, bundle = FastAPI(), load(sys.argv[1])

class Item(BaseModel):
    id: str
    text: str
    language: str

class Body(BaseModel):
    posts: list[Item]

@app.post("/v1/score")
def score(body: Body) -> dict:
    decisions = score_posts(bundle, [Post(item.id, item.text, item.language) for item in body.posts])
    return {"data": [{"id": item.id, **as_cells(one)} for item, one in zip(body.posts, decisions)]}

uvicorn.run(app, port=int(sys.argv[2]), log_level="error", access_log=False)
"""
_LITSERVE = """
import sys
import litserve
from polyvigil import Post, load, score_posts
from polyvigil.scoring.wire import as_cells

class API(litserve.LitAPI):
    def setup(self, device):
        self.bundle = load(sys.argv[1])
    def decode_request(self, request):
        (item,) = request["posts"]
        return Post(item["id"], item["text"], item["language"])
    def batch(self, inputs):
        return inputs
    def predict(self, posts):
        return list(zip(posts, score_posts(self.bundle, posts)))
    def unbatch(self, output):
        return output
    def encode_response(self, output):
        post, decision = output
        return {"data": [{"id": post.id, **as_cells(decision)}]}

if __name__ == "__main__":
    api = API(max_batch_size=64, batch_timeout=0.002, api_path="/v1/score")
    litserve.LitServer(api, accelerator="cpu", track_requests=False).run(
        port=int(sys.argv[2]), log_level="error", generate_client_file=False, num_api_servers=1
    )
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What clients saw of one server: requests per second, and milliseconds of an answer."""

    server: str
    clients: int
    requests: float
    p50: float
    p99: float
    statuses: dict[int, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", help="score with this one; else the linear default is trained on synthetic posts")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--soak", type=float, default=60.0, help="seconds of 200 clients")
    parser.add_argument("--overload", type=float, default=10.0, help="seconds of each rate beyond capacity")
    parser.add_argument("--stops", type=int, default=20, help="times that SIGTERM is sent under load")
    parser.add_argument("--no-kill", dest="kill", action="store_false", help="let the process that scores live")
    parser.add_argument("--apart", action="store_true", help="clients on one core, what they ask on the others")
    parser.add_argument("--json", help="write what was measured here")
    arguments = parser.parse_args()
    lacking = [name for name in ("fastapi", "litserve") if not importlib.util.find_spec(name)]
    if arguments.rounds and lacking:
        parser.error(f"not installed: {', '.join(lacking)}; pip install them, or leave the comparison out: --rounds 0")
    if arguments.apart:
        keep_apart()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(arguments.bundle) if arguments.bundle else _train(Path(name))
        loads = [load for _ in range(arguments.rounds) for load in compare(folder, Path(name), arguments.seconds)]
        if loads:
            print_table(loads)
        results: dict[str, object] = {"loads": [asdict(load) for load in loads]}
        if arguments.soak:
            results["soak"] = soak(folder, arguments.soak)
        if arguments.overload:
            results["overload"] = overload(folder, arguments.overload)
        if arguments.kill:
            results["kill"] = kill(folder)
        if arguments.stops:
            results["stops"] = stops(folder, arguments.stops)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


_SERVERS: set[int] = set()
"""The cores of what clients ask; empty: any."""


def keep_apart() -> None:
    """This process and those that it starts keep to the first core, servers to the others."""
    first, *rest = sorted(os.sched_getaffinity(0))
    if not rest:
        raise SystemExit("--apart needs two cores or more")
    _SERVERS.update(rest)
    os.sched_setaffinity(0, {first})


def _train(folder: Path) -> Path:
    from polyvigil.config.recipe import LinearRecipe
    from polyvigil.data.sample import sample_corpus
    from polyvigil.workflows.train import TrainingData, train

    corpus = sample_corpus()
    parts = {split: tuple(item for item in corpus if item.post.split == split) for split in ("train", "dev")}
    data = TrainingData(**parts, data="synthetic", row_errors=(), notes=())
    train(LinearRecipe(), data, output=folder / "bundle")
    return folder / "bundle"


def compare(folder: Path, scratch: Path, seconds: float) -> Iterator[Load]:
    """Each server in turn, at each number of clients."""
    programs = {"polyvigil": "", "fastapi": _PLAIN, "litserve": _LITSERVE}
    for server, program in programs.items():
        port = _free_port()
        command = [sys.executable, "-m", "polyvigil", "serve", str(folder), "--port", str(port), "-q"]
        if program:
            path = scratch / f"{server}_server.py"
            path.write_text(program, encoding="utf-8")
            command = [sys.executable, str(path), str(folder), str(port)]
        with running(command, port):
            for clients in CLIENTS:
                yield measure(server, port, clients, seconds)


@contextmanager
def running(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at ``port``; it and its own processes end with the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    if _SERVERS:
        os.sched_setaffinity(process.pid, _SERVERS)  # before it has begun another thread or process
    try:
        for _ in range(600):
            with suppress(OSError):
                asyncio.run(_score_some(port, 1, time.monotonic() + 0.3, []))
                break
            time.sleep(0.1)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def measure(server: str, port: int, clients: int, seconds: float) -> Load:
    """So many clients, each with one post a request on one connection, as fast as they are answered."""
    asyncio.run(_score_some(port, clients, time.monotonic() + 1, []))
    seen: list[tuple[int, float]] = []
    asyncio.run(_score_some(port, clients, time.monotonic() + seconds, seen))
    times = sorted(1000 * spent for _, spent in seen)
    statuses = dict(Counter(status for status, _ in seen))
    print(f"{server}, {clients} clients: {len(seen) / seconds:,.0f} requests/s, {statuses}", flush=True)
    return Load(server, clients, len(seen) / seconds, times[len(times) // 2], times[int(0.99 * len(times))], statuses)


async def _score_some(port: int, clients: int, end: float, seen: list[tuple[int, float]]) -> None:
    """Clients that send one request after the other until ``end``; an answer with another's id is an error."""

    async def client(name: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        number = 0
        try:
            while time.monotonic() < end:
                number += 1
                id = f"{name}-{number}"
                text = f"these pills gave me a bad headache and I stopped taking them after {number} weeks"
                body = json.dumps({"posts": [{"id": id, "text": text, "language": "en"}]}).encode()
                started = time.perf_counter()
                writer.write(f"{_HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
                content = await reader.readexactly(int(length))
                status = int(answer[9:12])
                seen.append((status, time.perf_counter() - started))
                if status == 200:
                    assert [record["id"] for record in json.loads(content)["data"]] == [id], "answers were swapped"
                if b"connection: close" in answer.lower():
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            seen.append((0, 0.0))
        finally:
            writer.close()

    await asyncio.gather(*(client(name) for name in range(clients)))


def soak(folder: Path, seconds: float) -> dict[str, object]:
    """200 clients for a while: statuses, and memory after the first and in the last tenth."""
    port = _free_port()
    with running([sys.executable, "-m", "polyvigil", "serve", str(folder), "--port", str(port), "-q"], port) as process:
        memory, statuses = [], Counter[int]()
        for _ in range(10):
            seen: list[tuple[int, float]] = []
            asyncio.run(_score_some(port, 200, time.monotonic() + seconds / 10, seen))
            statuses.update(status for status, _ in seen)
            memory.append(_megabytes(process.pid))
    print(f"200 clients, {seconds:g} s: {dict(statuses)}, memory {memory[0]:.0f} MB, then {memory[-1]:.0f} MB")
    return {"statuses": statuses, "memory_mb": memory}


def overload(folder: Path, seconds: float) -> dict[str, object]:
    """Requests at the rate R that it can answer, and at ten times it: half of them with one post and half with 64.

    By 200 connections of Debian's ``hey``, where that is installed: a client in Python takes longer to hear an answer
    than the service to give it. Else by clients in Python that do not wait for each other. The longest wait is 0.5 s,
    or half of what 200 requests take, so that 200 connections can be too many. Who is refused should hear it soon, who
    is taken should wait no longer than at R, and both sizes should be refused alike.
    """
    port = _free_port()
    command = [sys.executable, "-m", "polyvigil", "serve", str(folder), "--port", str(port), "-q"]
    offer = _offer_by_hey if shutil.which("hey") else _offer_by_tasks
    with running(command, port):
        _closed_rate(port, 3.0)  # so that all is compiled
        rate = _closed_rate(port, seconds)
    longest = min(0.5, _CONNECTIONS / 2 / rate)
    results: dict[str, object] = {"rate": rate, "max_wait": longest}
    with running([*command, "--max-wait", f"{longest:.3f}"], port):
        offer(port, rate, 3.0)
        for times in (1, 10):
            results[f"x{times}"] = one = _overload_row(offer(port, times * rate, seconds))
            print(
                f"{times} times {rate:,.0f} requests/s, --max-wait {longest:.2g}:",
                ", ".join(f"{k} {v:,.3g}" for k, v in one.items()),
                flush=True,
            )
    return results


@dataclass(frozen=True, slots=True)
class Offered:
    """One request: its posts, what it got, seconds from when it was sent, and how late that was, if it is known."""

    posts: int
    status: int
    seconds: float
    late: float = float("nan")


_SIZES = (1, 64)
_CONNECTIONS = 200


def _closed_rate(port: int, seconds: float) -> float:
    """Requests per second of both sizes that eight clients have answered, each one after the other."""

    async def client(end: float, size: int) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answered = 0
        while time.monotonic() < end:
            writer.write(_request(size, answered))
            answered += (await _status(reader))[0] == 200
        writer.close()
        return answered

    async def clients() -> int:
        end = time.monotonic() + seconds
        return sum(await asyncio.gather(*(client(end, _SIZES[number % 2]) for number in range(8))))

    if shutil.which("hey"):
        return sum(one.status == 200 for one in _hey(port, 8, 0, seconds)) / seconds
    return asyncio.run(clients()) / seconds


def _offer_by_hey(port: int, rate: float, seconds: float) -> list[Offered]:
    return _hey(port, _CONNECTIONS, rate, seconds)


def _hey(port: int, connections: int, rate: float, seconds: float) -> list[Offered]:
    """Two of ``hey`` side by side, one for each size, with half of the connections; ``rate`` 0: as fast as they can."""
    with tempfile.TemporaryDirectory() as name:
        started = []
        for size in _SIZES:
            body = Path(name) / f"{size}.json"
            body.write_bytes(_request(size, 0).partition(b"\r\n\r\n")[2])
            command = ["hey", "-z", f"{seconds:g}s", "-c", str(connections // 2), "-q", f"{rate / connections:.4f}"]
            command += ["-m", "POST", "-T", "application/json", "-host", "localhost", "-o", "csv", "-D", str(body)]
            url = f"http://127.0.0.1:{port}/v1/score"
            started.append(subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True))
        outputs = [process.communicate()[0] for process in started]
    return [
        Offered(size, int(row["status-code"]), float(row["response-time"]))
        for size, output in zip(_SIZES, outputs, strict=True)
        for row in csv.DictReader(output.splitlines())
    ]


def _offer_by_tasks(port: int, rate: float, seconds: float) -> list[Offered]:
    return asyncio.run(_offer(port, rate, seconds))


async def _offer(port: int, rate: float, seconds: float) -> list[Offered]:
    """Poisson arrivals at ``rate`` requests per second, each on a connection of its own or on one that is free."""
    draws, free, seen = random.Random(0), [], list[Offered]()

    async def one(posts: int, number: int, due: float) -> None:
        sent = due
        try:
            reader, writer = free.pop() if free else await asyncio.open_connection("127.0.0.1", port)
            sent = time.perf_counter()
            writer.write(_request(posts, number))
            status, stays = await _status(reader)
            if stays:
                free.append((reader, writer))
            else:
                writer.close()
        except (ConnectionError, asyncio.IncompleteReadError):
            status = 0
        seen.append(Offered(posts, status, time.perf_counter() - sent, sent - due))

    started, due, number = time.perf_counter(), 0.0, 0
    tasks: list[asyncio.Task[None]] = []
    while due < seconds:
        due += draws.expovariate(rate)
        await asyncio.sleep(max(started + due - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one(_SIZES[number % 2], number, started + due)))
        number += 1
    await asyncio.gather(*tasks)
    for _, writer in free:
        writer.close()
    return seen


def _request(posts: int, number: int) -> bytes:
    text = f"these pills gave me a bad headache and I stopped taking them after {number} weeks"
    items = [{"id": f"{number}-{index}", "text": f"{text} {index}", "language": "en"} for index in range(posts)]
    body = json.dumps({"posts": items}).encode()
    return f"{_HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _status(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of the next response, and whether the connection stays."""
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    await reader.readexactly(int(answer.split(b"content-length: ")[1].split(b"\r\n")[0]))
    return int(answer[9:12]), b"connection: close" not in answer


def _overload_row(offered: list[Offered]) -> dict[str, float]:
    """Requests, shares and milliseconds of an open load."""

    def milliseconds(status: int, share: float) -> float:
        times = sorted(one.seconds for one in offered if one.status == status)
        return 1000 * times[int(share * len(times))] if times else float("nan")

    def refused(posts: int) -> float:
        return statistics.fmean(one.status == 429 for one in offered if one.posts == posts)

    late = sorted(one.late for one in offered if one.late == one.late)
    return {
        "requests": len(offered),
        "neither answered nor refused": sum(one.status not in (200, 429) for one in offered),
        **({"sent late p99 ms": 1000 * late[int(0.99 * len(late))]} if late else {}),
        "refused of 1 post": refused(1),
        "refused of 64 posts": refused(64),
        "refused p50 ms": milliseconds(429, 0.5),
        "refused p99 ms": milliseconds(429, 0.99),
        "answered p50 ms": milliseconds(200, 0.5),
        "answered p99 ms": milliseconds(200, 0.99),
    }


def kill(folder: Path) -> float:
    """Seconds from when the process that scores is killed until a readiness check succeeds again; 0 without one."""
    port = _free_port()
    with running([sys.executable, "-m", "polyvigil", "serve", str(folder), "--port", str(port), "-q"], port) as process:
        if not (children := _children(process.pid)):
            return 0.0
        os.kill(children[0], signal.SIGKILL)
        killed, statuses = time.monotonic(), list[int]()
        while 503 not in statuses or statuses[-1] != 200:
            statuses.append(asyncio.run(_ready(port)))
        seconds = time.monotonic() - killed
    print(f"the process that scores killed: ready again after {seconds:.1f} s, {Counter(statuses)[503]} checks said no")
    return seconds


async def _ready(port: int) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    status, _ = await _status(reader)
    writer.close()
    return status


def stops(folder: Path, rounds: int) -> dict[str, object]:
    """SIGTERM under the load of 32 clients: every answer is 200 or 503, and the exit code 0."""
    codes, statuses = Counter[int](), Counter[int]()
    for _ in range(rounds):
        port = _free_port()
        command = [sys.executable, "-m", "polyvigil", "serve", str(folder), "--port", str(port), "-q"]
        with running(command, port) as process:
            seen: list[tuple[int, float]] = []

            async def stopped(port: int = port, process: subprocess.Popen[bytes] = process) -> None:
                load = asyncio.create_task(_score_some(port, 32, time.monotonic() + 5, seen))  # noqa: B023
                await asyncio.sleep(1)
                process.send_signal(signal.SIGTERM)
                await load

            asyncio.run(stopped())
            codes[process.wait(30)] += 1
            statuses.update(status for status, _ in seen)
    print(f"SIGTERM {rounds} times: exit codes {dict(codes)}, answers {dict(statuses)} (0: not taken on)")
    return {"exit_codes": codes, "statuses": statuses}


def print_table(loads: list[Load]) -> None:
    """Requests per second and p99 of each server, medians over the rounds, and ratios to the others."""

    def median(server: str, clients: int, name: str) -> float:
        chosen = [getattr(load, name) for load in loads if (load.server, load.clients) == (server, clients)]
        return statistics.median(chosen)

    print(f"{'clients':>8} {'polyvigil':>20} {'fastapi':>20} {'litserve':>20} {'x fastapi':>10} {'x litserve':>10}")
    for clients in CLIENTS:
        rates = {server: median(server, clients, "requests") for server in ("polyvigil", "fastapi", "litserve")}
        cells = [f"{rate:,.0f}/s p99 {median(server, clients, 'p99'):,.0f} ms" for server, rate in rates.items()]
        ratios = [rates["polyvigil"] / rates[other] for other in ("fastapi", "litserve")]
        print(f"{clients:>8} " + " ".join(f"{cell:>20}" for cell in cells) + "".join(f"{r:>11.2f}" for r in ratios))


def _megabytes(pid: int) -> float:
    """Resident memory of a process and of those that it started."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6 + sum(map(_megabytes, _children(pid)))


def _children(pid: int) -> list[int]:
    """Processes that a process has started, by any of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for listed in lists for child in listed.read_text(encoding="ascii").split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
