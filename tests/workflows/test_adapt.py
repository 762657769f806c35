"""``adapt`` on a tiny model: the held-out loss falls, a killed run ends with the same weights, the folder trains."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.nn.tiny import tiny_folder

from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.errors import BundleError, DataError, InterruptError, RecipeError, TrainingError
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows.adapt import RECORD_FILE, AdaptPosts, adapt, gather, recipe_for
from polyvigil.workflows.learners import RunOptions

WHO, DID, WHAT, END = (
    ("I", "my mother", "he"),
    ("took", "stopped", "changed"),
    ("the tablets", "the new pills", "that drug"),
    ("and got a rash", "and feels dizzy now", "and it helped"),
)
CPU = RunOptions(device="cpu", offline=True)
SMALL = (
    "model.max_tokens=24",
    "adapt.posts_per_step=16",
    "adapt.micro_tokens=200",
    "adapt.learning_rate=0.01",
    "adapt.held_out=0.2",
    "adapt.mask_share=0.3",
    "adapt.checkpoint_minutes=1000",
)


def _posts(number: int) -> list[LabelledPost]:
    """Sentences of a small grammar, all different: what stands beside a masked word says much about it."""
    draw = random.Random(0)
    texts = [f"{n} {draw.choice(WHO)} {draw.choice(DID)} {draw.choice(WHAT)} {draw.choice(END)}" for n in range(number)]
    return [LabelledPost(Post(f"p{n}", text, "en", split="train"), n % 2) for n, text in enumerate(texts)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("adapt")
    posts = _posts(160)
    tiny_folder(where / "model", "bert", texts=[item.post.text for item in posts], dropout=0.1)
    write_posts(where / "posts.csv", posts)
    write_posts(where / "dev.csv", [replace(item, post=replace(item.post, split="dev")) for item in posts[:40]])
    return where


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def _line(folder: Path, output: Path, *more: str) -> list[str]:
    settings = [part for setting in (*SMALL, *more) for part in ("--set", setting)]
    files = ["--posts", f"{folder}/posts.csv", "-o", str(output), "--device", "cpu", "--offline"]
    return ["adapt", f"{folder}/model", *files, *settings]


def test_a_folder_of_another_program_is_left_alone(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    left = tmp_path / "adapted.work" / "parts" / "part-00000-00000.csv"
    left.parent.mkdir(parents=True)
    left.write_text("the only copy", encoding="utf-8")
    assert program.run(_line(folder, tmp_path / "adapted", "adapt.epochs=1")) == 1
    assert "adapted.work: holds parts/part-00000-00000.csv, which no earlier run" in capfd.readouterr().err
    assert left.read_text(encoding="utf-8") == "the only copy"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapted.work"]


def test_the_loss_of_held_out_posts_falls_and_the_folder_trains(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = _line(folder, tmp_path / "adapted", "adapt.epochs=12")
    assert program.run([*line, "--except", f"{folder}/dev.csv", "--json"]) == 0
    spoken = capfd.readouterr()
    data = json.loads(spoken.out)["data"]
    assert (data["left_out"], data["posts"], data["held_out"], data["repeated"]) == (40, 96, 24, 0)
    assert data["loss_after"] < 0.8 * data["loss_before"]
    assert data["steps"] == 12 * 6
    assert data["fresh_head"]
    assert "held-out masked loss before: " in spoken.err
    assert "epoch 12/12: masked loss " in spoken.err
    assert "has no masked-language head, so a fresh one was trained with it" in spoken.err
    assert "40 posts left out: their texts are in dev.csv" in spoken.err
    assert json.loads((tmp_path / "adapted" / RECORD_FILE).read_text())["steps"] == 72
    assert not (tmp_path / "adapted.work").exists()
    assert "mother" not in (tmp_path / "adapted" / RECORD_FILE).read_text()

    assert program.run([*line, "--json"]) == 2
    assert "an adapted model stands there already" in capfd.readouterr().out
    write_posts(tmp_path / "other.csv", _posts(400)[160:])
    files = ["--train", f"{folder}/posts.csv", "--dev", f"{tmp_path}/other.csv", "-o", f"{tmp_path}/bundle"]
    sets = ["--set", f"model.name={tmp_path}/adapted", "--set", "model.max_tokens=24", "--set", "training.epochs=1"]
    assert program.run(["train", "adapt", *files, *sets, "--offline", "--device", "cpu", "-q"]) == 0
    recipe = (tmp_path / "bundle" / "recipe.toml").read_text()
    assert "[adapt]" in recipe

    capfd.readouterr()
    again = _line(folder, tmp_path / "again", "adapt.epochs=1")
    again[1] = f"{tmp_path}/adapted"
    assert program.run([*again, "--json"]) == 0
    second = json.loads(capfd.readouterr().out)["data"]
    assert not second["fresh_head"]
    assert second["loss_before"] < 0.8 * data["loss_before"]


def test_resuming_adaptation_gives_the_same_weights(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for(f"{folder}/model", settings=[*SMALL, "adapt.epochs=2"])
    posts = gather(recipe, posts=[f"{folder}/posts.csv"])
    whole = adapt(recipe, posts, output=tmp_path / "whole", options=CPU)
    steps = 0

    def stop() -> bool:
        nonlocal steps
        steps += 1
        return steps in {3, 8, 11}

    for _ in range(3):
        with pytest.raises(InterruptError, match="adapting was stopped"):
            adapt(recipe, posts, output=tmp_path / "broken", options=replace(CPU, stop=stop))
    broken = adapt(recipe, posts, output=tmp_path / "broken", options=CPU)
    assert (broken.loss_before, broken.loss_after) == (whole.loss_before, whole.loss_after)
    one, two = _weights(tmp_path / "whole"), _weights(tmp_path / "broken")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_killed_adaptation_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    more = ("adapt.epochs=4", "adapt.checkpoint_minutes=0")
    assert program.run([*_line(folder, tmp_path / "whole", "adapt.epochs=4"), "-q"]) == 0
    line = _line(folder, tmp_path / "killed", *more)
    running = subprocess.Popen([sys.executable, "-m", "polyvigil", *line], stderr=subprocess.DEVNULL)
    work = tmp_path / "killed.work"
    for _ in range(6000):
        if list(work.glob("checkpoint-000[1-9]-*")) or running.poll() is not None:
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    assert program.run([*line, "-q"]) == 0
    one, two = _weights(tmp_path / "whole"), _weights(tmp_path / "killed")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_micro_batches_change_nothing_but_rounding(folder: Path, tmp_path: Path) -> None:
    found = []
    for name, tokens in (("small", 30), ("large", 5000)):
        recipe = recipe_for(f"{folder}/model", settings=[*SMALL, "adapt.epochs=1", f"adapt.micro_tokens={tokens}"])
        posts = gather(recipe, posts=[f"{folder}/posts.csv"])
        tiny_folder(tmp_path / name / "m", "bert", texts=posts.train, dropout=0.0)
        model = recipe.model.model_copy(update={"name": f"{tmp_path}/{name}/m"})
        found.append(
            adapt(recipe.model_copy(update={"model": model}), posts, output=tmp_path / name / "o", options=CPU)
        )
    assert found[0].loss_after == pytest.approx(found[1].loss_after, rel=1e-3)


def test_posts_are_read_once_and_kept_out(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_for("adapt", settings=[])
    posts = _posts(50)
    extra = [LabelledPost(Post("e1", "  ", "en"), 0), LabelledPost(Post("e2", posts[0].post.text.upper(), "en"), 0)]
    write_posts(tmp_path / "a.csv", [*posts, *posts[:5], *extra[1:]])
    write_posts(tmp_path / "b.csv", posts[:3])
    found = gather(recipe, posts=[f"{tmp_path}/a.csv", f"{folder}/dev.csv"], kept_out=[f"{tmp_path}/b.csv"])
    assert found.left_out == 3 + 3 + 1 + 3  # twice in a.csv, once in capitals, and in dev.csv
    kept = {item.post.text for item in posts[3:]}
    assert {*found.train, *found.held_out} == kept
    assert len(found.held_out) == round(0.05 * len(kept))
    assert gather(recipe, posts=[f"{tmp_path}/a.csv"]) == gather(recipe, posts=[f"{tmp_path}/a.csv"])
    write_posts(tmp_path / "few.csv", posts[:5])
    with pytest.raises(DataError, match="5 different texts are too few to adapt to"):
        gather(recipe, posts=[f"{tmp_path}/few.csv"])


def test_unsupported_models_are_refused(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="a linear recipe has no encoder to adapt"):
        recipe_for("linear", settings=[])
    with pytest.raises(RecipeError, match=r"\[adapt\] changes nothing for model.kind = "):
        recipe_for("linear", settings=["adapt.epochs=2"])
    with pytest.raises(RecipeError, match=r"adapt\.mask_share: Input should be less than 1"):
        recipe_for("adapt", settings=["adapt.mask_share=1"])
    posts = AdaptPosts(tuple(f"text {n}" for n in range(30)), ("one text", "two texts"), 0, 0, ())
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").touch()
    with pytest.raises(RecipeError, match="exists and is no adapted model"):
        adapt(recipe_for("adapt", settings=[]), posts, output=tmp_path / "taken", options=CPU)
    broken = recipe_for(f"{folder}/model", settings=[*SMALL, "adapt.learning_rate=1e30", "adapt.epochs=1"])
    with pytest.raises(TrainingError, match=r"loss is|norm is") as told:
        adapt(broken, posts, output=tmp_path / "nan", options=CPU)
    assert "adapt.learning_rate" in told.value.hint
    assert not (tmp_path / "nan").exists()
    with pytest.raises((RecipeError, BundleError)):
        adapt(recipe_for(f"{tmp_path}/taken", settings=[]), posts, output=tmp_path / "x", options=CPU)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert program.run(_line(folder, tmp_path / "two")) == 2
