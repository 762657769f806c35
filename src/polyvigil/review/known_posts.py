"""Which posts of a file are in the store already, and which read the same as another one.

In: hashes of texts (``event_log.keyed_hash``) and of what is left of them without case, numbers, links, punctuation
and white space (``reads_as``). Out: ``KnownPosts``, the posts of these texts. ``NewTexts`` says without asking the
database which texts cannot be there, which spares the first import of a store nearly all questions.

Posts of one language that read the same are decided together and audited as one: the later ones are copies of the
first (``post.copy_of``), and whoever counts, counts it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from polyvigil.review.event_log import keyed_hash
from polyvigil.review.schema import post, scoring
from polyvigil.text.normalise import model_text
from polyvigil.text.shingles import canonical

_LOOKED_UP = 500
_BITS = 27
"""Of the filter's index: 16 MB, and of a million texts under one in a hundred is asked for in vain."""


@dataclass(slots=True)
class KnownPosts:
    """Posts that are in the store, by their text."""

    by_source: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """The post of a text's hash and a source id."""
    first: dict[int, int] = field(default_factory=dict)
    """Of posts that read the same (``reads_as``) the first; later ones are copies of it."""
    first_of_text: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """Of posts of a text's hash and a language the first: of a store that was made before ``reads_as`` was."""
    root: dict[int, int] = field(default_factory=dict)
    """Of each post here the one that it is a copy of, itself where it is none."""


def reads_as(mac_key: bytes, text: str, language: str) -> int | None:
    """A number for the posts of a language that read like this one: a signed 64-bit hash, which nobody without the
    store's key can compute. None for an empty text, which reads like no other."""
    if not text:
        return None
    read = model_text(text)
    digest = keyed_hash(mac_key, f"{canonical(read) or read or text}\0{language}")
    return int.from_bytes(digest[:8], "little", signed=True)


def known_posts(connection: sa.Connection, macs: Sequence[bytes], alike: Sequence[int] = ()) -> KnownPosts:
    """The posts of these texts that are in the store, and the first of those that read the same as ``alike``."""
    known = KnownPosts()
    columns = (post.c.id, post.c.text_mac, post.c.source_id, post.c.language, post.c.copy_of)
    for start in range(0, len(macs), _LOOKED_UP):
        query = sa.select(*columns).where(post.c.text_mac.in_(macs[start : start + _LOOKED_UP]))
        for row in connection.execute(query):
            mac = bytes(row.text_mac)
            known.by_source[mac, row.source_id] = row.id
            known.root[row.id] = row.copy_of or row.id
            if row.copy_of is None:
                known.first_of_text[mac, row.language] = row.id
    for start in range(0, len(alike), _LOOKED_UP):
        query = sa.select(post.c.reads_as, post.c.id).where(post.c.reads_as.in_(alike[start : start + _LOOKED_UP]))
        known.first.update((row.reads_as, row.id) for row in connection.execute(query.where(post.c.copy_of.is_(None))))
    return known


def scored_already(connection: sa.Connection, numbers: Sequence[int], bundle: str) -> set[int]:
    """The posts among ``numbers`` that have scores by a bundle."""
    scored: set[int] = set()
    for start in range(0, len(numbers), _LOOKED_UP):
        chosen = scoring.c.post.in_(numbers[start : start + _LOOKED_UP])
        scored.update(connection.execute(sa.select(scoring.c.post).where(chosen, scoring.c.bundle == bundle)).scalars())
    return scored


def further_posts() -> sa.ScalarSelect[int]:
    """Of the ``post`` of a query: how many other posts read the same, for which a decision on it is too."""
    alike, root = post.alias("alike"), sa.func.coalesce(post.c.copy_of, post.c.id)
    query = sa.select(sa.func.count() - 1).where(sa.or_(alike.c.copy_of == root, alike.c.id == root))
    return query.correlate(post).scalar_subquery()


class NewTexts:
    """Texts that an import into an empty store meets: a bitmap of parts of their hashes, of fixed size.

    Only for a store that had no posts at its start, and to which nothing else adds any.
    """

    def __init__(self) -> None:
        self._bitmap: NDArray[np.uint8] = np.zeros(1 << (_BITS - 3), dtype=np.uint8)

    def take(self, macs: Sequence[bytes]) -> list[bytes]:
        """The hashes that may have been taken before, in their order; all of them are taken now."""
        index = np.frombuffer(b"".join(mac[:4] for mac in macs), dtype="<u4")
        return [macs[number] for number in self._take(index)]

    def take_numbers(self, numbers: Sequence[int]) -> list[int]:
        """The same of ``reads_as``, which are taken apart from the hashes of texts: of one filter all or none."""
        index = (np.array(numbers, dtype=np.int64) & 0xFFFFFFFF).astype(np.uint32)
        return [numbers[number] for number in self._take(index)]

    def _take(self, index: NDArray[np.uint32]) -> list[int]:
        index = index & np.uint32((1 << _BITS) - 1)
        byte, bit = index >> 3, (1 << (index & 7)).astype(np.uint8)
        maybe = np.flatnonzero(self._bitmap[byte] & bit)
        np.bitwise_or.at(self._bitmap, byte, bit)
        return [int(number) for number in maybe]
