"""Several seeds: one model at a time in memory, little on the disk, and exact resume between and after the seeds."""
# ruff: noqa: E402

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import tiny_folder

from polyvigil.bundle import store
from polyvigil.bundle.run_metrics import read_metrics
from polyvigil.config.load import load
from polyvigil.config.recipe import Recipe
from polyvigil.data.write import write_posts
from polyvigil.errors import TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import members
from polyvigil.workflows import train as training
from polyvigil.workflows.estimate import estimate_cost
from polyvigil.workflows.learners import RunOptions

SEEDS = (1, 2, 3)
TRAINING = (
    "balance.oversample=1",
    "training.epochs=2",
    "training.learning_rate=3e-3",
    "training.posts_per_step=16",
    "training.checkpoint_minutes=0",
    "decide.rule=argmax",  # the quickest: no test here is of what is decided
)
HERE = RunOptions(device="cpu", offline=True)


class Killed(BaseException):
    """In the place of kill -9, where the instant matters."""


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _posts(number: int, split: str) -> tuple[LabelledPost, ...]:
    """Synthetic: a post with the word rash is positive."""
    chance = np.random.default_rng([number, len(split)])
    words = ["the", "pills", "gave", "me", "a", "day", "of", "work", "and", "sleep"]
    posts = []
    for index in range(number):
        chosen = [str(word) for word in chance.choice(words, 6)]
        if index % 3 == 0:
            chosen[2] = "rash"
        post = Post(f"{split}_{index}", " ".join(chosen) + f" {index}", ("en", "de")[index % 2], split=split)
        posts.append(LabelledPost(post, int(index % 3 == 0)))
    return tuple(posts)


@pytest.fixture(scope="module")
def training_data() -> training.TrainingData:
    return training.TrainingData(
        train=_posts(48, "train"), dev=_posts(24, "dev"), data="synthetic", row_errors=(), notes=()
    )


@pytest.fixture(scope="module")
def model(training_data: training.TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wide enough that names and headers of its files hardly count."""
    texts = [item.post.text for item in training_data.train]
    return tiny_folder(tmp_path_factory.mktemp("model") / "wide", "xlm-roberta", texts=texts, hidden=128, seed=3)


@pytest.fixture(scope="module")
def recipe(model: Path) -> Recipe:
    settings = [f"model.name={model}", "model.max_tokens=32", f"seeds={list(SEEDS)}", *TRAINING]
    return load("quick", settings=settings)


@pytest.fixture(scope="module")
def unbroken(recipe: Recipe, training_data: training.TrainingData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("unbroken") / "bundle"
    training.train(recipe, training_data, output=output, options=HERE)
    return output


def _same(folder: Path, other: Path) -> None:
    """Every byte that decides is the same."""
    assert store.load(folder, device="cpu").id == store.load(other, device="cpu").id
    assert np.array_equal(*(store.load(one, device="cpu").dev.by_member for one in (folder, other)))
    for weights in sorted(other.rglob("model.safetensors")):
        assert (folder / weights.relative_to(other)).read_bytes() == weights.read_bytes()


def _occupied(folder: Path) -> int:
    """Bytes below ``folder``, a file of several names counted by its first."""
    files = {}
    for path in folder.rglob("*"):
        try:
            status = path.lstat()
        except FileNotFoundError:  # removed meanwhile
            continue
        if path.is_file():
            files[status.st_ino] = status.st_size
    return sum(files.values())


# -- killed, and run again --------------------------------------------------------------------------------------------


def test_a_completed_seed_is_not_trained_again(
    recipe: Recipe,
    training_data: training.TrainingData,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained: list[int] = []
    fit = EncoderLearner.fit

    def counted(self: EncoderLearner, *posts: object, seed: int) -> object:
        trained.append(seed)
        if len(trained) == 3:
            raise Killed
        return fit(self, *posts, seed=seed)

    monkeypatch.setattr(EncoderLearner, "fit", counted)
    with pytest.raises(Killed):
        training.train(recipe, training_data, output=tmp_path / "b", options=HERE)
    for seed in (1, 2):
        assert [path.name for path in (tmp_path / f"b.work/seed-{seed}").iterdir()] == ["finished"]
    lines: list[str] = []
    training.train(recipe, training_data, output=tmp_path / "b", options=HERE, log=lines.append)
    assert trained == [1, 2, 3, 3]
    assert f"seed 2 is finished: its member stands in {tmp_path}/b.work/seed-2/finished" in lines
    _same(tmp_path / "b", unbroken)
    assert not (tmp_path / "b.work").exists()


@pytest.mark.parametrize("where", ["before the bundle", "before the last is written", "before its checkpoints go"])
def test_killed_after_the_last_seed_the_bundle_is_the_same(
    recipe: Recipe,
    training_data: training.TrainingData,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    made: list[int] = []

    def killed(*_: object, **__: object) -> None:
        made.append(1)
        if where == "before the bundle" or len(made) == 3:
            raise Killed

    patched = {"before the bundle": (training, "assemble_bundle"), "before the last is written": (members, "save_file"),
               "before its checkpoints go": (members, "_remove_checkpoints")}  # fmt: skip
    module, name = patched[where]
    real = getattr(module, name)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, lambda *given, **named: (killed(), real(*given, **named))[1])
        with pytest.raises(Killed):
            training.train(recipe, training_data, output=tmp_path / "b", options=HERE)
    lines: list[str] = []
    training.train(recipe, training_data, output=tmp_path / "b", options=HERE, log=lines.append)
    assert sum("is finished: its member stands in" in line for line in lines) == (2 if "written" in where else 3)
    assert not any(line.startswith("epoch ") for line in lines)  # nothing was trained again
    _same(tmp_path / "b", unbroken)


def test_a_real_kill_in_the_second_seed_changes_no_bit(
    recipe: Recipe, training_data: training.TrainingData, model: Path, unbroken: Path, tmp_path: Path
) -> None:
    for split, posts in (("train", training_data.train), ("dev", training_data.dev)):
        write_posts(tmp_path / f"{split}.csv", posts)
    line = ["train", "quick", "--train", f"{tmp_path}/train.csv", "--dev", f"{tmp_path}/dev.csv", "-o", f"{tmp_path}/b"]
    settings = ["model.max_tokens=32", f"model.name={model}", f"seeds={list(SEEDS)}", *TRAINING]
    for setting in settings:
        line += ["--set", setting]
    command = [sys.executable, "-m", "polyvigil", *line, "--offline", "--device", "cpu", "-q"]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while not list(tmp_path.glob("b.work/seed-2/checkpoint-*")):
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    lines: list[str] = []
    training.train(recipe, training_data, output=tmp_path / "b", options=HERE, log=lines.append)
    assert sum("seed 1 is finished" in line for line in lines) == 1
    _same(tmp_path / "b", unbroken)
    values, expected = (_measured(folder) for folder in (tmp_path / "b", unbroken))
    assert values == expected
    losses = [key for key in expected if key[2] == "loss"]
    assert losses == [(f"seed {seed}", step, "loss") for seed in SEEDS for step in range(1, 7)]
    assert {key[1] for key in expected if key[2] == "dev_f1"} == {3, 6}


def _measured(folder: Path) -> dict[tuple[str, int, str], float]:
    """What the training of a bundle measured, without what it took."""
    kept = [metric for metric in read_metrics(folder) if not re.search("second|memory", metric.name)]
    return {(metric.member, metric.step, metric.name): metric.value for metric in sorted(kept, key=lambda m: m.member)}


def test_a_damaged_completed_member_is_trained_again(
    recipe: Recipe,
    training_data: training.TrainingData,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = _killed_before_the_bundle(recipe, training_data, tmp_path / "b", monkeypatch)
    weights = work / "seed-2/finished/member/model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    lines: list[str] = []
    training.train(recipe, training_data, output=tmp_path / "b", options=HERE, log=lines.append)
    assert f"seed 2: the finished member in {work}/seed-2/finished is damaged and is made again" in lines
    _same(tmp_path / "b", unbroken)


def test_completed_members_of_another_run_are_refused(
    recipe: Recipe, training_data: training.TrainingData, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = _killed_before_the_bundle(recipe, training_data, tmp_path / "b", monkeypatch)
    other = tmp_path / "other"
    shutil.copytree(model, other)
    tiny_folder(tmp_path / "new", "xlm-roberta", texts=["a rash"], hidden=128, seed=4)
    shutil.copy(tmp_path / "new" / "model.safetensors", other)
    rate = recipe.training.model_copy(update={"learning_rate": 1e-3})
    changed = [
        (recipe.model_copy(update={"training": rate}), training_data),
        (recipe.model_copy(update={"model": recipe.model.model_copy(update={"name": str(other)})}), training_data),
        (recipe, training.TrainingData(training_data.train[1:], training_data.dev, "synthetic", (), ())),
        (recipe, training.TrainingData(training_data.train, training_data.dev[1:], "synthetic", (), ())),
    ]
    for one, posts in changed:
        with pytest.raises(TrainingError) as caught:
            training.train(one, posts, output=tmp_path / "b", options=HERE)
        assert str(caught.value) == (
            f"{work}/seed-1/finished: the finished member there is another run's: its settings, posts, models or seed "
            f"differ; choose another output, or remove {work} to begin anew"
        )
    free = recipe.training.model_copy(update={"micro_tokens": 64, "checkpoint_minutes": 5.0})
    training.train(recipe.model_copy(update={"training": free}), training_data, output=tmp_path / "b", options=HERE)


def _killed_before_the_bundle(
    recipe: Recipe, training_data: training.TrainingData, output: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    def killed(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(training, "assemble_bundle", killed)
        with pytest.raises(Killed):
            training.train(recipe, training_data, output=output, options=HERE)
    return output.with_name(output.name + ".work")


# -- how much of memory and disk --------------------------------------------------------------------------------------


def test_seeds_leave_no_parameters_in_memory(
    recipe: Recipe, training_data: training.TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _live_bytes()
    at_start, fit = [], EncoderLearner.fit

    def measured(self: EncoderLearner, *posts: object, seed: int) -> object:
        at_start.append(_live_bytes() - before)
        return fit(self, *posts, seed=seed)

    monkeypatch.setattr(EncoderLearner, "fit", measured)
    trained = training.train(recipe, training_data, output=tmp_path / "b", options=HERE)
    assert at_start == [0, 0, 0]
    assert _live_bytes() > before  # the loaded bundle: the measure sees what there is
    assert all(member.encoder.device.type == "cpu" for member in trained.bundle.members)


def _live_bytes() -> int:
    gc.collect()
    return sum(_size(tensor) for tensor in gc.get_objects() if issubclass(type(tensor), torch.Tensor))


def _size(tensor: torch.Tensor) -> int:
    try:
        return tensor.nbytes
    except RuntimeError:  # a symbolic one, which an export to ONNX in this process has left
        return 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_seeds_leave_no_memory_on_a_gpu(
    recipe: Recipe, training_data: training.TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_start, fit = [], EncoderLearner.fit

    def measured(self: EncoderLearner, *posts: object, seed: int) -> object:
        gc.collect()
        at_start.append(torch.cuda.memory_allocated())
        return fit(self, *posts, seed=seed)

    monkeypatch.setattr(EncoderLearner, "fit", measured)
    training.train(recipe, training_data, output=tmp_path / "b", options=RunOptions(device="cuda", offline=True))
    assert max(at_start) - min(at_start) <= 2**20  # what cuBLAS keeps for itself
    gc.collect()
    assert torch.cuda.memory_allocated() <= max(at_start) + 2**20  # the bundle is on the CPU


@pytest.mark.parametrize("rank", [0, 2])
def test_estimated_disk_is_the_maximum_used(
    recipe: Recipe, training_data: training.TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    if rank:
        recipe = recipe.model_copy(update={"lora": recipe.lora.model_copy(update={"rank": rank})})
    peak, remove, finish = 0, checkpoint._remove, store.load

    def look() -> None:
        nonlocal peak
        peak = max(peak, _occupied(tmp_path))

    def at_a_third_checkpoint(path: Path) -> None:
        look()
        remove(path)

    def at_the_bundle(*given: object, **named: object) -> store.Bundle:
        look()
        return finish(*given, **named)

    dry_run = estimate_cost(recipe, training_data, options=HERE)
    monkeypatch.setattr(checkpoint, "_remove", at_a_third_checkpoint)
    monkeypatch.setattr(store, "load", at_the_bundle)
    training.train(recipe, training_data, output=tmp_path / "b", options=HERE)
    assert dry_run is not None
    assert 0.7 * dry_run.most_disk <= peak <= dry_run.most_disk
    after = _occupied(tmp_path / "b" / "members")
    assert 0.9 * 3 * dry_run.member_bytes <= after <= 3 * dry_run.member_bytes


def test_a_stack_leaves_the_best_weights_of_each_fold_alone(
    tmp_path: Path, training_data: training.TrainingData, model: Path
) -> None:
    from tests.nn.nli import nli_folder

    texts = [item.post.text for item in training_data.train]
    further = nli_folder(tmp_path / "nli", texts=texts, max_tokens=128)
    settings = (f"model.base={{kind = 'encoder', name = '{model}', max_tokens = 32}}", "model.folds=2",
                f"model.further={{kind = 'nli', name = '{further}', max_tokens = 128}}", "training.epochs=1",
                "training.learning_rate=3e-3", "training.precision='fp32'", "balance.oversample=1")  # fmt: skip
    recipe = load("stacked", settings=settings)
    dry_run = estimate_cost(recipe, training_data, options=HERE)
    standing: dict[str, list[str]] = {}

    def killed(*_: object) -> None:
        for path in sorted((tmp_path / "b.work/seed-42").glob("*/checkpoint-*")):
            standing[path.parent.name] = sorted(file.name for file in path.iterdir())
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "_scored", killed)
        with pytest.raises(Killed):
            training.train(recipe, training_data, output=tmp_path / "b", options=HERE)
    assert standing == {part: ["best.safetensors", "checkpoint.json"] for part in ("all", "fold-0", "fold-1")}
    training.train(recipe, training_data, output=tmp_path / "b", options=HERE)
    assert json.loads((tmp_path / "b" / "bundle.json").read_text())["members"][0]["kind"] == "stacked"
    assert dry_run is not None
    assert dry_run.member_bytes == pytest.approx(_occupied(tmp_path / "b" / "members"), rel=0.15)  # both models
    assert dry_run.most_disk > dry_run.member_bytes + 3 * 4 * dry_run.trained
