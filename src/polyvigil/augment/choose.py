"""Which posts are translated: training posts as people wrote them, of the wished languages and labels."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from polyvigil.augment.translator import Translator
from polyvigil.config.augment import TranslationSpec
from polyvigil.data.read import Reading
from polyvigil.data.shown import shown_value, shown_word
from polyvigil.data.translated import is_translated
from polyvigil.errors import DataError, RecipeError, SplitError
from polyvigil.text.language import base_language
from polyvigil.types import LabelledPost

_MAY_TRAIN = ("", "train")


@dataclass(frozen=True, slots=True)
class Chosen:
    """The posts to translate to one language, in the order of the files, and what a user should know."""

    target: str
    posts: tuple[LabelledPost, ...]
    notes: tuple[str, ...]


def training_posts(readings: Sequence[Reading]) -> tuple[list[LabelledPost], list[str]]:
    """The posts that may be translated, and notes on those that may not.

    Raises SplitError when all posts are held out by their split, DataError for posts without an id of their own, since
    a translation is kept beside its source by it.
    """
    posts: list[LabelledPost] = []
    notes = []
    for reading in readings:
        numbered = [
            item for item, row in zip(reading.posts, reading.rows, strict=True) if item.post.id == f"row-{row.line}"
        ]
        if numbered:
            raise DataError(
                f"{len(numbered):,} posts have no id, and a translation is known by its source's",
                where=reading.name,
                hint="add a column id, or name the one there is: --column id=NAME",
            )
        held_out = Counter(item.post.split for item in reading.posts if item.post.split not in _MAY_TRAIN)
        if held_out:
            summary = ", ".join(f"{number:,} of split {shown_word(name)}" for name, number in sorted(held_out.items()))
            notes.append(f"{reading.name}: {summary} left out: translations are for training alone")
        eligible = [item for item in reading.posts if item.post.split in _MAY_TRAIN]
        again = sum(is_translated(item.post) for item in eligible)
        if again:
            notes.append(f"{reading.name}: {again:,} posts left out that are translations already")
        posts += [item for item in eligible if not is_translated(item.post)]
    if not posts:
        raise SplitError(
            "no row is left: " + ("; ".join(notes) or "the files hold none"),
            hint="give posts of split train, or without a split column",
        )
    twice = [name for name, number in Counter(item.post.id for item in posts).items() if number > 1]
    if twice:
        raise DataError(
            f"{len(twice):,} ids stand for several posts, such as {shown_value(twice[0])}",
            where=", ".join(reading.name for reading in readings),
            hint="give each post an id of its own, and each file once",
        )
    return posts, notes


def choose(
    posts: Sequence[LabelledPost],
    translator: Translator,
    spec: TranslationSpec,
    *,
    target: str,
    sources: Sequence[str] = (),
) -> Chosen:
    """Those of the posts that are to be translated to ``target``; without ``sources`` from all languages it can.

    Draws follow from the seed and each post's id alone: more posts in the files move them little, and every target
    has the same posts. Raises RecipeError for a pair of languages that the translator cannot, DataError when no post
    is left.
    """
    for source in sources:
        translator.check(source, target)
    languages = Counter(base_language(item.post.language) for item in posts)
    unable = {} if sources else {name: languages[name] for name in languages if not _can(translator, name, target)}
    requested = set(sources or languages) - {target} - set(unable)
    if not requested:
        translator.check(min(unable or {target}), target)
    notes = [f"{number:,} posts in {name} are not translated to {target}" for name, number in sorted(unable.items())]
    label = {"positives": 1, "negatives": 0}.get(spec.only)
    kept = [item for item in posts if base_language(item.post.language) in requested and label in {None, item.label}]
    if spec.negatives is not None:
        some = _sample_ids([item for item in kept if not item.label], spec.negatives, seed=spec.seed)
        if len(some) < spec.negatives:
            notes.append(f"there are {len(some):,} negatives to translate to {target}, not {spec.negatives:,}")
        kept = [item for item in kept if item.label or item.post.id in some]
    if spec.most is not None and len(kept) > spec.most:
        positives = [item for item in kept if item.label]
        number = round(spec.most * len(positives) / len(kept))
        sampled = _sample_ids(positives, number, seed=spec.seed)
        sampled |= _sample_ids([item for item in kept if not item.label], spec.most - number, seed=spec.seed)
        kept = [item for item in kept if item.post.id in sampled]
    if not kept:
        there = ", ".join(f"{number:,} in {name}" for name, number in languages.items())
        raise DataError(
            f"no post is left to translate to {target}: there are {there}; wanted were {spec.only} in"
            f" {', '.join(sorted(requested))}",
            hint="look at --from, --only and the label column",
        )
    return Chosen(target, tuple(kept), tuple(notes))


def _sample_ids(items: Sequence[LabelledPost], number: int, *, seed: int) -> set[str]:
    """Ids of ``number`` of the items, or of all; each has its place in the draw by its id."""
    ids_by_hash = {hashlib.blake2b(f"{seed}\0{item.post.id}".encode()).digest(): item.post.id for item in items}
    return {ids_by_hash[digest] for digest in sorted(ids_by_hash)[:number]}


def _can(translator: Translator, source: str, target: str) -> bool:
    try:
        translator.check(source, target)
    except RecipeError:
        return source == target  # such posts are left out without a word: they are there already
    return True
