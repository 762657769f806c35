"""Kill a process in which twenty people decide, again and again: is every acknowledged decision in the store?

    python benchmarks/review_crash.py STORE [--rounds 100] [--people 20]

STORE is a new file or an empty database, postgresql://user@host/name. In each round a process opens the store as its
server and decides, undoes and puts off from as many threads as there are people; what is acknowledged is written to a
pipe. After a random number of events and a random time it gets SIGKILL. Then each acknowledged event must be in the log
with its key and task, no pair of task and reviewer twice, and the chain and the replay must hold.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from polyvigil.errors import ReviewError
from polyvigil.review.schema import event
from polyvigil.review.store import Store, open_store
from polyvigil.review.verify import verify

_READY = "ready"


@dataclass(frozen=True, slots=True)
class Round:
    """What one kill left: how many events had been acknowledged, which of them are gone, what verifying says."""

    acknowledged: int
    lost: tuple[str, ...]
    breaks: tuple[str, ...]


def fill_store(location: str, *, posts: int, people: int) -> None:
    """Make a store with so many flagged posts, some of which two people read, and people."""
    from benchmarks.review_import import write_scored_posts

    from polyvigil.config.review import ReviewSpec
    from polyvigil.review.importing import add_file

    with tempfile.TemporaryDirectory() as folder, open_store(location, create=True) as store:
        write_scored_posts(Path(folder) / "scored.csv", posts, flagged=1.0)
        add_file(store, Path(folder) / "scored.csv", spec=ReviewSpec(audit=0, double=0.2, blind_share=0.3))
        for number in range(people):
            store.add_person(f"person {number}")


def crash_round(location: str, *, people: int, after: int, seconds: float = 0.0) -> Round:
    """One process, killed ``seconds`` after it has acknowledged ``after`` events; then the store is looked at."""
    command = [sys.executable, "-m", "benchmarks.review_crash", location, "--people", str(people), "--decide"]
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', root / 'src')}"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == _READY
    lines = [process.stdout.readline() for _ in range(after)]
    threading.Timer(seconds, process.send_signal, [signal.SIGKILL]).start()
    lines += process.stdout
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    with open_store(location) as store, store.read() as connection:
        stored = {row.seq: row for row in connection.execute(sa.select(event.c.seq, event.c.task, event.c.key))}
        lost = [
            seq
            for seq, number, key in acknowledged
            if int(seq) not in stored or (str(stored[int(seq)].task), stored[int(seq)].key) != (number, key)
        ]
        breaks = verify(connection, store=store.id, mac_key=store.mac_key).breaks
    return Round(len(acknowledged), tuple(lost), breaks)


def _decide(store: Store, person: int) -> None:
    """One person: decides for ever, takes back one in ten, puts off one in ten; each acknowledged event is a line."""
    chance = random.Random(os.getpid() * 1000 + person)
    while True:
        cards = store.lease_next(person, n=2)
        if not cards:
            return
        for card in cards:
            key, verdict = str(uuid.uuid4()), chance.choice(("ade", "not", "not", "unsure"))
            try:
                if chance.random() < 0.1:
                    done = store.later(person, card.task, key=key)
                else:
                    done = store.decide(person, card.task, verdict, key=key, seconds=chance.random())
                _acknowledge(done.seq, done.task, key)
                if chance.random() < 0.1:
                    key = str(uuid.uuid4())
                    done = store.undo(person, key=key)
                    _acknowledge(done.seq, done.task, key)
            except ReviewError:
                continue


def _acknowledge(seq: int, number: int | None, key: str) -> None:
    os.write(1, f"{seq} {number} {key}\n".encode())  # one write, so that lines of threads never mix


def _serve(location: str, people: int) -> None:
    with open_store(location, server=True) as store:
        print(_READY, flush=True)
        threads = [threading.Thread(target=_decide, args=(store, person)) for person in range(1, people + 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def main() -> None:
    """Run the rounds, and print what was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--decide", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.decide:
        _serve(options.store, options.people)
        return
    fill_store(options.store, posts=40_000, people=options.people)
    chance, rounds, started = random.Random(1), [], time.perf_counter()
    for number in range(options.rounds):
        after, seconds = chance.randrange(100), chance.random() * 0.2
        rounds.append(crash_round(options.store, people=options.people, after=after, seconds=seconds))
        if rounds[-1].lost or rounds[-1].breaks:
            print(f"round {number}: {rounds[-1]}")
    print(
        f"{options.rounds} kills in {time.perf_counter() - started:.0f} s: {sum(one.acknowledged for one in rounds):,} "
        f"acknowledged, {sum(len(one.lost) for one in rounds)} lost, {sum(len(one.breaks) for one in rounds)} breaks"
    )


if __name__ == "__main__":
    main()
