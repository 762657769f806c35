"""Several processes: the bytes of one process; a killed one is replaced; errors and Ctrl-C come through."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.scoring.conftest import HOW, children, wait_for

from polyvigil.bundle.store import Bundle
from polyvigil.config.data import DataSpec
from polyvigil.config.score import ScoreSpec
from polyvigil.data.inputs import find_inputs
from polyvigil.errors import BundleError, DataError, ScoringError
from polyvigil.scoring.batch import score_files
from polyvigil.scoring.facts import output_facts
from polyvigil.scoring.plan import Target, plan, work_items
from polyvigil.scoring.pool import Processes, load_as


def test_two_processes_write_the_bytes_of_one(bundle_folder: Path, many: Path, alone: Path, tmp_path: Path) -> None:
    told: list[float | None] = []
    engine = Processes.of(str(bundle_folder), count=2, device="cpu")
    score_files(
        engine, [str(many)], str(tmp_path / "o.jsonl"), spec=HOW, progress=lambda _, __, share: told.append(share)
    )
    assert (tmp_path / "o.jsonl").read_bytes() == (alone / "o.jsonl").read_bytes()
    assert (tmp_path / "o.jsonl.rejects.jsonl").read_bytes() == (alone / "o.jsonl.rejects.jsonl").read_bytes()
    ours, theirs = (json.loads((f / "o.jsonl.manifest.json").read_text()) for f in (tmp_path, alone))
    for manifest in (ours, theirs):
        del manifest["output"], manifest["outputs"][0]["path"], manifest["rejects"]
    assert ours == theirs
    assert told[-1] == 1.0


def test_only_large_inputs_are_split(bundle: Bundle, many: Path) -> None:
    job = plan(
        bundle.id, output_facts(bundle), find_inputs([str(many)]).files, Target.of("o.csv"), data=DataSpec(), spec=HOW
    ).job
    found = [(stretch.input, stretch.whole, stretch.part, stretch.last) for stretch in work_items(job, workers=2)]
    assert found == [(0, False, part, part == 7) for part in range(8)] + [(1, True, 0, False), (2, True, 0, False)]
    assert sum(stretch.bytes for stretch in work_items(job, workers=2)) == sum(facts.bytes for facts in job.inputs)
    assert [stretch.whole for stretch in work_items(job, workers=1)] == [True] * 3


def test_a_killed_process_loses_and_doubles_nothing(
    bundle_folder: Path, many: Path, alone: Path, tmp_path: Path
) -> None:
    line = [sys.executable, "-m", "polyvigil", "score", str(bundle_folder), str(many), "-o", str(tmp_path / "o.jsonl")]
    process = subprocess.Popen([*line, "--part-posts", "2000", "--processes", "2"], stderr=subprocess.PIPE)
    records = tmp_path / "o.jsonl.work" / "records"
    wait_for(lambda: len(list(records.glob("part*"))) >= 2)
    for child in children(process.pid)[:1]:
        os.kill(child, signal.SIGKILL)
    _, messages = process.communicate(timeout=120)
    assert process.returncode == 0, messages
    assert (tmp_path / "o.jsonl").read_bytes() == (alone / "o.jsonl").read_bytes()


def test_killing_the_first_process_ends_all(bundle_folder: Path, many: Path, alone: Path, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "polyvigil", "score", str(bundle_folder), str(many), "-o", str(tmp_path / "o.jsonl")]
    line += ["--part-posts", "2000", "--processes", "2"]
    process = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    records = tmp_path / "o.jsonl.work" / "records"
    wait_for(lambda: len(list(records.glob("part*"))) >= 2)
    below = children(process.pid)
    assert len(below) == 2
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{child}/cmdline").exists() and _alive(child) for child in below))
    # Ctrl-C: the parts in work are finished, and the command to go on with is told.
    process = subprocess.Popen([*line, "--resume"], stderr=subprocess.PIPE, text=True, start_new_session=True)
    before = len(list(records.glob("part*")))
    wait_for(lambda: len(list(records.glob("part*"))) > before)
    os.killpg(process.pid, signal.SIGINT)
    _, messages = process.communicate(timeout=120)
    if process.returncode:  # else it was done before the signal came
        assert process.returncode == 130
        assert "finished parts are kept in" in messages
        assert re.search(r"go on with: polyvigil score .* --processes 2 .* --resume\n", messages)
    subprocess.run([*line, "--resume"], check=True, capture_output=True)
    assert (tmp_path / "o.jsonl").read_bytes() == (alone / "o.jsonl").read_bytes()
    assert not list(tmp_path.glob("*.work"))


def test_errors_of_workers_are_raised(bundle_folder: Path, many: Path, tmp_path: Path) -> None:
    shutil.copytree(many, tmp_path / "many")
    engine = Processes.of(str(bundle_folder), count=2, device="cpu")
    strict = ScoreSpec(part_posts=2000, on_error="fail")
    with pytest.raises(DataError, match=r"a\.csv:\d+: column \"language\": 'no language' is not a language; use"):
        score_files(engine, [str(tmp_path / "many")], str(tmp_path / "o.csv"), spec=strict)
    with pytest.raises(DataError, match="standard input and output are for one process"):
        score_files(engine, [str(many)], "-")
    with pytest.raises(BundleError, match="was replaced by another since the job began; score everything anew"):
        load_as(str(bundle_folder), "0" * 16, device="cpu")
    with pytest.raises(BundleError, match="no such folder"):
        Processes.of(str(tmp_path / "nope"), count=2)


def test_a_part_that_ends_every_process_ends_the_run(
    bundle_folder: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyvigil.scoring.pool._serve", _die)
    with pytest.raises(ScoringError, match=r"3 processes ended while they scored this, the last with exit code 9"):
        score_files(Processes.of(str(bundle_folder), count=2), [str(many / "b.csv")], str(tmp_path / "o.csv"))
    assert list(tmp_path.iterdir()) == []


def _die(*_: object) -> None:
    os._exit(9)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
