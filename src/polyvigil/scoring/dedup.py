"""Posts of one part that read the same are scored once; each still has its own row and its own flags.

Every repeat is marked with the id of the post whose decision it took, and every post with the group of posts that read
as it does. The group follows from the text and the language alone: it is the same in every part, file and run, also of
posts that were scored apart because they stand in different parts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from polyvigil.bundle.store import Bundle
from polyvigil.scoring.remote import RemoteBundle, decide_posts
from polyvigil.scoring.wire import ABSTAINED, Decision, flags_of, flags_of_group, judging_in
from polyvigil.text.normalise import model_texts, no_text_reason
from polyvigil.text.shingles import canonical
from polyvigil.types import Post

NEAR = "near_duplicate"
DUPLICATE_COLUMNS = ("duplicate_of", "duplicate_group")
"""The id of the earlier post of the part that a post repeats, empty for the first; and what names the posts that read
the same, empty for one with nothing to read."""


@dataclass(frozen=True, slots=True)
class _First:
    """The post whose decision others take."""

    decision: Decision
    text: bytes
    """Hash of what a model reads of it; ``raw``: of the post as it was written."""
    raw: bytes
    id: str


@dataclass(slots=True)
class Deduplicated:
    """Decides on the posts of one part as they come. Memory: a decision for each distinct post of the part."""

    bundle: Bundle | RemoteBundle
    kind: Literal["off", "exact", "near"]
    copied: int = 0
    """Posts so far that took the decision of another."""
    _known: dict[bytes, _First] = field(default_factory=dict)
    _cells: list[dict[str, object]] = field(default_factory=list)

    def cells(self) -> list[dict[str, object]]:
        """DUPLICATE_COLUMNS of each of the posts decided last; no column where the kind is ``off``."""
        return self._cells

    def decide(self, posts: Sequence[Post], *, detected: Sequence[bool]) -> list[Decision]:
        """A decision for each post, in order; see scoring.wire.score_posts.

        ``exact``: posts of one language with the same model text have one decision. ``near``: of those that differ in
        what text.canonical leaves out, the first is scored; the others take its P and have ``near_duplicate`` among
        their flags, and their own token counts. Posts with nothing to read are no duplicates: they cost nothing.
        """
        if self.kind == "off":
            self._cells = [{} for _ in posts]
            return decide_posts(self.bundle, posts, detected=detected)
        texts = model_texts([post.text for post in posts], self.bundle.normalisation)
        keys = [self._key(post, text) for post, text in zip(posts, texts, strict=True)]
        fresh: dict[bytes, int] = {}
        for index, key in enumerate(keys):
            if key and key not in self._known:
                fresh.setdefault(key, index)
        indices = sorted([*fresh.values(), *(index for index, key in enumerate(keys) if not key)])
        scored = decide_posts(self.bundle, [posts[p] for p in indices], detected=[detected[p] for p in indices])
        decided = dict(zip(indices, scored, strict=True))
        for index in fresh.values():
            self._known[keys[index]] = _First(
                decided[index], _hash(texts[index]), _hash(posts[index].text), posts[index].id
            )
        copies = [index for index in range(len(posts)) if index not in decided]
        self.copied += len(copies)
        lengths = None
        if copies and self.kind == "near" and isinstance(self.bundle, Bundle):
            lengths = self.bundle.lengths([posts[index] for index in copies])
        for nth, index in enumerate(copies):
            first = self._known[keys[index]]
            judging = judging_in(first.decision.flags)
            group = flags_of_group(self.bundle, posts[index].language)
            group += [ABSTAINED] if first.decision.threshold_source == ABSTAINED else []
            flags = flags_of(posts[index], texts[index], group, detected=detected[index], judging=judging)
            if first.text != _hash(texts[index]):
                flags = (*flags, NEAR)
            same = first.raw == _hash(posts[index].text)
            decided[index] = replace(first.decision, flags=flags, window=first.decision.window if same else "")
            if lengths is not None:
                decided[index] = replace(
                    decided[index], n_tokens=int(lengths.tokens[nth]), truncated=bool(lengths.truncated[nth])
                )
        repeated = dict.fromkeys(copies)
        repeats = [self._known[keys[index]].id if index in repeated else "" for index in range(len(posts))]
        self._cells = [
            dict(zip(DUPLICATE_COLUMNS, (first_id, key.hex()), strict=True))
            for first_id, key in zip(repeats, keys, strict=True)
        ]
        return [decided[index] for index in range(len(posts))]

    def _key(self, post: Post, text: str) -> bytes:
        """Empty for a post with nothing to read."""
        if no_text_reason(text):
            return b""
        letters = canonical(text) if self.kind == "near" else ""
        return _hash(f"near\0{post.language}\0{letters}" if letters else f"exact\0{post.language}\0{text}")


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
