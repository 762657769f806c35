"""Reviewed posts on which two bundles can be compared: those that neither was made from, weighed to stand for all.

In: labelled posts with how each came to be read (data.selection), and what the bundles were made from. Out: the posts
that measure, each with a weight, the number of posts that it stands for.

A row of the audit weighs 1 / inclusion_p, one of the queue 1. Rows that a bundle has learned from or was tuned on are
left out, and the others of their language and purpose stand for them too. That needs the ones that stay to be a random
part: of a queue that trained only those measure that never train, whatever their score (data.selection.is_held_out);
audited rows never train, and thresholds are tuned on all of them or none. Posts picked for learning measure nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle.store import Bundle
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.read import NO_LABEL, Reading
from polyvigil.data.selection import AUDIT, LEARN, QUEUE, is_held_out
from polyvigil.errors import DataError
from polyvigil.text.mask import mask
from polyvigil.types import LabelledPost, Labels

Floats = NDArray[np.float64]
WHOLE = ""
"""The purpose of posts that were labelled whatever their score, as those of a file without such a column."""


@dataclass(frozen=True)
class ReweighedPosts:
    """The posts that measure; all arrays (n_posts,)."""

    items: tuple[LabelledPost, ...]
    labels: Labels
    languages: NDArray[np.str_]
    purposes: NDArray[np.str_]
    weights: Floats
    notes: tuple[str, ...]
    """What was left out, and why."""
    unmeasured: tuple[str, ...]
    """Languages of which nothing can be known, each with its reason: ``fa: none of its posts was audited``."""
    unaudited: frozenset[str]
    """Of these, the languages without a post from outside the queue."""
    unmeasured_share: float
    """The share that nobody stands for, in [0, 1]: of the queue, or of all posts where that is larger."""

    @property
    def were_chosen(self) -> bool:
        """Whether the posts are those of a worklist or a store: a queue and an audit."""
        return bool((self.purposes != WHOLE).any())


def reweighed(reading: Reading, first: Bundle, second: Bundle) -> ReweighedPosts:
    """The posts of ``reading`` that neither bundle was made from, with their weights.

    Raises DataError for a worklist that is not decided on, or whose rows do not say with what chance they were chosen,
    and where no post is left.
    """
    purposes = np.array(reading.selection.purposes or [WHOLE] * len(reading.posts), dtype=np.str_)
    was_chosen = bool((purposes != WHOLE).any())
    if was_chosen:
        _check_chosen(reading)
    languages = np.array([item.post.language for item in reading.posts], dtype=np.str_)
    inclusion = np.array(reading.selection.inclusion or [np.nan] * len(purposes), dtype=np.float64)
    base = np.where(np.isnan(inclusion) | (not was_chosen), 1.0, 1 / inclusion)
    seen = _seen(reading.posts, (first, second))
    held_out = np.array([p == QUEUE and is_held_out(i.post.text) for p, i in zip(purposes, reading.posts, strict=True)])
    kept, weights, notes = np.zeros(len(purposes), dtype=bool), np.zeros(len(purposes)), []
    unmeasured, unaudited = [], set[str]()
    for language in np.unique(languages).tolist():
        for purpose in (QUEUE, AUDIT) if was_chosen else (WHOLE,):
            part = (languages == language) & (purposes == purpose)
            usable = part & ~seen.any(axis=0)
            if purpose == QUEUE and (part & ~usable).any():
                usable &= held_out
            if usable.any():
                weights[usable] = base[usable] * base[part].sum() / base[usable].sum()
                kept |= usable
            elif part.any() or purpose != QUEUE:
                unmeasured.append(_why_unmeasured(language, purpose, posts=int(part.sum())))
                unaudited |= {language} if purpose != QUEUE else set()
            notes += _left_out(language, purpose, int(part.sum()), int(usable.sum()), seen[:, part])
    learn = int((purposes == LEARN).sum())
    notes += [f"{learn:,} posts picked for learning are left out: they are no sample of anything"] if learn else []
    indices = np.flatnonzero(kept)
    if not len(indices):
        reason = "no post is left to compare the bundles on"
        raise DataError(reason, where=reading.name, hint="; ".join(notes) or "give posts that neither was made from")
    items = tuple(reading.posts[index] for index in indices.tolist())
    labels = np.array([item.label for item in items], dtype=np.int8)
    of_queue = purposes == QUEUE
    unknown = np.isin(languages, [*unaudited])
    not_measured = of_queue & ~np.isin(languages, languages[kept & of_queue])
    shares = (base[unknown].sum() / base.sum(), base[not_measured].sum() / max(base[of_queue].sum(), 1e-12))
    return ReweighedPosts(
        items=items,
        labels=labels,
        languages=languages[kept],
        purposes=purposes[kept],
        weights=weights[kept],
        notes=tuple(notes),
        unmeasured=tuple(dict.fromkeys(unmeasured)),
        unaudited=frozenset(unaudited),
        unmeasured_share=float(max(shares)),
    )


def _check_chosen(reading: Reading) -> None:
    if undecided := sum(error.reason == NO_LABEL for error in reading.row_errors):
        raise DataError(
            f"{undecided:,} of its rows are not decided, and those that are may be unlike them",
            where=reading.name,
            hint="decide on the whole worklist first",
        )
    if unknown := reading.selection.without_probability:
        raise DataError(
            f"{unknown:,} of its posts were chosen to be read, and nothing says with what chance (column inclusion_p)",
            where=reading.name,
            hint="give the whole worklist, or what polyvigil review export writes",
        )


def _seen(items: Sequence[LabelledPost], bundles: Sequence[Bundle]) -> NDArray[np.bool_]:
    """Whether each bundle learned from or was tuned on each post, masked or not: (n_bundles, n_posts)."""
    masked = [replace(item.post, text=mask(item.post.text)) for item in items]
    hashes = [post_hashes(item.post for item in items), post_hashes(masked)]
    return np.array([
        np.logical_or.reduce([np.isin(some, part) for some in hashes for part in (bundle.seen.train, bundle.seen.dev)])
        for bundle in bundles
    ])  # fmt: skip


def _left_out(language: str, purpose: str, posts: int, usable: int, seen: NDArray[np.bool_]) -> list[str]:
    """What a user should know of one language and purpose. ``seen``: of its posts, (2, n)."""
    if posts == usable:
        return []
    by = " and ".join(name for name, some in zip(("the first", "the second"), seen, strict=True) if some.any())
    names = {QUEUE: "read for their score", AUDIT: "audited", WHOLE: "given"}
    stand = f"; the other {usable:,} stand for all of them" if usable else ""
    left_out = f"{posts - usable:,} of {posts:,} posts {names[purpose]} are left out"
    return [f"{language}: {left_out}, since {by} bundle was made from such posts{stand}"]


def _why_unmeasured(language: str, purpose: str, *, posts: int) -> str:
    if not posts:
        return f"{language}: none of its posts was audited"
    kind = {QUEUE: " read for their score", AUDIT: " that were audited", WHOLE: ""}[purpose]
    return f"{language}: a bundle was made from all of its {posts:,} posts{kind}"
