"""A masked-language model against transformers' own loss, on every kind of tiny model; and its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.nn.tiny import KINDS, tiny_folder
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

from polyvigil.errors import BundleError, RecipeError
from polyvigil.nn.encoder import load_encoder
from polyvigil.nn.masked import IGNORE_INDEX, load_masked_model


@pytest.mark.parametrize("kind", KINDS)
def test_losses_equal_transformers(tmp_path: Path, kind: str) -> None:
    tiny_folder(tmp_path / "m", kind)
    model = load_masked_model(str(tmp_path / "m"), max_tokens=24, offline=True, seed=3)
    assert model.fresh_head
    model.save(tmp_path / "saved")
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "saved").eval()
    items = model.tokenise(["I got a terrible headache", "No side effects so far, I feel fine", "20 mg"])
    random = np.random.default_rng(0)
    targets = [np.where(random.random(len(item)) < 0.5, item, IGNORE_INDEX).astype(np.int32) for item in items]
    targets[2][:] = IGNORE_INDEX
    with torch.inference_mode():
        together = model.losses(items, targets)
        for item, target, found in zip(items, targets, together.tolist(), strict=True):
            ids = torch.from_numpy(item.astype(np.int64))[None]
            logits = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
            asked = target != IGNORE_INDEX
            named = torch.from_numpy(target[asked].astype(np.int64))
            expected = torch.nn.functional.cross_entropy(logits[torch.from_numpy(asked)], named, reduction="sum")
            assert found == pytest.approx(float(expected), rel=1e-4, abs=1e-5)
    assert together[2] == 0


def test_no_masked_token_has_zero_gradient(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "m", "bert")
    model = load_masked_model(str(tmp_path / "m"), max_tokens=24, offline=True)
    items = model.tokenise(["20 mg"])
    loss = model.losses(items, [np.full(len(items[0]), IGNORE_INDEX, dtype=np.int32)]).sum()
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in model.model.parameters())


def test_the_folder_keeps_backbone_and_pooler(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "m", "bert", head=True)
    model = load_masked_model(str(tmp_path / "m"), max_tokens=24, offline=True)
    model.save(tmp_path / "saved")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("m", "saved"))
    shared = [name for name in before if name.startswith("bert.")]
    assert "bert.pooler.dense.weight" in shared
    for name in shared:
        assert torch.equal(before[name], after[name])
    _, told = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert all(name.startswith("classifier.") for name in told["missing_keys"])
    assert load_encoder(str(tmp_path / "saved"), max_tokens=24, offline=True, seed=1).packed
    again = load_masked_model(str(tmp_path / "saved"), max_tokens=24, offline=True)
    assert not again.fresh_head


def test_unsupported_models_are_refused(tmp_path: Path) -> None:
    tiny_folder(tmp_path / "m", "xlm-roberta")
    with pytest.raises(RecipeError, match="positions for 48 tokens"):
        load_masked_model(str(tmp_path / "m"), max_tokens=64, offline=True)
    (tmp_path / "m" / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(BundleError, match="its weights cannot be read"):
        load_masked_model(str(tmp_path / "m"), max_tokens=24, offline=True)
