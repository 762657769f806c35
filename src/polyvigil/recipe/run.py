"""The story of a training run: read -> split -> learn -> score once -> tune -> evaluate -> bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.assess.evaluate import Evaluation, evaluate, gold_of
from polyvigil.assess.subsets import MemberSubset, member_subsets
from polyvigil.bundle import layout, store
from polyvigil.bundle.dev import stored
from polyvigil.data.fingerprint import fingerprint, post_hashes
from polyvigil.data.formats import Fault
from polyvigil.data.read import OnError, Reading, read_labelled
from polyvigil.data.split import split_off
from polyvigil.decide.combine import Combination
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.tune import RESAMPLES, tune
from polyvigil.detect.base import Detector, Learner
from polyvigil.errors import DataError, RecipeError, SplitError
from polyvigil.learn.distil import Lesson
from polyvigil.learn.linear import LinearLearner
from polyvigil.recipe import teach
from polyvigil.recipe.load import to_toml
from polyvigil.records import LabelledPost, Post
from polyvigil.specs import LinearSpec, Recipe

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Material:
    """The posts of a run, each split with its one use: train fits, dev tunes."""

    train: tuple[LabelledPost, ...]
    dev: tuple[LabelledPost, ...]
    data: str
    faults: tuple[tuple[str, Fault], ...]
    notes: tuple[str, ...]
    unlabelled: tuple[Post, ...] = ()
    """Further posts, of which only a teacher says what they are."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run. ``evaluation`` is on the dev posts, so its figures are optimistic."""

    bundle: store.Bundle
    evaluation: Evaluation
    subsets: tuple[MemberSubset, ...] = ()
    """Dev F1 of each set of seeds, when there are several (the paper's appendix B)."""


def gather(
    recipe: Recipe,
    *,
    train: Sequence[str],
    dev: Sequence[str],
    unlabelled: Sequence[str] = (),
    on_error: OnError = "quarantine",
) -> Material:
    """Read the posts. A file with a split column gives its train rows to ``train`` and its dev rows to ``dev``.

    Without dev files the dev rows of the train files are used; without any, ``data.dev_share`` of the posts are held
    out, groups whole. ``unlabelled`` are files for a teacher to judge (recipe.teach). Raises SplitError when one set
    of posts plays both parts.
    """
    train_readings = [read_labelled(path, recipe.data, on_error=on_error) for path in train]
    dev_readings = [read_labelled(path, recipe.data, on_error=on_error) for path in dev]
    notes = [note for reading in (*train_readings, *dev_readings) for note in reading.notes]
    train_posts = [post for reading in train_readings for post in _role(reading, "train", notes)]
    if dev_readings:
        dev_posts = [post for reading in dev_readings for post in _role(reading, "dev", notes)]
    else:
        mixed = [reading for reading in train_readings if len(_splits(reading)) > 1]
        dev_posts = [post for reading in mixed for post in reading.posts if post.post.split == "dev"]
        if dev_posts:
            notes.append(f"no dev file given: the {len(dev_posts):,} rows of split dev are used")
    if not dev_posts:
        split = split_off(train_posts, dev_share=recipe.data.dev_share, seed=recipe.seed)
        train_posts, dev_posts = list(split.train), list(split.dev)
        notes.append(f"no dev file given: {len(dev_posts):,} of the training posts are held out for tuning")
    notes += _shared(train_posts, dev_posts)
    faults = [(reading.name, fault) for reading in (*train_readings, *dev_readings) for fault in reading.faults]
    further = teach.read_further(recipe, unlabelled, dev=dev_posts, on_error=on_error)
    return Material(
        tuple(train_posts),
        tuple(dev_posts),
        ", ".join(Path(path).name for path in (dev or train)),
        (*faults, *further.faults),
        (*notes, *further.notes),
        further.posts,
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and how openly encoders are trained, and whom their steps are told (learn.loop.Hooks)."""

    device: str = "auto"
    offline: bool = False
    progress: Callable[[int, int, float, float], None] = lambda *_: None
    stop: Callable[[], bool] = lambda: False


_HERE = Machine()


def train(
    recipe: Recipe,
    material: Material,
    *,
    output: Path,
    replace: bool = False,
    machine: Machine = _HERE,
    say: Say = lambda _: None,
) -> Trained:
    """Learn, tune and save a bundle at ``output``. ``say`` is told each stage as it begins.

    Encoders keep checkpoints in ``OUTPUT.work``; the same call after an interruption goes on from there.
    """
    store.check_free(output, replace=replace)
    say(f"learning from {len(material.train):,} posts ({sum(p.label for p in material.train):,} positive)")
    learned = learn(recipe, material, output=output, machine=machine, say=say)
    members = learned.members
    say(f"tuning thresholds on {len(material.dev):,} dev posts ({sum(p.label for p in material.dev):,} positive)")
    dev = [item.post for item in material.dev]
    by_member = store.member_probabilities(members, dev)
    combination = Combination()
    probabilities = combination.mean(by_member)
    labels = np.array([item.label for item in material.dev], dtype=np.int8)
    languages = [post.language for post in dev]
    policy = tune(
        probabilities,
        labels,
        languages,
        spec=recipe.decide,
        dev_fingerprint=fingerprint(dev),
        resamples=RESAMPLES,
    )
    calibration = fit(recipe.decide.calibration, probabilities, labels, languages)
    evaluation = evaluate(
        gold_of(material.dev),
        probabilities,
        policy,
        calibration=calibration,
        trained_languages=sorted({language for member in members for language in member.fit_record.languages}),
        bundle=str(output),
        data=material.data,
    )
    say(f"writing {output}")
    bundle = store.save(
        output,
        members=members,
        combination=combination,
        policy=policy,
        calibration=calibration,
        dev=stored(by_member, material.dev),
        seen=store.Seen(learned.seen, np.unique(post_hashes(dev))),
        documents={
            layout.EVALUATION: evaluation.model_dump_json(indent=2) + "\n",
            layout.RECIPE: to_toml(recipe),
        },
        replace=replace,
    )
    shutil.rmtree(_work(output), ignore_errors=True)
    subsets = member_subsets(
        by_member,
        labels,
        languages,
        names=[str(seed) for seed in recipe.member_seeds],
        seconds=[member.log.seconds if member.log else 0.0 for member in members],
        spec=recipe.decide,
        groups=[post.group for post in dev],
    )
    return Trained(bundle, evaluation, subsets)


@dataclass(frozen=True, slots=True)
class Learned:
    """``seen``: sorted 64-bit hashes of all posts that the members learned from, a teacher's included."""

    members: tuple[Detector, ...]
    seen: NDArray[np.uint64]


def learn(
    recipe: Recipe, material: Material, *, output: Path, machine: Machine = _HERE, say: Say = lambda _: None
) -> Learned:
    """One member for each seed. Of several processes (learn.ranks) the first calls ``train``, the others this alone."""
    work, train, dev = _work(output), material.train, material.dev
    taught = teach.ask(recipe.distil, train, material.unlabelled, dev=dev, work=work, device=machine.device, say=say)
    lesson = taught.lesson if taught else None
    members = tuple(
        learner_of(recipe, work / f"seed-{seed}", machine, say, lesson).fit(train, dev, seed=seed)
        for seed in recipe.member_seeds
    )
    seen = np.unique(post_hashes(item.post for item in train))
    return Learned(members, np.union1d(seen, taught.seen) if taught else seen)


def _work(output: Path) -> Path:
    """Where checkpoints stand until the bundle does."""
    return output.with_name(output.name + ".work")


def learner_of(recipe: Recipe, work: Path, machine: Machine, say: Say, lesson: Lesson | None) -> Learner[Detector]:
    """What makes a member. Raises RecipeError for an encoder where torch is not installed."""
    if isinstance(recipe.model, LinearSpec):
        return LinearLearner(recipe.model, recipe.balance)
    try:
        from polyvigil.learn.transformer import EncoderLearner
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"an encoder needs {error.name}, which is not installed",
            where="model.kind",
            hint="install torch for this machine, then: pip install 'polyvigil[encoders]'",
        ) from error
    return EncoderLearner(
        recipe.model,
        recipe.training,
        recipe.balance,
        work=work,
        offline=machine.offline,
        device=machine.device,
        lora=recipe.lora,
        lesson=lesson,
        decide=recipe.decide,
        say=say,
        progress=machine.progress,
        stop=machine.stop,
    )


def _role(reading: Reading, role: str, notes: list[str]) -> tuple[LabelledPost, ...]:
    """The posts of a file that may play ``role``: all of them, or its rows of that split where it mixes splits."""
    splits = _splits(reading)
    if len(splits) < 2:
        return reading.posts
    chosen = tuple(post for post in reading.posts if post.post.split == role)
    if not chosen:
        raise DataError(
            f"its split column has {', '.join(repr(name) for name in splits)}, none of them {role!r}",
            where=reading.name,
            hint=f"call the rows of this part {role!r}",
        )
    notes.append(f"{reading.name}: {len(chosen):,} of {len(reading.posts):,} rows have split {role}")
    return chosen


def _splits(reading: Reading) -> tuple[str, ...]:
    return tuple(sorted({post.post.split for post in reading.posts}))


def _shared(train: Sequence[LabelledPost], dev: Sequence[LabelledPost]) -> list[str]:
    train_hashes, dev_hashes = (post_hashes(item.post for item in side) for side in (train, dev))
    shared = int(np.isin(dev_hashes, train_hashes).sum())
    if 2 * shared >= len(dev):
        raise SplitError(
            f"{shared:,} of {len(dev):,} dev posts are training posts; thresholds tuned on them would be worthless",
            hint="give a dev file of other posts, or leave --dev out to have some held out",
        )
    return [
        f"{shared:,} of {len(dev):,} dev posts have the text of a training post (polyvigil check tells which)"
    ] * bool(shared)
