"""bfloat16: the layers by their definition, scores near those of float32, and what the CUDA kernel would be given."""
# ruff: noqa: E402

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny import PACKED, ragged, tiny_folder

from polyvigil.errors import BundleError, RecipeError
from polyvigil.nn import attention, bf16
from polyvigil.nn.bf16 import Bf16Linear
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.predict import probabilities


def make(tmp_path: Path, kind: str) -> Encoder:
    folder = tiny_folder(tmp_path / kind, kind, hidden=64, spread=0.1)
    return load_encoder(str(folder), max_tokens=48, seed=3)


@pytest.mark.parametrize("has_it", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_by_its_definition(monkeypatch: pytest.MonkeyPatch, bias: bool, has_it: bool) -> None:
    """Rounded inputs and weights, exact products and sums: bfloat16 of what float64 makes of them; by this CPU's
    arithmetic or torch's way around it, and by products in float32."""
    monkeypatch.setattr(bf16, "cpu_computes", lambda _: has_it)
    torch.manual_seed(1)
    source, rows = torch.nn.Linear(40, 24, bias=bias), torch.randn(7, 40)
    layer = Bf16Linear(source)
    found = layer(rows)
    assert found.dtype == torch.bfloat16
    rounded = [part.to(torch.bfloat16).double() for part in (rows, source.weight)]
    expected = rounded[0] @ rounded[1].T
    if bias:
        expected = expected + source.bias.to(torch.bfloat16).double()
    torch.testing.assert_close(found.double(), expected, rtol=2**-7, atol=2**-7)
    assert torch.equal(layer(rows.to(torch.bfloat16)), found)
    assert layer.weight.dtype == (torch.bfloat16 if has_it else torch.float32)
    monkeypatch.setattr(bf16, "cpu_computes", lambda _: True)  # as on a GPU that it is moved to
    torch.testing.assert_close(layer(rows), found, rtol=2**-7, atol=2**-7)
    assert not any(parameter.requires_grad for parameter in layer.parameters())


def test_threads_that_come_first_together_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first product on a CPU without the arithmetic makes weights and bias float32, while others may compute."""
    monkeypatch.setattr(bf16, "cpu_computes", lambda _: False)
    torch.manual_seed(1)
    rows = torch.randn(3, 16)
    with ThreadPoolExecutor(8) as threads:
        for _ in range(100):
            layer = Bf16Linear(torch.nn.Linear(16, 8))
            first, *others = threads.map(layer, [rows] * 8)
            assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("kind", PACKED)
def test_bf16_scores_are_close_in_any_batch(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind)
    items = ragged(np.random.default_rng(1).integers(1, 49, size=60).tolist(), vocabulary=40)
    before = probabilities(encoder, items, budget=2048)
    encoder.compute_in("bf16")
    after = probabilities(encoder, items, budget=2048)
    assert 0 < np.abs(after - before).max() < 0.02
    alone = np.array([probabilities(encoder, [item], budget=48)[0] for item in items])
    np.testing.assert_allclose(alone, after, rtol=0, atol=2e-3)
    encoder.to("cpu")
    assert np.array_equal(probabilities(encoder, items, budget=2048), after)


def test_attention_is_bf16_and_head_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = make(tmp_path, "xlm-roberta")
    encoder.compute_in("bf16")
    asked: list[torch.dtype] = []
    taken = attention._flash_takes

    def noted(query: torch.Tensor) -> bool:
        asked.append(query.dtype)
        return taken(query)

    monkeypatch.setattr(attention, "_flash_takes", noted)
    with torch.inference_mode():
        logits = encoder.logits(ragged([5, 9, 5, 1], vocabulary=40))
    assert asked == [torch.bfloat16] * 2
    assert logits.dtype == torch.float32
    assert encoder.model.classifier.out_proj.weight.dtype == torch.float32
    assert encoder.model.roberta.encoder.layer[0].output.LayerNorm.weight.dtype == torch.float32


@pytest.mark.parametrize(("first_only", "reach"), [(False, None), (True, None), (False, 4)])
@pytest.mark.parametrize("key_heads", [6, 2])
def test_the_cuda_kernel_takes_these_shapes_and_types(first_only: bool, reach: int | None, key_heads: int) -> None:
    """No GPU is needed for what torch itself says of a call: its arguments and the shape of its result."""
    pytest.importorskip("torch.nn.attention.varlen")
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), torch.no_grad():
        try:
            key = torch.empty(20, key_heads, 64, dtype=torch.bfloat16, device="cuda")
            query = torch.empty(4 if first_only else 20, 6, 64, dtype=torch.bfloat16, device="cuda")
            starts = torch.empty(5, dtype=torch.int32, device="cuda")
        except (AssertionError, RuntimeError):
            pytest.skip("this torch has no fake CUDA tensors")
        posts = attention.Posts(ids=starts, positions=starts, starts=starts, runs=((9, 1), (5, 2), (1, 1)))
        found = attention._flash(query, key, key, posts, reach=reach, first_only=first_only)
    assert found.shape == (len(query), 6 * 64)
    assert found.dtype == torch.bfloat16


def test_bad_input_is_refused(tmp_path: Path) -> None:
    stock = make(tmp_path, "deberta-v2")
    with pytest.raises(RecipeError, match="bf16 needs the forward pass without padding, which this encoder does not"):
        stock.compute_in("bf16")
    stock.compute_in("fp32")
    encoder = make(tmp_path, "bert")
    encoder.compute_in("bf16")
    with pytest.raises(BundleError, match="an encoder in bf16 cannot be saved; copy the folder it was loaded from"):
        encoder.save(tmp_path)
