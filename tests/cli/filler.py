"""Runs writing commands with ``--replace`` on a disk that is full before they are done. Prints JSON.

``unshare -rm python filler.py FOLDER POINTS``, where FOLDER holds ``in`` (posts and two bundles, tests/cli/
test_outputs.py). The disk is a real one in memory, mounted on ``out``, of a size drawn between what the older output
takes and what all takes that is written while it stands. Every run that fails must name a file there and what to do,
and leave the older output whole.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from killer import contents, inputs, lines

from polyvigil.cli import main as program

_ROOM = 1 << 28
_PAGE = 4096


def _mount(*, size: int, again: bool = False) -> None:
    """Mount an empty disk on ``out``, or change the size of the one there."""
    options = f"{'remount,' if again else ''}size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", "out"], check=True)


def _unmount() -> None:
    subprocess.run(["umount", "-l", "out"], check=True)


def _used() -> int:
    status = os.statvfs("out")
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def _child(line: list[str]) -> tuple[int, dict[str, Any]]:
    """The exit code of a command line, run in a process of its own, and its document."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if not child:
            os.dup2(said.fileno(), 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            code = program.run([*line, "-q", "--json"])
            sys.stdout.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        said.seek(0)
        return os.waitstatus_to_exitcode(status), json.loads(said.read() or b"{}")


def main(folder: Path, points: int) -> dict[str, object]:
    os.chdir(folder)
    Path("out").mkdir(exist_ok=True)
    program.run(["score", "in/bundle", "in/few.csv", "-o", "warm.csv", "-q", "--json"])
    program.run(["explain", "in/bundle", "in/few.csv", "-o", "warm.jsonl", "-q", "--json"])
    before, chance, runs = inputs(), random.Random(13), {}
    for number, (name, (line, output, older)) in enumerate((chosen := lines()).items()):
        here = points // len(chosen) + (number < points % len(chosen))
        if not here:
            continue
        arguments, path = line.format(f"out/{output}").split(), Path("out") / output
        _mount(size=_ROOM)
        assert _child([*arguments, *older.split()])[0] == 0, name
        shutil.copytree("out", "kept")
        old, least = contents(path), _used()
        assert _child([*arguments, "--replace"])[0] == 0, name
        new, most = contents(path), least + _used() + 4 * _PAGE
        assert new != old, name
        _unmount()
        seen = {"full": 0, "enough": 0}
        for _ in range(here):
            _mount(size=_ROOM)
            shutil.copytree("kept", "out", dirs_exist_ok=True)
            size = chance.randrange(least, most, _PAGE)
            _mount(size=size, again=True)
            code, document = _child([*arguments, "--replace"])
            _mount(size=_ROOM, again=True)
            left = contents(path)
            if code:
                error = document["error"]
                assert code == 1, (name, size, document)
                assert "out/" in error["where"], (name, size, document)
                assert "free some" in error["hint"], (name, size, document)
                assert left == old, (name, size)
                beside = {item.name for item in Path("out").iterdir()} - {item.name for item in Path("kept").iterdir()}
                assert all(item.startswith(f"{output}.") for item in beside), (name, size, beside)
            else:
                assert left == new, (name, size)
            seen["full" if code else "enough"] += 1
            assert inputs() == before, (name, size)
            _unmount()
        shutil.rmtree("kept")
        runs[name] = {"points": here, **seen}
    return runs


if __name__ == "__main__":
    answer = main(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
