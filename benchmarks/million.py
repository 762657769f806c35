"""Commands that read a whole file of labelled posts, at a million rows: processor and wall time, peak memory, silence.

    python benchmarks/million.py [POSTS.csv] [--posts 1000000] [--only evaluate tune] [--work FOLDER]

The posts are synthetic: those of POSTS.csv (which needs a split column), or of the sample corpus, joined two by two and
misspelt as linear_scale.py does it. Two linear bundles are trained on the training posts as they are, and every command
is given the million. Memory is the process's largest resident size; silence the longest time without a line on stderr,
its first one included. ``--work`` keeps files and bundles for a next run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from linear_scale import spliced
from polyvigil.data.read import read_labelled
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import COLUMNS, csv_text, write_posts
from polyvigil.types import LabelledPost

COMMANDS = {
    "score": "score BUNDLE POSTS -o scored.csv",
    "check": "check POSTS",
    "evaluate": "evaluate BUNDLE POSTS",
    "evaluate --by": "evaluate BUNDLE POSTS --by type",
    "report": "report BUNDLE POSTS -o report",
    "tune": "tune BUNDLE POSTS -o tuned",
    "compare": "compare BUNDLE OTHER POSTS",
    "submit": "submit BUNDLE POSTS -o submission.csv",
    "audit shortcuts": "audit shortcuts BUNDLE POSTS",
    "audit drift": "audit drift BUNDLE OTHER POSTS",
    "audit similarity": "audit similarity BUNDLE POSTS",
    "audit augmentation": "audit augmentation BUNDLE OTHER POSTS",
    "audit truncation": "audit truncation BUNDLE POSTS",
}
_ENDS = (0, 3)
"""Exit codes of a command that did its work; 3: a gate said no."""


@dataclass(frozen=True, slots=True)
class Run:
    """One command. ``seconds`` on the wall, ``cpu`` seconds, ``megabytes`` at the most; ``silence`` in seconds."""

    name: str
    seconds: float
    cpu: float
    megabytes: float
    silence: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="labelled posts with a split column")
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--work", help="a folder for files and bundles, which is kept")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.work or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder, arguments.source, arguments.posts)
        print(f"{arguments.posts:,} synthetic posts, {(folder / 'posts.csv').stat().st_size / 1e6:,.0f} MB\n")
        print("| command | CPU s | wall s | peak memory, MB | longest silence, s |\n|---|---|---|---|---|")
        for name in arguments.only:
            run = measured(name, folder)
            cells = (run.name, *(f"{value:,.0f}" for value in (run.cpu, run.seconds, run.megabytes)))
            print(f"| {' | '.join(cells)} | {run.silence:.1f} |", flush=True)


def prepare(folder: Path, source: str | None, n_posts: int) -> None:
    """The files and the two bundles, those apart that are there already."""
    items = read_labelled(source).posts if source else sample_corpus()
    for split in ("train", "dev"):
        if not (path := folder / f"{split}.csv").exists():
            write_posts(path, [item for item in items if item.post.split == split])
    if not (posts := folder / "posts.csv").exists():
        with posts.open("w", encoding="utf-8") as stream:
            stream.write(csv_text([COLUMNS]))
            made = spliced([item for item in items if item.post.split == "test"], n_posts, seed=3)
            while some := list(islice(made, 50_000)):
                stream.write(csv_text(_rows(some)))
    for name, seed in (("bundle", "1"), ("other", "2")):
        if not (folder / name).exists():
            files = ["--train", str(folder / "train.csv"), "--dev", str(folder / "dev.csv")]
            further = ["--set", "model.skip_words=0"] if name == "other" else []
            line = ["train", "linear", *files, *further, "--seed", seed, "-o", str(folder / name), "-q"]
            subprocess.run([sys.executable, "-m", "polyvigil", *line], check=True, stdout=subprocess.DEVNULL)


def _rows(items: Sequence[LabelledPost]) -> list[tuple[object, ...]]:
    posts = ((item.post, item.label) for item in items)
    return [(p.id, p.text, label, "synthetic", p.type, p.language, "test", "") for p, label in posts]


def measured(name: str, folder: Path) -> Run:
    """Run one command in a folder of its own. Raises SystemExit where it fails."""
    paths = {"BUNDLE": folder / "bundle", "OTHER": folder / "other", "POSTS": folder / "posts.csv"}
    words = [str(paths.get(word, word)) for word in COMMANDS[name].split()]
    with tempfile.TemporaryDirectory(dir=folder) as outputs, (folder / "log.txt").open("wb") as log:
        started = time.perf_counter()
        command = [sys.executable, "-m", "polyvigil", *words]
        process = subprocess.Popen(command, cwd=outputs, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        spoken = [started]
        for line in process.stderr:
            spoken.append(time.perf_counter())
            log.write(line)
        _, status, usage = os.wait4(process.pid, 0)
        spoken.append(time.perf_counter())
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in _ENDS:
        raise SystemExit(f"{name} ended with {process.returncode}; see {folder / 'log.txt'}")
    silence = max(after - before for before, after in pairwise(spoken))
    return Run(name, spoken[-1] - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, silence)


if __name__ == "__main__":
    main()
