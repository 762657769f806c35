"""How long a million scored posts take into a review store, how large it becomes, and how long reviewers wait beside.

    python benchmarks/review_import.py STORE [--posts 1000000] [--beside] [--minutes 0]

STORE is a new file or an empty database, postgresql://user@host/name. One row in ten is flagged. ``--beside``: twenty
people decide meanwhile, one decision a second each, in a store that has a hundred thousand tasks already; their waits
are printed, and what went wrong. They go on until ``--minutes`` are over. The file of posts is made in a temporary
folder first.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from polyvigil.config.review import ReviewSpec
from polyvigil.errors import ReviewError
from polyvigil.review.importing import add_file
from polyvigil.review.store import Store, open_store

_COLUMNS = "id,text,p,p_calibrated,decision,language,threshold,threshold_source,spread,flags,bundle"
_WORDS = "the pill gave me a headache all night and my doctor says it will pass in a week or two maybe".split()  # noqa: SIM905
PEOPLE = 20


def write_scored_posts(path: Path, n: int, *, flagged: float = 0.1, seed: int = 0) -> None:
    """Write ``n`` scored posts in seven languages as CSV, of which about the share ``flagged`` is flagged."""
    with path.open("w", encoding="utf-8") as stream:
        stream.write(_COLUMNS + "\n")
        stream.writelines(_lines(n, flagged, random.Random(seed), seed))


def _lines(n: int, flagged: float, chance: random.Random, seed: int) -> Iterator[str]:
    languages = ("de", "en", "es", "fa", "fr", "ja", "ru")
    for number in range(n):
        is_flagged = chance.random() < flagged
        p = 0.5 + chance.random() / 2 if is_flagged else chance.random() / 2.1
        text = " ".join(chance.choices(_WORDS, k=18))
        scores = f"{p:.6f},{p**2:.6f},{int(is_flagged)}"
        yield f"{seed}-{number},{text} {number},{scores},{languages[number % 7]},0.5,own,0.0,,0123456789abcdef\n"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store")
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--beside", action="store_true")
    parser.add_argument("--minutes", type=float, default=0.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_store(options.store, create=True) as store:
        scored = Path(folder) / "scored.csv"
        if options.beside:
            write_scored_posts(Path(folder) / "before.csv", 100_000, flagged=1.0, seed=1)
            add_file(store, Path(folder) / "before.csv", spec=ReviewSpec(audit=0))
        write_scored_posts(scored, options.posts)
        stop, waits, faults = threading.Event(), list[float](), Counter[str]()
        people = [
            threading.Thread(target=_review, args=(store, n, stop, waits, faults))
            for n in range(PEOPLE * options.beside)
        ]
        for thread in people:
            thread.start()
        started, worked, load = time.perf_counter(), time.process_time(), os.getloadavg()[0]
        result, _ = add_file(store, scored)
        spent, worked = time.perf_counter() - started, time.process_time() - worked
        time.sleep(max(60 * options.minutes - spent, 0))
        stop.set()
        for thread in people:
            thread.join()
    print(f"{result.posts:,} posts, {result.tasks:,} tasks in {spent:.1f} s: {result.posts / spent:,.0f} posts/s")
    print(f"{worked:.1f} s of CPU in this process, at a load of {load:.1f} before and {os.getloadavg()[0]:.1f} behind")
    if Path(options.store).is_file():
        print(f"{Path(options.store).stat().st_size / 1e6:,.0f} MB")
    if waits:
        waits.sort()
        print(
            f"{len(waits):,} decisions beside: {1000 * statistics.median(waits):.1f} ms median, "
            f"{1000 * waits[int(0.99 * len(waits))]:.1f} ms p99, {1000 * waits[-1]:.1f} ms at most; "
            f"{sum(faults.values())} went wrong {dict(faults) or ''}"
        )


def _review(store: Store, number: int, stop: threading.Event, waits: list[float], faults: Counter[str]) -> None:
    """One person: a decision a second, and the next posts. What goes wrong is counted, a locked database too."""
    person = store.add_person(f"person {number}")[0].id
    time.sleep(number / PEOPLE)
    cards = store.lease_next(person)
    while cards and not stop.wait(1.0):
        started = time.perf_counter()
        try:
            store.decide(person, cards[0].task, "ade", key=str(uuid.uuid4()))
            cards = store.lease_next(person)
        except (ReviewError, sa.exc.SQLAlchemyError) as error:
            faults[f"{type(error).__name__}: {str(error).splitlines()[0]}"] += 1
        waits.append(time.perf_counter() - started)


if __name__ == "__main__":
    main()
