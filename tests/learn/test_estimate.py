"""Estimates from a shape alone, beside what a training of the same model and posts really takes."""
# ruff: noqa: E402

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tests.nn.tiny import tiny_config, tiny_tokenizer

from polyvigil.config.load import load
from polyvigil.config.recipe import Recipe
from polyvigil.detect.base import CostEstimate
from polyvigil.errors import RecipeError
from polyvigil.learn import devices, estimate
from polyvigil.learn.devices import CARDS, CONTEXT_BYTES, DeviceRate, measured_device, named_device
from polyvigil.learn.disk import DiskUse
from polyvigil.learn.estimate import estimate_scoring, estimate_training
from polyvigil.learn.schedule import steps_per_epoch
from polyvigil.learn.step import Stepper
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.nn.shapes import ModelShape, known_shapes, shape_of
from polyvigil.text.token_counts import CHARACTERS, estimated_rows, estimated_tokens
from polyvigil.types import LabelledPost, Post
from polyvigil_gladiators import tiny

LARGE = known_shapes()["xlm-roberta-large"]
CARD = named_device("rtx-3060-12gb", precision="fp16")


def posts(
    number: int, positives: int, *, text: str = "the pills gave me a rash", language: str = "en"
) -> list[LabelledPost]:
    return [
        LabelledPost(Post(f"{language}-{index}", f"{text} {index}", language), int(index < positives))
        for index in range(number)
    ]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# -- steps, disk, download of the paper's own size --------------------------------------------------------------------


def test_the_steps_are_those_of_the_paper_s_posts() -> None:
    """46,737 and 810 from CADEC, each of 3,478 positives twice more; the paper drops the last, short step."""
    assert steps_per_epoch(54_503, posts_per_step=32, last_batch="dropped") == 1_703
    expected_cost = _estimated(posts(46_737 + 810, 2_992 + 486, text="a"), dev=posts(80, 8))
    assert expected_cost.posts_per_epoch == 54_503
    assert 5 * expected_cost.steps_per_epoch == 8_515


def test_disk_and_download_of_three_large_members() -> None:
    expected_cost = _estimated(posts(600, 60))
    assert expected_cost.download == 2_260_000_000
    assert expected_cost.member_bytes == pytest.approx(4 * LARGE.parameters, rel=0.02)
    assert expected_cost.checkpoint_bytes < 3 * 16 * LARGE.parameters
    assert expected_cost.most_disk == expected_cost.checkpoint_bytes + 2 * expected_cost.member_bytes
    assert expected_cost.measured_steps == 0
    assert "estimated, not measured: 35%" in expected_cost.how


def test_disk_use_is_the_maximum_at_one_time() -> None:
    assert DiskUse(100).most == 3 * 16 * 100
    assert DiskUse(100, member=400, members=3).most == 3 * 16 * 100 + 2 * 400
    assert DiskUse(1, member=400, members=3).most == 4 + 3 * 400  # adapters: the members are the most of it
    assert DiskUse(100, member=400, trainings=6).checkpoints == 3 * 16 * 100 + 5 * 4 * 100
    assert DiskUse(100, overhead=7).checkpoints == 3 * (1600 + 7)


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "precision"), [("xlm-roberta", "fp32"), ("xlm-roberta", "bf16"), ("deberta-v2", "fp32")]
)
def test_estimated_memory_is_within_30_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, precision: str
) -> None:
    """Weights, gradients, moments, and all that autograd holds for the backward pass, of the largest micro-batch."""
    train = posts(60, 20, text=" ".join(["the pills gave me a rash"] * 5))
    tokenizer = tiny_tokenizer(kind, [item.post.text for item in train])
    config = tiny_config(kind, len(tokenizer), max_tokens=48, layers=4, hidden=256)
    config.intermediate_size, config.num_attention_heads = 1024, 4
    folder = tiny.write_random(tmp_path / "model", config, tokenizer, seed=0)
    settings = [f"model.name={folder}", "model.max_tokens=48", f"training.precision={precision}"]
    recipe = load("quick", settings=[*settings, "model.token_pooling=model"])
    peaks: list[int] = []
    backward = Stepper._backward

    def watched(self: Stepper[Any], *given: object, **named: object) -> float:
        saved: dict[int, tuple[int, object]] = {}
        weights = {p.untyped_storage().data_ptr() for p in self.parameters}

        def keep(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                saved[storage.data_ptr()] = (storage.nbytes(), tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = backward(self, *given, **named)
        standing = sum(p.nbytes + (p.grad.nbytes if p.grad is not None else 0) for p in self.parameters)
        peaks.append(sum(size for size, _ in saved.values()) + standing + 8 * sum(p.numel() for p in self.parameters))
        return loss

    monkeypatch.setattr(Stepper, "_backward", watched)
    learner = EncoderLearner(recipe.model, recipe.training, recipe.balance, device="cpu", offline=True)
    measured = learner.estimate_cost(train, posts(10, 3), seed=1)
    shape = shape_of(str(folder))
    assert measured is not None
    assert shape is not None
    tokens = measured.tokens_per_epoch / measured.posts_per_epoch
    monkeypatch.setattr(estimate, "estimated_tokens", lambda texts: np.full(len(texts), tokens))
    cpu = DeviceRate("cpu", 1e9, 1e9, 0, "", is_cpu=True)
    expected_cost = estimate_training(recipe, shape, cpu, train, posts(10, 3))
    assert expected_cost.peak_memory - CONTEXT_BYTES == pytest.approx(max(peaks), rel=0.3)


def test_memory_estimate_for_twelve_gigabytes() -> None:
    train = posts(2000, 200, text="the pills gave me a rash and a headache after some days of taking it")
    plain = _estimated(train)
    assert plain.peak_memory < plain.device_memory
    wide = _estimated(train, "training.micro_tokens=65536", "training.posts_per_step=2000")
    assert wide.peak_memory > wide.device_memory
    saving = _estimated(train, "training.micro_tokens=65536", "training.posts_per_step=2000",
                        "training.gradient_checkpointing=true")  # fmt: skip
    assert saving.peak_memory < wide.peak_memory / 2
    assert saving.seconds > plain.seconds
    adapters = _estimated(train, "lora.rank=8")
    assert adapters.trained == 24 * 8 * (8 * 1024 + 2 * (1024 + 4096)) + 1024**2 + 3 * 1024 + 2
    assert adapters.peak_memory < plain.peak_memory
    assert adapters.checkpoint_bytes < 1e9


# -- time -------------------------------------------------------------------------------------------------------------


def test_time_follows_from_rate_and_bandwidth() -> None:
    train = posts(640, 64, text="pills " * 20)
    whole = _estimated(train).seconds
    half = _estimated(train, rate=DeviceRate("x", CARD.operations / 2, CARD.bytes / 2, 0, "")).seconds
    assert half == pytest.approx(2 * whole)
    compute = _estimated(train, rate=DeviceRate("x", CARD.operations, 1e30, 0, "")).seconds
    tokens = _estimated(train).tokens_per_epoch
    weights = LARGE.layers * (4 * LARGE.hidden**2 + 2 * LARGE.hidden * LARGE.intermediate)
    assert compute == pytest.approx(
        5 * 6 * weights * tokens / CARD.operations, rel=0.06
    )  # and attention, and dev posts
    stacked = load("stacked", settings=["training.epochs=5"])
    base = known_shapes()["xlm-roberta-base"]
    one = load("xlmr-base")
    both = [estimate_training(r, base, CARD, train, posts(80, 8)).seconds for r in (stacked, one)]
    assert both[0] == pytest.approx(6 * both[1])


def test_estimated_time_is_near_the_paper_s() -> None:
    """35 to 105 minutes a seed, by the repository and the paper; about 40 tokens a post."""
    train = posts(47_547, 3_478, text="the pills gave me a rash and a headache after some days " * 2)
    expected_cost = _estimated(train, dev=posts(8_033, 508))
    assert 30 < expected_cost.tokens_per_epoch / expected_cost.posts_per_epoch < 50
    assert 20 * 60 < expected_cost.seconds < 105 * 60


def test_windows_of_long_posts_are_counted() -> None:
    long = posts(40, 10, text="word " * 2000)
    cut = _estimated(long, "model.long_posts=cut")
    windows = _estimated(long, "model.long_posts=windows")
    assert cut.full == windows.full == 40
    assert cut.tokens_per_epoch == 256 * cut.posts_per_epoch
    assert windows.tokens_per_epoch > 10 * cut.tokens_per_epoch
    assert windows.seconds > 5 * cut.seconds


def test_a_zero_shot_model_takes_one_pass_over_the_dev_posts() -> None:
    recipe, shape = load("nli"), known_shapes()["MoritzLaurer/mDeBERTa-v3-base-mnli-xnli"]
    few, many = (estimate_scoring(recipe, shape, CARD, posts(number, 5)) for number in (100, 1000))
    assert many.seconds == pytest.approx(10 * few.seconds, rel=0.05)
    assert (few.trained, few.steps_per_epoch, few.checkpoint_bytes) == (0, 0, 0)
    assert few.most_disk == few.member_bytes


# -- devices ----------------------------------------------------------------------------------------------------------


def test_device_names_are_known_with_assumptions() -> None:
    for name in CARDS:
        half, single = (named_device(name, precision=precision) for precision in ("fp16", "fp32"))
        assert half.operations > single.operations > 1e12
        assert "estimated, not measured: 35% of the card's" in half.basis
    with pytest.raises(
        RecipeError, match="--for-device: 'tpu' is no device known here; one of rtx-3060-12gb, rtx-4090"
    ):
        named_device("tpu", precision="fp16")


def test_a_machine_is_as_fast_whatever_the_model_s_layers_are_like(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed is a layer of BERT's kind: of another one its operations are not counted."""
    monkeypatch.setattr(devices, "_seconds_of", lambda *_, **__: 1.0)
    shape = known_shapes()["jhu-clsp/mmBERT-small"]
    plain = shape.model_copy(update={"architecture": "bert", "local_layers": 0, "head_reads": "first"})
    rates = [measured_device(each, precision="fp32", device="cpu").operations for each in (shape, plain)]
    assert rates[0] == rates[1] > 0


def test_measuring_this_machine_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_ENOUGH_SECONDS", 0.2)
    small = ModelShape(architecture="bert", layers=2, hidden=64, heads=2, intermediate=256, vocabulary=99, positions=99,
                       types=2)  # fmt: skip
    rate = measured_device(small, precision="fp32", device="cpu")
    assert rate.is_cpu
    assert 1e7 < rate.operations < 1e13
    assert 1e6 < rate.bytes < 1e13
    assert "measured on it in fp32" in rate.basis
    with pytest.raises(RecipeError, match="the device cannot be used"):
        measured_device(small, precision="fp32", device="cuda:99")


@pytest.mark.parametrize("has_it", [True, False])
def test_a_cpu_without_the_arithmetic_is_told(monkeypatch: pytest.MonkeyPatch, has_it: bool) -> None:
    monkeypatch.setattr("polyvigil.nn.bf16.cpu_computes", lambda precision: has_it or precision == "fp32")
    monkeypatch.setattr(devices, "_ENOUGH_SECONDS", 0.1)
    small = ModelShape(architecture="bert", layers=2 + has_it, hidden=64, heads=2, intermediate=256, vocabulary=99,
                       positions=99, types=2)  # fmt: skip  # another shape: what was measured is kept
    for precision in ("fp32", "bf16"):
        told = measured_device(small, precision=precision, device="cpu").basis
        assert ("this CPU has no such arithmetic" in told) == (precision == "bf16" and not has_it)


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_are_counted_by_script() -> None:
    counts = estimated_tokens(["a" * 390, "я" * 380, "あ" * 154, "药" * 140, "", "ب" * 320])
    assert counts.tolist() == [102, 102, 102, 102, 2, 102]
    assert set(CHARACTERS) == {"Latin", "Cyrillic", "Japanese", "Han", "Arabic", "Hangul"}
    assert estimated_rows(118_158) > 6_017  # English posts of that many tokens held so many different ones
    assert estimated_rows(97_204) > 6_865  # Russian


def _estimated(
    train: list[LabelledPost], *settings: str, dev: list[LabelledPost] | None = None, rate: DeviceRate = CARD
) -> CostEstimate:
    recipe: Recipe = load("gladiators", settings=settings)
    return estimate_training(recipe, LARGE, rate, train, dev or posts(80, 8))
