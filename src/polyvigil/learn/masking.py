"""Which tokens of a step are masked, and with what: a function of the seed and the step alone.

Devlin et al. 2019, section 3.1: of sampled tokens 80% become the mask, 10% a random token, 10% stay. Sampled again at
every step, as in Liu et al. 2019 (RoBERTa), section 4.1, each token by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.nn.masked import IGNORE_INDEX
from polyvigil.nn.windows import TokenIds

_MASKED, _RANDOM = 0.8, 0.1
_MASK = 2  # what a seed is derived for, beside those of learn.sampling


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """``special`` ids (n,), sorted, are never masked and never put in; all ids are below ``size``."""

    size: int
    mask: int
    special: NDArray[np.int32]

    @property
    def ordinary(self) -> NDArray[np.int32]:
        """The ids that may stand in for another."""
        return np.setdiff1d(np.arange(self.size, dtype=np.int32), self.special)


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """The posts of a step: ``tokens`` as the model sees them, ``targets`` of the same shapes: what stood there where a
    token was sampled, else NOT_ASKED."""

    tokens: Sequence[TokenIds]
    targets: Sequence[TokenIds]

    @property
    def n_targets(self) -> int:
        """Tokens that were sampled."""
        return sum(int((item != IGNORE_INDEX).sum()) for item in self.targets)


def mask_tokens(
    items: Sequence[TokenIds], vocabulary: Vocabulary, *, share: float, seed: int, step: int
) -> MaskedBatch:
    """Draw each ordinary token with probability ``share``, in (0, 1); the same for the same items, seed and step."""
    random = np.random.default_rng(np.random.SeedSequence([seed, step, _MASK]))
    ordinary = vocabulary.ordinary
    ids = np.concatenate(items) if items else np.empty(0, dtype=np.int32)
    selected = (random.random(len(ids)) < share) & ~np.isin(ids, vocabulary.special)
    # drawn for every token, so that what becomes of one does not hang on which others were selected
    fate = random.random(len(ids))
    random_ids = ordinary[random.integers(len(ordinary), size=len(ids))]
    seen = np.where(selected & (fate < _MASKED), vocabulary.mask, ids)
    seen = np.where(selected & (fate >= _MASKED) & (fate < _MASKED + _RANDOM), random_ids, seen).astype(np.int32)
    targets = np.where(selected, ids, IGNORE_INDEX).astype(np.int32)
    ends = np.cumsum([len(item) for item in items])[:-1]
    return MaskedBatch(np.split(seen, ends), np.split(targets, ends))
