# ruff: noqa: E402
"""A head that reads the mean of the tokens: against the mean of the backbone's own vectors, packed, saved, exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tests.nn.tiny import TEXTS, ragged, tiny_folder

from polyvigil.errors import BundleError, RecipeError
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.shapes import shape_of

KINDS = ("bert", "roberta", "xlm-roberta")


def _mean(folder: Path, *, packing: bool = True, fresh_head: bool = True) -> Encoder:
    settings = {"max_tokens": 48, "packing": packing, "offline": True, "seed": 5}
    pooling = "mean" if fresh_head else "model"
    return load_encoder(str(folder), token_pooling=pooling, fresh_head=fresh_head, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_of_the_mean_of_the_backbones_vectors(tmp_path: Path, kind: str, packing: bool) -> None:
    """One post at a time, so that nothing is padded."""
    encoder = _mean(tiny_folder(tmp_path / kind, kind), packing=packing)
    assert encoder.packed == packing
    items = [*encoder.tokenise(TEXTS), *ragged([1, 2, 9, 30, 30], vocabulary=40)]
    with torch.inference_mode():
        logits = encoder.logits(items)
        for item, row in zip(items, logits, strict=True):
            backbone = encoder.model.base_model
            hidden = backbone(torch.from_numpy(item.astype(np.int64))[None])[0][0]
            assert torch.allclose(encoder.head_layer()(hidden.mean(dim=0)), row, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_same_packed_and_padded(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path / kind, kind, dropout=0.0)
    packed, padded = _mean(folder), _mean(folder, packing=False)
    for encoder in (packed, padded):
        encoder.model.train()
        encoder.logits(encoder.tokenise(TEXTS)).sin().sum().backward()
    others = dict(padded.model.named_parameters())
    for name, parameter in packed.model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.allclose(parameter.grad, others[name].grad, atol=1e-5), name


@pytest.mark.parametrize("kind", [*KINDS, "modernbert", "eurobert"])
def test_a_saved_folder_says_how_it_is_read(tmp_path: Path, kind: str) -> None:
    encoder = _mean(tiny_folder(tmp_path / kind, kind))
    encoder.save(tmp_path / "saved")
    again = _mean(tmp_path / "saved", fresh_head=False)
    items = encoder.tokenise(TEXTS)
    with torch.inference_mode():
        assert torch.equal(again.logits(items), encoder.logits(items))
    assert again.packed


@pytest.mark.parametrize("kind", [*KINDS, "modernbert", "eurobert"])
def test_its_parameters_are_known_beforehand(tmp_path: Path, kind: str) -> None:
    folder = tiny_folder(tmp_path / kind, kind)
    shape = shape_of(str(folder))
    assert shape is not None
    counted = sum(parameter.numel() for parameter in _mean(folder).model.parameters())
    assert shape.pooled_by("mean").parameters == counted
    assert not shape.pooled_by("mean").first_only


def test_a_folder_without_its_head_is_refused(tmp_path: Path) -> None:
    encoder = _mean(tiny_folder(tmp_path / "bert", "bert"))
    encoder.model.base_model.save_pretrained(tmp_path / "body")
    encoder.save_tokenizer(tmp_path / "body")
    with pytest.raises(BundleError, match="holds no trained head"):
        _mean(tmp_path / "body", fresh_head=False)


def test_models_without_such_a_head_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="a 'distilbert' model has no head that reads the mean of its tokens"):
        _mean(tiny_folder(tmp_path / "distilbert", "distilbert"))


@pytest.mark.parametrize("arithmetic", ["int8", "bf16"])
def test_smaller_arithmetic_keeps_the_head(tmp_path: Path, arithmetic: str) -> None:
    encoder = _mean(tiny_folder(tmp_path / "bert", "bert"))
    items = encoder.tokenise(TEXTS)
    with torch.inference_mode():
        before = encoder.logits(items)
        encoder.compute_in(arithmetic)  # type: ignore[arg-type]
        assert torch.allclose(encoder.logits(items), before, atol=0.1)


def test_it_is_exported_to_onnx(tmp_path: Path) -> None:
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library)
    from polyvigil.nn.onnx import OnnxEncoder, write_onnx

    encoder = _mean(tiny_folder(tmp_path / "bert", "bert"))
    write_onnx(encoder, tmp_path / "model.onnx", where="tiny")
    ids = np.array([[2, 3, 4, 5], [4, 3, 0, 0]], dtype=np.int64)
    mask = np.array([[1, 1, 1, 1], [1, 1, 0, 0]], dtype=np.int64)
    with torch.inference_mode():
        alone = encoder.model(torch.from_numpy(ids[1:, :2])).logits.numpy()
    assert OnnxEncoder(tmp_path / "model.onnx").logits(ids, mask)[1:] == pytest.approx(alone, abs=1e-4)
