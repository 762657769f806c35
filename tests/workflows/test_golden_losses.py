"""Learning through the real command line, pinned: losses of four steps of the paper's recipe, masked losses before and
after `adapt`, and the probabilities of a linear fit."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import TEXTS, tiny_folder

from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost, Post

GOLDEN = {
    ("xlm-roberta", "focal"): (0.266649, 0.258471, 0.137827, 0.107013),
    ("xlm-roberta", "cross-entropy"): (0.763828, 0.767772, 0.776133, 0.740135),
    ("modernbert", "focal"): (0.246026, 0.172951, 0.116246, 0.110340),
    ("eurobert", "focal"): (0.182140, 0.169745, 0.112001, 0.081002),
}
"""Mean loss of each step, dropout on: they move when a seed, the order of posts, a loss or the schedule does."""


def _posts(split: str, repeats: int = 2) -> list[LabelledPost]:
    return [
        LabelledPost(Post(f"{split}{place}", f"{text} {split} {place}", "en", split=split), int(place % 4 == 0))
        for place, text in enumerate(TEXTS * repeats)
    ]


@pytest.mark.parametrize(("kind", "loss"), sorted(GOLDEN))
def test_losses_of_four_steps(kind: str, loss: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny_folder(tmp_path / "model", kind, seed=5)
    assert _losses(tmp_path, loss, capfd) == pytest.approx(GOLDEN[kind, loss], rel=1e-4)


@pytest.mark.parametrize("kind", ["modernbert", "eurobert"])
def test_losses_without_padding_are_those_of_the_stock_forward(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Four steps, dropout off, each way; windows of long posts too."""
    tiny_folder(tmp_path / "model", kind, seed=5, dropout=0.0, layers=3)
    packed = _losses(tmp_path, "focal", capfd, "model.max_tokens=8", "model.long_posts=windows")
    stock = _losses(tmp_path, "focal", capfd, "model.max_tokens=8", "model.long_posts=windows", "model.packing=false")
    assert packed == pytest.approx(stock, rel=1e-4)
    assert np.ptp(packed) > 0.01


def _losses(tmp_path: Path, loss: str, capfd: pytest.CaptureFixture[str], *settings: str) -> list[float]:
    for split in ("train", "dev"):
        if not (tmp_path / f"{split}.csv").exists():
            write_posts(tmp_path / f"{split}.csv", _posts(split))
    line = ["train", "gladiators", "--train", f"{tmp_path}/train.csv", "--dev", f"{tmp_path}/dev.csv"]
    line += ["-o", f"{tmp_path}/bundle", "--json", "--offline", "--device", "cpu", "--replace"]
    for setting in (
        f"model.name={tmp_path}/model",
        "model.max_tokens=32",
        "seeds=[42]",
        f"training.loss={loss}",
        "training.epochs=4",  # one step each: 16 posts, 4 of them positive and each of those three times
        "training.learning_rate=3e-3",
        "training.precision=fp32",
        "training.warmup_rounding=up",  # down, as the paper has it, leaves no warm-up of so few steps
        "training.weight_decay_on=weights",
        *settings,
    ):
        line += ["--set", setting]
    assert program.run(line) == 0
    [log] = json.loads(capfd.readouterr().out)["data"]["training"]
    assert (log["steps_per_epoch"], log["posts_per_epoch"]) == (1, 24)
    return [record["loss"] for record in log["epochs"]]


MASKED = (5.560906, 4.946469)
"""Masked loss of the held-out posts before and after two epochs of `adapt`."""
LINEAR = (0.898763231, 0.125268496, 0.121830035, 0.124739917, 0.855396863, 0.127235629, 0.150320566, 0.12687975)
"""P(ADE) of eight posts by a linear model of the other split."""


def test_masked_losses_before_and_after_adapt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_posts(tmp_path / "posts.csv", _posts("train", repeats=8))
    tiny_folder(tmp_path / "model", "bert", seed=5)
    line = ["adapt", f"{tmp_path}/model", "--posts", f"{tmp_path}/posts.csv", "-o", f"{tmp_path}/adapted", "--json"]
    line += ["--offline", "--device", "cpu"]
    for setting in ("model.max_tokens=32", "adapt.epochs=2", "adapt.posts_per_step=16", "adapt.held_out=0.25"):
        line += ["--set", setting]
    for setting in ("adapt.learning_rate=0.01", "adapt.mask_share=0.3", "adapt.precision=fp32"):
        line += ["--set", setting]
    assert program.run(line) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert (data["posts"], data["held_out"], data["steps"]) == (48, 16, 6)
    assert (data["loss_before"], data["loss_after"]) == pytest.approx(MASKED, rel=1e-4)


def test_probabilities_of_a_linear_fit(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        write_posts(tmp_path / f"{split}.csv", _posts(split))
    line = ["train", "linear", "--train", f"{tmp_path}/train.csv", "--dev", f"{tmp_path}/dev.csv"]
    line += [f"--set=model.{setting}" for setting in ("C=4", "scale=none", "skip_words=0")]  # scikit-learn's model
    assert program.run([*line, "-o", f"{tmp_path}/bundle", "-q"]) == 0
    scored = tmp_path / "scored.csv"
    assert program.run(["score", f"{tmp_path}/bundle", f"{tmp_path}/dev.csv", "-o", str(scored), "-q"]) == 0
    with scored.open(encoding="utf-8") as stream:
        found = [float(row["p"]) for row in csv.DictReader(stream)]
    assert found[: len(LINEAR)] == pytest.approx(LINEAR, rel=1e-5)  # six digits are written
