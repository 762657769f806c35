"""An encoder as an ONNX file, proven at several shapes; and ONNX Runtime in the encoder's place. Needs extra ``onnx``.

The older exporter of torch traces one shape and gives wrong numbers at others without a word; this one (dynamo) keeps
both axes open, and is checked all the same.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.errors import RecipeError, not_installed
from polyvigil.nn.batching import token_batches
from polyvigil.nn.encoder import Encoder
from polyvigil.nn.windows import TokenIds
from polyvigil.types import Probabilities

INPUTS, OUTPUT = ("input_ids", "attention_mask"), "logits"
OPSET = 18
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_CLOSE = 1e-3  # of logits, at the shapes that are tried; sound exports are within 1e-5
_BUDGET = 2048
_ONE_FILE = 1_900_000_000  # bytes of weights; protobuf holds no file of 2 GB


def check_installed() -> None:
    """Raise RecipeError where a library is missing."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise not_installed(", ".join(missing), extra="onnx", needed_by="an export to ONNX")


def write_onnx(encoder: Encoder, path: Path, *, where: str) -> None:
    """Write the encoder as ``path``: int64 (n_posts, n_tokens) ids and mask -> float32 (n_posts, 2) logits.

    Weights beyond 1.9 GB stand in a second file beside it. Raises RecipeError, naming the encoder by ``where``, for an
    architecture that cannot be exported, or whose export gives other numbers at some shape.
    """
    model, device = encoder.model, encoder.device
    ids, mask = _sample(2, 7)
    dynamic = {name: {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC} for name in INPUTS}
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    model.to("cpu")
    try:
        with _quiet():
            torch.onnx.export(
                model,
                (torch.from_numpy(ids), torch.from_numpy(mask)),
                path,
                input_names=INPUTS,
                output_names=(OUTPUT,),
                dynamic_shapes=dynamic,
                opset_version=OPSET,
                dynamo=True,
                external_data=size > _ONE_FILE,
                verbose=False,
            )
        _compare(model, OnnxEncoder(path), longest=encoder.reader.max_tokens, where=where)
    except torch.onnx.errors.OnnxExporterError as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RecipeError(f"this architecture cannot be exported to ONNX: {reason}", where=where) from error
    finally:
        model.to(device)


class OnnxEncoder:
    """ONNX Runtime on one file, on the CPU."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self._session: Any = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def logits(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_posts, n_tokens) each -> (n_posts, 2)."""
        result: NDArray[np.float32] = self._session.run([OUTPUT], dict(zip(INPUTS, (ids, mask), strict=True)))[0]
        return result

    def probabilities(self, items: Sequence[TokenIds], *, padding: int) -> Probabilities:
        """P(ADE) of each item: float64 (n_items,), in their order."""
        result = np.empty(len(items), dtype=np.float64)
        lengths = np.array([len(item) for item in items], dtype=np.int64)
        for batch in token_batches(lengths, budget=_BUDGET, padded=True):
            mask = np.arange(lengths[batch].max()) < lengths[batch][:, None]
            ids = np.full(mask.shape, padding, dtype=np.int64)
            ids[mask] = np.concatenate([items[index] for index in batch])
            logits = self.logits(ids, mask.astype(np.int64)).astype(np.float64)
            result[batch] = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        return result


def _compare(model: torch.nn.Module, exported: OnnxEncoder, *, longest: int, where: str) -> None:
    """Raise RecipeError where both differ at some shape."""
    for posts, tokens in ((1, 1), (1, longest), (3, min(17, longest)), (5, min(2, longest))):
        ids, mask = _sample(posts, tokens)
        with torch.inference_mode():
            expected = model(torch.from_numpy(ids), torch.from_numpy(mask)).logits.numpy()
        apart = float(np.abs(expected - exported.logits(ids, mask)).max())
        if not apart <= _CLOSE:
            raise RecipeError(
                f"its export gives other numbers: logits of {posts} posts of {tokens} tokens differ by {apart:.3f}",
                where=where,
                hint="try another version of torch, and report this one",
            )


def _sample(posts: int, tokens: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids that every vocabulary has, and a mask that hides the second half of the first post."""
    ids = np.arange(posts * tokens, dtype=np.int64).reshape(posts, tokens) % 7 + 2
    mask = np.ones_like(ids)
    mask[0, (tokens + 1) // 2 :] = 0
    return ids, mask


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings, which are about itself."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(before)
