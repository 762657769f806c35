"""Split posts in two without tearing groups apart: the posts of one review, thread or text stay on one side."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from polyvigil.data.fingerprint import post_hashes
from polyvigil.errors import SplitError
from polyvigil.types import LabelledPost, Post

_CADEC_REVIEW = regex.compile(r"cadec\w*?_?(\d+)$", regex.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Split:
    """The two sides, each in the order of the posts."""

    train: tuple[LabelledPost, ...]
    dev: tuple[LabelledPost, ...]


def group_key(post: Post, text_hash: int) -> str:
    """What a post may not be parted from: its ``group``; for a CADEC row its review, since the German and the French
    row of a number are translations of one review; else the posts of equal normalised text."""
    if post.group:
        return f"group:{post.group}"
    review = _CADEC_REVIEW.search(post.id)
    return f"cadec:{review.group(1)}" if review else f"text:{text_hash}"


def split_off(items: Sequence[LabelledPost], *, dev_share: float, seed: int) -> Split:
    """Split off about ``dev_share`` of the posts, stratified by language x label, groups whole; the seed decides.

    Raises SplitError when a side would be left without positives or without negatives.
    """
    folds = max(2, round(1 / dev_share))
    groups = group_keys(items)
    if len(set(groups)) < folds:
        raise SplitError(
            f"{len(set(groups))} groups of posts are too few to hold {dev_share:.0%} out", hint="give a dev file: --dev"
        )
    in_dev = _assign(items, groups, folds=folds, seed=seed) == 0
    split = Split(
        tuple(item for item, dev in zip(items, in_dev, strict=True) if not dev),
        tuple(item for item, dev in zip(items, in_dev, strict=True) if dev),
    )
    for name, side in (("training", split.train), ("dev", split.dev)):
        if len({item.label for item in side}) < 2:
            raise SplitError(f"the {name} side would hold one class only", hint="give a dev file: --dev")
    return split


def assign_folds(
    items: Sequence[LabelledPost],
    *,
    folds: int,
    seed: int,
    setting: str = "model.folds",
    both_classes: bool = False,
) -> NDArray[np.int64]:
    """The fold of each post, from 0, (n_posts,): stratified by language x label, groups whole; the seed decides.

    Raises SplitError, which names the ``setting`` of the folds, when there are fewer groups than folds, or when all
    posts of a class stand in one fold, so that the others hold one class only. ``both_classes``: raises it as well
    when a fold holds one class only.
    """
    groups = group_keys(items)
    if len(set(groups)) < folds:
        raise SplitError(
            f"{len(set(groups))} groups of posts are too few for {folds} folds", hint=f"set {setting} lower"
        )
    fold_of = _assign(items, groups, folds=folds, seed=seed)
    for label in (0, 1):
        where = {int(fold) for item, fold in zip(items, fold_of, strict=True) if item.label == label}
        if not where:
            raise SplitError(
                f"all {len(items):,} posts have the label {1 - label}",
                hint="a detector learns from positives and negatives: add the others, or check data.labels",
            )
        if len(where) < 2:
            raise SplitError(
                f"all posts with label {label} belong to one group or stand in one fold: none to learn from without it",
                hint="give a dev file, or more posts of that label",
            )
        if both_classes and len(where) < folds:
            raise SplitError(
                f"posts with label {label} stand in {len(where)} of {folds} folds, and each fold needs some to score",
                hint=f"set {setting} to {len(where)} or less" if len(where) > 1 else "give a dev file",
            )
    return fold_of


def group_keys(items: Sequence[LabelledPost]) -> list[str]:
    """``group_key`` of each post, in their order."""
    hashes = post_hashes(item.post for item in items)
    return [group_key(item.post, int(text)) for item, text in zip(items, hashes, strict=True)]


def _assign(items: Sequence[LabelledPost], groups: Sequence[str], *, folds: int, seed: int) -> NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    strata = [f"{item.post.language} {item.label}" for item in items]
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a stratum smaller than the number of folds: it stands on one side, which is fine
        warnings.simplefilter("ignore", UserWarning)
        sides = [held_out for _, held_out in splitter.split(np.zeros(len(items)), strata, groups)]
    fold_of = np.empty(len(items), dtype=np.int64)
    for fold, held_out in enumerate(sides):
        fold_of[held_out] = fold
    return fold_of
