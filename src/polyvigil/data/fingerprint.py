"""Fingerprints of posts, so that a set of posts is not used for two purposes unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from polyvigil.text.normalise import model_text
from polyvigil.types import LabelledPost, Post


def post_hashes(posts: Iterable[Post]) -> NDArray[np.uint64]:
    """A 64-bit hash of the normalised, lower-cased text of each post, shape (n_posts,), in their order (BLAKE2b)."""
    digests = [hashlib.blake2b(model_text(post.text).lower().encode(), digest_size=8).digest() for post in posts]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def post_keys(items: Iterable[LabelledPost]) -> NDArray[np.uint64]:
    """A 64-bit hash of the id, language, label and normalised text of each post, shape (n_posts,), in their order.

    Two sets of posts with the same keys are the same posts, whatever their order.
    """
    keyed = (f"{item.post.id}\0{item.post.language}\0{item.label}\0{model_text(item.post.text)}" for item in items)
    digests = [hashlib.blake2b(line.encode(errors="surrogatepass"), digest_size=8).digest() for line in keyed]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def fingerprint(posts: Sequence[Post]) -> str:
    """Hex digest of the ids and texts of the posts, whatever their order."""
    lines = sorted(f"{post.id}\0{model_text(post.text)}" for post in posts)
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode(errors="surrogatepass") + b"\n")
    return whole.hexdigest()[:32]
