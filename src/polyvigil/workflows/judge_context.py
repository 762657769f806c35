"""What goes along with the posts that ``polyvigil judge --endpoint`` sends: examples and ingredients, from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyvigil.bundle.store import Bundle
from polyvigil.config.judge import ChatSpec
from polyvigil.data.packed_posts import posts_of
from polyvigil.data.read import Reading
from polyvigil.data.terms import read_ingredients
from polyvigil.judge.examples import Example, keep_examples
from polyvigil.judge.messages import DRUGS_FILE, EXAMPLES_FILE, Context
from polyvigil.types import LabelledPost
from polyvigil.workflows.train import without_test_posts


@dataclass(frozen=True, slots=True)
class ContextResult:
    """The context of an endpoint, and what a user should know of it."""

    context: Context
    notes: tuple[str, ...]
    kept_posts: str
    """Which texts of posts the bundle keeps; empty without any."""


def endpoint_context(
    first: Bundle,
    spec: ChatSpec,
    *,
    examples: Reading | None = None,
    drugs: str | Path = "",
    dev: Sequence[LabelledPost] = (),
) -> ContextResult:
    """``examples``: labelled posts that are no dev posts, of this command (``dev``) or of the bundle ``first``, but
    for those that it learned from too (data.folds); posts that are kept for measuring (data.selection) are left out.
    ``drugs``: a file of drugs and their ingredients.

    Raises DataError for a list that cannot be read; RecipeError and SplitError for posts that cannot be examples.
    """
    notes: list[str] = []
    kept: tuple[Example, ...] = ()
    kept_posts = ""
    if examples:
        teaching = without_test_posts(examples, notes)
        result = keep_examples(
            teaching.posts,
            spec,
            normalisation=first.normalisation,
            dev=posts_of(dev),
            # of a bundle that was tuned out of fold, the dev posts are the training posts
            dev_hashes=np.setdiff1d(first.seen.dev, first.seen.train),
            where=examples.name,
        )
        kept, notes = result.examples, [*notes, *result.notes]
        positives = sum(example.ade for example in kept)
        kept_posts = (
            f"{examples.name}: {len(kept):,} posts, {positives:,} with an ADE, are kept in the bundle, masked and with "
            f"their labels ({EXAMPLES_FILE}); whoever has the bundle can read them, and the {spec.examples} nearest go "
            "along with each post that is sent"
        )
    terms = read_ingredients(drugs) if drugs else ()
    if terms:
        notes.append(
            f"{drugs}: {len(terms):,} names of drugs are kept in the bundle ({DRUGS_FILE}); those in a post go along"
            " with it, with their ingredients"
        )
    return ContextResult(Context(kept, terms), tuple(notes), kept_posts)
