"""Posts that were made by translation: known by their origin, for training alone.

Thresholds and metrics are for posts as people write them, so a translated post may neither tune nor measure; and one
whose source tunes or measures would bring that source into the training.
"""

from __future__ import annotations

from collections.abc import Sequence

from polyvigil.data.packed_posts import field_of, posts_of
from polyvigil.errors import SplitError
from polyvigil.types import LabelledPost, Post

PREFIX = "translated:"
"""How the ``origin`` of a translated post begins; what translated it follows."""


def is_translated(post: Post) -> bool:
    """Whether ``polyvigil augment translate`` made this post."""
    return _is_of_translation(post.origin)


def _is_of_translation(source: str) -> bool:
    return source.startswith(PREFIX)


def refuse_translated(items: Sequence[LabelledPost], *, part: str, where: str = "") -> None:
    """Raise SplitError when one of the posts is a translation; ``part`` is what they were to be, such as ``dev``."""
    number = sum(map(_is_of_translation, field_of(posts_of(items), "origin")))
    if number:
        raise SplitError(
            f"{number:,} of its {part} posts are translations, which are for training alone",
            where=where,
            hint="thresholds and metrics need posts as people wrote them: give the translations with --train only",
        )


def without_translations_of(train: Sequence[LabelledPost], held_out: Sequence[LabelledPost]) -> list[LabelledPost]:
    """The training posts, in order, without translations of posts that are held out, or of one of their group.

    The ``group`` of a translated post is its source's group, or else its source's id (augment.rows).
    """
    taken = {name for item in held_out for name in (item.post.id, item.post.group) if name}
    return [item for item in train if not (is_translated(item.post) and item.post.group in taken)]
