"""SIGTERM and SIGHUP do what Ctrl-C does: finished parts kept, the way to go on printed, exit code 143 or 129."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from polyvigil.scoring.work import locked

Ran = Callable[..., tuple[int, str, str]]
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def _begun(*arguments: object, cwd: Path) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "polyvigil", *map(str, arguments)]
    return subprocess.Popen(line, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def _wait_for(path: Path, process: subprocess.Popen[bytes], pattern: str) -> None:
    until = time.monotonic() + 60
    while not any(path.glob(pattern)):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("number", CODES)
def test_scoring_keeps_its_parts(
    ran: Ran,
    bundle_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    processes: int,
) -> None:
    """The whole group gets the signal, as from a terminal or a service manager."""
    (tmp_path / "i.csv").write_text("id,text,language\n" + "".join(f"{n},pills {n} hurt,en\n" for n in range(20_000)))
    arguments = ("score", bundle_folder, "i.csv", "-o", "o.csv", "--part-posts", "500")
    arguments += ("--processes", processes) if processes > 1 else ()  # type: ignore[assignment]
    process = _begun(*arguments, cwd=tmp_path)
    _wait_for(tmp_path / "o.csv.work", process, "records/part-*.json")
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == CODES[number], err
    assert b"Traceback" not in err
    (hint,) = [line for line in err.decode().splitlines() if "go on with: polyvigil score" in line]
    assert list((tmp_path / "o.csv.work" / "records").glob("part-*.json"))
    assert not (tmp_path / "o.csv").exists()
    resumed = shlex.split(hint.partition("go on with: ")[2])[1:]
    assert "--resume" in resumed
    monkeypatch.chdir(tmp_path)
    code, out, err_again = ran(*resumed, "--json")
    assert code == 0, err_again
    assert json.loads(out)["data"]["posts"] == 20_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_translating_keeps_what_is_done(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """A command without parts of its own: the line printed goes on from what is kept."""
    program = (
        "import os, sys; from polyvigil.augment.mapping import Mapping; from polyvigil.cli import main\n"
        "plain = Mapping.translate; calls = []\n"
        "def translate(self, texts, *, source, target):\n"
        "    calls.append(1)\n"
        f"    if len(calls) == 3: os.kill(os.getpid(), {int(number)})\n"
        "    return plain(self, texts, source=source, target=target)\n"
        "Mapping.translate = translate\n"
        "main.main(sys.argv[1:])\n"
    )
    rows = "".join(f"{n},post {'abcdefghij'[n % 10] * (1 + n % 7)} hurts,{n % 2},en\n" for n in range(60))
    (tmp_path / "i.csv").write_text("id,text,label,language\n" + rows)
    line = [
        "augment",
        "translate",
        "i.csv",
        "-o",
        "fa.csv",
        "--to",
        "fa",
        "--mapping",
        "arabic",
        "--batch-tokens",
        "100",
    ]
    done = subprocess.run([sys.executable, "-c", program, *line], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == CODES[number], done.stderr
    assert b"go on with: polyvigil augment translate i.csv" in done.stderr
    assert (tmp_path / "fa.csv.translations.jsonl").stat().st_size
    assert not (tmp_path / "fa.csv").exists()
    monkeypatch.chdir(tmp_path)
    assert ran(*line)[0] == 0


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from polyvigil.cli import main, recipes\n"
        "from polyvigil.cli.signals import interrupted_by_signals\n"
        "with interrupted_by_signals(): os.kill(os.getpid(), signal.SIGHUP)\n"
        "main.main(['recipes'])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["link", "file", "pipe", "folder"])
def test_a_lock_harms_no_file_of_its_name(tmp_path: Path, kind: str) -> None:
    from polyvigil.errors import DataError

    lock, mine = tmp_path / ".o.csv.work.lock", tmp_path / "mine.txt"
    mine.write_text("the only copy")
    if kind == "link":
        lock.symlink_to(mine)
    elif kind == "file":
        os.link(mine, lock)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(DataError, match="is no lock file of ours; move it away"), locked(tmp_path / "o.csv.work"):
        pass
    assert mine.read_text() == "the only copy"
    assert lock.exists()
