"""Zero-shot and stacked members through the real command line, with tiny models: train, evaluate, score, inspect."""
# ruff: noqa: E402

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tests.nn.gliner import gliner_folder
from tests.nn.nli import nli_folder
from tests.nn.tiny import tiny_folder

from polyvigil.bundle.store import load
from polyvigil.cli import main as program
from polyvigil.config.load import load as load_recipe
from polyvigil.data.write import write_posts
from polyvigil.detect.entity_features import FEATURES
from polyvigil.detect.stacked import StackedDetector
from polyvigil.errors import BundleError, RecipeError
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training

WORDS = ["the", "pills", "gave", "me", "a", "day", "of", "work", "and", "sleep", "again", "with", "my", "doctor"]


def _posts(number: int, split: str) -> list[LabelledPost]:
    """Synthetic: a post with the word rash is positive."""
    chance = np.random.default_rng([number, len(split)])
    posts = []
    for place in range(number):
        chosen = [str(word) for word in chance.choice(WORDS, 6)]
        if place % 3 == 0:
            chosen[int(chance.integers(6))] = "rash"
        post = Post(f"{split}_{place}", " ".join(chosen) + f" {place}", ("en", "de")[place % 2], "tweet", split=split)
        posts.append(LabelledPost(post, int(place % 3 == 0)))
    return posts


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small only wait for a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zeroshot")
    for name, number in (("train", 90), ("dev", 60), ("testing", 45)):
        write_posts(folder / f"{name}.csv", _posts(number, name))
    texts = [" ".join([*WORDS, "rash"])]
    nli_folder(folder / "nli", texts=texts, max_tokens=128)
    tiny_folder(folder / "encoder", "bert", texts=texts, max_tokens=48, layers=1)
    return folder


@pytest.fixture(scope="module")
def gliner(files: Path) -> Path:
    pytest.importorskip("gliner2")
    return gliner_folder(files / "gliner", texts=[" ".join([*WORDS, "rash"])])


def _train(files: Path, recipe: str, output: Path, *settings: str, train: bool = True) -> list[str]:
    line = ["train", recipe, "--dev", f"{files}/dev.csv", "-o", str(output), "--offline", "--device", "cpu", "--json"]
    line += ["--train", f"{files}/train.csv"] if train else []
    return line + [part for setting in settings for part in ("--set", setting)]


def _of_nli(files: Path) -> tuple[str, ...]:
    return (f"model.name={files}/nli", "model.max_tokens=128")


@pytest.fixture
def linear_stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.toml"
    path.write_text('[model]\nkind = "stacked"\nfolds = 2\nbase = {kind = "linear"}\n')
    return path


def _told(capfd: pytest.CaptureFixture[str]) -> dict[str, object]:
    data: dict[str, object] = json.loads(capfd.readouterr().out)["data"]
    return data


def _evaluates_and_scores(files: Path, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Both commands take the bundle, and the scored file holds what the loaded bundle says."""
    assert program.run(["evaluate", str(bundle), f"{files}/testing.csv", "--json", "--device", "cpu"]) == 0
    pooled = _told(capfd)["pooled"]
    assert isinstance(pooled, dict)
    assert pooled["posts"] == 45
    scored = bundle.with_suffix(".jsonl")
    assert program.run(["score", str(bundle), f"{files}/testing.csv", "-o", str(scored), "-q", "--device", "cpu"]) == 0
    found = [json.loads(line)["p"] for line in scored.read_text().splitlines()]
    expected = load(bundle, device="cpu").probabilities([item.post for item in _posts(45, "testing")])
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_nli_needs_no_train_posts(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(_train(files, "nli", tmp_path / "a", *_of_nli(files), train=False)) == 0
    told = _told(capfd)
    assert (told["train"], told["stacked"], told["training"]) == (0, [], [])
    assert program.run(_train(files, "nli", tmp_path / "b", *_of_nli(files))) == 0
    bundle = load(tmp_path / "b", device="cpu")
    assert bundle.id == load(tmp_path / "a", device="cpu").id  # train posts change nothing
    assert [entry.folder for entry in bundle.manifest.members] == ["members/00-nli"]
    assert bundle.manifest.trained_languages == ()
    assert bundle.manifest.tuned_languages == ("de", "en")
    assert bundle.seen.train.shape == (0,)
    capfd.readouterr()
    _evaluates_and_scores(files, tmp_path / "b", capfd)
    assert program.run(["evaluate", str(tmp_path / "b"), f"{files}/train.csv", "--device", "cpu"]) == 0  # never learned
    assert program.run(["inspect", str(tmp_path / "b")]) == 0
    assert "member members/00-nli: seed 42, 0 posts" in capfd.readouterr().out


def test_a_bundle_is_whole_without_the_model_it_came_from(files: Path, tmp_path: Path) -> None:
    source = nli_folder(tmp_path / "source", texts=WORDS, max_tokens=128, seed=3)
    line = _train(files, "nli", tmp_path / "b", f"model.name={source}", "model.max_tokens=128", train=False)
    assert program.run(line) == 0
    posts = [item.post for item in _posts(20, "dev")]
    before = load(tmp_path / "b", device="cpu").probabilities(posts)
    for path in source.iterdir():
        path.unlink()
    assert np.array_equal(load(tmp_path / "b", device="cpu").probabilities(posts), before)


def test_ner_trains_evaluates_and_scores(
    files: Path, gliner: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program.run(_train(files, "gliner", tmp_path / "b", f"model.name={gliner}", train=False)) == 0
    assert _told(capfd)["training"] == []
    bundle = load(tmp_path / "b", device="cpu")
    assert [entry.folder for entry in bundle.manifest.members] == ["members/00-ner"]
    assert "members/00-ner/encoder_config/config.json" in bundle.manifest.files
    _evaluates_and_scores(files, tmp_path / "b", capfd)


def test_linear_over_nli_stacks(
    files: Path, linear_stack: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    further = f"model.further={{kind = 'nli', name = '{files}/nli', max_tokens = 128}}"
    assert program.run(_train(files, str(linear_stack), tmp_path / "b", further)) == 0
    [told] = _told(capfd)["stacked"]  # type: ignore[misc, attr-defined]
    assert told["config"]["features"] == ["entailment"]
    bundle = load(tmp_path / "b", device="cpu")
    [member] = bundle.members
    assert isinstance(member, StackedDetector)
    assert told["config"]["coefficients"] == list(member.config.coefficients)
    assert (member.base.kind, member.further.kind) == ("linear", "nli")
    assert member.config.coefficients[0] > 0.5
    assert bundle.manifest.trained_languages == ("de", "en")
    assert len(bundle.seen.train) > 0
    names = set(bundle.manifest.files)
    assert {"members/00-stacked/base/weights.safetensors", "members/00-stacked/further/model.safetensors"} <= names
    _evaluates_and_scores(files, tmp_path / "b", capfd)
    assert program.run(["inspect", str(tmp_path / "b")]) == 0
    out = capfd.readouterr().out
    row = next(line.split() for line in out.splitlines() if line.startswith("logit of P (linear)"))
    assert row[4:] == [f"{member.config.coefficients[0]:+.3f}", "+7.01", "(of", "P)"]
    assert program.run(["inspect", str(tmp_path / "b"), "--json"]) == 0
    assert _told(capfd)["stacked"] == [told]
    file = tmp_path / "b" / "members" / "00-stacked" / "base" / "weights.safetensors"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(BundleError, match="was changed or damaged after the bundle was saved"):
        load(tmp_path / "b")


def test_an_encoder_over_gliner_s_features_stacks(
    files: Path, gliner: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = (
        *("model.folds=2", f"model.base.name={files}/encoder", "model.base.max_tokens=32"),
        *(f"model.further.name={gliner}", "training.epochs=1", "training.precision=fp32", "training.posts_per_step=16"),
    )
    line = [part for part in _train(files, "stacked", tmp_path / "b", *settings) if part != "--json"]
    assert program.run(line) == 0
    out = capfd.readouterr()
    for name in FEATURES:
        assert any(row.split()[:2] == [name, "(ner)"] and "below 0.23" in row for row in out.out.splitlines())
    assert "P (encoder)" in out.out
    assert "fold 2 of 2: learning the base from" in out.err
    bundle = load(tmp_path / "b", device="cpu")
    assert bundle.members[0].log is not None
    assert "members/00-stacked/base/training.json" in bundle.manifest.files
    assert not (tmp_path / "b.work").exists()
    _evaluates_and_scores(files, tmp_path / "b", capfd)


@pytest.mark.parametrize("name", ["nli", "gliner", "stacked"])
def test_the_shipped_recipes_dry_run(
    files: Path, name: str, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    line = [part for part in _train(files, name, tmp_path / "b") if part not in {"--json", "--offline"}]
    assert program.run([*line, "--dry-run", "--for-device", "t4"]) == 0
    out = capfd.readouterr().out
    assert f"would learn from {90 if name == 'stacked' else 0} posts and tune on 60" in out
    expected = {
        "stacked": "download     about 2.4 GB, once",
        "nli": "parameters   278.8M, none of them trained",
        "gliner": "download     about 1.2 GB, once",
    }
    assert expected[name] in out
    assert "nothing was fetched or run" in out
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "b").exists()


def test_a_dry_run_of_a_stack_counts_its_trainings(
    files: Path, linear_stack: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    further = f"model.further={{kind = 'nli', name = '{files}/nli', max_tokens = 128}}"
    line = [part for part in _train(files, str(linear_stack), tmp_path / "b", further) if part != "--json"]
    assert program.run([*line, "--dry-run"]) == 0
    assert "one linear model, learned 3 times: no steps" in capfd.readouterr().out
    base = f"model.base={{kind = 'encoder', name = '{files}/encoder', max_tokens = 32}}"
    assert program.run([*line, "--set", base, "--set", "training.epochs=1", "--dry-run"]) == 0
    assert "time and checkpoints are of 3 trainings" in capfd.readouterr().out


def test_a_trained_model_needs_posts(files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = [part for part in _train(files, "linear", tmp_path / "b", train=False) if part != "--json"]
    assert program.run(line) == 2
    assert "--train: there are no posts to learn from\n  next: give a file of labelled posts" in capfd.readouterr().err


def test_offline_a_missing_model_is_an_error(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    recipe = load_recipe("nli")
    material = training.gather(recipe, train=[], dev=[f"{files}/dev.csv"])
    with pytest.raises(RecipeError, match="MoritzLaurer/mDeBERTa-v3-base-mnli-xnli: not fetched before"):
        training.train(recipe, material, output=tmp_path / "b", options=training.RunOptions(device="cpu", offline=True))
