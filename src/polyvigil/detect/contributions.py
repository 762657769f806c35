"""From what each n-gram adds to a logit to what each character does. Nothing is lost on the way but rounding.

An n-gram's part of the logit is shared evenly by its occurrences in the post, whatever the count and the length of the
post do to it (1 + log count, L2), and an occurrence's by the characters it stands on, white space apart: so a sentence
has no part in the words of the next one, and the spaces that pad a post have none at all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.detect.ngram_features import Counts, Vocabulary
from polyvigil.text.hashing import Characters, Grams, NgramSpans

BATCH_CHARACTERS = 1 << 16  # bounds memory: about 800 bytes a character while a batch is in work


def shared_by_occurrences(
    terms: NDArray[np.float64], counts: Counts, grams: Grams, vocabulary: Vocabulary
) -> NDArray[np.float64]:
    """(n_grams,) from ``terms``, what each of ``counts`` adds; 0 for an n-gram that is not in the vocabulary."""
    parts = np.zeros(len(grams.hashes))
    columns = vocabulary.columns(grams.hashes)
    known = np.flatnonzero(columns >= 0)
    width = max(len(vocabulary.hashes), 1)
    keys = counts.rows * width + counts.columns  # sorted: by row, then by column
    at = np.searchsorted(keys, grams.rows[known].astype(np.int64) * width + columns[known])
    parts[known] = (terms / counts.counts)[at]
    return parts


def shared_by_characters(parts: NDArray[np.float64], spans: NgramSpans, characters: Characters) -> NDArray[np.float64]:
    """(n_characters,) from the parts of the n-grams, (n_grams,), that stand at ``places``; 0 for white space.

    Each character's sum is taken in the order of the n-grams, so it hangs on no other text.
    """
    seen = np.flatnonzero(~characters.space)
    before = np.concatenate(([0], np.cumsum(~characters.space)))  # characters that are no space, before each place
    nonzero = np.flatnonzero(parts)
    first, sizes = before[spans.starts[nonzero]], before[spans.ends[nonzero]] - before[spans.starts[nonzero]]
    inside = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    at = np.repeat(first, sizes) + inside
    shares = np.zeros(len(characters.space))
    shares[seen] = np.bincount(at, weights=np.repeat(parts[nonzero] / sizes, sizes), minlength=len(seen))
    return shares


def by_text(shares: NDArray[np.float64], characters: Characters, texts: Sequence[str]) -> list[NDArray[np.float64]]:
    """``shares`` of the laid-out characters as one array for each of the ``texts`` they were laid out from.

    A letter whose lower case is two characters (``İ``) has the sum of both.
    """
    edges = np.searchsorted(characters.rows, np.arange(len(texts)))  # the space before each text
    ends = np.append(edges[1:], len(characters.rows) - 1)
    result = []
    for text, start, end in zip(texts, edges.tolist(), ends.tolist(), strict=True):
        values = shares[start + 1 : end]
        if len(values) != len(text):
            letters = np.repeat(np.arange(len(text)), [len(letter.lower()) for letter in text])
            values = np.asarray(np.bincount(letters, weights=values, minlength=len(text)), dtype=np.float64)
        result.append(values)
    return result
