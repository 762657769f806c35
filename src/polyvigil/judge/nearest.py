"""The kept examples that are nearest to a post, by the cosine of their character n-grams.

In come masked posts; out come of each a few examples (judge.examples), as many with an ADE as without. What always
holds: an example of the same text or group as the post never goes along with it, since its label would be the answer;
the same post has the same examples, whatever posts stand beside it. The n-grams are those of the linear default
(text.hashing), counted; nothing is fitted and no index is stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from polyvigil.config.judge import ChatSpec
from polyvigil.data.fingerprint import post_hashes
from polyvigil.judge.examples import Example, group_hash, reading_of
from polyvigil.judge.masking import shortened, without_tokens
from polyvigil.text.hashing import character_ngrams, lay_out
from polyvigil.text.language import base_language
from polyvigil.types import Post

NGRAMS = (2, 4)
"""Characters inside words: so short that Chinese words of two are compared."""
_CHUNK = 256  # posts that are compared with all examples
_DECIMALS = 9  # of a cosine: what is smaller hangs on the order in which it was summed


class NearestExamples:
    """The kept examples, ready to be compared with posts. Built when the first post is sent."""

    def __init__(self, examples: Sequence[Example], spec: ChatSpec) -> None:
        self._examples = examples
        self._spec = spec
        grams = _ngram_counts([example.post for example in examples])
        self._vocabulary = np.unique(grams.hashes)
        self._matrix = _unit_rows(grams, self._vocabulary)
        self._positive = np.array([example.ade == 1 for example in examples], dtype=np.bool_)
        self._languages = np.array([base_language(example.language) for example in examples], dtype=np.str_)
        self._by_hash = _indices((example.hash, index) for index, example in enumerate(examples))
        self._by_reading = _indices((reading_of(example.post), index) for index, example in enumerate(examples))
        self._by_group = _indices((name, index) for index, example in enumerate(examples) for name in example.groups)

    def of(self, posts: Sequence[Post], masked_texts: Sequence[str]) -> list[tuple[Example, ...]]:
        """The examples that go along with each post, at most ``spec.examples``, as many with an ADE as without; the
        nearest is last.

        Nearness is the cosine of counts of character n-grams; the posts of the post's language come before all others.
        ``masked_texts``: what of each post is sent.
        """
        hashes = [f"{value:016x}" for value in post_hashes(posts).tolist()]
        nearest: list[tuple[Example, ...]] = []
        for start in range(0, len(posts), _CHUNK):
            stop = min(start + _CHUNK, len(posts))
            similarity = self.similarity(masked_texts[start:stop])
            for index in range(start, stop):
                allowed = self._allowed(posts[index], masked_texts[index], hashes[index])
                same_language = self._languages == base_language(posts[index].language)
                nearest.append(self._nearest(similarity[index - start], same_language, allowed))
        return nearest

    def similarity(self, masked_texts: Sequence[str]) -> NDArray[np.float64]:
        """Cosine of each text with each example, (n_texts, n_examples), in [0, 1], to nine decimals."""
        rows = _unit_rows(_ngram_counts(masked_texts), self._vocabulary)
        return np.asarray(np.round((rows @ self._matrix.T).toarray(), _DECIMALS), dtype=np.float64)

    def _allowed(self, post: Post, masked_text: str, text_hash: str) -> NDArray[np.bool_]:
        """Which examples may go along with a post: none of its text, of its group, or that reads the same."""
        same = list(self._by_hash.get(text_hash, ()))
        kept_as = shortened(masked_text, most_characters=self._spec.example_characters)
        same += self._by_reading.get(reading_of(kept_as), ())
        for name in (post.group, post.id):  # the group of a translated post is the id of its source
            same += self._by_group.get(group_hash(name), ()) if name else ()
        allowed = np.ones(len(self._examples), dtype=np.bool_)
        allowed[same] = False
        return allowed

    def _nearest(
        self, similarity: NDArray[np.float64], same_language: NDArray[np.bool_], allowed: NDArray[np.bool_]
    ) -> tuple[Example, ...]:
        sides = []
        for side in (self._positive, ~self._positive):
            indices = np.flatnonzero(allowed & side)
            order = np.lexsort((indices, -similarity[indices], ~same_language[indices]))
            sides.append(indices[order[: self._spec.examples // 2]])
        number = min(map(len, sides))
        chosen = np.concatenate([side[:number] for side in sides])
        order = np.lexsort((-chosen, similarity[chosen], same_language[chosen]))
        return tuple(self._examples[index] for index in chosen[order].tolist())


def _indices(pairs: Iterable[tuple[str, int]]) -> Mapping[str, list[int]]:
    indices: dict[str, list[int]] = defaultdict(list)
    for name, index in pairs:
        indices[name].append(index)
    return dict(indices)


@dataclass(frozen=True, slots=True)
class _NgramCounts:
    """Of each different n-gram of a text its hash, its count and the index of the text, each (n,)."""

    hashes: NDArray[np.uint64]
    counts: NDArray[np.float64]
    rows: NDArray[np.int64]
    n_texts: int


def _ngram_counts(masked_texts: Sequence[str]) -> _NgramCounts:
    grams = character_ngrams(lay_out(list(map(without_tokens, masked_texts))), low=NGRAMS[0], high=NGRAMS[1])
    order = np.lexsort((grams.hashes, grams.rows))
    hashes, rows = grams.hashes[order], grams.rows[order]
    first = np.ones(len(hashes), dtype=np.bool_)
    first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, len(hashes))).astype(np.float64)
    return _NgramCounts(hashes[starts], counts, rows[starts].astype(np.int64), len(masked_texts))


def _unit_rows(grams: _NgramCounts, vocabulary: NDArray[np.uint64]) -> csr_array:
    """Counts of the n-grams of a vocabulary, (n_texts, n_ngrams), each row divided by the length of all its counts."""
    lengths = np.sqrt(np.bincount(grams.rows, weights=grams.counts**2, minlength=grams.n_texts))
    values = grams.counts / lengths[grams.rows]
    columns = np.searchsorted(vocabulary, grams.hashes)
    known = columns < len(vocabulary)
    known[known] = vocabulary[columns[known]] == grams.hashes[known]
    shape = (grams.n_texts, len(vocabulary))
    return csr_array((values[known], (grams.rows[known], columns[known])), shape=shape)
