"""Logistic regression over hashed n-grams: the embedded default. No downloads, no torch, fitted in seconds.

It knows only the words and scripts it was trained on: n-grams transfer nothing to a language without training posts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from polyvigil.detect.base import Evidence, FitRecord
from polyvigil.detect.contributions import BATCH_CHARACTERS, by_text, shared_by_characters, shared_by_occurrences
from polyvigil.detect.ngram_features import (
    Counts,
    NgramSpace,
    Vocabulary,
    batches,
    characters_of,
    count,
    logit_terms,
    table,
)
from polyvigil.detect.ngram_scorer import WORTH_CHARACTERS, CompiledScorer, Warming
from polyvigil.detect.reading import check_made_with
from polyvigil.errors import BundleError
from polyvigil.text.align import align
from polyvigil.text.hashing import HASHING, lay_out
from polyvigil.text.normalise import NORMALISATION, NORMALISATIONS, model_texts
from polyvigil.types import Frozen, Post, Probabilities

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "weights.safetensors"


class LinearConfig(Frozen):
    """All of a linear detector that is not an array; ``config.json`` of its folder."""

    kind: Literal["linear"] = "linear"
    hashing: str = HASHING
    normalisation: str = NORMALISATION
    word_ngrams: tuple[int, int]
    character_ngrams: tuple[int, int]
    skip_words: int = 0
    sublinear: bool
    intercept: float
    fit_record: FitRecord


@dataclass(frozen=True, slots=True)
class Block:
    """One kind of n-gram: its vocabulary, and float32 (n_grams,) arrays of inverse document frequency and weight."""

    vocabulary: Vocabulary
    idf: NDArray[np.float32]
    weights: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LinearDetector:
    """sigmoid(intercept + sum of weight x TF-IDF over both blocks)."""

    config: LinearConfig
    words: Block
    characters: Block
    warming: Warming = field(default_factory=Warming, init=False, repr=False, compare=False)

    kind: ClassVar[str] = "linear"

    @property
    def fit_record(self) -> FitRecord:
        return self.config.fit_record

    @property
    def normalisation(self) -> str:
        return self.config.normalisation

    @property
    def log(self) -> None:
        """None: it is solved at once, without epochs."""
        return

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """See detect.base.Detector. Bit-equal whatever posts stand beside a post, with numpy and compiled."""
        if not posts:
            return np.empty(0)
        texts = model_texts([post.text for post in posts], self.normalisation)
        scorer = self.warming.after(sum(map(len, texts)), self.compiled)
        logits = self.logits(texts) if scorer is None else scorer.logits(texts)
        probabilities: Probabilities = 1.0 / (1.0 + np.exp(-logits))
        return probabilities

    def warm_up(self) -> None:
        """See detect.base.WarmsUp: the compiled kernel is made."""
        self.warming.after(WORTH_CHARACTERS, self.compiled)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(n_texts,) of normalised texts, with numpy."""
        return np.concatenate([np.empty(0), *(self._logits(batch) for batch in batches(texts))])

    def compiled(self) -> CompiledScorer:
        """What computes ``logits`` compiled: for many texts ten times as fast."""
        words, characters = (
            table(block.vocabulary, block.idf, block.weights, lengths=lengths, skipped=skipped)
            for block, lengths, skipped in (
                (self.words, self.config.word_ngrams, self.config.skip_words),
                (self.characters, self.config.character_ngrams, 0),
            )
        )
        return CompiledScorer(words, characters, self.config.intercept, self.config.sublinear)

    def known_shares(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        """The share of the character n-grams of each post that the model knows, (n_posts,) in [0, 1]; 1 without any."""
        shares = [np.empty(0)]
        for batch in batches(posts):
            grams = self._space.blocks(characters_of(batch, self.normalisation))[1]
            known = self.characters.vocabulary.columns(grams.hashes) >= 0
            n_known = np.bincount(grams.rows[known], minlength=len(batch))
            n_ngrams = np.bincount(grams.rows, minlength=len(batch))
            shares.append(np.where(n_ngrams > 0, n_known / np.maximum(n_ngrams, 1), 1.0))
        return np.concatenate(shares)

    def lengths(self, posts: Sequence[Post]) -> None:  # noqa: ARG002
        """None: it reads every n-gram of a post and counts no tokens."""
        return

    def evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        """See detect.base.Detector: exact contributions. A post's characters and the intercept add up to its logit."""
        return [item for batch in batches(posts, characters=BATCH_CHARACTERS) for item in self._evidence(batch)]

    def save(self, folder: Path) -> None:
        """Write ``config.json`` and ``weights.safetensors``."""
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        arrays: dict[str, NDArray[np.generic]] = {}
        for name, block in (("words", self.words), ("characters", self.characters)):
            arrays[f"{name}.hashes"] = block.vocabulary.hashes
            arrays[f"{name}.idf"] = block.idf
            arrays[f"{name}.weights"] = block.weights
        save_file(arrays, folder / WEIGHTS_FILE)

    def _logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        logits = np.full(len(texts), self.config.intercept)
        for grams, block in zip(self._space.blocks(lay_out(texts)), (self.words, self.characters), strict=True):
            logits += self._terms(count(grams, block.vocabulary), block, len(texts))[0]
        return logits

    def _evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        aligned = [align(post.text, self.normalisation) for post in posts]
        characters = lay_out([alignment.text for alignment in aligned])
        logits = np.full(len(posts), self.config.intercept)
        shares = np.zeros(len(characters.rows))
        blocks, spans = self._space.blocks(characters), self._space.spans(characters)
        for grams, where, block in zip(blocks, spans, (self.words, self.characters), strict=True):
            counts = count(grams, block.vocabulary)
            sums, terms = self._terms(counts, block, len(posts))
            logits += sums
            parts = shared_by_occurrences(terms, counts, grams, block.vocabulary)
            shares += shared_by_characters(parts, where, characters)
        return [
            Evidence("contributions", float(logit), alignment.distribute(share, length=len(post.text)))
            for post, alignment, logit, share in zip(
                posts,
                aligned,
                logits,
                by_text(shares, characters, [alignment.text for alignment in aligned]),
                strict=True,
            )
        ]

    @property
    def _space(self) -> NgramSpace:
        return NgramSpace(self.config.word_ngrams, self.config.character_ngrams, self.config.skip_words)

    def _terms(self, counts: Counts, block: Block, n_rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """See ngram_features.logit_terms."""
        return logit_terms(counts, block.idf, block.weights, sublinear=self.config.sublinear, n_rows=n_rows)


def load(folder: Path, *, device: str = "auto") -> LinearDetector:  # noqa: ARG001 - every loader takes a device
    """Read what ``save`` wrote. Raises BundleError when it is damaged or made by another normalisation or hashing."""
    try:
        config = LinearConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
        arrays = load_file(folder / WEIGHTS_FILE)
        words, characters = (
            _block(arrays[f"{n}.hashes"], arrays[f"{n}.idf"], arrays[f"{n}.weights"]) for n in ("words", "characters")
        )
    except (OSError, ValidationError, SafetensorError, KeyError, ValueError) as error:
        raise BundleError(
            f"not a readable linear detector ({type(error).__name__})",
            where=str(folder),
            hint="copy the bundle again from where it was made, or train it again",
        ) from error
    check_made_with("normalisation", config.normalisation, known=NORMALISATIONS, where=folder / CONFIG_FILE)
    check_made_with("hashing", config.hashing, known=[HASHING], where=folder / CONFIG_FILE)
    return LinearDetector(config, words, characters)


def _block(hashes: NDArray[np.uint64], idf: NDArray[np.float32], weights: NDArray[np.float32]) -> Block:
    if not (hashes.shape == idf.shape == weights.shape == (len(hashes),)):
        raise ValueError("arrays of different length")
    if (hashes.dtype.name, idf.dtype.name, weights.dtype.name) != ("uint64", "float32", "float32"):
        raise ValueError("arrays of another type")
    if not (np.isfinite(idf).all() and np.isfinite(weights).all()):
        raise ValueError("numbers that are not finite")
    return Block(Vocabulary.of(hashes), idf, weights)
