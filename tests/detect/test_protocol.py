"""Every kind of detector keeps the protocol of detect.base: probabilities without gaps, evidence, and a saved copy."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from tests.golden.support import BUNDLES, KINDS

from polyvigil.bundle import store
from polyvigil.bundle.members import KINDS as KINDS_OF_MEMBERS
from polyvigil.detect.base import Detector, Evidence, FitRecord, Lengths, TrainingLog
from polyvigil.types import Post

POSTS = [
    Post("en", "the new pills gave me a bad headache and I could not sleep at all", "en"),
    Post("de", "nach der zweiten Tablette war mir drei Tage lang übel", "de"),
    Post("ja", "薬を飲んだら頭が痛くなった", "ja"),
    Post("plain", "we watched a film and went home", "en"),
]
NEEDS = {
    "encoder": ("torch", "transformers"),
    "nli": ("torch", "transformers"),
    "ner": ("torch", "transformers", "gliner2"),
    "stacked": ("torch", "transformers"),
}


@pytest.fixture(scope="module")
def detectors() -> dict[str, Detector]:
    """By kind the first detector of the stored bundles, of a first or a second stage."""
    found: dict[str, Detector] = {}
    for name in KINDS:
        try:
            bundle = store.load(BUNDLES / name, device="cpu")
        except store.BundleError:  # a package of this kind is not installed
            continue
        second = bundle.second_stage.detectors if bundle.second_stage else ()
        for detector in (*bundle.members, *second):
            found.setdefault(detector.kind, detector)
    return found


@pytest.mark.parametrize("kind", ["linear", "encoder", "nli", "ner", "stacked"])
def test_a_detector_keeps_the_protocol(detectors: dict[str, Detector], kind: str, tmp_path: Path) -> None:
    for name in NEEDS.get(kind, ()):
        pytest.importorskip(name)
    detector = detectors[kind]
    p = detector.probabilities(POSTS)
    assert p.shape == (len(POSTS),)
    assert p.dtype == np.float64
    assert ((p >= 0) & (p <= 1)).all()  # and so none is NaN
    assert np.allclose(detector.probabilities(POSTS[::-1])[::-1], p, atol=1e-5)
    assert detector.probabilities([]).shape == (0,)
    lengths = detector.lengths(POSTS)
    assert lengths is None or (isinstance(lengths, Lengths) and len(lengths.tokens) == len(POSTS))
    evidence = detector.evidence(POSTS)
    assert all(isinstance(each, Evidence) for each in evidence)
    assert [len(each.characters) for each in evidence] == [len(post.text) for post in POSTS]
    assert isinstance(detector.fit_record, FitRecord)
    assert detector.log is None or isinstance(detector.log, TrainingLog)
    detector.save(tmp_path)
    assert any(tmp_path.iterdir())


def test_the_kinds_tested_are_all_that_a_bundle_can_hold() -> None:
    assert {*KINDS_OF_MEMBERS} == {"linear", "encoder", "nli", "ner", "stacked"}


def test_no_detector_counts_or_refuses(detectors: dict[str, Detector]) -> None:
    for detector in detectors.values():
        assert not hasattr(detector, "usage")
        assert not hasattr(detector, "session")
        assert "NotImplementedError" not in inspect.getsource(type(detector))
