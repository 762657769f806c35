"""The teacher's part of a run: posts without labels are read, the teacher is asked once, its answer is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from polyvigil.bundle import store
from polyvigil.config.data import DataSpec
from polyvigil.config.recipe import Recipe
from polyvigil.config.training import DistilSpec
from polyvigil.data.atomic import whole_file
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.formats import RowError
from polyvigil.data.read import OnError, read_unlabelled
from polyvigil.errors import RecipeError, SplitError
from polyvigil.learn.distil import TeacherTargets
from polyvigil.learn.launch import launched
from polyvigil.text.normalise import NORMALISATION, model_text, no_text_reason
from polyvigil.types import LabelledPost, Post, Probabilities

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Further:
    """Posts without labels, from all files; rows set aside, each with its file's name; what a user should know."""

    posts: tuple[Post, ...] = ()
    row_errors: tuple[tuple[str, RowError], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TeacherResult:
    """``seen``: 64-bit hashes of the posts behind the lesson: the unlabelled ones, and the teacher's training posts."""

    targets: TeacherTargets
    seen: NDArray[np.uint64]


def read_further(recipe: Recipe, paths: Sequence[str], *, dev: Sequence[LabelledPost], on_error: OnError) -> Further:
    """Read files of posts for the teacher to judge; labels in them are not looked at.

    A file with several splits gives its train rows. A post with nothing to read is left out, and one that has the text
    of a dev post. Raises RecipeError when there is no teacher whose word counts.
    """
    if not paths:
        return Further()
    if recipe.teacher is None or not recipe.teacher.weight:
        raise RecipeError(
            "posts without labels are for a teacher to judge, and "
            + ("its weight is 0" if recipe.teacher else "there is none"),
            where="--unlabelled",
            hint="set distil.weight above 0" if recipe.teacher else "name a bundle with --teacher",
        )
    read = [_read(path, recipe.data, on_error=on_error) for path in paths]
    posts = [post for further in read for post in further.posts]
    notes = [note for further in read for note in further.notes]
    held_out = np.isin(post_hashes(posts), post_hashes(item.post for item in dev))
    if held_out.any():
        notes.append(f"{held_out.sum():,} unlabelled posts are left out: they have the text of a dev post")
    kept = tuple(post for post, out in zip(posts, held_out, strict=True) if not out)
    return Further(kept, tuple(error for further in read for error in further.row_errors), tuple(notes))


def score_with_teacher(
    spec: DistilSpec | None,
    train: Sequence[LabelledPost],
    unlabelled: Sequence[Post],
    *,
    dev: Sequence[LabelledPost],
    work: Path,
    device: str,
    log: Log,
) -> TeacherResult | None:
    """What the teacher says of the training posts and the unlabelled ones; None without a teacher.

    The answer is kept in ``work``, so that a resumed run has it to the last bit. Raises BundleError when the teacher is
    no bundle, and SplitError when it has learned from half of the dev posts or more.
    """
    if spec is None:
        return None
    teacher = store.load(spec.teacher, device=device)
    known = int(np.isin(post_hashes(item.post for item in dev), teacher.seen.train).sum())
    if 2 * known >= len(dev):
        raise SplitError(
            f"the teacher was trained on {known:,} of {len(dev):,} dev posts; thresholds tuned on them are worthless",
            where=spec.teacher,
            hint="give teacher and student the same train posts, and the same dev posts; with data.folds all posts are "
            "dev posts, so the teacher must be one of other posts",
        )
    if known:
        log(f"{known:,} of {len(dev):,} dev posts are training posts of the teacher: metrics on them are flattered")
    posts = [*(item.post for item in train), *unlabelled]
    log(f"asking the teacher, bundle {teacher.id} of {len(teacher.members)} members, about {len(posts):,} posts")
    p = _cached_scores(teacher, posts, work=work)
    targets = TeacherTargets(spec, teacher.id, p[: len(train)], tuple(unlabelled), p[len(train) :])
    return TeacherResult(targets, np.union1d(teacher.seen.train, post_hashes(unlabelled)))


def _cached_scores(teacher: store.Bundle, posts: Sequence[Post], *, work: Path) -> Probabilities:
    whole = hashlib.sha256(teacher.id.encode())
    for post in posts:
        whole.update(hashlib.sha256(post.text.encode(errors="surrogatepass")).digest())
    path = work / f"teacher-{whole.hexdigest()[:16]}.safetensors"
    try:
        return load_file(path)["p"]
    except (OSError, SafetensorError, KeyError):  # not asked yet, or damaged
        p = teacher.probabilities(posts)
    if not launched().rank:  # of several processes the first alone writes, and its answer counts (learn.fine_tune)
        with whole_file(path, replace=True) as stream:
            stream.write(save({"p": p}))
    return p


def _read(path: str, spec: DataSpec, *, on_error: OnError) -> Further:
    file = read_unlabelled(path, spec, on_error=on_error)
    mixed = len({post.split for post in file.posts}) > 1
    kept = tuple(
        post
        for post in file.posts
        if not no_text_reason(model_text(post.text, NORMALISATION)) and (not mixed or post.split == "train")
    )
    notes = list(file.notes)
    if len(kept) < len(file.posts):
        notes.append(
            f"{file.name}: {len(kept):,} of {len(file.posts):,} rows are used: those with something to read"
            + (", of split train" if mixed else "")
        )
    return Further(kept, tuple((file.name, error) for error in file.row_errors), tuple(notes))
