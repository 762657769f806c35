"""The compiled kernel against its numpy twin: the same bits, on any text, in any batch, whatever the table is like."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from polyvigil.bundle.store import load as load_bundle
from polyvigil.detect import ngram_scorer
from polyvigil.detect.base import FitRecord
from polyvigil.detect.linear import Block, LinearConfig, LinearDetector, load
from polyvigil.detect.ngram_features import NgramSpace, Vocabulary, table
from polyvigil.detect.ngram_scorer import Warming
from polyvigil.text.hashing import lay_out
from polyvigil.types import Post

ALPHABETS = (
    "abcde fg.,!",
    "aA0_ ßİıΣσς'-",
    "日本語 の副作用、薬",
    "می\u200cشود ا ل ر",
    "a 😀🤮👩\u200d🏽\ufe0f é\u0301",
    "".join(map(chr, range(0x20, 0x250))),
)


def _any_text(rng: random.Random) -> str:
    if rng.random() < 0.3:  # any code point of any plane, lone surrogates too
        return "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randrange(20)))
    return "".join(rng.choices(rng.choice(ALPHABETS), k=int(rng.expovariate(1 / 30))))


def _detector(
    texts: Sequence[str], *, share: float = 0.8, sublinear: bool = True, skip_words: int = 2, **lengths: object
) -> LinearDetector:
    """A detector that knows a share of the n-grams of the texts; its numbers are random."""
    rng = np.random.default_rng(1)
    spans = {"word_ngrams": (1, 2), "character_ngrams": (2, 5)} | lengths
    laid = lay_out(texts)
    blocks = []
    for grams in NgramSpace(spans["word_ngrams"], spans["character_ngrams"], skip_words).blocks(laid):
        hashes = np.unique(grams.hashes)
        hashes = hashes[rng.random(len(hashes)) < share]
        numbers = rng.normal(size=(2, len(hashes))).astype(np.float32)
        blocks.append(Block(Vocabulary.of(hashes), 1 + np.abs(numbers[0]), numbers[1]))
    record = FitRecord(seed=1, posts=0, positives=0, languages=(), train_fingerprint="", counts=())
    config = LinearConfig(**spans, skip_words=skip_words, sublinear=sublinear, intercept=-0.3, fit_record=record)
    return LinearDetector(config, *blocks)


def _same_bits(detector: LinearDetector, texts: Sequence[str]) -> None:
    assert np.array_equal(detector.compiled().logits(texts), detector.logits(texts))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = random.Random(7)
    return [_any_text(rng) for _ in range(20_000)]


@pytest.fixture(scope="module")
def detector(texts: list[str]) -> LinearDetector:
    return _detector(texts[:5_000])


def test_compiled_scores_equal_numpy_on_20000_texts(detector: LinearDetector, texts: list[str]) -> None:
    _same_bits(detector, texts)


@pytest.mark.parametrize("split", [1, 7, 100])
def test_bit_equal_in_any_batch(detector: LinearDetector, texts: list[str], split: int) -> None:
    scorer, some = detector.compiled(), texts[:1_000]
    together = scorer.logits(some)
    parts = [scorer.logits(some[start : start + split]) for start in range(0, len(some), split)]
    assert np.array_equal(np.concatenate(parts), together)
    assert np.array_equal(scorer.logits(some[::-1])[::-1], together)


def test_bit_equal_beside_a_megabyte(detector: LinearDetector, texts: list[str]) -> None:
    long = "headache after the pills " * 40_000 + "".join(texts)
    some = [long, *texts[:50], "", "a", " ", "  ", "é" * 100_000, long, *texts[50:60]]
    _same_bits(detector, some)


def test_no_text_empty_texts_and_single_characters(detector: LinearDetector) -> None:
    assert detector.compiled().logits([]).shape == (0,)
    _same_bits(detector, [""])
    _same_bits(detector, ["", "", " ", "a", "😀", "", "İ", "Σ", "ab"])


@pytest.mark.parametrize(
    "options",
    [
        {"share": 0.0},
        {"share": 1.0, "sublinear": False},
        {"word_ngrams": (2, 3), "character_ngrams": (3, 3)},
        {"word_ngrams": (1, 1), "character_ngrams": (2, 2)},
        {"word_ngrams": (1, 4), "character_ngrams": (4, 9)},
    ],
)
def test_other_settings_and_vocabularies(texts: list[str], options: dict[str, object]) -> None:
    _same_bits(_detector(texts[:500], **options), texts[:1_500])


def test_one_ngram_is_a_vocabulary() -> None:
    _same_bits(_detector(["ab"], share=1.0, word_ngrams=(1, 1), character_ngrams=(4, 4)), ["ab", "ab ab", "b", ""])


@pytest.mark.parametrize("crowd", [1, 2, 40, 3_000])
def test_the_table_resolves_collisions(crowd: int) -> None:
    """Hashes beside one another, in the middle and at both ends of 2^64: each is found at its place, no other is."""
    from polyvigil.detect.ngram_kernel import _keys

    near = np.array([0, 2**63, 2**64 - crowd * 3], dtype=np.uint64)
    hashes = np.unique((near[:, None] + np.arange(0, crowd * 3, 3, dtype=np.uint64)).ravel())
    number = np.arange(len(hashes), dtype=np.float32)
    made = table(Vocabulary.of(hashes), number, -number, lengths=(1, 1))
    asked = np.concatenate([hashes, hashes + np.uint64(1), hashes[1:] - np.uint64(1)])
    found = np.empty(len(asked), np.uint64)
    found = found[: _keys(asked, len(asked), made, found)]
    assert np.array_equal(made.keys[found], asked[np.isin(asked, hashes)])
    assert np.array_equal(found[: len(hashes)], np.arange(len(hashes), dtype=np.uint64))
    assert np.array_equal(made.pairs[: len(hashes)], np.stack([number, -number], axis=1))


def test_switching_to_compiled_scores_changes_no_bit(
    detector: LinearDetector, texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector.save(tmp_path)
    posts = [Post(str(place), text) for place, text in enumerate(texts[:300])]
    loaded = load(tmp_path)
    before = loaded.probabilities(posts)
    assert loaded.warming.scorer is None
    monkeypatch.setattr(ngram_scorer, "WORTH_CHARACTERS", loaded.warming.characters + 1)
    after = loaded.probabilities(posts)
    assert loaded.warming.scorer is not None
    assert np.array_equal(before, after)


def test_a_bundle_that_serves_is_compiled_before_its_first_post(bundle_folder: Path) -> None:
    loaded = load_bundle(bundle_folder)
    loaded.warm_up()
    (member,) = loaded.members
    assert isinstance(member, LinearDetector)
    assert member.warming.scorer is not None


def test_numpy_is_used_without_numba(detector: LinearDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polyvigil.detect.ngram_kernel", None)
    warming = Warming(characters=ngram_scorer.WORTH_CHARACTERS)
    assert warming.after(1, detector.compiled) is None


def test_compiles_without_a_writable_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    from polyvigil.detect import ngram_kernel

    def cache(_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(ngram_kernel, "_Cache", cache)
    assert ngram_kernel.compiled(lambda number: number + 1)(1) == 2


ON_A_FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file can grow
import numpy as np
from polyvigil.detect.ngram_kernel import mix
assert mix(np.uint64(1)) == mix.py_func(np.array([1], dtype=np.uint64))[0]
assert sum(mix.stats.cache_misses.values()) == 1
"""


def test_compiles_on_a_full_disk(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK],
        capture_output=True,
        text=True,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not any(path.stat().st_size for path in tmp_path.rglob("*.nb*"))
