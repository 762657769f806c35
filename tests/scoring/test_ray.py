"""A real Ray on this machine: the decisions of one process, an actor killed in the middle, errors as they are."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from tests.scoring.conftest import children, wait_for

from polyvigil.cli.main import run as command

if os.environ.get("POLYVIGIL_NO_RAY"):
    pytest.skip("POLYVIGIL_NO_RAY is set", allow_module_level=True)
pytest.importorskip("ray", reason="needs the extra ray")


def _command(bundle_folder: Path, source: Path, output: str, *more: str) -> list[str]:
    line = [sys.executable, "-m", "polyvigil", "score", str(bundle_folder), str(source), "-o", output]
    return [*line, "--part-posts", "2000", "--engine", "ray", "--processes", "2", "--device", "cpu", *more]


def test_killed_actors_change_nothing(bundle_folder: Path, many: Path, alone: Path, tmp_path: Path) -> None:
    """The same bytes, so the same decisions and probabilities; none lost, none twice; nothing left running."""
    line = _command(bundle_folder, many, str(tmp_path / "o.jsonl"), "--json")
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    records = tmp_path / "o.jsonl.work" / "records"
    wait_for(lambda: len(list(records.glob("part*"))) >= 2)
    actors = children(process.pid, title=b"MapWorker")
    assert actors
    for actor in actors:
        os.kill(actor, signal.SIGKILL)
    below = children(process.pid, title=b"")
    told, messages = process.communicate(timeout=180)
    assert process.returncode == 0, messages
    assert json.loads(told)["data"]["posts"] == 20_000
    rows, expected = (
        [json.loads(text) for text in (folder / "o.jsonl").read_text().splitlines()] for folder in (tmp_path, alone)
    )
    assert [row["id"] for row in rows] == [row["id"] for row in expected]
    assert [row["decision"] for row in rows] == [row["decision"] for row in expected]
    assert max(abs(row["p"] - other["p"]) for row, other in zip(rows, expected, strict=True)) <= 1e-6
    for name in ("o.jsonl", "o.jsonl.rejects.jsonl"):
        assert (tmp_path / name).read_bytes() == (alone / name).read_bytes()
    wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in below))


def test_partitions_errors_and_a_cluster_that_is_not_there(
    bundle_folder: Path,
    many: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(line: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(line, capture_output=True, text=True, check=False, timeout=180)

    monkeypatch.chdir(tmp_path)
    source = Path(shutil.copy(many / "b.csv", tmp_path / "b.csv")).name  # relative, as actors must read it too
    local = ["score", str(bundle_folder), source, "--part-posts", "200", "-o"]
    assert command([*local, "local/"]) == 0
    done = run([sys.executable, "-m", "polyvigil", *local, "ray/", "--engine", "ray", "--processes", "1"])
    assert done.returncode == 0, done.stderr
    parts = sorted(path.name for path in (tmp_path / "ray").glob("part*"))
    assert len(parts) == 3
    assert all((tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes() for name in parts)
    assert ds.dataset(tmp_path / "ray").count_rows() == 500
    bad = tmp_path / "bad.csv"
    bad.write_text("text,language\nfine,en\nfine,not one\n")
    line = [*_command(bundle_folder, bad, "o.csv", "--on-error", "fail"), "--processes", "1"]
    refused = run(line)
    assert refused.returncode == 2
    assert "bad.csv:3: column \"language\": 'not one' is not a language" in refused.stderr
    capsys.readouterr()
    assert command([*line[3:], "--address", "127.0.0.1:1"]) == 1
    assert "error: --address 127.0.0.1:1: no Ray cluster can be reached or started" in capsys.readouterr().err


def test_without_ray_the_extra_is_named(
    bundle_folder: Path, many: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    arguments = ["score", str(bundle_folder), str(many), "-o", "o.csv"]
    assert command([*arguments, "--engine", "ray"]) == 2
    assert "--engine ray needs ray, which is not installed\n  next: pip install 'polyvigil[ray]'" in (
        capsys.readouterr().err
    )
    assert command([*arguments, "--address", "auto"]) == 2
    assert "--address: an address is of a Ray cluster\n  next: add --engine ray" in capsys.readouterr().err
