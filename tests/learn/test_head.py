# ruff: noqa: E402
"""The head's start against scikit-learn on the model's own vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from sklearn.linear_model import LogisticRegression
from tests.nn.tiny import PACKED, TEXTS, tiny_folder

from polyvigil.learn.fine_tune import TrainSet
from polyvigil.learn.head import PENALTY, head_inputs, start_head
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.predict import probabilities

TEXT_LABELS = np.array([1, 0, 1, 0, 1, 1, 1, 0], dtype=np.int8)


def _encoder(folder: Path, kind: str, *, packing: bool = True, mean: bool = False) -> Encoder:
    return load_encoder(
        str(tiny_folder(folder / kind, kind)),
        max_tokens=48,
        packing=packing,
        offline=True,
        token_pooling="mean" if mean else "model",
    )


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("kind", [*PACKED, "deberta-v2"])
def test_the_last_layer_on_its_inputs_gives_the_logits(tmp_path: Path, kind: str, packing: bool, mean: bool) -> None:
    if kind == "deberta-v2" and mean:
        pytest.skip("it has no head that reads the mean")
    encoder = _encoder(tmp_path, kind, packing=packing, mean=mean)
    assert encoder.packed == (packing and kind in PACKED)
    items = encoder.tokenise(TEXTS)
    vectors = torch.from_numpy(head_inputs(encoder, items, budget=40)).float()
    with torch.inference_mode():
        assert torch.allclose(encoder.head_layer()(vectors), encoder.logits(items), atol=1e-5)


def test_the_head_starts_as_a_weighted_logistic_regression(tmp_path: Path) -> None:
    encoder = _encoder(tmp_path, "bert", mean=True)
    weights = np.array([1.0, 2.0, 0.5, 1.0, 0.0, 1.0, 1.0, 3.0])  # the fifth post has no label
    pool = np.array([0, 0, 0, 1, 2, 3, 4, 5, 6, 7])  # the first one stands three times
    tokens = encoder.tokenise(TEXTS)
    start_head(encoder, TrainSet(tokens, TEXT_LABELS, ["en"] * 8, weights, pool), budget=64)
    kept = [0, 1, 2, 3, 5, 6, 7]
    vectors = head_inputs(encoder, tokens, budget=64)
    scaled = (vectors - vectors[kept].mean(axis=0)) / vectors[kept].std(axis=0)
    twin = LogisticRegression(C=PENALTY, max_iter=1000)
    twin.fit(scaled[kept], TEXT_LABELS[kept], sample_weight=(weights * np.bincount(pool))[kept])
    expected = twin.predict_proba(scaled)[:, 1]
    assert probabilities(encoder, tokens, budget=64) == pytest.approx(expected, abs=2e-4)
    assert expected[TEXT_LABELS == 1].mean() > expected[TEXT_LABELS == 0].mean()


def test_of_a_post_in_windows_the_first_one_is_looked_at(tmp_path: Path) -> None:
    first, second = _encoder(tmp_path / "a", "bert", mean=True), _encoder(tmp_path / "b", "bert", mean=True)
    tokens = first.tokenise(TEXTS)
    long = [np.stack([item, item[::-1]]) if index == 2 else item for index, item in enumerate(tokens)]
    for encoder, items in ((first, tokens), (second, long)):
        start_head(encoder, TrainSet(items, TEXT_LABELS, ["en"] * 8, np.ones(8), np.arange(8)), budget=64)
    assert torch.equal(first.head_layer().weight, second.head_layer().weight)


def test_dropout_and_training_mode_are_as_before(tmp_path: Path) -> None:
    encoder = _encoder(tmp_path, "bert")
    encoder.model.train()
    head_inputs(encoder, encoder.tokenise(TEXTS), budget=64)
    assert encoder.model.training
    assert isinstance(encoder.model.classifier, torch.nn.Linear)


@pytest.mark.parametrize("mean", [False, True])
def test_an_adapter_with_two_outputs_is_not_the_head(tmp_path: Path, mean: bool) -> None:
    pytest.importorskip("peft")
    from polyvigil.config.training import LoraSpec
    from polyvigil.learn.lora import adapt

    encoder = _encoder(tmp_path, "xlm-roberta", mean=mean)
    head = encoder.head_layer()
    adapt(encoder, spec=LoraSpec(rank=2), seed=0)
    assert encoder.head_layer() is head
