"""Integer arithmetic against its definition in floating point; scores that hang on no neighbour."""
# ruff: noqa: E402

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tiny import PACKED, TEXTS, ragged, tiny_folder

from polyvigil.errors import BundleError, RecipeError
from polyvigil.nn import int8
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.int8 import Int8Linear
from polyvigil.nn.predict import probabilities

if not int8._works():
    pytest.skip("this torch has no int8 arithmetic for this processor", allow_module_level=True)


def by_definition(layer: torch.nn.Linear, rows: np.ndarray) -> np.ndarray:
    """Row by row and channel by channel, in float64: round both sides to their steps, multiply, add."""
    weight = layer.weight.detach().double().numpy()
    bias = 0.0 if layer.bias is None else layer.bias.detach().double().numpy()
    steps = np.abs(weight).max(axis=1, keepdims=True) / 64
    weight = np.round(weight / np.where(steps > 0, steps, 1)) * steps
    result = []
    for row in rows.astype(np.float64):
        step = (row.max() - row.min()) / 255
        rounded = row if step == 0 else np.round((row - row.min()) / step) * step + row.min()
        result.append(weight @ rounded)
    return np.array(result) + bias


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (3, 5), (32, 16), (37, 129), (384, 96)])
@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 700])
def test_a_layer_is_its_definition(inputs: int, outputs: int, count: int) -> None:
    torch.manual_seed(inputs + count)
    source = torch.nn.Linear(inputs, outputs, bias=count % 2 == 0)
    rows = torch.randn(count, inputs) * torch.logspace(-3, 3, count)[:, None] + torch.randn(count, 1)
    found = Int8Linear(source)(rows)
    assert found.shape == (count, outputs)
    expected = by_definition(source, rows.numpy())
    largest = rows.abs().amax(dim=1, keepdim=True).numpy() * np.abs(source.weight.detach().numpy()).max() * inputs
    # a value that lies between two steps may be rounded either way in float32
    one_step = (rows.amax(1) - rows.amin(1)).numpy()[:, None] / 255 * np.abs(source.weight.detach().numpy()).max()
    assert (np.abs(found.numpy() - expected) <= 1.1 * one_step + 1e-5 * largest + 1e-6).all()
    assert np.median(np.abs(found.numpy() - expected) / (largest + 1e-9)) < 1e-5


def test_extremes_do_not_overflow() -> None:
    """All steps at their end, and signs that add up: the sums that 16 bits would not hold with 8 bits on each side."""
    source = torch.nn.Linear(512, 3)
    with torch.no_grad():
        source.weight.copy_(torch.tensor([1.0, -1.0, 1.0])[:, None].expand(3, 512))
        source.weight[2, ::2] = -1.0
        source.bias.zero_()
    rows = torch.ones(2, 512)
    rows[:, 0] = 0.0
    found = Int8Linear(source)(rows)
    torch.testing.assert_close(found, torch.tensor([[511.0, -511.0, 1.0]] * 2), rtol=1e-5, atol=1e-3)


def test_rows_of_one_value_and_weights_of_zero() -> None:
    source = torch.nn.Linear(8, 4)
    rows = torch.tensor([[3.0] * 8, [0.0] * 8, [-2.5] * 8])
    found = Int8Linear(source)(rows)
    weight = source.weight.detach()
    torch.testing.assert_close(found, rows[:, :1] * weight.sum(1) + source.bias.detach(), rtol=0.02, atol=0.1)
    with torch.no_grad():
        source.weight.zero_()
    assert torch.equal(Int8Linear(source)(rows), source.bias.detach().expand(3, 4))


def test_rows_are_independent() -> None:
    torch.manual_seed(1)
    layer = Int8Linear(torch.nn.Linear(48, 40))
    rows = torch.randn(600, 48)
    together = layer(rows)
    for place in (0, 1, 255, 256, 599):
        assert torch.equal(layer(rows[place : place + 1])[0], together[place])
    louder = rows.clone()
    louder[300:] *= 1000
    assert torch.equal(layer(louder)[:300], together[:300])


def make(tmp_path: Path, kind: str, **options: object) -> Encoder:
    return load_encoder(str(tiny_folder(tmp_path / kind, kind, hidden=64, **options)), max_tokens=48, seed=3)


@pytest.mark.parametrize("kind", PACKED)
def test_int8_scores_are_close_in_any_batch(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind, spread=0.1)
    items = ragged(np.random.default_rng(1).integers(1, 49, size=60).tolist(), vocabulary=40)
    before = probabilities(encoder, items, budget=2048)
    encoder.compute_in("int8")
    after = probabilities(encoder, items, budget=2048)
    assert 0 < np.abs(after - before).max() < 0.05
    alone = np.array([probabilities(encoder, [item], budget=48)[0] for item in items])
    np.testing.assert_allclose(alone, after, rtol=0, atol=1e-6)
    shuffled = np.random.default_rng(2).permutation(len(items))
    mixed = probabilities(encoder, [items[place] for place in shuffled], budget=100)
    np.testing.assert_allclose(mixed, after[shuffled], rtol=0, atol=1e-6)


def test_bad_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = make(tmp_path, "deberta-v2")
    with pytest.raises(RecipeError, match="int8 needs the forward pass without padding, which this encoder does not"):
        stock.compute_in("int8")
    encoder = make(tmp_path, "bert")
    with monkeypatch.context() as patch:
        patch.setattr(int8, "_works", lambda: False)
        with pytest.raises(RecipeError, match="has no int8 arithmetic for this processor; use the bundle that was exp"):
            encoder.compute_in("int8")
    assert probabilities(encoder, encoder.tokenise(TEXTS), budget=100).shape == (len(TEXTS),)
    encoder.compute_in("int8")
    encoder.to("auto")
    encoder.to("cpu")
    with pytest.raises(RecipeError, match="cuda: an int8 encoder runs on the CPU alone; use the bundle"):
        encoder.to("cuda")
    with pytest.raises(BundleError, match="an encoder in int8 cannot be saved; copy the folder it was loaded from"):
        encoder.save(tmp_path)


def test_the_self_test_finds_a_wrong_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert int8._works()
    monkeypatch.setattr(Int8Linear, "forward", lambda self, rows: torch.zeros(len(rows), len(self.scales)))
    assert not int8._works()
