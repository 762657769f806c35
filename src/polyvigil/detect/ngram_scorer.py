"""When a detector's n-grams are worth the compiled kernel, and how the kernel is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.ngram_features import Table, batches
from polyvigil.text.hashing import code_points, word_characters

WORTH_CHARACTERS = 1 << 21
"""numpy takes a second for these; numba half a second to start, and several once on a machine to compile."""
_BATCH_CHARACTERS = 1 << 17


@dataclass(frozen=True, slots=True)
class CompiledScorer:
    """The compiled kernel with the tables of one model."""

    words: Table
    characters: Table
    intercept: float
    sublinear: bool

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(n_texts,) of normalised texts; bit-equal whatever texts stand beside one, and to what numpy computes."""
        from polyvigil.detect.ngram_kernel import logits

        room = np.zeros(max(len(self.words.keys), len(self.characters.keys)), dtype=np.uint32)
        chunks = [np.empty(0)]
        for batch in batches(texts, characters=_BATCH_CHARACTERS):
            laid = code_points(batch)
            counts = np.arange(1, int(laid.lengths.max()) + 3, dtype=np.float64)
            frequency = np.append(0.0, 1.0 + np.log(counts) if self.sublinear else counts)
            chunks.append(
                logits(
                    laid.points,
                    laid.lengths,
                    word_characters(),
                    self.words,
                    self.characters,
                    room,
                    frequency,
                    self.intercept,
                )
            )
        return np.concatenate(chunks)


@dataclass(slots=True)
class Warming:
    """Counts the characters that a detector reads, and has a scorer made once they are worth it."""

    characters: int = 0
    scorer: CompiledScorer | None = None
    _tried: bool = field(default=False, repr=False)

    def after(self, characters: int, make: Callable[[], CompiledScorer]) -> CompiledScorer | None:
        """The scorer for the next ``characters``; None while numpy is the quicker, and where numba does not run.

        numba may fail in many ways that are not the posts' doing: beside a newer numpy, on a full disk. numpy gives
        the same numbers, so none of them is an error.
        """
        self.characters += characters
        if self.characters >= WORTH_CHARACTERS and not self._tried:
            self._tried = True
            with suppress(Exception):
                scorer = make()
                scorer.logits(["a"])
                self.scorer = scorer
        return self.scorer
