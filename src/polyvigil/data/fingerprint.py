"""Fingerprints of posts, so that a set of posts is not used for two purposes unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from polyvigil.data.packed_posts import field_of
from polyvigil.progress import report_share
from polyvigil.text.normalise import model_text, model_texts
from polyvigil.types import LabelledPost, Post

_BATCH = 2000
_DIGEST = 8  # bytes


def post_hashes(posts: Iterable[Post]) -> NDArray[np.uint64]:
    """A 64-bit hash of the normalised, lower-cased text of each post, shape (n_posts,), in their order (BLAKE2b)."""
    digests = bytearray()
    remaining = iter(posts)
    n_posts = len(posts) if isinstance(posts, Sized) else 0
    while batch := list(islice(remaining, _BATCH)):
        report_share("hashing texts", len(digests) // _DIGEST, n_posts)
        for text in model_texts([post.text for post in batch]):
            digests += hashlib.blake2b(text.lower().encode(), digest_size=_DIGEST).digest()
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def post_keys(items: Iterable[LabelledPost]) -> NDArray[np.uint64]:
    """A 64-bit hash of the id, language, label and normalised text of each post, shape (n_posts,), in their order.

    Two sets of posts with the same keys are the same posts, whatever their order.
    """
    digests = bytearray()
    remaining = iter(items)
    while batch := list(islice(remaining, _BATCH)):
        for item, text in zip(batch, model_texts([item.post.text for item in batch]), strict=True):
            line = f"{item.post.id}\0{item.post.language}\0{item.label}\0{text}"
            digests += hashlib.blake2b(line.encode(errors="surrogatepass"), digest_size=_DIGEST).digest()
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def fingerprint(posts: Sequence[Post]) -> str:
    """Hex digest of the ids and texts of the posts, whatever their order. No second copy of all texts is made."""
    whole = hashlib.sha256()
    for line in _sorted_lines(posts):
        whole.update(line.encode(errors="surrogatepass") + b"\n")
    return whole.hexdigest()[:32]


def _sorted_lines(posts: Sequence[Post]) -> Iterator[str]:
    """``id NUL text`` of each post, sorted.

    In the order of the ids, where none holds NUL: then no more texts are in memory than those of a batch, which ends
    where an id does.
    """
    ids = list(field_of(posts, "id"))
    if any("\0" in one for one in ids):
        yield from sorted(f"{post.id}\0{model_text(post.text)}" for post in posts)
        return
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int64)
    start = 0
    while start < len(order):
        report_share("fingerprint of the posts", start, len(order))
        stop = min(start + _BATCH, len(order))
        while stop < len(order) and ids[order[stop]] == ids[order[stop - 1]]:
            stop += 1
        batch = [posts[index] for index in order[start:stop].tolist()]
        texts = model_texts([post.text for post in batch])
        yield from sorted(f"{post.id}\0{text}" for post, text in zip(batch, texts, strict=True))
        start = stop
