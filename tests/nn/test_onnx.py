"""Exported files, run by ONNX Runtime at shapes they were not exported with, against the encoder itself."""
# ruff: noqa: E402

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
from tiny import ragged, tiny_folder

from polyvigil.errors import RecipeError
from polyvigil.nn import onnx
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.onnx import OnnxEncoder, write_onnx
from polyvigil.nn.predict import probabilities


def make(tmp_path: Path, kind: str) -> Encoder:
    return load_encoder(str(tiny_folder(tmp_path / kind, kind)), max_tokens=48, seed=3)


@pytest.fixture(scope="module", params=["xlm-roberta", "bert", "modernbert", "eurobert"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Encoder, Path]:
    """An encoder and its export; that of BERT in two files, as large ones are written."""
    folder = tmp_path_factory.mktemp(request.param)
    encoder = make(folder, request.param)
    (folder / "out").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx, "_ONE_FILE", 1000 if request.param == "bert" else onnx._ONE_FILE)
        write_onnx(encoder, folder / "out" / "model.onnx", where=request.param)
    return encoder, folder / "out"


def test_it_gives_the_encoders_own_probabilities_at_every_shape(pair: tuple[Encoder, Path]) -> None:
    encoder, folder = pair
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["model.onnx", "model.onnx.data"][: 2 if encoder.model.config.model_type == "bert" else 1]
    exported = OnnxEncoder(folder / "model.onnx")
    for seed, lengths in enumerate(([1], [48], [3, 1], [48, 2, 30], list(range(1, 49)))):
        items = ragged(lengths, vocabulary=40, seed=seed)
        ours = probabilities(encoder, items, budget=500)
        theirs = exported.probabilities(items, padding=encoder.padding)
        assert np.abs(ours - theirs).max() < 1e-5
        assert len(items) == 1 or np.ptp(ours) > 1e-3
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == list(onnx.INPUTS)
    assert not any(isinstance(axis, int) for one in session.get_inputs() for axis in one.shape)


def test_an_export_that_gives_other_numbers_is_refused(
    pair: tuple[Encoder, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, folder = pair
    exported, real = OnnxEncoder(folder / "model.onnx"), OnnxEncoder.logits
    onnx._compare(encoder.model, exported, longest=48, where="x")

    def wrong_when_long(self: OnnxEncoder, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return real(self, ids, mask) + (0.3 if ids.shape[1] > 40 else 0.0)

    monkeypatch.setattr(OnnxEncoder, "logits", wrong_when_long)
    with pytest.raises(RecipeError, match=r"x: its export gives other numbers: logits of 1 posts of 48 tokens"):
        onnx._compare(encoder.model, exported, longest=48, where="x")


def test_an_unsupported_architecture_is_an_error(tmp_path: Path) -> None:
    encoder = make(tmp_path, "bert")

    class Stubborn(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Parameter(torch.zeros(1))

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.one if attention_mask.sum().item() > 3 else input_ids

    encoder.model = Stubborn()
    with pytest.raises(RecipeError, match="y: this architecture cannot be exported to ONNX"):
        write_onnx(encoder, tmp_path / "model.onnx", where="y")


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(RecipeError, match=r"needs onnxscript, which is not installed; pip install 'polyvigil\[onnx\]'"):
        onnx.check_installed()
