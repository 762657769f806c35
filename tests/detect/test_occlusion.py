"""Occlusion equals leaving parts out one by one, through an encoder's own predict path; its cost is capped."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from polyvigil.detect.occlusion import MOST_PIECES, occlusion
from polyvigil.text.normalise import FIRST_NORMALISATION, NORMALISATION, model_text
from polyvigil.text.sentences import pieces
from polyvigil.types import Post, Probabilities

POSTS = (
    Post("a", "I took the pill. My head was dizzy!! We went home.", "en"),
    Post("b", "one sentence only, in which the doctor said it is fine and then we all went home after lunch", "en"),
    Post("c", "薬を飲んだ。眠れなくなった。", "ja"),
    Post("d", "سرم درد گرفت؟ می\u200cشود.", "fa"),
    Post("e", "word", "en"),
    Post("f", "", "en"),
    Post("g", " \n", "en"),
    Post("h", "".join(f"Line {place} of a long post\r\n" for place in range(100)) + "\ud800", "en"),
)


def _brute_force(probabilities: object, post: Post) -> np.ndarray:
    """One call for the post, one for each part that is left out."""
    (whole,) = probabilities([post])  # type: ignore[operator]
    expected = np.zeros(len(post.text))
    for part in pieces(post.text, most=MOST_PIECES):
        (rest,) = probabilities([replace(post, text=post.text[: part.start] + post.text[part.end :])])  # type: ignore[operator]
        seen = [at for at in range(part.start, part.end) if not post.text[at].isspace()] or range(part.start, part.end)
        drop = np.log(whole / (1 - whole)) - np.log(rest / (1 - rest))
        expected[list(seen)] = drop / len(seen)
    return expected


class Counting:
    """P hangs on the letters of a text; counts what it is asked."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, posts: Sequence[Post]) -> Probabilities:
        self.calls.append(len(posts))
        return np.array([1 / (1 + np.exp(1 - 0.1 * post.text.count("i") + 0.01 * len(post.text))) for post in posts])


def test_occlusion_equals_brute_force() -> None:
    for post, evidence in zip(POSTS, occlusion(Counting(), POSTS, NORMALISATION), strict=True):
        assert evidence.method == "occlusion"
        assert evidence.characters == pytest.approx(_brute_force(Counting(), post), abs=1e-9)
    assert occlusion(Counting(), [], NORMALISATION) == []


def test_no_entity_and_no_tag_is_cut() -> None:
    """Of a post with HTML the same parts are left out as of the plain one, and tags hold no evidence."""
    plain = Post("p", "I took caf\u00e9 & milk. My head isn't well!! <3 We went home.", "en")
    text = "<p title='a. b. c'>I took caf&eacute; &amp; milk.</p><br>My <b>head</b> isn&#39;t well!! &lt;3"
    text += "<!-- no. --> We went home."

    def read(posts: Sequence[Post]) -> Probabilities:
        return Counting()([replace(post, text=model_text(post.text, NORMALISATION)) for post in posts])

    (expected,) = occlusion(read, [plain], NORMALISATION)
    (found,) = occlusion(read, [replace(plain, text=text)], NORMALISATION)
    assert found.logit == expected.logit
    assert found.characters.sum() == pytest.approx(expected.characters.sum(), abs=1e-12)
    for inside, outside in (("I took", "<p title='a. b. c'>"), ("&eacute;", "</p><br>"), ("&#39;", "<!-- no. -->")):
        assert found.characters[text.index(inside) :][: len(inside)].any()
        assert not found.characters[text.index(outside) :][: len(outside)].any()
    (as_before,) = occlusion(read, [replace(plain, text=text)], FIRST_NORMALISATION)
    assert as_before.characters[text.index("<b>") :][:3].any()


def test_the_cost_is_capped_and_batched() -> None:
    ask = Counting()
    occlusion(ask, [replace(POSTS[7], id=str(n)) for n in range(100)], NORMALISATION)
    assert sum(ask.calls) == 100 * (1 + MOST_PIECES)
    assert max(ask.calls) <= 1024 + MOST_PIECES
    assert len(ask.calls) == 4


def test_certain_scores_have_finite_evidence() -> None:
    certain = occlusion(lambda posts: np.array([1.0, *[0.0] * (len(posts) - 1)]), POSTS[:1], NORMALISATION)
    (evidence,) = certain
    assert np.isfinite(evidence.logit)
    assert np.isfinite(evidence.characters).all()


@pytest.mark.parametrize("kind", ["xlm-roberta", "distilbert"])
def test_encoder_evidence_equals_brute_force(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    sys.path.append(str(Path(__file__).parents[1] / "nn"))
    from tiny import tiny_folder

    from polyvigil.detect.base import FitRecord, TrainingLog
    from polyvigil.detect.transformer import EncoderConfig, EncoderDetector
    from polyvigil.nn.encoder import load_encoder

    folder = tiny_folder(tmp_path / kind, kind, texts=[post.text for post in POSTS[:5]], head=True)
    record = FitRecord(seed=1, posts=1, positives=1, languages=(), train_fingerprint="")
    log = TrainingLog(epochs=(), steps_per_epoch=1, posts_per_epoch=1, parameters=1, micro_tokens=1, device="cpu")
    config = EncoderConfig(max_tokens=48, packing=True, fit_record=record)
    detector = EncoderDetector(load_encoder(str(folder), max_tokens=48), config, log)
    moved = 0.0
    for post, evidence in zip(POSTS[:6], detector.evidence(POSTS[:6]), strict=True):
        expected = _brute_force(detector.probabilities, post)
        assert evidence.characters == pytest.approx(expected, abs=1e-4)
        moved = max(moved, np.abs(expected).max(initial=0))
    assert moved > 0.005
