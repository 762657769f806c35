"""Near-duplicates.

The letters of a post alone, and the runs of characters by which posts that say the same are found.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from polyvigil.text.hashing import lay_out

_PLACEHOLDERS = regex.compile(r"\[URL\]|@USER|\[PLACE\]")
_ASCII_WITHOUT_LETTERS = {code: None for code in range(128) if not chr(code).isalpha()}
_NO_LETTERS = regex.compile(r"[^\p{L}\p{M}]+")


def canonical(model_text: str) -> str:
    """A normalised post without case, links, mentions, digits, punctuation, white space, emoji and symbols.

    Letters in compatible forms are one (NFKC: full-width, ligatures). Empty where nothing but such things stands.
    """
    if model_text.isascii():  # the same, in a fifth of the time
        without = _PLACEHOLDERS.sub(" ", model_text) if "[" in model_text or "@" in model_text else model_text
        return without.lower().translate(_ASCII_WITHOUT_LETTERS)
    folded = unicodedata.normalize("NFKC", _PLACEHOLDERS.sub(" ", model_text)).casefold()
    return str(_NO_LETTERS.sub("", folded))


RUN = 5
DENSE_RUN = 2
MAX_CHARACTERS = 50_000  # of a longer post only the beginning is looked at

_BASE = np.uint64(0xD1342543DE82EF95)  # an odd multiplier (Steele and Vigna 2021)
_FINAL_MULTIPLIER = np.uint64(0xFF51AFD7ED558CCD)  # MurmurHash3's 64-bit finaliser
_DENSE = regex.compile(r"[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]")


@dataclass(frozen=True, slots=True)
class ShingleSets:
    """Text i has the shingles ``hashes[starts[i]:starts[i + 1]]``, uint64, sorted and distinct, at least one.

    ``starts`` int64, (n_texts + 1,).
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """The number of distinct shingles of each text: (n_texts,)."""
        return np.diff(self.starts)


def shingle_sets(texts: Sequence[str]) -> ShingleSets:
    """The distinct shingles of each normalised text; case does not count. About 60 bytes a character while at work."""
    texts = [text[:MAX_CHARACTERS] for text in texts]
    characters = lay_out(texts)
    rows, mixed = characters.rows, characters.mixed
    last = len(mixed) - 1  # the space after the last text
    dense = np.fromiter((_is_dense(text) for text in texts), dtype=bool, count=len(texts))
    hashes, owners = [], []
    hash_n = mixed
    for n in range(2, RUN + 1):
        count = max(last - n + 1, 0)
        hash_n = hash_n[:count] * _BASE + mixed[n - 1 : n - 1 + count]
        if n in (DENSE_RUN, RUN):
            inside = rows[:count] == rows[n - 1 : n - 1 + count]
            if count:
                inside &= dense[rows[:count]] == (n == DENSE_RUN)
            starts = np.flatnonzero(inside)
            hashes.append(_finalise(hash_n[starts] + np.uint64(n)))
            owners.append(rows[starts])
    short = np.flatnonzero(np.bincount(np.concatenate(owners), minlength=len(texts)) == 0).astype(np.int32)
    whole = np.fromiter((_whole(texts[row]) for row in short), dtype=np.uint64, count=len(short))
    return _sets(np.concatenate([*hashes, whole]), np.concatenate([*owners, short]), len(texts))


def _sets(hashes: NDArray[np.uint64], rows: NDArray[np.int32], n_texts: int) -> ShingleSets:
    order = np.lexsort((hashes, rows))
    hashes, rows = hashes[order], rows[order]
    first = np.ones(len(hashes), dtype=bool)
    first[1:] = (hashes[1:] != hashes[:-1]) | (rows[1:] != rows[:-1])
    starts = np.zeros(n_texts + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows[first], minlength=n_texts), out=starts[1:])
    return ShingleSets(hashes[first], starts)


def _is_dense(text: str) -> bool:
    return not text.isascii() and 2 * len(_DENSE.findall(text)) > len(text)


def _whole(text: str) -> int:
    digest = hashlib.blake2b(text.lower().encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _finalise(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(33))) * _FINAL_MULTIPLIER
    return value ^ (value >> np.uint64(33))
