"""The packed forward against its oracle: the same transformers model on padded posts with an attention mask."""
# ruff: noqa: E402

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from tiny import PACKED, REACH, ragged, tiny_folder
from torch.nn import functional

from polyvigil.nn import architectures, attention
from polyvigil.nn.encoder import Encoder, load_encoder

LENGTHS = ([1], [48], [1, 2], [7, 7, 7], [5, 48, 1, 5, 17, 1, 30, 5], list(range(1, 49)))


def oracle(encoder: Encoder, items: Sequence[np.ndarray]) -> torch.Tensor:
    """Logits of the model itself, padded one post at a time in plain Python."""
    longest = max(len(item) for item in items)
    padding = encoder.model.config.pad_token_id
    ids = torch.tensor([item.tolist() + [padding] * (longest - len(item)) for item in items])
    mask = torch.tensor([[1] * len(item) + [0] * (longest - len(item)) for item in items])
    return encoder.model(input_ids=ids, attention_mask=mask).logits


def make(tmp_path: Path, kind: str, **options: Any) -> Encoder:
    encoder = load_encoder(str(tiny_folder(tmp_path, kind, **options)), max_tokens=48, seed=3)
    assert encoder.packed
    return encoder


def set_in_config(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def gradients(encoder: Encoder, logits: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of the summed cross-entropy of every second post being positive, by parameter; None counts as 0."""
    encoder.model.zero_grad()
    functional.cross_entropy(logits, torch.arange(len(logits)) % 2, reduction="sum").backward()
    return {
        name: torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
        for name, weight in encoder.model.named_parameters()
    }


def words(encoder: Encoder) -> int:
    return int(encoder.model.config.vocab_size)


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_logits_equal_the_padded_forward(tmp_path: Path, kind: str, layers: int) -> None:
    encoder = make(tmp_path, kind, layers=layers, seed=layers)
    for seed, lengths in enumerate(LENGTHS):
        items = ragged(lengths, vocabulary=words(encoder), seed=seed)
        with torch.inference_mode():
            torch.testing.assert_close(encoder.logits(items), oracle(encoder, items), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("activation", ["relu", "gelu_new", "tanh"])
def test_the_activation_is_the_models_own(tmp_path: Path, kind: str, activation: str) -> None:
    folder = tiny_folder(tmp_path, kind)
    set_in_config(folder, **{"hidden_activation" if kind == "modernbert" else "hidden_act": activation})
    encoder = load_encoder(str(folder), max_tokens=48)
    assert encoder.packed
    items = ragged([3, 9, 4], vocabulary=words(encoder))
    with torch.inference_mode():
        torch.testing.assert_close(encoder.logits(items), oracle(encoder, items), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", PACKED)
def test_padding_tokens_inside_a_post_keep_their_position(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind)
    items = ragged([6, 9], vocabulary=words(encoder))
    items[0][2] = items[1][0] = items[1][4] = encoder.model.config.pad_token_id
    with torch.inference_mode():
        torch.testing.assert_close(encoder.logits(items), oracle(encoder, items), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_equal_those_of_the_padded_forward(tmp_path: Path, kind: str, checkpointing: bool) -> None:
    encoder = make(tmp_path, kind, dropout=0.0, spread=0.1)
    encoder.model.train()
    if checkpointing:
        encoder.checkpoint_layers()
    items = ragged([5, 48, 1, 5, 17], vocabulary=words(encoder))
    found, expected = gradients(encoder, encoder.logits(items)), gradients(encoder, oracle(encoder, items))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("kind", PACKED)
def test_checkpointing_computes_layers_again_in_training_alone(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind)
    encoder.checkpoint_layers()
    calls: list[int] = []
    base = encoder.model.base_model
    first = base.layers[0].mlp if hasattr(base, "layers") else base.encoder.layer[0].intermediate
    first.register_forward_pre_hook(lambda *_: calls.append(1))
    items = ragged([4, 2], vocabulary=words(encoder))
    encoder.logits(items).sum().backward()
    assert len(calls) == 1
    encoder.model.train()
    encoder.logits(items).sum().backward()
    assert len(calls) == 3


@pytest.mark.parametrize("kind", PACKED)
def test_dropout_acts_in_training_only(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind, dropout=0.3)
    items = ragged([5, 9, 2], vocabulary=words(encoder))
    assert torch.equal(encoder.logits(items), encoder.logits(items))
    encoder.model.train()
    assert not torch.equal(encoder.logits(items), encoder.logits(items))
    torch.manual_seed(5)
    once = encoder.logits(items)
    torch.manual_seed(5)
    assert torch.equal(once, encoder.logits(items))


@pytest.mark.parametrize("kind", PACKED)
def test_dropout_has_the_models_rates_on_average(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind, dropout=0.2, spread=0.1)
    items = ragged([6] * 400, vocabulary=words(encoder))
    items = [items[0]] * 400
    encoder.model.train()
    torch.manual_seed(1)
    with torch.no_grad():
        ours, theirs = encoder.logits(items), oracle(encoder, items)
    spread = theirs.std(dim=0)
    assert ((ours.mean(dim=0) - theirs.mean(dim=0)).abs() < 5 * spread / 400**0.5 * 2**0.5).all()
    torch.testing.assert_close(ours.std(dim=0), spread, rtol=0.25, atol=0)


POOLINGS = [("modernbert", "cls"), ("modernbert", "mean"), ("eurobert", "bos"), ("eurobert", "mean")]
VERY_DIFFERENT = [200, 1, 90, 2, 9, 90, REACH, REACH + 1, REACH + 2, 137]


@pytest.mark.parametrize(("kind", "pooling"), [*POOLINGS, ("eurobert", "late")])
@pytest.mark.parametrize("layers", [1, 3, 4])
@pytest.mark.parametrize("biases", [False, True])
def test_posts_of_very_different_lengths_through_windows_and_every_head(
    tmp_path: Path, kind: str, pooling: str, layers: int, biases: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far longer than a window, a post of one token beside them, blocks of queries that end inside of windows."""
    monkeypatch.setattr(attention, "_BLOCK", 7)
    tiny_folder(tmp_path, kind, layers=layers, dropout=0.0, spread=0.1, max_tokens=200, seed=layers)
    bias = {f"{part}_bias": biases for part in ("attention", "mlp", "norm", "classifier")}
    set_in_config(tmp_path, classifier_pooling=pooling, **(bias if kind == "modernbert" or biases else {}))
    if biases and kind == "eurobert":
        set_in_config(tmp_path, norm_bias=False, classifier_bias=False, head_dim=12)
    encoder = _with_random_weights(tmp_path)
    assert encoder.packed
    items = ragged(VERY_DIFFERENT, vocabulary=words(encoder), seed=layers)
    with torch.inference_mode():
        together = encoder.logits(items)
        torch.testing.assert_close(together, oracle(encoder, items), rtol=1e-5, atol=1e-5)
        for item, logits in zip(items, together, strict=True):
            torch.testing.assert_close(encoder.logits([item])[0], logits, rtol=1e-5, atol=1e-5)
    assert together.std(dim=0).min() > 1e-2
    encoder.model.train()
    found, expected = gradients(encoder, encoder.logits(items)), gradients(encoder, oracle(encoder, items))
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-5, msg=name)


def _with_random_weights(folder: Path) -> Encoder:
    """Of the architecture that config.json now says, norms and biases no longer at 1 and 0."""
    model = transformers.AutoModelForSequenceClassification.from_config(transformers.AutoConfig.from_pretrained(folder))
    chance = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            center = 1.0 if weight.ndim == 1 and bool((weight == 1).all()) else 0.0
            weight.copy_(center + torch.randn(weight.shape, generator=chance) * 0.15)
    model.save_pretrained(folder)
    return load_encoder(str(folder), max_tokens=200, seed=3)


@pytest.mark.parametrize("scaling", [{"rope_type": "linear", "factor": 4.0}, {"rope_type": "yarn", "factor": 2.0}])
@pytest.mark.parametrize("kind", ["modernbert", "eurobert"])
def test_rotations_are_the_models_own(tmp_path: Path, kind: str, scaling: dict[str, Any]) -> None:
    tiny_folder(tmp_path, kind, layers=3)
    rotation = {"rope_theta": 50.0, **scaling}
    by_kind = {"full_attention": rotation, "sliding_attention": {"rope_type": "default", "rope_theta": 20.0}}
    set_in_config(tmp_path, rope_parameters=by_kind if kind == "modernbert" else rotation)
    encoder = load_encoder(str(tmp_path), max_tokens=48, seed=3)
    assert encoder.packed
    items = ragged([31, 1, 48, 5], vocabulary=words(encoder))
    with torch.inference_mode():
        torch.testing.assert_close(encoder.logits(items), oracle(encoder, items), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", PACKED)
def test_bfloat16_autocast_stays_close(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind, spread=0.1)
    items = ragged([5, 48, 1, 5, 17], vocabulary=words(encoder))
    with torch.inference_mode():
        exact = encoder.logits(items)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = encoder.logits(items)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, exact, rtol=0.05, atol=0.05)


def test_last_layer_computes_first_tokens_only(tmp_path: Path) -> None:
    encoder = make(tmp_path, "xlm-roberta")
    rows: dict[str, int] = {}
    for name, module in encoder.model.named_modules():
        module.register_forward_hook(lambda _, args, __, name=name: rows.update({name: len(args[0]) if args else 0}))
    encoder.logits(ragged([5, 9, 5], vocabulary=words(encoder)))
    assert rows["roberta.encoder.layer.0.intermediate"] == 19
    last = "roberta.encoder.layer.1"
    assert [rows[f"{last}.attention.self.{part}"] for part in ("query", "key", "value")] == [3, 19, 19]
    assert rows[f"{last}.attention.output"] == rows[f"{last}.intermediate"] == rows["classifier"] == 3


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # asked for by peft
@pytest.mark.parametrize("kind", PACKED)
def test_inserted_adapters_are_used(tmp_path: Path, kind: str) -> None:
    peft = pytest.importorskip("peft")
    encoder = make(tmp_path, kind)
    items = ragged([5, 9, 5], vocabulary=words(encoder))
    before = encoder.logits(items)
    named = {"modernbert": ["Wqkv", "Wo"], "eurobert": ["q_proj", "v_proj"]}.get(kind, ["query", "value"])
    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=named, init_lora_weights=False)
    adapted = peft.get_peft_model(encoder.model, config).eval()
    after = encoder.logits(items)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, oracle(encoder, items), rtol=1e-5, atol=1e-5)
    after.sum().backward()
    assert {name for name, weight in adapted.named_parameters() if weight.grad is not None} == {
        name for name, weight in adapted.named_parameters() if weight.requires_grad
    }


@pytest.mark.parametrize("kind", PACKED)
def test_anything_unknown_in_the_configuration_has_no_plan(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind)
    config = encoder.model.config.to_dict()
    assert architectures.plan_for(encoder.model, config) is not None
    rotary = kind in {"modernbert", "eurobert"}
    for unknown in (
        {"rope_parameters": {"rope_type": "dynamic"}} if rotary else {"position_embedding_type": "relative_key"},
        {"rope_parameters": {"full_attention": {"rope_type": "longrope"}}} if rotary else {"model_type": "gpt2"},
        {"rope_parameters": None} if rotary else {"model_type": None},
        {"classifier_pooling": "maximum"},
        {"layer_types": ["full_attention", "chunked_attention"]},
        {"is_decoder": True},
        {"add_cross_attention": True},
        {"model_type": "xlm-roberta-xl"},
        {"num_hidden_layers": 3},
        {"num_hidden_layers": 0},
        {"num_attention_heads": None},
    ):
        assert architectures.plan_for(encoder.model, {**config, **unknown}) is None, unknown
    encoder.model.register_parameter("extra", torch.nn.Parameter(torch.zeros(1)))
    assert architectures.plan_for(encoder.model, config) is None


@pytest.mark.parametrize("kind", PACKED)
def test_the_kernel_for_cuda_gets_the_right_arguments(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    calls: list[int] = []

    def twin(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        starts_q: torch.Tensor,
        starts_k: torch.Tensor,
        max_q: int,
        max_k: int,
        *,
        window_size: tuple[int, int],
        enable_gqa: bool,
    ) -> torch.Tensor:
        """The kernel's contract on (n_tokens, heads, width), post by post; windows are counted from the last token."""
        calls.append(max_q)
        assert enable_gqa == (query.shape[1] != key.shape[1])
        assert starts_q.dtype == starts_k.dtype == torch.int32
        assert max_q == int(starts_q.diff().max())
        assert max_k == int(starts_k.diff().max())
        found = []
        for a, b, c, d in zip(starts_q[:-1], starts_q[1:], starts_k[:-1], starts_k[1:], strict=True):
            q, k, v = query[a:b].transpose(0, 1), key[c:d].transpose(0, 1), value[c:d].transpose(0, 1)
            k, v = (part.repeat_interleave(len(q) // len(k), dim=0) for part in (k, v))
            apart = torch.arange(c, d)[None] - c - (torch.arange(a, b)[:, None] - a + (d - c) - (b - a))
            left, right = (size if size >= 0 else 10**6 for size in window_size)
            scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
            weights = scores.masked_fill((apart < -left) | (apart > right), -torch.inf).softmax(-1)
            found.append((weights @ v).transpose(0, 1))
        return torch.cat(found)

    encoder = make(tmp_path, kind)
    items = ragged([5, 9, 5, 1], vocabulary=words(encoder))
    monkeypatch.setattr(attention, "_flash_takes", lambda _: True)
    monkeypatch.setattr(varlen, "varlen_attn", twin)
    with torch.inference_mode():
        torch.testing.assert_close(encoder.logits(items), oracle(encoder, items), rtol=1e-5, atol=1e-5)
    assert calls == ([9, 9] if kind == "eurobert" else [9, 1])  # whose head reads every token
