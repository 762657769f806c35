"""Posts that were chosen to be read, by their score or as a sample: known by the columns of a worklist or of scoring.

Labels of such posts teach, but the share of ADEs among them, and their scores, are not those of all posts: thresholds
tuned on them are wrong, and so are metrics. Audited posts (``purpose`` audit) tell what was missed, for ever, so they
never train; nor does a fifth of the queue, which says beside them whether a new bundle is worse (evaluation.reweighed).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from polyvigil.errors import SplitError
from polyvigil.text.mask import mask
from polyvigil.text.normalise import model_text

AUDIT, QUEUE, LEARN = "audit", "queue", "learn"
PURPOSES = frozenset({QUEUE, AUDIT, LEARN})
"""What the column ``purpose`` of a worklist says: read for its score, as a sample of the others, or to learn from."""
HELD_OUT_SHARE = 0.2
"""Of the posts of a queue: those that never train."""
_HASH_BYTES = 4


def is_held_out(text: str) -> bool:
    """Whether a post of a queue with this text never trains: a fifth of all texts, by their hash alone.

    So nobody chooses, no column says it, and the same text is on the same side in each file and each round. The text is
    masked first (text.mask), as it is where it leaves a store, and its case does not count.
    """
    digest = hashlib.blake2b(model_text(mask(text)).lower().encode(), digest_size=_HASH_BYTES, person=b"held out")
    return bool(int.from_bytes(digest.digest(), "little") < HELD_OUT_SHARE * 2 ** (8 * _HASH_BYTES))


@dataclass(frozen=True, slots=True)
class Selection:
    """How the labelled posts of a file came to be read."""

    purposes: tuple[str, ...]
    """Of each post, in the file's order; empty for a post that was not chosen by a worklist."""
    inclusion: tuple[float, ...] = ()
    """The probability with which each was chosen; NaN where nothing says it."""
    all_flagged: bool = False
    """Whether the file is an output of ``polyvigil score`` of which flagged rows alone are left."""

    @property
    def chosen(self) -> tuple[bool, ...]:
        """Whether each post was chosen to be read."""
        return tuple(self.all_flagged or bool(purpose) for purpose in self.purposes)

    @property
    def without_probability(self) -> int:
        """Chosen posts of which nothing says with what probability they were (``inclusion_p``)."""
        return sum(bool(purpose) and math.isnan(p) for purpose, p in zip(self.purposes, self.inclusion, strict=True))

    @property
    def weighs(self) -> bool:
        """Whether the posts, weighed by 1 / inclusion_p, stand for all posts: a whole worklist with its audit."""
        whole = {*self.purposes} == {"queue", AUDIT} and not self.without_probability
        return whole and not self.all_flagged

    @property
    def reason(self) -> str:
        """Why the posts are no picture of all posts; empty where they may be one."""
        number = sum(map(bool, self.purposes))
        if self.without_probability:
            return (
                f"{self.without_probability:,} of its posts were chosen to be read (column purpose), and nothing says "
                "with what probability (column inclusion_p)"
            )
        if number and AUDIT not in self.purposes:
            return f"{number:,} of its posts were read because of their score, and none of the others was audited"
        if number:
            return f"{number:,} of its posts were read because of their score, or as an unequal sample of the others"
        if self.all_flagged:
            return "every row was flagged (column decision), so posts that were cleared are missing"
        return ""


def refuse_selected(selection: Selection, *, part: str, where: str) -> None:
    """Raise SplitError for posts that were chosen by their score; ``part`` is what they were to be, such as dev."""
    if reason := selection.reason:
        raise SplitError(
            f"cannot be {part} posts: {reason}; thresholds tuned on them would be wrong for all others",
            where=where,
            hint="learn from them: polyvigil train --train; tune on posts that were labelled whatever their score "
            "(--dev), or on the scores in the bundle; polyvigil estimate says what was missed",
        )


def selection_of(purposes: Sequence[str], inclusions: Sequence[str], *, all_flagged: bool) -> Selection:
    """``purposes`` and ``inclusions``: the cells of each post, empty where the file has no such column."""
    known = tuple(purpose.strip().lower() if purpose.strip().lower() in PURPOSES else "" for purpose in purposes)
    return Selection(known, tuple(map(_probability, inclusions)), all_flagged)


def _probability(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if 0 < value <= 1 else math.nan
