"""Which posts of a file are in the store already: by the keyed hash of their text.

In: hashes of texts (``event_log.keyed_hash``). Out: ``KnownPosts``, the posts of these texts. ``NewTexts`` says without
asking the database which texts cannot be there, which spares the first import of a store nearly all questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from polyvigil.review.schema import post, scoring

_LOOKED_UP = 500
_BITS = 27
"""Of the filter's index: 16 MB, and of a million texts under one in a hundred is asked for in vain."""


@dataclass(slots=True)
class KnownPosts:
    """Posts that are in the store, by their text."""

    by_source: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """The post of a text's hash and a source id."""
    first: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """The first post of a text's hash and a language; later ones are copies of it."""


def known_posts(connection: sa.Connection, macs: Sequence[bytes]) -> KnownPosts:
    """The posts of these texts that are in the store."""
    known = KnownPosts()
    columns = (post.c.id, post.c.text_mac, post.c.source_id, post.c.language, post.c.copy_of)
    for start in range(0, len(macs), _LOOKED_UP):
        query = sa.select(*columns).where(post.c.text_mac.in_(macs[start : start + _LOOKED_UP]))
        for row in connection.execute(query):
            mac = bytes(row.text_mac)
            known.by_source[mac, row.source_id] = row.id
            if row.copy_of is None:
                known.first[mac, row.language] = row.id
    return known


def scored_already(connection: sa.Connection, numbers: Sequence[int], bundle: str) -> set[int]:
    """The posts among ``numbers`` that have scores by a bundle."""
    scored: set[int] = set()
    for start in range(0, len(numbers), _LOOKED_UP):
        chosen = scoring.c.post.in_(numbers[start : start + _LOOKED_UP])
        scored.update(connection.execute(sa.select(scoring.c.post).where(chosen, scoring.c.bundle == bundle)).scalars())
    return scored


class NewTexts:
    """Texts that an import into an empty store meets: a bitmap of parts of their hashes, of fixed size.

    Only for a store that had no posts at its start, and to which nothing else adds any.
    """

    def __init__(self) -> None:
        self._bitmap: NDArray[np.uint8] = np.zeros(1 << (_BITS - 3), dtype=np.uint8)

    def take(self, macs: Sequence[bytes]) -> list[bytes]:
        """The hashes that may have been taken before, in their order; all of them are taken now."""
        index = np.frombuffer(b"".join(mac[:4] for mac in macs), dtype="<u4") & ((1 << _BITS) - 1)
        byte, bit = index >> 3, (1 << (index & 7)).astype(np.uint8)
        maybe = np.flatnonzero(self._bitmap[byte] & bit)
        np.bitwise_or.at(self._bitmap, byte, bit)
        return [macs[number] for number in maybe]
