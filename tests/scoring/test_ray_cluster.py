"""A Ray cluster of several machines, each a raylet of its own on this one: a machine that goes loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.conftest import children, wait_for

if os.environ.get("POLYVIGIL_NO_RAY"):
    pytest.skip("POLYVIGIL_NO_RAY is set", allow_module_level=True)
pytest.importorskip("ray", reason="needs the extra ray")

STORE = 80 * 1024 * 1024


def test_a_lost_node_loses_and_doubles_nothing(
    bundle_folder: Path, many: Path, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    machine = {"object_store_memory": STORE, "include_dashboard": False}
    noticed = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
    cluster = Cluster(initialize_head=True, head_node_args={**machine, "num_cpus": 0, "_system_config": noticed})
    try:
        machines = [cluster.add_node(**machine, num_cpus=1) for _ in range(3)]
        line = [sys.executable, "-m", "polyvigil", "score", str(bundle_folder), str(many), "--part-posts", "1000"]
        line += [
            "-o",
            str(tmp_path / "o.jsonl"),
            "--engine",
            "ray",
            "--address",
            cluster.address,
            "--processes",
            "2",
            "--device",
            "cpu",
        ]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        records = tmp_path / "o.jsonl.work" / "records"
        wait_for(lambda: len(list(records.glob("part*"))) >= 2 or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        lost = next(one for one in machines if children(_raylet(one), title=b"MapWorker"))
        cluster.remove_node(lost, allow_graceful=False)
        _, messages = process.communicate(timeout=300)
        assert process.returncode == 0, messages
    finally:
        cluster.shutdown()
    for name in ("o.jsonl", "o.jsonl.rejects.jsonl"):
        assert (tmp_path / name).read_bytes() == (alone / name).read_bytes()


def _raylet(machine: Any) -> int:
    """The process on a machine whose children are its actors."""
    pid: int = machine.all_processes["raylet"][0].process.pid
    return pid
