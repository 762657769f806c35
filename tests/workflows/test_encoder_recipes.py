"""The paper's path in small, through the real command line: seeds, an ensemble, its bundle, scores, resume."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import tiny_folder

from polyvigil.bundle.store import load
from polyvigil.cli import main as program
from polyvigil.cli.views.table import duration
from polyvigil.config.load import load as load_recipe
from polyvigil.data.write import write_posts
from polyvigil.errors import RecipeError
from polyvigil.learn import devices
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training

SETTINGS = (
    "training.epochs=3",
    "training.learning_rate=3e-3",
    "training.posts_per_step=16",
    "balance.oversample=3",
    "decide.rule=argmax",  # the quickest: no test that uses this is of what is decided
)


def _posts(number: int, split: str) -> list[LabelledPost]:
    """Synthetic: a post with the word rash is positive."""
    chance = np.random.default_rng([number, len(split)])
    words = np.array(
        ["the", "pills", "gave", "me", "a", "day", "of", "work", "and", "sleep", "again", "with", "my", "doctor"]
    )
    posts = []
    for place in range(number):
        chosen = [str(word) for word in chance.choice(words, 6)]
        positive = place % 3 == 0
        if positive:
            chosen[int(chance.integers(6))] = "rash"
        language = ("en", "de")[place % 2]
        post = Post(f"{split}_{place}", " ".join(chosen) + f" {place}", language, "tweet", split=split)
        posts.append(LabelledPost(post, int(positive)))
    return posts


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    train, dev, test = _posts(120, "train"), _posts(60, "dev"), _posts(60, "testing")
    for name, posts in (("train", train), ("dev", dev), ("test", test)):
        write_posts(folder / f"{name}.csv", posts)
    tiny_folder(folder / "model", "xlm-roberta", texts=[item.post.text for item in train], seed=3)
    return folder


def _arguments(files: Path, output: Path) -> list[str]:
    line = ["train", "quick", "--train", f"{files}/train.csv", "--dev", f"{files}/dev.csv", "-o", str(output)]
    for setting in (f"model.name={files}/model", "model.max_tokens=32", "seeds=[1, 2]", *SETTINGS):
        line += ["--set", setting]
    return [*line, "--offline", "--device", "cpu"]


@pytest.fixture(scope="module")
def bundle_folder(files: Path) -> Path:
    assert program.run(_arguments(files, files / "bundle")) == 0
    return files / "bundle"


def test_seeds_make_an_ensemble(bundle_folder: Path) -> None:
    bundle = load(bundle_folder)
    assert [entry.folder for entry in bundle.manifest.members] == ["members/00-encoder", "members/01-encoder"]
    assert [member.fit_record.seed for member in bundle.members] == [1, 2]
    posts = [item.post for item in _posts(60, "testing")]
    by_member = bundle.member_probabilities(posts)
    assert np.allclose(bundle.probabilities(posts), by_member.mean(axis=0))
    assert not np.allclose(by_member[0], by_member[1])
    assert not bundle_folder.with_name("bundle.work").exists()  # checkpoints are gone once the bundle stands


def test_members_open_with_transformers(bundle_folder: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    for folder in sorted((bundle_folder / "members").iterdir()):
        assert AutoModelForSequenceClassification.from_pretrained(folder).config.num_labels == 2
        assert len(AutoTokenizer.from_pretrained(folder)("a rash")["input_ids"]) > 2


def test_an_encoder_bundle_evaluates_and_scores(
    files: Path, bundle_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["evaluate", str(bundle_folder), f"{files}/test.csv", "--json", "--device", "cpu"]) == 0
    assert json.loads(capfd.readouterr().out)["data"]["pooled"]["average_precision"] > 0.9
    with (files / "posts.jsonl").open("w") as stream:
        stream.write('{"text": "a rash", "language": "en"}\n')
        stream.write(json.dumps({"text": "the pills " * 40, "language": "en"}) + "\n")
    assert program.run(["score", str(bundle_folder), f"{files}/posts.jsonl", "-o", f"{files}/o.jsonl", "-q"]) == 0
    short, long = (json.loads(line) for line in (files / "o.jsonl").read_text().splitlines())
    assert not short["truncated"]
    assert not long["truncated"]
    start, end = map(int, long["window"].split("-"))
    assert short["window"] == ""
    assert 0 <= start < end <= len("the pills " * 40)
    assert long["n_tokens"] > 32 > short["n_tokens"]
    assert short["spread"] > 0


def test_the_same_command_makes_the_same_bundle(files: Path, bundle_folder: Path, tmp_path: Path) -> None:
    assert program.run([*_arguments(files, tmp_path / "again"), "-q"]) == 0
    assert load(tmp_path / "again").id == load(bundle_folder).id


def test_the_tables_of_the_papers_appendices_are_printed(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program.run([*_arguments(files, tmp_path / "told"), "-q"]) == 0
    told = capfd.readouterr().out
    logs = [member.log for member in load(tmp_path / "told").members]
    for seed, log in zip((1, 2), logs, strict=True):
        assert log is not None
        [place] = [i for i, line in enumerate(told.splitlines()) if line.startswith(f"seed {seed}, cpu")]
        rows = [line.split() for line in told.splitlines()[place + 4 : place + 7]]
        assert [float(row[-6]) for row in rows] == [float(f"{record.dev_f1:.4f}") for record in log.epochs], rows
        assert [row[0] for row in rows if row[1] == "*"] == [str(log.best.epoch)]
    both = next(line for line in told.splitlines() if line.startswith("1 + 2 "))
    assert both.endswith(f" {duration(sum(log.seconds for log in logs if log))}")


def test_interrupted_after_the_first_member_resumes(files: Path, bundle_folder: Path, tmp_path: Path) -> None:
    chosen = [f"model.name={files}/model", "model.max_tokens=32", "seeds=[1, 2]", *SETTINGS]
    recipe = load_recipe("quick", settings=chosen)
    material = training.gather(recipe, train=[f"{files}/train.csv"], dev=[f"{files}/dev.csv"])
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 50  # in the second member: one has 39 steps

    machine = training.RunOptions(device="cpu", offline=True, stop=stop)
    with pytest.raises(Exception, match=r"(?i)interrupted|stopped"):
        training.train(recipe, material, output=tmp_path / "b", options=machine)
    assert (tmp_path / "b.work").is_dir()
    assert not (tmp_path / "b").exists()
    trained = training.train(
        recipe, material, output=tmp_path / "b", options=training.RunOptions(device="cpu", offline=True)
    )
    assert trained.bundle.id == load(bundle_folder).id
    assert [subset.members for subset in trained.subsets] == [("1",), ("2",), ("1", "2")]


def test_without_torch_the_error_says_what_to_install(files: Path, tmp_path: Path) -> None:
    done = _without_torch(_arguments(files, tmp_path / "b"))
    assert done.returncode == 2
    assert "an encoder needs torch, which is not installed" in done.stderr
    assert "pip install 'polyvigil[encoders]'" in done.stderr


def test_without_torch_known_models_are_estimated(files: Path, tmp_path: Path) -> None:
    line = ["train", "gladiators", "--train", f"{files}/train.csv", "--dev", f"{files}/dev.csv", "-o", f"{tmp_path}/b"]
    done = _without_torch([*line, "--dry-run", "--for-device", "a100-40gb"])
    assert done.returncode == 0, done.stderr
    assert "parameters   559.9M" in done.stdout
    done = _without_torch([*line, "--dry-run"])
    assert done.returncode == 2
    assert "this machine cannot be measured" in done.stderr
    assert "name a device instead: --for-device rtx-3060-12gb" in done.stderr


def _without_torch(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    blocked = f"""
import builtins, sys
real = builtins.__import__
def block(name, *args, **options):
    if name.partition(".")[0] == "torch":
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    return real(name, *args, **options)
builtins.__import__ = block
from polyvigil.cli.main import main
main({arguments!r})
"""
    return subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["gladiators", "xlmr-base", "mdeberta", "japanese-bert", "quick", "lora", "adapt"])
def test_shipped_recipes_dry_run(files: Path, name: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = ["train", name, "--train", f"{files}/train.csv", "--dev", f"{files}/dev.csv", "-o", f"{tmp_path}/b"]
    assert program.run([*line, "--dry-run", "--for-device", "rtx-3060-12gb"]) == 0
    out = capfd.readouterr().out
    assert "would learn from 120 posts and tune on 60" in out
    assert "35% of the card's" in out
    assert "nothing was fetched or run" in out
    assert " fits the 12.6 GB of rtx-3060-12gb" in out


def test_a_dry_run_without_model_measures_this_machine(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_ENOUGH_SECONDS", 0.2)
    line = ["train", "quick", "--train", f"{files}/train.csv", "--dev", f"{files}/dev.csv", "-o", f"{tmp_path}/b"]
    assert program.run([*line, "--dry-run", "--json", "--offline", "--device", "cpu"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)["data"]["rehearsal"]
    assert (told["parameters"], told["measured_steps"], told["device"]) == (117_506_690, 0, "cpu")
    assert told["seconds"] > 0
    assert "one random layer of this shape measured on it in fp32" in told["how"]
    assert "timing one random layer of the model's shape" in err
    assert "the model is not on this machine, and --offline fetches none" in err
    assert program.run([*line, "--dry-run", "--set", "model.name=someone/unknown"]) == 0
    assert "someone/unknown is not on this machine and its shape is not known here" in capfd.readouterr().out
    assert program.run([*line, "--dry-run", "--for-device", "t4", "--set", "model.name=someone/unknown"]) == 2
    assert "someone/unknown: the shape of this model is not known" in capfd.readouterr().err
    assert program.run([*line, "--for-device", "t4"]) == 2
    assert "--for-device: is for estimates alone\n  next: add --dry-run" in capfd.readouterr().err


def test_a_local_model_is_estimated_for_another_device(
    files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = [*_arguments(files, tmp_path / "b"), "--dry-run", "--json"]
    assert program.run(line) == 0
    measured = json.loads(capfd.readouterr().out)["data"]["rehearsal"]
    assert program.run([*line, "--for-device", "h100"]) == 0
    told = json.loads(capfd.readouterr().out)["data"]["rehearsal"]
    for name in ("parameters", "posts_per_epoch", "steps_per_epoch"):
        assert told[name] == measured[name]
    assert (told["download"], told["device"]) == (0, "h100")


def test_a_dry_run_reports_the_cost(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run([*_arguments(files, tmp_path / "b"), "--dry-run", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)["data"]["rehearsal"]
    assert program.run([*_arguments(files, tmp_path / "b"), "-q", "--json"]) == 0
    log = json.loads(capfd.readouterr().out)["data"]["training"][0]
    assert (told["steps_per_epoch"], told["posts_per_epoch"]) == (log["steps_per_epoch"], log["posts_per_epoch"])
    assert told["parameters"] == told["trained"] == log["parameters"]
    weights = (tmp_path / "b" / "members" / "00-encoder" / "model.safetensors").stat().st_size
    assert weights == pytest.approx(told["member_bytes"], rel=0.15)  # and names, of which a tiny model has many
    assert told["seconds"] > 0
    assert told["measured_steps"] == 3
    assert program.run([*_arguments(files, tmp_path / "c"), "--dry-run", "--set", "lora.rank=2"]) == 0
    out = capfd.readouterr().out
    assert "2, one for each seed" in out
    assert "of it the checkpoints of one member" in out
    assert not list(tmp_path.glob("c*"))  # a dry run leaves nothing


def test_a_dry_run_sees_a_bad_folder(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = [*_arguments(files, tmp_path / "b"), "--dry-run", "--set", f"model.name={tmp_path}/nowhere"]
    assert program.run(line) == 2
    assert "no such folder" in capfd.readouterr().err


def test_a_missing_model_is_an_error_before_training(files: Path, tmp_path: Path) -> None:
    recipe = load_recipe("quick", settings=["model.name=xlm-robreta-base"])
    material = training.gather(recipe, train=[f"{files}/train.csv"], dev=[f"{files}/dev.csv"])
    with pytest.raises(RecipeError, match="xlm-roberta-base"):
        training.train(recipe, material, output=tmp_path / "b", options=training.RunOptions(device="cpu", offline=True))
