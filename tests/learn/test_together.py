"""Several processes train as one: memory, Ctrl-C and errors of one are those of all, and one of them says so."""
# ruff: noqa: E402

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tests.nn.tiny import tiny_folder

from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.errors import RecipeError, TrainingError
from polyvigil.learn.launch import Launch, launched
from polyvigil.learn.process_group import local_device, process_group
from polyvigil.types import LabelledPost


@pytest.fixture(scope="module")
def crowd(corpus: tuple[LabelledPost, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("crowd")
    english = [item for item in corpus if item.post.language == "en"]
    train = [item for item in english if item.post.split == "train"]
    write_posts(folder / "train.csv", train[:60])
    write_posts(folder / "other.csv", train[60:120])
    write_posts(folder / "dev.csv", [item for item in english if item.post.split == "dev"][:60])
    tiny_folder(folder / "model", "xlm-roberta", texts=[item.post.text for item in train[:60]])
    line = [sys.executable, str(Path(__file__).parent / "crowd.py"), str(folder)]
    done = subprocess.run(line, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def told(pair: list[dict[str, Any]]) -> list[Any]:
    return [process["told"] for process in pair]


def test_out_of_memory_in_one_process_halves_all_micro_batches(crowd: dict[str, Any]) -> None:
    alone, (first, second) = crowd["alone"], told(crowd["memory"])
    assert first == second
    assert first["micro_tokens"] <= 12
    assert first["dev"] == alone["dev"]
    for name, values in alone["weights"].items():
        assert np.abs(np.array(values) - np.array(first["weights"][name])).max() < 1e-6


def test_one_process_out_of_memory_ends_all(crowd: dict[str, Any]) -> None:
    first, second = told(crowd["no memory"])
    assert first == second
    assert "TrainingError: epoch 1, step 1: no memory for one post of 11 tokens at a time" in first["error"]


def test_a_stop_of_one_process_stops_all(crowd: dict[str, Any]) -> None:
    assert all(
        process["error"].startswith("InterruptError: training was stopped") for process in told(crowd["stopped"])
    )
    assert told(crowd["resumed"]) == told(crowd["unbroken"])  # bit by bit
    assert crowd["disks"] == [True, False]


def test_members_of_folds_are_trained_together(crowd: dict[str, Any]) -> None:
    first, second = crowd["folds"]
    assert told(crowd["folds"]) == [0, 0]
    document = json.loads(first["out"])["data"]
    assert [len(log["epochs"]) for log in document["training"]] == [2, 2]
    assert document["dev"]["data"] == "train.csv, out of 2 folds"
    assert second["out"] == second["err"] == ""


def one_message(pair: list[dict[str, Any]]) -> tuple[int, dict[str, str]]:
    """Which process told the error, and the error; the other wrote nothing."""
    teller = next(rank for rank in (0, 1) if pair[rank]["out"])
    assert pair[1 - teller]["out"] == pair[1 - teller]["err"] == ""
    assert len(pair[teller]["out"].splitlines()) == 1
    return teller, json.loads(pair[teller]["out"])["error"]


def test_an_error_of_all_is_reported_once(crowd: dict[str, Any]) -> None:
    assert told(crowd["linear"]) == [2, 2]
    assert one_message(crowd["linear"]) == (
        0,
        {
            "code": "recipe",
            "where": "model.kind",
            "message": "a linear recipe trains in one process, and 2 were started",
            "hint": "run polyvigil train without torchrun or accelerate launch",
        },
    )


def test_an_error_of_one_process_ends_all(crowd: dict[str, Any]) -> None:
    teller, error = one_message([process | {"err": ""} for process in crowd["one"]])
    assert (teller, error["code"]) == (1, "data")
    assert told(crowd["one"]) == [2, 2]
    assert "error" not in crowd["one"][0]["err"]


def test_processes_that_read_different_posts_do_not_train(crowd: dict[str, Any]) -> None:
    teller, error = one_message([process | {"err": ""} for process in crowd["unlike"]])
    assert (teller, error["code"]) == (0, "training")
    assert error["message"] == "the processes of this training have read different posts, settings or models"
    assert told(crowd["unlike"]) == [1, 1]


# -- what the launcher says -------------------------------------------------------------------------------------------


def test_the_environment_gives_rank_and_size() -> None:
    assert launched({}) == Launch()
    assert launched({"WORLD_SIZE": "8"}) == Launch()
    assert launched({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}) == Launch()
    assert launched({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}) == Launch(5, 8, 1)
    assert launched({"RANK": "1", "WORLD_SIZE": "2"}) == Launch(1, 2, 1)
    with pytest.raises(RecipeError, match=r"must be numbers .*'one'.*; let torchrun or accelerate launch set them"):
        launched({"RANK": "one", "WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    ("name", "sharding"), [("ACCELERATE_USE_FSDP", "FSDP"), ("ACCELERATE_USE_DEEPSPEED", "DeepSpeed")]
)
def test_a_sharded_model_is_refused(
    name: str, sharding: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv(name, "true")
    assert program.run(["train", "gladiators", "--train", "t.csv", "-o", str(tmp_path / "b")]) == 2
    told = capfd.readouterr().err
    assert f"error: accelerate launch: {sharding} is not there: each process holds the whole model" in told
    assert f"next: launch without {sharding}; where memory is short, choose a LoRA recipe or set" in told


def test_unreachable_processes_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(
            TrainingError, match=r"process 0 of 2 does not find the others \(.*MASTER_ADDR.*; start them with"
        ),
        process_group(Launch(0, 2)),
    ):
        pass


def test_each_process_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    assert local_device(Launch(), "cuda:1") == "cuda:1"
    assert local_device(Launch(1, 2, 1), "cpu") == "cpu"
    with pytest.raises(RecipeError, match="--device cuda:1: 2 processes cannot share one device; leave --device out"):
        local_device(Launch(1, 2, 1), "cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RecipeError, match="process 3: this machine has 1 GPUs, fewer than processes; start as many"):
        local_device(Launch(3, 4, 1), "auto")
