"""The linear member's evidence: it adds up to the logit, stands where the n-grams stand, and hangs on no other post."""

from __future__ import annotations

import random

import numpy as np
import pytest

from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.detect.linear import LinearDetector
from polyvigil.learn.linear import LinearLearner
from polyvigil.text.hashing import character_ngrams, character_spans, lay_out, word_ngrams, word_spans
from polyvigil.text.normalise import model_text
from polyvigil.types import LabelledPost, Post

ODD = (
    "",
    " \r\n",
    "x",
    "😀🤮",
    "I felt İll, sooooo İİ ill!!! https://t.co/abc @bob_1 <pi>",
    "ΟΔΟΣ ΣΑΣ",
    "cafe\u0301 nausea\r\n\r\nhead\u00adache \u202eevil\u202c \ud800 end",
    "می\u200cشود سرم \u200fدرد گرفت؟",
    "薬を飲んだら頭が痛い。か\u3099く\u3099",
)


@pytest.fixture(scope="module")
def detector(corpus: tuple[LabelledPost, ...]) -> LinearDetector:
    chosen = [item for item in corpus if item.post.language in {"en", "ja", "fa"}][::2]
    return LinearLearner(LinearSpec(), BalanceSpec()).fit(chosen, (), seed=1)


@pytest.mark.parametrize(
    "spec", [LinearSpec(), LinearSpec(sublinear=False, word_ngrams=(2, 3), character_ngrams=(3, 4))]
)
def test_contributions_and_intercept_add_up_to_the_logit(corpus: tuple[LabelledPost, ...], spec: LinearSpec) -> None:
    train = [item for item in corpus if item.post.language in {"en", "fa"}][::4]
    detector = LinearLearner(spec, BalanceSpec()).fit(train, (), seed=1)
    draw = random.Random(3)
    noise = ["".join(chr(draw.randrange(0x110000)) for _ in range(60)) for _ in range(100)]
    posts = [Post(str(n), text) for n, text in enumerate([*ODD, *noise, *(item.post.text for item in corpus[::30])])]
    found = detector.evidence(posts)
    p = detector.probabilities(posts)
    for post, evidence, logit in zip(posts, found, np.log(p) - np.log1p(-p), strict=True):
        assert evidence.characters.shape == (len(post.text),)
        assert evidence.method == "contributions"
        assert evidence.logit == pytest.approx(logit, abs=1e-9)
        assert detector.config.intercept + evidence.characters.sum() == pytest.approx(evidence.logit, abs=1e-9)


def test_contributions_equal_brute_force(detector: LinearDetector) -> None:
    """The brute-force twin: each occurrence of each n-gram, by its hash, in a text that is its own normalisation."""
    text = "the pills, the pills made me ill and the headache stays"
    laid = lay_out([text])
    expected = np.zeros(len(text))
    words = {"low": 1, "high": 2, "skipped": 2}
    for block, grams, places in (
        (detector.words, word_ngrams(laid, **words), word_spans(laid, **words)),
        (detector.characters, character_ngrams(laid, low=2, high=5), character_spans(laid, low=2, high=5)),
    ):
        known = {int(h): n for n, h in enumerate(block.vocabulary.hashes)}
        columns = [known.get(int(h)) for h in grams.hashes]
        counts = {c: columns.count(c) for c in columns if c is not None}
        values = {c: (1 + np.log(n)) * block.idf[c].astype(float) for c, n in counts.items()}
        norm = np.sqrt(sum(value**2 for value in values.values()))
        for column, start, end in zip(columns, places.starts, places.ends, strict=True):
            inside = [at - 1 for at in range(start, end) if 0 < at <= len(text) and text[at - 1] != " "]
            if column is not None:
                expected[inside] += values[column] / norm * block.weights[column] / counts[column] / len(inside)
    (evidence,) = detector.evidence([Post("1", text)])
    assert evidence.characters == pytest.approx(expected, abs=1e-8)  # the grid of the sums
    assert np.abs(expected).sum() > 1
    assert not evidence.characters[[at for at, letter in enumerate(text) if letter == " "]].any()


def test_offsets_hold_the_n_grams() -> None:
    """An n-gram cut out at its place has the hash it has in the text."""
    texts = [model_text(text) for text in ODD]
    laid = lay_out(texts)
    joined = " " + "".join(text.lower() + " " for text in texts)
    grams, places = character_ngrams(laid, low=2, high=5), character_spans(laid, low=2, high=5)
    words, spots = word_ngrams(laid, low=1, high=2), word_spans(laid, low=1, high=2)
    assert len(places.starts) == len(grams.hashes)
    assert len(spots.starts) == len(words.hashes)
    alike: dict[int, str] = {}
    for value, start, end in zip(grams.hashes.tolist(), places.starts, places.ends, strict=True):
        assert alike.setdefault(value, joined[start:end]) == joined[start:end]
    for value, start, end in zip(words.hashes.tolist(), spots.starts, spots.ends, strict=True):
        assert value in word_ngrams(lay_out([joined[start:end]]), low=1, high=2).hashes


def test_evidence_does_not_depend_on_other_posts(detector: LinearDetector, corpus: tuple[LabelledPost, ...]) -> None:
    posts = [Post(str(n), text) for n, text in enumerate(ODD)] + [item.post for item in corpus[:200]]
    together = detector.evidence([Post("long", "headache after the pills " * 4000), *posts])[1:]
    for post, evidence in zip(posts, together, strict=True):
        (alone,) = detector.evidence([post])
        assert alone.logit == evidence.logit
        assert np.array_equal(alone.characters, evidence.characters)
    assert detector.evidence([]) == []
