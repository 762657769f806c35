"""What a member that cuts long posts does not read: the post as the parts that it could have read one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.text.normalise import model_text
from polyvigil.types import Post

_BACK = 30  # characters; within them a part ends at a space rather than inside a word
_MOST = 64  # parts of one post; what comes after them is left


def parts(bundle: Bundle, posts: Sequence[Post]) -> list[list[str]]:
    """Each post's normalised text in parts that are read whole, in order: the first is what the cut leaves of it.

    Found by bisection with ``bundle.lengths`` alone, all posts at once. Raises ValueError when no member counts tokens.
    """
    rests = [model_text(post.text, bundle.normalisation) for post in posts]
    results: list[list[str]] = [[] for _ in posts]
    for _ in range(_MOST):
        open_ = [index for index, rest in enumerate(rests) if rest]
        if not open_:
            break
        for index, end in zip(open_, _ends(bundle, [rests[index] for index in open_]), strict=True):
            results[index].append(rests[index][:end].rstrip())
            rests[index] = rests[index][end:].lstrip()
    return results


def _ends(bundle: Bundle, texts: Sequence[str]) -> list[int]:
    """Where the longest head of each text ends that is read whole, at least one character."""
    low = np.ones(len(texts), dtype=np.int64)
    high = np.array([len(text) for text in texts], dtype=np.int64)
    whole = ~_truncated(bundle, texts)
    low[whole] = high[whole]
    while (low < high).any():
        middle = (low + high + 1) // 2
        truncated = _truncated(bundle, [text[:end] for text, end in zip(texts, middle.tolist(), strict=True)])
        low, high = np.where(truncated, low, middle), np.where(truncated, middle - 1, high)
    return [_at_space(text, end) for text, end in zip(texts, low.tolist(), strict=True)]


def _truncated(bundle: Bundle, texts: Sequence[str]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    lengths = bundle.lengths([Post("", text) for text in texts])
    if lengths is None:
        raise ValueError("no member counts tokens")
    return np.asarray(lengths.truncated, dtype=np.bool_)


def _at_space(text: str, end: int) -> int:
    if end == len(text):
        return end
    space = text.rfind(" ", max(1, end - _BACK), end + 1)
    return space if space > 0 else end
