"""Posts -> sentences -> batches -> translations -> rows. Each batch is kept on disk before the next one begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.augment.cache import Cache, Pair
from polyvigil.augment.choose import Chosen
from polyvigil.augment.filters import rejection_reason
from polyvigil.augment.rows import Translated, translated
from polyvigil.augment.segments import Segment, reassemble, segments
from polyvigil.augment.translator import Translator
from polyvigil.nn.batching import token_batches
from polyvigil.text.language import base_language
from polyvigil.types import LabelledPost

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Texts of one pair of languages that are translated together; ``size`` of all of them."""

    pair: Pair
    texts: tuple[str, ...]
    size: int


def translate(
    chosen: Sequence[Chosen],
    translator: Translator,
    cache: Cache,
    *,
    batch_tokens: int,
    progress: Progress = lambda _: None,
) -> tuple[Translated, ...]:
    """Translate posts: target by target as they were chosen, the posts of each in their order, rejected ones too.

    The batches follow from the posts alone, not from what the cache holds, and a batch that lacks a text is translated
    anew as a whole: a run that was ended and begun again gives the same bytes. ``progress`` is told the share done of
    what is left to do, in [0, 1]. Raises RecipeError for a pair of languages that the translator cannot.
    """
    parts = [[(item, segments(item.post.text)) for item in one.posts] for one in chosen]
    batches: list[_Batch] = []
    too_long: set[tuple[Pair, str]] = set()
    for one, posts in zip(chosen, parts, strict=True):
        for pair, texts in _texts(posts, translator, target=one.target).items():
            translator.check(pair.source, pair.target)
            sizes = np.array(translator.sizes(texts, source=pair.source), dtype=np.int64)
            too_long |= {(pair, text) for text, size in zip(texts, sizes, strict=True) if size > translator.longest}
            batches += _batches(pair, texts, sizes, longest=translator.longest, budget=batch_tokens)
    _run([batch for batch in batches if _lacks(batch, cache)], translator, cache, progress)
    rows = []
    for one, posts in zip(chosen, parts, strict=True):
        for item, segmented in posts:
            pair = _pair(item, translator, target=one.target)
            rows.append(_row(item, segmented, pair, translator, cache, too_long=too_long))
    return tuple(rows)


def _pair(item: LabelledPost, translator: Translator, *, target: str) -> Pair:
    return Pair(base_language(item.post.language), target, translator.identity)


def _texts(
    posts: Sequence[tuple[LabelledPost, tuple[Segment, ...]]], translator: Translator, *, target: str
) -> dict[Pair, list[str]]:
    """What there is to translate, each text once for a pair of languages, in the order of the posts."""
    texts_by_pair: dict[Pair, dict[str, None]] = {}
    for item, segmented in posts:
        pending = texts_by_pair.setdefault(_pair(item, translator, target=target), {})
        pending.update((part.core, None) for part in segmented if part.core)
    return {pair: list(texts) for pair, texts in texts_by_pair.items()}


def _batches(pair: Pair, texts: Sequence[str], sizes: NDArray[np.int64], *, longest: int, budget: int) -> list[_Batch]:
    able = np.flatnonzero(sizes <= longest)
    return [
        _Batch(pair, tuple(texts[index] for index in able[batch]), int(sizes[able[batch]].sum()))
        for batch in token_batches(sizes[able], budget=budget, padded=True)
    ]


def _lacks(batch: _Batch, cache: Cache) -> bool:
    return any(cache.get(batch.pair, text) is None for text in batch.texts)


def _run(batches: Sequence[_Batch], translator: Translator, cache: Cache, progress: Progress) -> None:
    done, all_of_it = 0, sum(batch.size for batch in batches)
    for batch in batches:
        pair = batch.pair
        cache.add(pair, batch.texts, translator.translate(batch.texts, source=pair.source, target=pair.target))
        done += batch.size
        progress(done / all_of_it if all_of_it else 1.0)


def _row(
    item: LabelledPost,
    segmented: tuple[Segment, ...],
    pair: Pair,
    translator: Translator,
    cache: Cache,
    *,
    too_long: set[tuple[Pair, str]],
) -> Translated:
    if any((pair, part.core) in too_long for part in segmented):
        return translated(item, "", translator, target=pair.target, reason="too-long")
    made = {part.core: cache.get(pair, part.core) or "" for part in segmented if part.core}
    text = reassemble(segmented, made, target=pair.target)
    reason = rejection_reason(
        item.post.text, text, source=pair.source, target=pair.target, writes_language=translator.writes_language
    )
    return translated(item, text, translator, target=pair.target, reason=reason)
