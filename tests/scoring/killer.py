"""Scores a file again and again, each time killed at a random instant and resumed until it is done. Prints JSON.

killer.py BUNDLE POSTS.csv FOLDER KILLS

The processes that are killed are forked, with the bundle loaded: the time before an instant is all spent on scoring.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

from polyvigil.bundle.store import Bundle, load
from polyvigil.config.score import ScoreSpec
from polyvigil.scoring.batch import score_files
from polyvigil.scoring.engine import ThisProcess

HOW = ScoreSpec(part_posts=100)
OUTPUTS = ("o.csv", "o.parquet", "o.jsonl.gz", "folder/")


def run(bundle: Bundle, source: str, output: str) -> int:
    """A process that scores, or goes on with it; its id."""
    child = os.fork()
    if not child:
        status = 1
        try:
            score_files(ThisProcess(bundle), [source], output, spec=HOW, resume=True)
            status = 0
        finally:
            os._exit(status)
    return child


def found(folder: Path) -> dict[str, str]:
    """Every file there, by its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main(bundle_folder: str, source: str, folder: Path, kills: int) -> dict[str, object]:
    bundle, chance = load(bundle_folder), random.Random(5)
    done, resumed, runs = 0, 0, []
    place, took = 0, 0.0
    while done < kills or (not resumed and done < 10 * kills):  # one of them at least between two parts
        name = OUTPUTS[place % len(OUTPUTS)]
        place += 1
        here = folder / "out"
        os.chdir(folder)
        unbroken = []
        for killing in (False, True):
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            started, patience = time.monotonic(), 0.7
            while True:
                child = run(bundle, source, f"out/{name}")
                if killing:
                    time.sleep(chance.random() * took * patience)  # took: by the unbroken run before
                    patience *= 1.1  # a machine that has become slower must get to the end too
                    os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                if os.WIFEXITED(status):
                    assert os.WEXITSTATUS(status) == 0
                    break
                done += 1
                resumed += any((here / f"{name.rstrip('/')}.work" / "records").glob("part*"))
            took = time.monotonic() - started
            unbroken.append(found(here))
        runs.append({"output": name, "same": unbroken[0] == unbroken[1], "files": len(unbroken[1])})
    return {"kills": done, "resumed": resumed, "runs": runs}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))) + "\n")
