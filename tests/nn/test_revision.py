# ruff: noqa: E402
"""A model's revision reaches the hub wherever a model is fetched, or asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.nli import nli_folder
from tests.nn.tiny import TEXTS, tiny_folder

from polyvigil.cli import main as program
from polyvigil.config.augment import TranslationSpec
from polyvigil.config.model import EncoderSpec, NerSpec, NliSpec
from polyvigil.config.recipe import EncoderRecipe
from polyvigil.config.training import BalanceSpec, TrainingSpec
from polyvigil.data.write import write_posts
from polyvigil.errors import RecipeError
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.learn.zeroshot import NerLearner, NliLearner
from polyvigil.nn.encoder import load_encoder
from polyvigil.nn.entities import installed, load_entity_finder
from polyvigil.nn.masked import load_masked_model
from polyvigil.nn.pairs import load_pair_classifier
from polyvigil.nn.translator import load_translator
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training
from polyvigil.workflows.adapt import recipe_for
from polyvigil.workflows.learners import RunOptions
from polyvigil_gladiators.tiny import gliner_folder, nllb_folder

PULL = "refs/pr/5"
NAME = "someone/model"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Path], list[tuple[object, object, object]]]:
    """Makes the hub serve a folder, and gives what it is asked for: name, revision, and whether offline."""
    seen: list[tuple[object, object, object]] = []

    def serve(folder: Path) -> list[tuple[object, object, object]]:
        def fetch(name: str, **options: object) -> str:
            seen.append((name, options["revision"], options["local_files_only"]))
            return str(folder)

        monkeypatch.setattr(hub, "snapshot_download", fetch)
        return seen

    return serve


Requests = Callable[[Path], list[tuple[object, object, object]]]
POSTS = [LabelledPost(Post(str(number), text, "en"), number % 2) for number, text in enumerate(TEXTS)]


def test_encoders(requests: Requests, tmp_path: Path) -> None:
    seen = requests(tiny_folder(tmp_path / "model", "xlm-roberta"))
    load_encoder(NAME, max_tokens=32, revision=PULL)
    load_masked_model(NAME, max_tokens=32, revision=PULL)
    load_encoder(NAME, max_tokens=32)
    assert seen == [(NAME, PULL, False), (NAME, PULL, False), (NAME, None, False)]
    seen.clear()
    spec = EncoderSpec(name=NAME, revision=PULL, max_tokens=32)
    learner = EncoderLearner(spec, TrainingSpec(epochs=1), BalanceSpec(), work=tmp_path / "work", device="cpu")
    assert learner.estimate_cost(POSTS, POSTS, seed=1) is not None
    assert [call[:2] for call in seen] == [(NAME, PULL)] * len(seen)
    assert seen[:2] == [(NAME, PULL, True), (NAME, PULL, False)]


def test_training_requests_only_the_given_revision(requests: Requests, tmp_path: Path) -> None:
    """Its finished members are known by the hash of the model's files, which are read once more."""
    seen = requests(tiny_folder(tmp_path / "model", "xlm-roberta"))
    spec = EncoderSpec(name=NAME, revision=PULL, max_tokens=32)
    recipe = EncoderRecipe(model=spec, training=TrainingSpec(epochs=1), seeds=(1, 2))
    material = training.TrainingData(tuple(POSTS), tuple(POSTS), "posts", (), ())
    training.train(recipe, material, output=tmp_path / "bundle", options=RunOptions("cpu", offline=True))
    assert {call[:2] for call in seen} == {(NAME, PULL)}


def test_nli(requests: Requests, tmp_path: Path) -> None:
    seen = requests(nli_folder(tmp_path / "model"))
    load_pair_classifier(NAME, max_tokens=96, revision=PULL)
    NliLearner(NliSpec(name=NAME, revision=PULL, max_tokens=96), device="cpu").estimate_cost(POSTS, POSTS, seed=1)
    assert seen == [(NAME, PULL, False), (NAME, PULL, True), (NAME, PULL, False)]


@pytest.mark.skipif(not installed(), reason="gliner2 is not installed")
def test_entities(requests: Requests, tmp_path: Path) -> None:
    seen = requests(gliner_folder(tmp_path / "model", texts=TEXTS))
    load_entity_finder(NAME, revision=PULL)
    NerLearner(NerSpec(name=NAME, revision=PULL), device="cpu").estimate_cost(POSTS, POSTS, seed=1)
    assert seen == [(NAME, PULL, False), (NAME, PULL, True), (NAME, PULL, False)]


def test_translators(requests: Requests, tmp_path: Path) -> None:
    seen = requests(nllb_folder(tmp_path / "model"))
    load_translator(NAME, revision=PULL, device="cpu")
    write_posts(tmp_path / "train.csv", POSTS)
    line = ["augment", "translate", str(tmp_path / "train.csv"), "-o", str(tmp_path / "fa.csv"), "--to", "fa"]
    program.run([*line, "--model", NAME, "--revision", PULL, "--device", "cpu"])
    assert seen == [(NAME, PULL, False), (NAME, PULL, False)]


def test_the_command_line_passes_it_on(requests: Requests, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    seen = requests(tiny_folder(tmp_path / "model", "xlm-roberta"))
    more = [f"{item.post.text} {number}" for number in range(8) for item in POSTS]
    write_posts(tmp_path / "posts.csv", [LabelledPost(Post(str(k), text, "en"), k % 2) for k, text in enumerate(more)])
    setting = ["--set", f"model.name={NAME}", "--set", f"model.revision={PULL}", "--set", "model.max_tokens=32"]
    file = str(tmp_path / "posts.csv")
    line = ["train", "quick", "--train", file, "-o", str(tmp_path / "bundle"), "--dry-run"]
    program.run([*line, *setting, "--device", "cpu"])
    assert {revision for _, revision, _ in seen} == {PULL}, capfd.readouterr().err
    assert recipe_for(NAME, settings=[f"model.revision={PULL}"]).model == EncoderSpec(
        name=NAME, revision=PULL, max_tokens=256
    )


def test_the_default_is_the_main_branch_and_a_folder_takes_none(tmp_path: Path) -> None:
    assert {spec.revision for spec in (EncoderSpec(), NliSpec(), NerSpec(), TranslationSpec())} == {""}
    folder = tiny_folder(tmp_path / "model", "xlm-roberta")
    with pytest.raises(RecipeError, match="is a local folder, which has no revision"):
        load_encoder(str(folder), max_tokens=32, revision=PULL)
