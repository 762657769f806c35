"""Posts that say the same: word for word, or nearly so.

Nearly: the Jaccard similarity of two posts' shingle sets (text.shingles) is at least 0.8. Candidates come from MinHash
(Broder 1997) with banded locality-sensitive hashing (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, 3.4):
16 bands of 5 minima, so that a pair of similarity s is looked at with probability 1 - (1 - s^5)^16, which is .998 at
0.8 and .04 at 0.3. Every candidate is then measured exactly: what is reported is similar, for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.packed_posts import NormalisedTexts, taken
from polyvigil.detect.ngram_features import batches
from polyvigil.progress import report_share
from polyvigil.text.normalise import FIRST_NORMALISATION
from polyvigil.text.shingles import shingle_sets
from polyvigil.types import Post

NEAR = 0.8
BANDS = 16
MINIMA_PER_BAND = 5
_SMALL = 24  # members of a bucket up to which all its pairs are candidates
_ROUNDS = 4  # a larger bucket: that many of its members, one after the other, are compared with those left
_SURE_MISS = 0.15  # candidates whose 80 minima say at least this much under the threshold are not measured (3.4 sigma)
_PAIRS_PER_CHUNK = 65_536
_CHARACTERS_PER_CHUNK = 1 << 20  # 60 bytes each while their shingles are made
_TEXTS_PER_CHUNK = 2000
_COLUMNS = 2**63 - 1
_MULTIPLIER = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's 64-bit finaliser

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """``exact`` and ``near``, int64 (n_posts,): the index of the first post with the same text, or of the same cluster.

    Posts with the same text are in one cluster, and so are posts joined by a chain of similar pairs. ``pairs`` int64
    (n_pairs, 2): places of similar posts with different texts, measured, the earlier first, sorted;
    ``similarities`` (n_pairs,), in [threshold, 1]. Of more than 24 posts that are all alike not every pair is listed,
    but the cluster holds them all.
    """

    exact: Indices
    near: Indices
    pairs: Indices
    similarities: NDArray[np.float64]


def find_duplicates(posts: Sequence[Post], *, threshold: float = NEAR) -> Duplicates:
    """Exact and near-duplicates among the posts, by their normalised text in lower case. The same posts always give the
    same answer. Memory: about 400 bytes a post, and the batch in work."""
    exact = _first_indices(post_hashes(posts))
    distinct = np.flatnonzero(exact == np.arange(len(posts)))
    texts = NormalisedTexts(taken(posts, distinct.tolist()), FIRST_NORMALISATION)
    search = _near_pairs(texts, threshold)
    matches = np.concatenate([np.empty((0, 2), dtype=np.int64), *search.matches])
    order = np.lexsort((matches[:, 1], matches[:, 0]))
    pairs = distinct[matches[order]]
    return Duplicates(exact, _clusters(exact, pairs), pairs, np.concatenate([np.empty(0), *search.similarities])[order])


def _first_indices(hashes: NDArray[np.uint64]) -> Indices:
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


def _clusters(exact: Indices, pairs: Indices) -> Indices:
    """The first index of each post's connected component."""
    n = len(exact)
    left = np.concatenate([np.arange(n), pairs[:, 0]])
    right = np.concatenate([exact, pairs[:, 1]])
    graph = csr_array((np.ones(len(left)), (left, right)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    return _first_indices(component.astype(np.uint64))


def similarity(texts: Sequence[str], pairs: Indices, *, lengths: Indices | None = None) -> NDArray[np.float64]:
    """Jaccard similarity of the shingle sets of each pair of normalised texts: pairs (n, 2) -> (n,), in [0, 1].

    ``lengths`` (n_texts,): their characters, where they are known; else all texts are looked at.
    """
    if lengths is None:
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    chunks = np.cumsum(lengths[pairs].sum(axis=1)) // _CHARACTERS_PER_CHUNK
    values = np.empty(len(pairs))
    for here in np.split(np.arange(len(pairs)), np.flatnonzero(np.diff(chunks)) + 1):
        report_share("measuring candidates", len(pairs) and here[0], len(pairs))
        indices, local = np.unique(pairs[here], return_inverse=True)
        first, second = local.reshape(-1, 2).T
        sets = shingle_sets([texts[index] for index in indices])
        columns = (sets.hashes >> np.uint64(1)).astype(np.int64)  # a column for every shingle there is: 63 bits of hash
        table = csr_array((np.ones(len(columns), np.int8), columns, sets.starts), shape=(len(indices), _COLUMNS))
        shared = np.diff(table[first].multiply(table[second]).indptr)
        values[here] = shared / (sets.sizes[first] + sets.sizes[second] - shared)
    return values


@dataclass(slots=True)
class _Search:
    """What is known so far: the pairs found, the pairs measured, the cluster of each text."""

    texts: Sequence[str]
    lengths: Indices
    signatures: NDArray[np.uint32]
    threshold: float
    clusters: Indices
    measured: Indices
    matches: list[Indices]
    similarities: list[NDArray[np.float64]]

    def look(self, pairs: Indices) -> None:
        """Measure those candidates (n, 2) that are new and not too far apart, and join the similar ones."""
        n = max(len(self.texts), 1)
        keys = np.sort(pairs.min(axis=1) * n + pairs.max(axis=1))  # np.unique can take minutes on such keys
        keys = keys[np.diff(keys, prepend=-1) > 0]
        position = np.searchsorted(self.measured, keys)
        keys = keys[np.append(self.measured, -1)[position] != keys]
        pairs = np.stack([keys // n, keys % n], axis=1)
        near = np.zeros(len(pairs), dtype=bool)
        for start in range(0, len(pairs), _PAIRS_PER_CHUNK):
            some = slice(start, start + _PAIRS_PER_CHUNK)
            equal = self.signatures[pairs[some, 0]] == self.signatures[pairs[some, 1]]
            near[some] = equal.mean(axis=1) > self.threshold - _SURE_MISS
        self.measured = np.sort(np.concatenate([self.measured, keys[near]]))
        values = similarity(self.texts, pairs[near], lengths=self.lengths)
        good = values >= self.threshold
        if good.any():
            self.matches.append(pairs[near][good])
            self.similarities.append(values[good])
            self.clusters = _clusters(self.clusters, self.matches[-1])


def _near_pairs(texts: Sequence[str], threshold: float) -> _Search:
    none = np.empty(0, dtype=np.int64)
    lengths = np.zeros(len(texts), dtype=np.int64)
    signatures = _signatures(texts, lengths)
    search = _Search(texts, lengths, signatures, threshold, np.arange(len(texts)), none, [], [])
    for band in range(BANDS):
        members, starts = _buckets(search.signatures[:, band * MINIMA_PER_BAND : (band + 1) * MINIMA_PER_BAND])
        sizes = np.diff(starts)
        search.look(_pairs_within(members, starts[:-1], sizes))
        large = [members[starts[index] : starts[index + 1]] for index in np.flatnonzero(sizes > _SMALL)]
        for _ in range(_ROUNDS):
            stars = [_star(bucket, search.clusters) for bucket in large]
            if not sum(map(len, stars)):
                break
            search.look(np.concatenate(stars))
            large = [bucket[search.clusters[bucket] != search.clusters[bucket[0]]] for bucket in large]
            large = [bucket for bucket in large if len(bucket)]
    return search


def _signatures(texts: Sequence[str], lengths: Indices) -> NDArray[np.uint32]:
    """The 80 minima of each text: (n_texts, 80). The k-th order of the shingles is by (hash xor a_k) * b_k mod 2^32.

    ``lengths`` (n_texts,) is filled with the characters of each.
    """
    generator = np.random.default_rng(20260501)
    masks = generator.integers(0, 2**32, size=BANDS * MINIMA_PER_BAND, dtype=np.uint32)
    factors = generator.integers(0, 2**32, size=BANDS * MINIMA_PER_BAND, dtype=np.uint32) | np.uint32(1)
    signatures = np.empty((len(texts), len(masks)), dtype=np.uint32)
    done = 0
    for batch in _batches(texts):
        sets = shingle_sets(batch)
        lengths[done : done + len(batch)] = list(map(len, batch))
        hashes = (sets.hashes >> np.uint64(32)).astype(np.uint32)
        work = np.empty_like(hashes)
        for k, (mask, factor) in enumerate(zip(masks, factors, strict=True)):
            np.bitwise_xor(hashes, mask, out=work)
            np.multiply(work, factor, out=work)
            signatures[done : done + len(batch), k] = np.minimum.reduceat(work, sets.starts[:-1])
        done += len(batch)
    return signatures


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """The texts in order, in batches by their characters; of all texts few are made at a time."""
    for start in range(0, len(texts), _TEXTS_PER_CHUNK):
        report_share("reading for duplicates", start, len(texts))
        yield from batches(list(texts[start : start + _TEXTS_PER_CHUNK]))


def _buckets(band: NDArray[np.uint32]) -> tuple[Indices, Indices]:
    """Texts of one band (n_texts, 5) by bucket, buckets of one left out: members, and where each bucket starts in them
    (n_buckets + 1,). Members of a bucket are in the order of the texts."""
    keys = np.zeros(len(band), dtype=np.uint64)
    for column in band.T:
        keys = (keys ^ column) * _MULTIPLIER
        keys ^= keys >> np.uint64(29)
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]], append=~keys[order[-1:]]))
    sizes = np.diff(edges)
    shared = np.repeat(sizes > 1, sizes)
    return order[shared], np.concatenate([[0], np.cumsum(sizes[sizes > 1])])


def _pairs_within(members: Indices, starts: Indices, sizes: Indices) -> Indices:
    """All pairs inside the buckets of at most ``_SMALL`` members: (n, 2)."""
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for size in np.unique(sizes[sizes <= _SMALL]):
        table = members[starts[sizes == size][:, None] + np.arange(size)]
        first, second = np.triu_indices(size, k=1)
        pairs.append(np.stack([table[:, first].ravel(), table[:, second].ravel()], axis=1))
    return np.concatenate(pairs)


def _star(bucket: Indices, clusters: Indices) -> Indices:
    """The bucket's first member paired with every member not yet in its cluster: (n, 2)."""
    rest = bucket[clusters[bucket] != clusters[bucket[0]]]
    return np.stack([np.full(len(rest), bucket[0]), rest], axis=1)
