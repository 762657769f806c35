"""Two people decide posts by keyboard; one is killed in the middle, one is offline for a minute: is anything lost?

    python benchmarks/review_two_people.py [--posts 200] [--offline 60] [--pace 0.3]

``polyvigil review open`` serves a new store as a process of its own. Each person is a process with a headless Chromium
of their own (playwright) and presses real keys, a verdict for each post by its number. Ana's processes, the browser
among them, are killed by SIGKILL while she decides, and she begins again by her link; Bo's network is off for so many
seconds, in which he goes on as long as posts lie in his page. At the end each post must have one decision, the right
one; each one that the server has acknowledged must stand in the log as it was acknowledged; and the chain must verify.
Exit 1 where one of these does not hold. Waits from key to next post are read in the page while both decide.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from playwright.sync_api import sync_playwright

from polyvigil.review.schema import event, task
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify
from review_pages import fill, find_chromium, served, summary

_LATEST = 900.0
"""Seconds after which a run has failed."""
_MEASURE = """() => {
  window.waits = [];
  const shown = () => document.getElementById("card").hidden ? "" : document.getElementById("text").textContent;
  document.addEventListener("keydown", () => {
    const before = shown(), began = performance.now();
    const look = () => {
      if (!shown() || !navigator.onLine) return;
      if (shown() === before) requestAnimationFrame(look);
      else window.waits.push(performance.now() - began);
    };
    requestAnimationFrame(look);
  }, true);
}"""


def verdict_of(number: int) -> str:
    """What both people think of a post."""
    return "ade" if number % 2 else "not"


def review(link: str, url: str, pipe: Connection, *, offline_after: int, offline: float, pace: float) -> None:
    """One person in a browser, until nothing is left. Sends each acknowledged decision, and the waits at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        tab = context.new_page()
        tab.on("response", lambda answer: _report(answer, pipe))
        tab.goto(link)
        tab.wait_for_url(url + "/")
        tab.goto(url + "/post")
        tab.evaluate(_MEASURE)
        pressed, back_at = 0, 0.0
        while not (tab.is_visible("#nothing") and _unsent(tab) == 0):
            if offline_after and pressed >= offline_after and not back_at:
                context.set_offline(True)
                back_at = time.monotonic() + offline
            if back_at and time.monotonic() >= back_at:
                if offline:
                    pipe.send(("unsent", _unsent(tab)))
                    context.set_offline(False)
                back_at, offline = float("inf"), 0.0
            if tab.is_visible("#card"):
                number = int(tab.inner_text("#meta [data-field=source_id]").removeprefix("post-"))
                tab.keyboard.press("a" if verdict_of(number) == "ade" else "x")
                pressed += 1
            tab.wait_for_timeout(1000 * pace)
        pipe.send(("waits", tab.evaluate("window.waits")))
        browser.close()


def _report(answer: Any, pipe: Connection) -> None:
    """Send a decision that the server has acknowledged: its event's seq and its task."""
    if answer.url.endswith("/decide") and answer.status == 200:
        with contextlib.suppress(Exception):  # the browser ends meanwhile: then nobody has read the answer
            seq = answer.json()["data"]["seq"]
            pipe.send(("acknowledged", (seq, json.loads(answer.request.post_data)["task"])))


def _unsent(tab: Any) -> int:
    return len(json.loads(tab.evaluate("Object.values(sessionStorage)[0] || '[]'")))


class Person:
    """A process that reviews, and what it has sent."""

    def __init__(self, link: str, url: str, *, offline_after: int = 0, offline: float = 0.0, pace: float) -> None:
        methods = get_context("spawn")
        self._pipe, theirs = methods.Pipe()
        options = {"offline_after": offline_after, "offline": offline, "pace": pace}
        self.process: BaseProcess = methods.Process(target=review, args=(link, url, theirs), kwargs=options)
        self.process.start()
        theirs.close()
        self.acknowledged: list[tuple[int, int]] = []
        self.waits: list[float] = []
        self.unsent = 0

    def read(self) -> None:
        """Take what was sent so far."""
        with contextlib.suppress(EOFError, ConnectionError):
            while self._pipe.poll():
                kind, value = self._pipe.recv()
                if kind == "acknowledged":
                    self.acknowledged.append(value)
                else:
                    setattr(self, kind, value)

    def kill(self) -> None:
        """SIGKILL the process and its browser at the same moment."""
        assert self.process.pid
        for number in [*_descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self.process.join()
        self.read()


def _descendants(pid: int) -> list[int]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, new = list[int](), [pid]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def _wait(people: list[Person], until: Any, deadline: float) -> None:
    while not until():
        for person in people:
            person.read()
        if time.monotonic() > deadline:
            raise TimeoutError(f"not done in {_LATEST:.0f} s")
        time.sleep(0.05)


def run(store: Store, document: dict[str, Any], *, n: int, offline: float, pace: float) -> dict[str, Any]:
    """Both review the store's posts; what was acknowledged, and the waits."""
    url, deadline = document["url"], time.monotonic() + _LATEST
    links = {name: f"{url}/sign-in#{store.add_person(name)[1]}" for name in ("ana", "bo")}
    ana = Person(links["ana"], url, pace=pace)
    bo = Person(links["bo"], url, offline_after=n // 10, offline=offline, pace=pace)
    people = [ana, bo]
    try:
        _wait(people, lambda: len(ana.acknowledged) >= n // 4, deadline)
        ana.kill()
        people.append(Person(links["ana"], url, pace=pace))
        _wait(people, lambda: not any(person.process.is_alive() for person in people), deadline)
    finally:
        for person in people:
            if person.process.is_alive():
                person.kill()
            person.read()
    return {
        "acknowledged": [one for person in people for one in person.acknowledged],
        "by person": {"ana, until killed": len(ana.acknowledged), "ana again": len(people[2].acknowledged)}
        | {"bo": len(bo.acknowledged)},
        "unsent when back online": bo.unsent,
        "waits": [wait for person in people for wait in person.waits],
    }


def problems(store: Store, acknowledged: list[tuple[int, int]], n: int) -> Iterator[str]:
    """What was lost, changed or doubled."""
    with store.read() as connection:
        rows = connection.execute(sa.select(event.c.seq, event.c.task, event.c.body).where(event.c.kind == "decide"))
        logged = {row.seq: (row.task, json.loads(row.body)["verdict"]) for row in rows}
        states = Counter(connection.execute(sa.select(task.c.state)).scalars())
        if not verify(connection, store=store.id, mac_key=store.mac_key).is_whole:
            yield "the chain does not verify"
    counts = Counter(number for number, _ in logged.values())
    for number in range(1, n + 1):
        if counts[number] != 1:
            yield f"task {number} was decided {counts[number]} times"
    yield from (f"task {number} was changed" for number, verdict in logged.values() if verdict != verdict_of(number))
    for seq, number in acknowledged:
        if seq not in logged or logged[seq][0] != number:
            yield f"event {seq} was acknowledged and is lost"
    if states != {"done": n}:
        yield f"states of tasks: {dict(states)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=200)
    parser.add_argument("--offline", type=float, default=60.0, help="seconds")
    parser.add_argument("--pace", type=float, default=0.3, help="seconds between two keys of a person")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.db"
        with open_store(path, create=True) as store:
            fill(store, options.posts)
        started, load = time.monotonic(), os.getloadavg()[0]
        with served(path) as document, open_store(path) as store:
            result = run(store, document, n=options.posts, offline=options.offline, pace=options.pace)
            wrong = list(problems(store, result["acknowledged"], options.posts))
    result |= {"acknowledged": len(result["acknowledged"]), "key to next post (ms)": summary(result.pop("waits"))}
    result |= {"seconds": round(time.monotonic() - started), "wrong": wrong}
    print(json.dumps(result, indent=1))
    print(f"{datetime.now(UTC):%Y-%m-%d}, load {load:.1f} before, {platform.processor() or platform.machine()}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
