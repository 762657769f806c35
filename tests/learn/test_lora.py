"""Adapters: inert at first, the only thing trained beside the head, the same in both forwards, gone in the end."""
# ruff: noqa: E402

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")
sys.path.append(str(Path(__file__).parents[1] / "nn"))
from safetensors.torch import load_file, save_file
from small import SmallEncoder
from tiny import ragged, tiny_folder

from polyvigil.config.model import EncoderSpec
from polyvigil.config.training import BalanceSpec, LoraSpec, TrainingSpec
from polyvigil.detect.transformer import EncoderDetector, load
from polyvigil.errors import InterruptError, RecipeError, TrainingError
from polyvigil.learn import checkpoint
from polyvigil.learn.checkpoint_manager import trained
from polyvigil.learn.lora import adapt
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.text.normalise import model_text
from polyvigil.types import LabelledPost, Post

LORA = LoraSpec(rank=4, alpha=8, dropout=0.2)
HEADS = {
    "xlm-roberta": {"classifier"},
    "bert": {"bert.pooler", "classifier"},
    "modernbert": {"head", "classifier"},
    "eurobert": {"dense", "classifier"},
    "deberta-v2": {"pooler", "classifier"},
    "electra": {"classifier"},
    "distilbert": {"pre_classifier", "classifier"},
}
WORDS = tuple(model_text("I took the new pill today and my doctor said it is fine after lunch we went home").split())


def encoder_of(path: Path, kind: str, *, packing: bool = True, **options: float) -> Encoder:
    folder = path / kind
    if not folder.exists():
        tiny_folder(folder, kind, **options)
    return load_encoder(str(folder), max_tokens=24, packing=packing, offline=True, seed=5)


def disturb(encoder: Encoder) -> None:
    """Give every adapter a part in the logits: B is zero at first."""
    chance = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in trained(encoder.model).items():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=chance))


def numbers(encoder: Encoder) -> torch.Tensor:
    encoder.model.eval()
    with torch.inference_mode():
        return encoder.logits(ragged([5, 9, 5, 1], vocabulary=40))


@pytest.mark.parametrize("kind", HEADS)
def test_every_linear_layer_has_an_adapter(tmp_path: Path, kind: str) -> None:
    encoder = encoder_of(tmp_path, kind)
    before = numbers(encoder)
    linear = {name for name, part in encoder.model.named_modules() if type(part) is torch.nn.Linear}
    in_head = {name for name in linear if any(name.startswith(head) for head in HEADS[kind])}
    adapt(encoder, spec=LORA, seed=1)
    assert torch.equal(numbers(encoder), before)
    names = trained(encoder.model).keys()
    assert {name.partition(".lora_")[0] for name in names if ".lora_" in name} == linear - in_head
    assert {name.rpartition(".")[0] for name in names if ".lora_" not in name} - {"head.norm"} == in_head
    assert all(parameter.shape[0] == 4 for name, parameter in encoder.model.named_parameters() if "lora_A" in name)


@pytest.mark.parametrize("kind", HEADS)
def test_merged_logits_and_names_are_the_model_s(tmp_path: Path, kind: str) -> None:
    encoder = encoder_of(tmp_path, kind)
    names, plain = list(encoder.model.state_dict()), numbers(encoder)
    adapters = adapt(encoder, spec=LORA, seed=1)
    disturb(encoder)
    adapted = numbers(encoder)
    adapters.merge()
    torch.testing.assert_close(numbers(encoder), adapted, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(adapted, plain, rtol=1e-2, atol=1e-2)
    assert list(encoder.model.state_dict()) == names
    assert all(parameter.requires_grad for parameter in encoder.model.parameters())


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert", "modernbert", "eurobert"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_and_stock_agree_with_adapters(tmp_path: Path, kind: str, checkpointing: bool) -> None:
    found = []
    for packing in (True, False):
        encoder = encoder_of(tmp_path, kind, packing=packing, dropout=0.0)
        assert encoder.packed == packing
        adapt(encoder, spec=LORA.model_copy(update={"dropout": 0.0}), seed=1)
        disturb(encoder)
        if checkpointing:
            encoder.checkpoint_layers()
        encoder.model.train()
        logits = encoder.logits(ragged([5, 9, 5, 1], vocabulary=40))
        (logits * torch.tensor([1.0, -2.0])).sum().backward()
        assert all(p.grad is None for p in encoder.model.parameters() if not p.requires_grad)
        found.append((logits.detach(), {name: p.grad for name, p in trained(encoder.model).items()}))
    (packed, gradients), (stock, others) = found
    torch.testing.assert_close(packed, stock, rtol=1e-5, atol=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-4, atol=1e-5, msg=name)
        assert float(gradient.abs().max()) > 0 or ".key." in name, name  # a key's may vanish by symmetry


def test_initial_adapters_follow_the_seed(tmp_path: Path) -> None:
    torch.manual_seed(8)
    state = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        encoder = encoder_of(tmp_path, "bert")
        adapt(encoder, spec=LORA, seed=seed)
        drawn.append(torch.cat([p.flatten() for name, p in trained(encoder.model).items() if "lora_A" in name]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)


# -- through the learner ----------------------------------------------------------------------------------------------


def posts(number: int, *, seed: int) -> list[LabelledPost]:
    """Synthetic: a post with the word dizzy is positive."""
    chance = np.random.default_rng(seed)
    made = []
    for place in range(number):
        words = [str(word) for word in chance.choice(WORDS, size=chance.integers(3, 10))]
        if place % 3 == 0:
            words[int(chance.integers(len(words)))] = "dizzy"
        made.append(LabelledPost(Post(f"{seed}_{place}", " ".join(words), "en"), int(place % 3 == 0)))
    return made


TRAIN, DEV = posts(150, seed=1), posts(60, seed=2)
TRAINING = TrainingSpec(
    epochs=4, posts_per_step=16, micro_tokens=256, learning_rate=0.02, loss="cross-entropy", checkpoint_minutes=1000.0
)
TEST = [item.post for item in posts(40, seed=3)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora") / "model"
    return tiny_folder(folder, "xlm-roberta", texts=[" ".join([*WORDS, "dizzy"])], layers=1, spread=0.05)


def learner(source: Path, **options: object) -> EncoderLearner:
    spec = EncoderSpec(name=str(source), max_tokens=24)
    plain = EncoderLearner(spec, TRAINING, BalanceSpec(weights="none"), offline=True, device="cpu", lora=LORA)
    return replace(plain, **options)


@pytest.fixture(scope="module")
def unbroken(source: Path) -> EncoderDetector:
    return learner(source).fit(TRAIN, DEV, seed=4)


def state(detector: EncoderDetector) -> dict[str, torch.Tensor]:
    return dict(detector.encoder.model.state_dict())


def test_only_adapted_layers_and_the_head_change(source: Path, unbroken: EncoderDetector) -> None:
    assert unbroken.log.best.dev_f1 > 0.9
    before = load_encoder(str(source), max_tokens=24, offline=True, seed=4).model
    linear = {f"{name}.weight" for name, part in before.named_modules() if isinstance(part, torch.nn.Linear)}
    changed = {name for name, value in before.state_dict().items() if not torch.equal(value, state(unbroken)[name])}
    assert changed == linear | {"classifier.dense.bias", "classifier.out_proj.bias"}
    for name in linear:
        if name.startswith("roberta."):
            added = state(unbroken)[name] - before.state_dict()[name]
            assert int(torch.linalg.matrix_rank(added, atol=1e-5)) <= LORA.rank


def test_the_saved_member_is_an_ordinary_folder(source: Path, unbroken: EncoderDetector, tmp_path: Path) -> None:
    unbroken.save(tmp_path)
    assert np.array_equal(load(tmp_path).probabilities(TEST), unbroken.probabilities(TEST))
    assert not list(tmp_path.glob("adapter*"))
    plain = load_encoder(str(source), max_tokens=24, offline=True).model
    assert load_file(tmp_path / "model.safetensors").keys() == plain.state_dict().keys()
    opened = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert all(torch.equal(value, state(unbroken)[name]) for name, value in opened.state_dict().items())


def stop_after(steps: int) -> Callable[[], bool]:
    asked = iter(range(steps - 1))
    return lambda: next(asked, None) is None


@pytest.mark.parametrize("steps", [1, 17])
def test_stopped_and_resumed_it_ends_with_the_same_bits(
    source: Path, unbroken: EncoderDetector, tmp_path: Path, steps: int
) -> None:
    lines: list[str] = []
    stopped = learner(source, work=tmp_path, stop=stop_after(steps), log=lines.append)
    with pytest.raises(InterruptError):
        stopped.fit(TRAIN, DEV, seed=4)
    resumed = learner(source, work=tmp_path, log=lines.append).fit(TRAIN, DEV, seed=4)
    assert any(line.startswith("resuming after") for line in lines)
    assert all(torch.equal(value, state(resumed)[name]) for name, value in state(unbroken).items())
    assert np.array_equal(resumed.probabilities(TEST), unbroken.probabilities(TEST))


def test_checkpoints_hold_what_is_trained_and_nothing_else(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "keep_best_alone", lambda _: None)  # as they are while the training runs
    lines: list[str] = []
    learner(source, work=tmp_path, log=lines.append).fit(TRAIN, DEV, seed=4)
    encoder = load_encoder(str(source), max_tokens=24, offline=True)
    adapt(encoder, spec=LORA, seed=4)
    names = trained(encoder.model)
    newest = max(tmp_path.glob("checkpoint-*"))
    for part in ("model", "best"):
        assert load_file(newest / f"{part}.safetensors").keys() == names.keys()
    moments = {name.rpartition(".")[0] for name in load_file(newest / "moments.safetensors")}
    assert moments == names.keys()
    need = sum(parameter.numel() for parameter in names.values()) * 16 * 3
    assert lines[2] == f"checkpoints in {tmp_path} take up to {need / 1e9:.1f} GB"
    stored = (file.stat().st_size for file in newest.glob("*.safetensors"))
    assert sum(stored) < need / 3 + 20_000  # names and shapes


def test_other_adapters_or_another_backbone_are_another_run(source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    with pytest.raises(InterruptError):
        learner(source, work=work, stop=stop_after(2)).fit(TRAIN, DEV, seed=4)
    for change in ({"alpha": 9}, {"dropout": 0.1}, {"rank": 5}):
        with pytest.raises(TrainingError, match="those of another run"):
            learner(source, work=work, lora=LORA.model_copy(update=change)).fit(TRAIN, DEV, seed=4)
    changed = load_file(source / "model.safetensors")
    next(value for name, value in changed.items() if name.endswith("word_embeddings.weight"))[9] += 1
    kept = (source / "model.safetensors").read_bytes()
    try:
        save_file(changed, source / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(TrainingError, match="those of another run"):  # no checkpoint holds these weights
            learner(source, work=work).fit(TRAIN, DEV, seed=4)
    finally:
        (source / "model.safetensors").write_bytes(kept)


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_a_model_without_linear_layers_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        adapt(SmallEncoder(), spec=LORA, seed=1)
    assert str(caught.value) == (
        "lora.rank: the model's backbone has no linear layer that an adapter can stand beside; set lora.rank = 0, "
        "which trains every weight"
    )


def test_without_peft_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(RecipeError, match=r"an adapter needs peft, which is not installed; pip install 'polyvigil\["):
        adapt(encoder_of(tmp_path, "bert"), spec=LORA, seed=1)


def test_rank_0_trains_every_weight(source: Path) -> None:
    detector = learner(source, lora=LoraSpec()).fit(TRAIN, DEV, seed=4)
    plain = learner(source, lora=LoraSpec(alpha=3, dropout=0.5)).fit(TRAIN, DEV, seed=4)
    assert all(torch.equal(value, state(plain)[name]) for name, value in state(detector).items())
    assert json.loads(detector.log.model_dump_json())["parameters"] == sum(v.numel() for v in state(plain).values())
