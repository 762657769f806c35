"""polyvigil reproduce under torchrun: one translates, scores and writes, all train, one document comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")


def test_two_processes_work_as_one(few: Path, shelf: Callable[..., Path], tmp_path: Path) -> None:
    models = shelf("xlm-roberta-large", "nllb-200-distilled-600M")
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "polyvigil"]
    line = ["reproduce", "farsi", "--scale", "tiny", "--data", str(few), "--models", str(models)]
    line += ["-o", str(tmp_path / "out"), "--device", "cpu", "--json"]
    for state in ("made", "kept"):
        process = subprocess.run(
            [sys.executable, "-m", *launch, *line],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert process.returncode == 0, process.stderr
        [document] = map(json.loads, process.stdout.splitlines())
        [figure] = document["data"]["figures"]
        assert figure["verdict"] == "meaningless"
        assert figure["ours"]["interval"]["low"] <= figure["ours"]["value"]
        assert {step["name"]: step["state"] for step in document["data"]["steps"]} == {
            "fa-v2": "done",
            "gladiators-fa-v2": "done",
        }
        assert ("learning from" in process.stderr) == (state == "made")
    assert not list((tmp_path / "out" / "bundles").glob("*.work"))
