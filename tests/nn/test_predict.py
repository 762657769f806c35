# ruff: noqa: E402
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from tiny import KINDS, TEXTS, ragged, tiny_folder

from polyvigil.errors import BundleError
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.predict import probabilities


def make(tmp_path: Path, kind: str, *, packing: bool = True) -> Encoder:
    return load_encoder(str(tiny_folder(tmp_path, kind)), max_tokens=48, seed=3, packing=packing)


@pytest.mark.parametrize("kind", KINDS)
def test_neighbours_and_order_do_not_matter(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind)
    items = ragged(np.random.default_rng(1).integers(1, 49, size=40).tolist(), vocabulary=40)
    alone = np.array([probabilities(encoder, [item], budget=48)[0] for item in items])
    assert np.ptp(alone) > 0.1  # the posts are told apart, so the order is tested
    for budget in (1, 100, 10_000):
        together = probabilities(encoder, items, budget=budget)
        assert together.dtype == np.float64
        np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    shuffled = np.random.default_rng(2).permutation(len(items))
    mixed = probabilities(encoder, [items[place] for place in shuffled], budget=100)
    np.testing.assert_allclose(mixed, alone[shuffled], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["xlm-roberta", "roberta", "bert"])
def test_packing_changes_no_probability(tmp_path: Path, kind: str) -> None:
    packed, stock = make(tmp_path, kind), make(tmp_path, kind, packing=False)
    assert (packed.packed, stock.packed) == (True, False)
    items = packed.tokenise(TEXTS)
    np.testing.assert_allclose(
        probabilities(packed, items, budget=30), probabilities(stock, items, budget=30), rtol=0, atol=1e-6
    )


def test_it_is_the_second_softmax(tmp_path: Path) -> None:
    encoder = make(tmp_path, "bert")
    items = encoder.tokenise(TEXTS)
    with torch.inference_mode():
        logits = encoder.logits(items).double().numpy()
    expected = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(probabilities(encoder, items, budget=1000), expected, atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_comes_back(tmp_path: Path, training: bool) -> None:
    encoder = make(tmp_path, "xlm-roberta")
    items = encoder.tokenise(TEXTS)
    encoder.model.train(training)
    first, second = (probabilities(encoder, items, budget=100) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert encoder.model.training is training


def test_no_items(tmp_path: Path) -> None:
    assert probabilities(make(tmp_path, "bert"), [], budget=10).shape == (0,)


@pytest.mark.parametrize("kind", ["xlm-roberta", "deberta-v2"])
def test_nan_is_an_error(tmp_path: Path, kind: str) -> None:
    encoder = make(tmp_path, kind)
    with torch.no_grad():
        next(encoder.model.classifier.parameters()).fill_(float("nan"))
    encoder.model.train()
    with pytest.raises(BundleError, match="the encoder gives no number for 8 of 8 posts; its weights hold NaN"):
        probabilities(encoder, encoder.tokenise(TEXTS), budget=100)
    assert encoder.model.training
