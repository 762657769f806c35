"""Bundles that an earlier version wrote load, keep their ids, and say about twelve posts what they said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.golden import support
from tests.golden.support import BUNDLES, EXPECTED, KINDS, LEAN, LEAN_TOLERANCE, TOLERANCE

GOLDEN = json.loads(EXPECTED.read_text(encoding="utf-8"))
SAME_MACHINE = support.fingerprint() == GOLDEN["fingerprint"]
NEEDS = {
    "encoder": ("torch", "transformers"),
    "nli": ("torch", "transformers"),
    "ner": ("torch", "transformers", "gliner2"),
    "stacked": ("torch", "transformers"),
    "weighted": ("torch", "transformers"),
    "cascade": ("torch", "transformers"),
    "int8": ("torch", "transformers"),
    "bf16": ("torch", "transformers"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_stored_bundles_score_as_before(kind: str) -> None:
    for name in NEEDS.get(kind, ()):
        pytest.importorskip(name)
    support.one_thread()
    golden, now = GOLDEN["bundles"][kind], support.bundle_answers(BUNDLES / kind)
    assert now["id"] == golden["id"]
    assert now["flags"] == golden["flags"]
    assert now["threshold"] == golden["threshold"]
    if SAME_MACHINE:
        assert (now["p"], now["p_calibrated"], now["decision"]) == (
            golden["p"],
            golden["p_calibrated"],
            golden["decision"],
        )
        return
    tolerance = LEAN_TOLERANCE if kind in LEAN else TOLERANCE
    assert now["p"] == pytest.approx(golden["p"], abs=tolerance)
    assert now["decision"] == _expected_decisions(golden, now, tolerance)


def _expected_decisions(golden: dict[str, Any], now: dict[str, Any], tolerance: float) -> list[int]:
    """The stored decisions; of a post nearer to its threshold than the tolerance, only among lean ones, today's."""
    rows = zip(golden["p"], golden["threshold"], golden["decision"], now["decision"], strict=True)
    return [new if abs(p - threshold) <= tolerance else old for p, threshold, old, new in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_stored_bundles_have_the_same_files(kind: str) -> None:
    folder = BUNDLES / kind
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == GOLDEN["bundles"][kind]["files"]


def test_stored_onnx_exports_score_as_before() -> None:
    pytest.importorskip("onnxruntime")
    golden, now = GOLDEN["onnx"], support.onnx_answers(BUNDLES / "onnx")
    assert (now["inputs"], now["outputs"]) == (golden["inputs"], golden["outputs"])
    relative = 0.0 if SAME_MACHINE else support.LOOSE
    assert not support.differences(golden["values"], now["values"], relative=relative, ids=True)
