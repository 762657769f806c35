"""torchrun with the real command line: the bundle of one process, one document, killed and gone on with."""
# ruff: noqa: E402

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
import psutil  # accelerate brings it
from safetensors.numpy import load_file
from tests.nn.tiny import tiny_folder

from polyvigil.bundle.store import load
from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost

SETTINGS = ("model.max_tokens=32", "training.learning_rate=3e-5", "training.posts_per_step=8", "training.epochs=4")


@pytest.fixture
def arguments(corpus: tuple[LabelledPost, ...], tmp_path: Path) -> list[str]:
    english = [item for item in corpus if item.post.language == "en"]
    train = [item for item in english if item.post.split == "train"][:150]
    write_posts(tmp_path / "train.csv", train)
    write_posts(tmp_path / "dev.csv", [item for item in english if item.post.split == "dev"][:60])
    model = tiny_folder(tmp_path / "model", "xlm-roberta", texts=[item.post.text for item in train], dropout=0.0)
    line = ["train", "quick", "--train", f"{tmp_path}/train.csv", "--dev", f"{tmp_path}/dev.csv", "--json"]
    for setting in (f"model.name={model}", *SETTINGS):
        line += ["--set", setting]
    return [*line, "--offline", "--device", "cpu"]


def started(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    line = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "polyvigil", *arguments]
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        return subprocess.Popen(
            [sys.executable, "-m", *line], stdout=out, stderr=err, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )


def kill(launcher: subprocess.Popen[bytes]) -> None:
    """The launcher and all its processes, at once."""
    family = psutil.Process(launcher.pid)
    for process in (family, *family.children(recursive=True)):
        process.kill()
    launcher.wait()


def test_two_resumed_processes_give_the_bundle_of_one(arguments: list[str], tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as torchrun gives each process
    assert program.run([*arguments, "-o", str(tmp_path / "one")]) == 0
    torch.set_num_threads(threads)
    line = [*arguments, "-o", str(tmp_path / "two")]
    launcher = started(line, tmp_path)
    while not list(tmp_path.glob("two.work/seed-*/checkpoint-*")):
        assert launcher.poll() is None, (tmp_path / "err").read_text()
        time.sleep(0.01)
    kill(launcher)
    assert not (tmp_path / "two").exists()

    assert started(line, tmp_path).wait() == 0, (tmp_path / "err").read_text()
    assert (tmp_path / "err").read_text().count("resuming after ") == 1
    documents = (tmp_path / "out").read_text().splitlines()
    assert len(documents) == 1
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert json.loads(documents[0])["data"]["bundle"] == two.id
    assert not (tmp_path / "two.work").exists()
    cuts = [{name: cut.value for name, cut in bundle.policy.thresholds.items()} for bundle in (one, two)]
    assert cuts[0] == pytest.approx(cuts[1], abs=1e-6)
    single, double = (load_file(tmp_path / name / "members/00-encoder/model.safetensors") for name in ("one", "two"))
    before = load_file(tmp_path / "model" / "model.safetensors")["embeddings.word_embeddings.weight"]
    assert np.abs(single["roberta.embeddings.word_embeddings.weight"] - before).max() > 1e-4  # much was learned
    for name, weight in single.items():
        if not name.endswith("key.bias"):  # it changes no attention, so AdamW follows the rounding of its gradient
            assert np.abs(weight - double[name]).max() < 1e-6, name
