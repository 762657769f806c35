"""Runs writing commands with ``--replace``, each time killed at one of its file-system calls. Prints JSON.

killer.py FOLDER KILLS, where FOLDER holds ``in`` (posts and two bundles, tests/cli/test_outputs.py). The processes that
are killed are forked, with all modules loaded: the calls that are counted are those of the command.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
from pathlib import Path

from polyvigil.bundle.verify import verify
from polyvigil.cli import main as program
from polyvigil.errors import BundleError

LINES = {
    "train": ("train linear --train in/train.csv --dev in/dev.csv -o {}", "b", "--seed 3"),
    "tune": ("tune in/bundle -o {}", "b", "--set decide.rule=argmax"),
    "ensemble": ("ensemble in/bundle in/other -o {}", "b", "--weights 1,0.5"),
    "judge": ("judge in/bundle --with in/other --dev in/dev.csv -o {}", "b", "--ask-at-most 0.2"),
    "report": ("report in/bundle -o {}", "r", "--budget 9"),
    "score": ("score in/bundle in/test.csv -o {} --part-posts 40", "s.csv", "--evidence"),
    "score folder": ("score in/bundle in/test.csv -o {} --output-format csv --part-posts 40", "s", "--evidence"),
    "explain": ("explain in/bundle in/few.csv -o {}", "e.jsonl", "--flagged-only"),
    "submit": ("submit in/bundle in/test.csv -o {}", "s.zip", "--column text=split"),
    "augment": ("augment translate in/train.csv -o {} --to fa --mapping arabic", "fa.csv", "--max 9"),
}
"""Command line, the output's name, and what was different when the older output was made."""
ENCODER_LINES = {
    "export": ("export in/encoder in/encoder_dev.csv -o {} --to bf16 --device cpu", "b", "--to int8"),
    "adapt": (
        "adapt in/model --posts in/encoder_train.csv -o {} --set adapt.epochs=1 --set model.max_tokens=24 --offline "
        "--device cpu",
        "m",
        "--set adapt.learning_rate=0.01",
    ),
}
"""The same of those that need torch."""
TIMED = {"_manifest.json", "adaptation.json"}
"""Files that hold a time."""
EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "os.chmod", "ctypes.dlsym"}


def _child(line: list[str], at: int) -> int:
    """Run a command line in a process that is killed at its ``at``-th call that changes a file, 0: never; its calls."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        calls = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal calls
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in EVENTS or writes:
                calls += 1
                if calls == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.addaudithook(hook)
        code = program.run([*line, "-q", "--json"])
        os.write(writing, json.dumps([code, calls]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    code, calls = json.loads(said) if said else (0, 0)
    assert code == 0, line
    return int(calls)


def contents(path: Path) -> str:
    """A hash of a file, or of a folder's files; of a bundle, which holds a time, its id, once it is verified."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        return verify(path).id
    except BundleError:
        files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(path.rglob("*.*"))}
        return json.dumps({name: files[name] for name in files if name not in TIMED}) if files else "nothing"


def lines() -> dict[str, tuple[str, str, str]]:
    """The command lines that can run here; what those with an encoder import is loaded."""
    try:
        import transformers  # noqa: F401

        from polyvigil.nn import int8
    except ImportError:
        return LINES
    return LINES | ENCODER_LINES if int8._works() else LINES


def inputs() -> dict[str, str]:
    return {str(file): contents(file) for file in sorted(Path("in").rglob("*")) if file.is_file()}


def main(folder: Path, kills: int) -> dict[str, object]:
    os.chdir(folder)
    program.run(["score", "in/bundle", "in/few.csv", "-o", "warm.csv", "-q", "--json"])
    program.run(["explain", "in/bundle", "in/few.csv", "-o", "warm.jsonl", "-q", "--json"])
    before, chance, runs = inputs(), random.Random(11), {}
    for number, (name, (line, output, older)) in enumerate((chosen := lines()).items()):
        shutil.rmtree("out", ignore_errors=True)
        Path("out").mkdir()
        arguments = line.format(f"out/{output}").split()
        _child([*arguments, *older.split()], 0)
        old = contents(Path("out") / output)
        shutil.copytree("out", "kept", dirs_exist_ok=True)
        calls = _child([*arguments, "--replace"], 0)
        new = contents(Path("out") / output)
        assert calls > 0, name
        assert new != old, name
        here = kills // len(chosen) + (number < kills % len(chosen))
        seen = {"old": 0, "new": 0}
        for _ in range(here):
            shutil.rmtree("out")
            shutil.copytree("kept", "out")
            at = chance.randint(1, calls)
            _child([*arguments, "--replace"], at)
            left = contents(Path("out") / output)
            assert left in {old, new}, (name, at)
            seen["new" if left == new else "old"] += 1
            assert inputs() == before, (name, at)
        shutil.rmtree("kept")
        runs[name] = {"calls": calls, "kills": here, **seen}
    return runs


if __name__ == "__main__":
    answer = main(Path(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
