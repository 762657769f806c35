"""ModernBERT and EuroBERT through the real command line: windows, a teacher, adapters, int8, bf16, ONNX, adaptation."""
# ruff: noqa: E402

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.nn.tiny import tiny_folder
from tests.workflows.test_encoder_recipes import SETTINGS, _posts

from polyvigil.bundle.store import Bundle, load
from polyvigil.cli import main as program
from polyvigil.data.write import write_posts
from polyvigil.detect.transformer import EncoderDetector
from polyvigil.nn import int8
from polyvigil.nn.predict import probabilities
from polyvigil.nn.windows import pieces
from polyvigil.types import Post

_OWN_HEAD = ("training.head=random", "model.token_pooling=model")
WINDOWS = ("model.max_tokens=8", "model.long_posts=windows")
LONG = "the pills gave me a day of work and sleep " * 12
POSTS = [
    *(item.post for item in _posts(60, "testing")),
    Post("without", LONG, "en"),
    Post("with", LONG + "rash rash", "en"),
    Post("one", "rash", "de"),
]


@pytest.fixture(scope="module", params=["modernbert", "eurobert"])
def files(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Posts, a folder of the kind, and a bundle of it that reads posts in windows of 8 tokens, its reach 4 each way."""
    folder = tmp_path_factory.mktemp(request.param)
    for name, number in (("train", 120), ("dev", 80), ("testing", 60)):
        write_posts(folder / f"{name}.csv", _posts(number, name))
    tiny_folder(
        folder / "model", request.param, texts=[item.post.text for item in _posts(120, "train")], seed=3, layers=3
    )
    assert train(folder, "bundle", *WINDOWS) == 0
    return folder


def train(folder: Path, output: str, *settings: str, teacher: str = "") -> int:
    line = ["train", "quick", "--train", f"{folder}/train.csv", "--dev", f"{folder}/dev.csv", "--offline", "-q"]
    line += ["--device", "cpu", "-o", f"{folder}/{output}", *(["--teacher", f"{folder}/{teacher}"] if teacher else [])]
    for setting in (f"model.name={folder}/model", "seeds=[1]", *SETTINGS, *_OWN_HEAD, *settings):
        line += ["--set", setting]
    return program.run(line)


def encoder_of(bundle: Bundle) -> EncoderDetector:
    [member] = bundle.members
    assert isinstance(member, EncoderDetector)
    return member


def test_it_learns_and_reads_long_posts_in_windows(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(["evaluate", f"{files}/bundle", f"{files}/testing.csv", "--json", "--device", "cpu"]) == 0
    assert json.loads(capfd.readouterr().out)["data"]["pooled"]["average_precision"] > 0.9
    bundle = load(files / "bundle", device="cpu")
    assert encoder_of(bundle).encoder.packed
    together = bundle.probabilities(POSTS)
    alone = np.concatenate([bundle.probabilities([post]) for post in POSTS])
    assert np.abs(together - alone).max() < 1e-5
    assert together[-2] > together[-3]  # its last window holds the rash
    assert encoder_of(bundle).encoder.tokenise([POSTS[-2].text])[0].ndim == 2


def test_the_stock_forward_gives_the_same_scores(files: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    bundle = load(files / "bundle", device="cpu")
    member = files / "bundle" / "members" / "00-encoder"
    model = AutoModelForSequenceClassification.from_pretrained(member).eval()
    encoder = encoder_of(bundle).encoder
    windows = pieces(encoder.tokenise([post.text for post in POSTS])).rows
    assert len(windows) > 2 * len(POSTS)
    with torch.inference_mode():
        logits = torch.cat([model(torch.from_numpy(row[None]).long()).logits for row in windows])
    expected = torch.softmax(logits, dim=1)[:, 1].numpy()
    np.testing.assert_allclose(probabilities(encoder, windows, budget=500), expected, atol=1e-5)


def test_a_student_comes_close_to_its_teacher(files: Path) -> None:
    assert train(files, "student", *WINDOWS, "distil.weight=0.9", teacher="bundle") == 0
    teacher, student = (load(files / name, device="cpu").probabilities(POSTS) for name in ("bundle", "student"))
    assert np.corrcoef(teacher, student)[0, 1] > 0.9


def test_adapters_are_trained_and_merged(files: Path) -> None:
    pytest.importorskip("peft")
    assert train(files, "adapted", *WINDOWS, "lora.rank=4", "training.learning_rate=2e-2") == 0
    bundle = load(files / "adapted", device="cpu")
    names = [name for name, _ in encoder_of(bundle).encoder.model.named_parameters()]
    assert not any("lora" in name for name in names)
    labels = [item.label for item in _posts(60, "testing")]
    assert np.corrcoef(bundle.probabilities(POSTS[:60]), labels)[0, 1] > 0.5


@pytest.mark.parametrize(("form", "tolerance"), [("int8", 0.1), ("bf16", 0.03)])
def test_lean_forms_decide_alike(files: Path, form: str, tolerance: float) -> None:
    if form == "int8" and not int8._works():
        pytest.skip("torch has no int8 arithmetic for this processor")
    line = ["export", f"{files}/bundle", f"{files}/dev.csv", "-o", f"{files}/{form}", "--to", form, "-q"]
    assert program.run([*line, "--device", "cpu"]) == 0
    before, after = (load(files / name, device="cpu").probabilities(POSTS) for name in ("bundle", form))
    assert 0 < np.abs(before - after).max() < tolerance


def test_an_onnx_file_gives_the_same_scores(files: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from polyvigil.nn.onnx import OnnxEncoder

    assert train(files, "cut", "model.max_tokens=32", "model.long_posts=cut") == 0
    line = ["export", f"{files}/cut", f"{files}/dev.csv", "-o", f"{files}/onnx", "--to", "onnx", "-q"]
    assert program.run(line) == 0
    [exported] = (files / "onnx").rglob("*.onnx")
    encoder = encoder_of(load(files / "cut", device="cpu")).encoder
    items = encoder.tokenise([post.text for post in POSTS])
    expected = encoder_of(load(files / "cut", device="cpu")).probabilities(POSTS)
    np.testing.assert_allclose(OnnxEncoder(exported).probabilities(items, padding=encoder.padding), expected, atol=1e-5)


def test_its_backbone_is_adapted_to_posts(files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["adapt", f"{files}/model", "--posts", f"{files}/train.csv", "-o", f"{files}/domain", "--json"]
    line += ["--offline", "--device", "cpu"]
    for setting in ("model.max_tokens=32", "adapt.epochs=3", "adapt.posts_per_step=8", "adapt.held_out=0.25"):
        line += ["--set", setting]
    for setting in ("adapt.learning_rate=0.01", "adapt.mask_share=0.3", "adapt.precision=fp32"):
        line += ["--set", setting]
    assert program.run(line) == 0
    data = json.loads(capfd.readouterr().out)["data"]
    assert data["loss_after"] < data["loss_before"]
    assert train(files, "after", f"model.name={files}/domain", *WINDOWS) == 0
