"""Which labelled posts a bundle keeps, to send the nearest of them along with a post (judge.nearest).

In come training posts; out come ``Example``s, masked, cut, and few enough for a bundle. What always holds: a dev post
is never kept, nor one of its text or group; the same posts and seed keep the same examples, whatever the order of the
rows. They stand in ``examples.jsonl`` of the endpoint's folder: the one file of a bundle that holds texts of posts.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from polyvigil.config.judge import ChatSpec
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.packed_posts import labels_of, posts_of
from polyvigil.errors import RecipeError, SplitError
from polyvigil.judge.masking import masked, shortened, without_tokens
from polyvigil.progress import report_share
from polyvigil.text.shingles import canonical
from polyvigil.types import Frozen, LabelledPost, Post

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Example(Frozen):
    """A labelled post as a bundle keeps it and as it is sent."""

    post: str = Field(min_length=1)
    """Masked and cut."""
    ade: int = Field(ge=0, le=1)
    language: str
    hash: _Hash
    """Of the whole text (data.fingerprint.post_hashes), in hex."""
    groups: tuple[_Hash, ...] = ()
    """Hashes of the groups that the text stands in, sorted."""


@dataclass(frozen=True, slots=True)
class KeptExamples:
    """The examples for a bundle, and what a user should know of them."""

    examples: tuple[Example, ...]
    notes: tuple[str, ...]


def keep_examples(
    items: Sequence[LabelledPost],
    spec: ChatSpec,
    *,
    normalisation: str,
    dev: Sequence[Post] = (),
    dev_hashes: Sequence[int] | NDArray[np.uint64] = (),
    where: str = "--examples",
) -> KeptExamples:
    """At most ``spec.kept_examples`` of the labelled posts, in the order of the hashes of their texts: half of them
    with an ADE and of each language as many, as far as there are, sampled by ``spec.seed``.

    ``dev``: posts that are never kept, nor any of their text or group; ``dev_hashes``: of the texts of further ones
    (data.fingerprint). A text that stands there more than once is kept once, one with both labels not at all. Raises
    RecipeError where no post with an ADE is left, or none without, and SplitError where half of the texts or more are
    those of dev posts. ``where``: what the posts are called in these.
    """
    texts = _distinct_texts(items)
    rest = _without_dev(texts, dev, dev_hashes, where=where)
    clear = [text for text in rest if text.label is not None]
    masked_examples = _masked(_sample(clear, spec), spec, normalisation)
    dev_readings = {reading_of(text) for text in _masked_dev(dev, spec, normalisation)}
    examples = [example for example in masked_examples if reading_of(example.post) not in dev_readings]
    for label, noun in ((1, "with an ADE"), (0, "without one")):
        if not any(example.ade == label for example in examples):
            raise RecipeError(
                f"holds no labelled post {noun} that may go along",
                where=where,
                hint="give a file with posts of both labels, none of them dev posts",
            )
    counts = {
        "dev posts, or of the text or group of one": len(texts) - len(rest) + len(masked_examples) - len(examples),
        "labelled both ways": len(rest) - len(clear),
    }
    notes = [f"{where}: {number:,} texts are left out: {reason}" for reason, number in counts.items() if number]
    return KeptExamples(tuple(examples), tuple(notes))


@dataclass(frozen=True, slots=True)
class _Text:
    """One text of the file; ``label`` is None where its rows have both."""

    post: Post
    label: int | None
    hash: str
    groups: tuple[str, ...]


def _distinct_texts(items: Sequence[LabelledPost]) -> list[_Text]:
    """The texts of the posts, each once, in the order of their hashes."""
    rows: dict[str, list[int]] = defaultdict(list)
    posts, labels = posts_of(items), labels_of(items).tolist()
    for index, value in enumerate(post_hashes(posts).tolist()):
        rows[f"{value:016x}"].append(index)
    texts = []
    for name, indices in sorted(rows.items()):
        copies = [posts[index] for index in indices]
        # the first by language and text, so that the order of the rows does not count
        first = min(copies, key=lambda post: (post.language, post.text))
        given = {labels[index] for index in indices}
        groups = sorted({group_hash(post.group) for post in copies if post.group})
        texts.append(_Text(first, given.pop() if len(given) == 1 else None, name, tuple(groups)))
    return texts


def _without_dev(
    texts: Sequence[_Text], dev: Sequence[Post], dev_hashes: Sequence[int] | NDArray[np.uint64], *, where: str
) -> list[_Text]:
    """The texts, without those of dev posts and their groups. Raises SplitError where half of them are such."""
    held_out = {f"{int(value):016x}" for value in [*post_hashes(dev), *dev_hashes]}
    groups = {group_hash(name) for post in dev for name in (post.group, post.id) if name}
    n_dev = sum(text.hash in held_out for text in texts)
    if n_dev and 2 * n_dev >= len(texts):
        raise SplitError(
            f"{n_dev:,} of its {len(texts):,} texts are those of dev posts, which would be judged by their own labels",
            where=where,
            hint="give the posts that the bundle was trained on: --examples TRAIN.csv",
        )
    return [text for text in texts if text.hash not in held_out and not groups.intersection(text.groups)]


def _sample(texts: Sequence[_Text], spec: ChatSpec) -> list[_Text]:
    """At most ``spec.kept_examples`` of the texts: the rarer label up to half, each language in turn."""
    by_label = {
        label: _language_by_language([text for text in texts if text.label == label], spec.seed) for label in (0, 1)
    }
    half = spec.kept_examples // 2
    positives = max(half, spec.kept_examples - len(by_label[0]))
    chosen = by_label[1][:positives]
    return sorted([*chosen, *by_label[0][: spec.kept_examples - len(chosen)]], key=lambda text: text.hash)


def _language_by_language(texts: Sequence[_Text], seed: int) -> list[_Text]:
    """The texts by a hash of the seed and theirs, one of each language after one of each other."""

    def priority(text: _Text) -> bytes:
        return hashlib.blake2b(f"{seed}\0{text.hash}".encode(), digest_size=8, person=b"example").digest()

    languages: dict[str, list[_Text]] = defaultdict(list)
    for text in sorted(texts, key=priority):
        languages[text.post.language].append(text)
    turns = zip_longest(*(languages[name] for name in sorted(languages)))
    return [text for turn in turns for text in turn if text is not None]


def _masked(texts: Sequence[_Text], spec: ChatSpec, normalisation: str) -> list[Example]:
    """The texts as they are kept; those of which masking leaves nothing apart."""
    examples = []
    for index, text in enumerate(texts):
        report_share("masking examples", index, len(texts))
        if post := _kept_text(text.post.text, spec, normalisation):
            assert text.label is not None
            examples.append(
                Example(post=post, ade=text.label, language=text.post.language, hash=text.hash, groups=text.groups)
            )
    return examples


def _masked_dev(dev: Sequence[Post], spec: ChatSpec, normalisation: str) -> Iterator[str]:
    for index, post in enumerate(dev):
        report_share("masking dev posts", index, len(dev))
        yield _kept_text(post.text, spec, normalisation)


def _kept_text(text: str, spec: ChatSpec, normalisation: str) -> str:
    # two characters more than are kept say whether it has to be cut: the last may be a space, which does not stay
    whole = masked(text, most_characters=spec.example_characters + 2, normalisation=normalisation)
    return shortened(whole, most_characters=spec.example_characters)


def group_hash(group: str) -> str:
    """16 hex digits by which a group is known again; its name is kept nowhere."""
    return hashlib.blake2b(group.encode(errors="surrogatepass"), digest_size=8, person=b"group").hexdigest()


def reading_of(masked_text: str) -> str:
    """What of a masked text is left without case, masks, digits and punctuation; the text itself where nothing is left.

    Two texts of which the same is left read the same.
    """
    return canonical(without_tokens(masked_text)) or masked_text
