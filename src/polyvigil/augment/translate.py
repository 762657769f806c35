"""Labelled posts become translated training rows, each with its provenance.

In: posts and a `Translator`. Out: translated rows in the posts' order, written as CSV with where each is from. A post
is split into sentences (NLLB was made for sentences, and drops what follows the first); links, mentions and emoji are
kept as they are. Translations go to an append-only log at once, so that an interrupted run pays for none twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from polyvigil.augment.choose import Chosen
from polyvigil.augment.filters import Reason, rejection_reason
from polyvigil.augment.translator import Translator
from polyvigil.data.append_log import append_entries, drop_torn_line, read_entries
from polyvigil.data.atomic import write_whole
from polyvigil.data.translated import PREFIX
from polyvigil.data.write import COLUMNS, csv_text
from polyvigil.errors import DataError
from polyvigil.nn.batching import token_batches
from polyvigil.text.language import base_language, language_group
from polyvigil.text.normalise import NORMALISATION, model_text
from polyvigil.text.sentences import sentences
from polyvigil.types import LabelledPost

_KEPT = r"(?:\[URL\]|@USER|\[PLACE\]|[\s\p{Extended_Pictographic}\p{Emoji_Modifier}\u200d\ufe0f])*+"
_PARTS = regex.compile(rf"(?P<head>{_KEPT})(?P<core>.*?)(?P<tail>{_KEPT})\Z", regex.DOTALL)
_LETTER = regex.compile(r"\p{L}")
_WITHOUT_SPACES = ("ja", "zh")


@dataclass(frozen=True, slots=True)
class Segment:
    """One sentence: ``head + core + tail``, of which the core is translated; an empty core has nothing to be."""

    head: str
    core: str
    tail: str


def segments(text: str) -> tuple[Segment, ...]:
    """The sentences of a stored post, normalised as a model reads it."""
    plain = model_text(text, NORMALISATION)
    return tuple(_segment(plain[part.start : part.end].strip()) for part in sentences(plain))


def reassemble(parts: Sequence[Segment], translations: Mapping[str, str], *, target: str) -> str:
    """The post again, each core by its translation; sentences are parted by a space where ``target`` has any."""
    pieces = (part.head + (translations[part.core].strip() if part.core else "") + part.tail for part in parts)
    return ("" if target in _WITHOUT_SPACES else " ").join(pieces).strip()


def _segment(sentence: str) -> Segment:
    match = _PARTS.match(sentence)
    if match is None or not _LETTER.search(match["core"]):
        return Segment(sentence, "", "")
    return Segment(match["head"], match["core"], match["tail"])


FURTHER = ("translated_from", "model")
"""The columns beside those of the shared task: ``LANGUAGE:ID`` of the source, and what translated it."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A translated post, its source, and why it is not to be used (``""``: it is)."""

    item: LabelledPost
    source: LabelledPost
    model: str
    reason: Reason

    @property
    def translated_from(self) -> str:
        return f"{self.source.post.language}:{self.source.post.id}"


def translated(source: LabelledPost, text: str, translator: Translator, *, target: str, reason: Reason) -> Translated:
    """Label and type stay. The group is the source's, or its id, so that all its translations stay on one side of a
    split, and on the side of their source (data.translated)."""
    post = source.post
    identity = f"{post.id}__{target}"
    made = replace(
        post,
        id=identity,
        text=text,
        language=language_group(target, type=post.type, id=identity),
        origin=PREFIX + translator.name,
        split="train",
        group=post.group or post.id,
    )
    return Translated(LabelledPost(made, source.label), source, translator.identity, reason)


def write_translated(path: Path, rows: Sequence[Translated], *, replace: bool = False) -> None:
    """Write the rows as UTF-8 CSV, in their order. The language column holds the code, ``de`` also for a CADEC row."""
    cells = []
    for row in rows:
        post = row.item.post
        values = (post.id, post.text, row.item.label, post.origin, post.type, base_language(post.language), post.split)
        cells.append((*values, post.group, row.translated_from, row.model))
    write_whole(path, csv_text([(*COLUMNS, *FURTHER), *cells]), replace=replace)


def has_translations(path: Path) -> bool:
    """Whether a file is one that ``write_translated`` wrote, by its columns."""
    header = csv_text([(*COLUMNS, *FURTHER)]).encode()
    with path.open("rb") as stream:
        return stream.read(len(header)) == header


def reject_line(row: Translated) -> str:
    """A translation that is not used, as a line of JSON: what it was to be, why not, both texts."""
    post = row.item.post
    record = {
        "id": post.id,
        "translated_from": row.translated_from,
        "language": base_language(post.language),
        "model": row.model,
        "reason": row.reason,
        "source": row.source.post.text,
        "text": post.text,
    }
    return json.dumps(record) + "\n"


@dataclass(frozen=True, slots=True)
class Pair:
    """A source language and a target language, and the ``identity`` of what translates between them."""

    source: str
    target: str
    identity: str


class Cache:
    """The translations in a file, which is made with the first one."""

    def __init__(self, path: Path) -> None:
        """Raises DataError where a line before the last one is no translation."""
        self.path = path
        self._known: dict[str, str] = {}
        for number, entry in read_entries(path):
            key, text = (entry.get("key"), entry.get("text")) if entry else (None, None)
            if not isinstance(key, str) or not isinstance(text, str):
                raise DataError(
                    "no translation is kept in this line",
                    where=f"{path}:{number}",
                    hint="remove the line, and it is made again; or the file, and all are",
                )
            self._known.setdefault(key, text)
        if not drop_torn_line(path, begins='{"key"'):
            raise DataError("is no file of translations", where=str(path), hint="move it away")

    def get(self, pair: Pair, text: str) -> str | None:
        """The translation of a text, or None."""
        return self._known.get(_key(pair, text))

    def add(self, pair: Pair, texts: Sequence[str], translations: Sequence[str]) -> None:
        """Keep translations, on disk when it returns; of a text that is known the first one stays."""
        fresh: dict[str, str] = {}
        for text, translation in zip(texts, translations, strict=True):
            if (key := _key(pair, text)) not in self._known:
                fresh.setdefault(key, translation)
        if not fresh:
            return
        append_entries(self.path, ({"key": key, "text": text} for key, text in fresh.items()))
        self._known.update(fresh)


def _key(pair: Pair, text: str) -> str:
    payload = "\0".join((pair.source, pair.target, pair.identity, text))
    return hashlib.blake2b(payload.encode(errors="surrogatepass"), digest_size=16).hexdigest()


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
    again as a whole: a run that was ended and begun again gives the same bytes. ``progress`` receives the share done of
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
