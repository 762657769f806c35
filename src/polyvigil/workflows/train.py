"""The story of a training run: read -> split -> learn -> score once -> tune -> evaluate -> bundle."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle import store
from polyvigil.bundle.coverage import member_coverage
from polyvigil.bundle.dev import StoredDev, stored
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.run_metrics import RunMetric
from polyvigil.config.recipe import EncoderRecipe, HybridRecipe, Recipe, StackedRecipe
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.formats import RowError, Table
from polyvigil.data.read import SPLIT_ROLES, OnError, Reading, read_labelled
from polyvigil.data.selection import AUDIT, QUEUE, is_held_out, refuse_selected
from polyvigil.data.shown import shown_value
from polyvigil.data.split import assign_folds, split_off
from polyvigil.data.translated import is_translated, refuse_translated, without_translations_of
from polyvigil.decide.combine import Combination
from polyvigil.decide.rules import DevScores
from polyvigil.decide.weights import mean_weights, regime_weights
from polyvigil.errors import DataError, RecipeError, SplitError
from polyvigil.evaluation.evaluate import Evaluation, gold_of
from polyvigil.evaluation.subsets import MemberSubset, member_subsets
from polyvigil.learn.launch import launched
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import distil
from polyvigil.workflows.assemble import BundleDraft, assemble_bundle, decisions
from polyvigil.workflows.learners import Log, RunOptions
from polyvigil.workflows.members import Made, Run, drop_stale_metrics, make_members, measured_in
from polyvigil.workflows.work_folder import check_work_folder, work_folder


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The posts of a run, each split with its one use: train fits, dev tunes; or, with folds, all posts do both."""

    train: tuple[LabelledPost, ...]
    dev: tuple[LabelledPost, ...]
    data: str
    row_errors: tuple[tuple[str, RowError], ...]
    notes: tuple[str, ...]
    unlabelled: tuple[Post, ...] = ()
    """Further posts, of which only a teacher says what they are."""
    fold_of: NDArray[np.int64] | None = None
    """Where the dev posts are the training posts: the fold of each, (n_dev,); its score is by a model of the others."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished run. ``evaluation`` is on the dev posts, so its metrics are optimistic.

    ``bundle`` is on the CPU, whatever it was trained on.
    """

    bundle: store.Bundle
    evaluation: Evaluation
    subsets: tuple[MemberSubset, ...] = ()
    """Dev F1 of each set of seeds, when there are several (the paper's appendix B); none of members of folds."""
    names: tuple[str, ...] = ()
    """What each member is called: its seed, and its fold where it has one."""


def gather(
    recipe: Recipe,
    *,
    train: Sequence[str | Path | Table],
    dev: Sequence[str | Path | Table],
    unlabelled: Sequence[str] = (),
    on_error: OnError | None = None,
) -> TrainingData:
    """Read the posts of files, or of tables in memory.

    A file with a split column gives its train rows to ``train`` and its dev rows to ``dev``.

    Without dev files the dev rows of the train files are used. Without any, a recipe with ``data.folds`` is tuned on
    all posts, each scored by a model of other folds, and any other one on ``data.dev_share`` of them, which are held
    out, groups whole. Translated posts (data.translated) only train, and not where their source is a dev post.
    ``unlabelled``: files for a teacher to judge (workflows.distil). Raises SplitError when one set of posts plays both
    parts or translations are to be dev posts, and RecipeError when there is nothing to learn from and the model is no
    zero-shot one.
    """
    if recipe.learns and not train:
        raise RecipeError("there are no posts to learn from", where="--train", hint="give a file of labelled posts")
    train_readings = [_read(path, recipe, on_error=on_error) for path in train]
    dev_readings = [_read(path, recipe, on_error=on_error) for path in dev]
    notes = [note for reading in (*train_readings, *dev_readings) for note in reading.notes]
    for reading in dev_readings:
        refuse_selected(reading.selection, part="dev", where=reading.name)
    train_readings = [without_test_posts(reading, notes) for reading in train_readings]
    chosen = _chosen(train_readings)
    train_posts = [post for reading in train_readings for post in _role(reading, "train", notes)]
    if dev_readings:
        dev_posts = [post for reading in dev_readings for post in _role(reading, "dev", notes)]
        where = ", ".join(reading.name for reading in dev_readings)
    else:
        mixed = [reading for reading in train_readings if len(_splits(reading)) > 1]
        where = ", ".join(reading.name for reading in mixed)
        dev_posts = [post for reading in mixed for post in reading.posts if post.post.split == "dev"]
        dev_posts = [post for post in dev_posts if id(post) not in chosen]
        if dev_posts:
            notes.append(f"no dev file given: the {len(dev_posts):,} rows of split dev are used")
    refuse_translated(dev_posts, part="dev", where=where)
    if dev_posts:
        _refuse_folds(recipe, dev=len(dev_posts), where=where)
    fold_of = None
    if not dev_posts:
        parts = _without_dev(recipe, train_posts, chosen, train_readings, notes)
        train_posts, dev_posts, fold_of = parts.train, parts.dev, parts.fold_of
    kept = train_posts if fold_of is not None else without_translations_of(train_posts, dev_posts)
    if len(kept) < len(train_posts):
        notes.append(f"{len(train_posts) - len(kept):,} training posts are left out: translations of dev posts")
        train_posts = kept
    notes += _shared(train_posts, dev_posts) if fold_of is None else []
    row_errors = [(reading.name, error) for reading in (*train_readings, *dev_readings) for error in reading.row_errors]
    further = distil.read_further(recipe, unlabelled, dev=dev_posts, on_error=on_error or "quarantine")
    return TrainingData(
        tuple(train_posts),
        tuple(dev_posts),
        ", ".join(Path(reading.name).name for reading in (dev_readings or train_readings))
        + (f", out of {recipe.folds} folds" if fold_of is not None else ""),
        (*row_errors, *further.row_errors),
        (*notes, *further.notes),
        further.posts,
        fold_of,
    )


def _read(path: str | Path | Table, recipe: Recipe, *, on_error: OnError | None) -> Reading:
    """The posts of a file as objects that stay the same: training knows each by its identity, and reads it often."""
    reading = read_labelled(path, recipe.data, on_error=on_error, keep_cells=False)
    return dataclasses.replace(reading, posts=tuple(reading.posts))


@dataclass(frozen=True, slots=True)
class _Parts:
    """The posts of a run without dev posts; ``fold_of`` as in TrainingData."""

    train: list[LabelledPost]
    dev: list[LabelledPost]
    fold_of: NDArray[np.int64] | None = None


def _without_dev(
    recipe: Recipe, posts: list[LabelledPost], chosen: set[int], readings: Sequence[Reading], notes: list[str]
) -> _Parts:
    """All training posts in folds, where the recipe has folds; else some of them held out."""
    written = _representative(posts, chosen, readings, notes)
    if not recipe.folds:
        split = split_off(written, dev_share=recipe.data.dev_share, seed=recipe.seed)
        kept_apart = {id(post) for post in written}
        notes.append(f"no dev file given: {len(split.dev):,} of the training posts are held out for tuning")
        if isinstance(recipe, EncoderRecipe | HybridRecipe):
            notes.append("to hold none out: --set data.folds=5 trains five members and tunes on all posts")
        return _Parts([*split.train, *(post for post in posts if id(post) not in kept_apart)], list(split.dev))
    encoder = recipe.encoder is not None
    fold_of = assign_folds(written, folds=recipe.folds, seed=recipe.seed, setting="data.folds", both_classes=encoder)
    notes.append(
        f"no dev file given: thresholds are tuned on {'' if chosen else 'all '}{len(written):,} posts, each scored by "
        f"a {'member' if encoder else 'model'} that has not learned from it ({recipe.folds} folds)"
    )
    return _Parts(posts, written, fold_of)


def _refuse_folds(recipe: Recipe, *, dev: int, where: str) -> None:
    """Raise RecipeError where encoders are to be trained on folds and there are dev posts; a linear one uses those."""
    if recipe.folds and isinstance(recipe, EncoderRecipe | HybridRecipe):
        raise RecipeError(
            f"{recipe.folds} folds are for training without dev posts, and there are {dev:,} ({where})",
            where="data.folds",
            hint="leave them out, give them with --train to learn from them too, or set data.folds=0",
        )


def without_test_posts(reading: Reading, notes: list[str]) -> Reading:
    """A file of training posts without those that are kept for measuring: audited ones, and a fifth of a queue."""
    purposes = reading.selection.purposes
    audited = [purpose == AUDIT for purpose in purposes]
    held_out = [
        purpose == QUEUE and is_held_out(item.post.text) for purpose, item in zip(purposes, reading.posts, strict=True)
    ]
    if any(audited):
        notes.append(
            f"{reading.name}: {sum(audited):,} audited posts are left out: they tell what was missed, and never train"
        )
    if any(held_out):
        notes.append(
            f"{reading.name}: {sum(held_out):,} of {purposes.count(QUEUE):,} posts read for their score are left out, "
            "a fifth by the hash of their text: polyvigil compare OLD NEW FILE --gate measures with them"
        )
    kept = [index for index in range(len(purposes)) if not (audited[index] or held_out[index])]
    if len(kept) == len(purposes):
        return reading
    return dataclasses.replace(
        reading,
        posts=tuple(reading.posts[index] for index in kept),
        rows=tuple(reading.rows[index] for index in kept),
        selection=dataclasses.replace(
            reading.selection,
            purposes=tuple(purposes[index] for index in kept),
            inclusion=tuple(reading.selection.inclusion[index] for index in kept),
        ),
    )


def _chosen(readings: Sequence[Reading]) -> set[int]:
    """The posts (by ``id``) that were chosen to be read by their score, or as an unequal sample."""
    return {
        id(post)
        for reading in readings
        for post, chosen in zip(reading.posts, reading.selection.chosen, strict=True)
        if chosen
    }


def _representative(
    posts: Sequence[LabelledPost], chosen: set[int], readings: Sequence[Reading], notes: list[str]
) -> list[LabelledPost]:
    """The training posts on which thresholds may be tuned: as people wrote them, and not chosen by their score.

    Raises SplitError where none is left.
    """
    written = [post for post in posts if not is_translated(post.post)]
    kept = [post for post in written if id(post) not in chosen]
    if not kept and written:
        reading = next(reading for reading in readings if any(reading.selection.chosen))
        refuse_selected(reading.selection, part="dev", where=reading.name)
    if len(kept) < len(written):
        notes.append(
            f"{len(written) - len(kept):,} training posts were chosen by their score: they teach, and tune no threshold"
        )
    return kept


_HERE = RunOptions()


def train(
    recipe: Recipe,
    data: TrainingData,
    *,
    output: Path,
    replace: bool = False,
    options: RunOptions = _HERE,
    log: Log = lambda _: None,
) -> Trained:
    """Learn, tune and save a bundle at ``output``. ``log`` receives each stage as it begins.

    Encoders keep checkpoints and finished members in ``OUTPUT.work``; the same call after an interruption goes on from
    there. One model at most is on the device at any time.
    """
    check_output(output, BUNDLE, replace=replace)
    if recipe.learns:
        log(f"learning from {len(data.train):,} posts ({sum(p.label for p in data.train):,} positive)")
    else:
        log("a zero-shot model learns from no posts")
    learned = learn(recipe, data, output=output, options=options, log=log)
    members = learned.members
    log(f"tuning thresholds on {len(data.dev):,} dev posts ({sum(p.label for p in data.dev):,} positive)")
    posts = [item.post for item in data.dev]
    dev = stored(learned.dev, data.dev)
    gold = gold_of(data.dev)
    combination = _combination(recipe, learned, dev, posts, log)
    decided = decisions(dev, combination, gold, recipe.decide)
    log(f"writing {output}")
    seen = store.Seen(learned.seen, np.unique(post_hashes(posts)))
    bundle_draft = BundleDraft(
        members, combination, decided, dev, gold, data=data.data, seen=seen, recipe=recipe, metrics=learned.metrics
    )
    assembled = assemble_bundle(bundle_draft, output=output, replace=replace, device="cpu")
    shutil.rmtree(work_folder(output), ignore_errors=True)
    subsets = member_subsets(
        dev.by_member,
        dev.labels,
        gold.languages.tolist(),
        names=learned.names,
        seconds=[member.log.seconds if member.log else 0.0 for member in members],
        spec=recipe.decide,
        combination=combination,
        groups=gold.groups,
    )
    # the members of folds have one score of a post together: a set of some of them has none for every post
    return Trained(assembled.bundle, assembled.evaluation, subsets if data.fold_of is None else (), learned.names)


def _combination(recipe: Recipe, learned: Learned, dev: StoredDev, posts: Sequence[Post], log: Log) -> Combination:
    """Which members count where, and how much: the same, unless the recipe asks for fitted weights.

    A weight is fitted to each model, and dealt out evenly over the members that it has, one for each fold.
    """
    coverage = member_coverage(learned.members, posts, least_known=recipe.decide.least_known)
    combination = Combination(coverage=coverage)
    if not recipe.fits_weights:
        return combination
    models = list(dict.fromkeys(learned.models))
    rows = [learned.models.index(model) for model in models]
    scores = DevScores(combination.mean_of(rows, dev.by_member, dev.languages.tolist()), dev.labels, dev.languages)
    weights = mean_weights(dev.counted(combination)[rows], scores, groups=dev.group_names).tolist()
    shares = ", ".join(f"{model} {share:.2f}" for model, share in zip(models, weights, strict=True))
    log(f"weights, the mean of those fitted on all folds but one: {shares}")
    within = [(1.0,) * learned.models.count(model) for model in models]
    return Combination(weights=regime_weights(weights, within), coverage=coverage)


def train_in_this_process(
    recipe: Recipe,
    data: TrainingData,
    *,
    output: Path,
    replace: bool = False,
    options: RunOptions = _HERE,
    log: Log = lambda _: None,
) -> Trained | None:
    """``train`` in the first of several processes that train together (learn.launch), and in one that is alone.

    The others take their part in the learning alone: they write no bundle and return None.
    """
    if launched().rank:
        learn(recipe, data, output=output, options=options)
        return None
    return train(recipe, data, output=output, replace=replace, options=options, log=log)


@dataclass(frozen=True, slots=True)
class Learned:
    """``seen``: sorted 64-bit hashes of all posts that the members learned from, a teacher's included; none of a
    zero-shot model's. ``dev``: P(ADE) of the dev posts by each member, (n_members, n_dev); with folds by members that
    have not learned from them."""

    members: tuple[Made, ...]
    names: tuple[str, ...]
    """What each member is called beside the others: its seed, and its fold where it has one."""
    models: tuple[str, ...]
    """Of which model each member is: the members of folds are one model, whose row of ``dev`` they share."""
    dev: NDArray[np.float64]
    seen: NDArray[np.uint64]
    metrics: tuple[RunMetric, ...]
    """What was measured while they learned."""


def learn(
    recipe: Recipe, data: TrainingData, *, output: Path, options: RunOptions = _HERE, log: Log = lambda _: None
) -> Learned:
    """One member for each seed, or each seed and fold; of several processes (learn.ranks) only the first gets them."""
    work, train, dev = work_folder(output), data.train, data.dev
    folds = None if isinstance(recipe, StackedRecipe) else recipe.folds if data.fold_of is not None else 0
    check_work_folder(work, seeds=recipe.member_seeds if recipe.encoder else (), folds=folds)
    drop_stale_metrics(work)
    teacher_result = distil.score_with_teacher(
        recipe.teacher, train, data.unlabelled, dev=dev, work=work, device=options.device, log=log
    )
    teacher_targets = teacher_result.targets if teacher_result else None
    run = Run(recipe, train, dev, work, options, log, teacher_targets, fold_of=data.fold_of)
    made = make_members(run)
    scores = np.array([one.dev for one in made]).reshape(len(made), len(dev))
    seen = np.unique(post_hashes(item.post for item in train if recipe.learns))
    return Learned(
        tuple(one.member for one in made),
        tuple(one.name for one in made),
        tuple(one.model for one in made),
        scores,
        np.union1d(seen, teacher_result.seen) if teacher_result else seen,
        () if launched().rank else tuple(measured_in(run)),
    )


def _role(reading: Reading, role: str, notes: list[str]) -> Sequence[LabelledPost]:
    """The posts of a file that may play ``role``: all of them, or its rows of that split where it mixes splits.

    A file none of whose splits has a use (data.read.SPLIT_ROLES) is used whole.
    """
    splits = _splits(reading)
    if len(splits) < 2:
        return reading.posts
    if not set(splits) & set(SPLIT_ROLES):
        names = ", ".join(map(shown_value, splits[:5])) + (", ..." if len(splits) > 5 else "")
        notes.append(f"{reading.name}: its splits ({names}) name no use, so all of its rows are read as {role}")
        return reading.posts
    chosen = tuple(post for post in reading.posts if post.post.split == role)
    if not chosen:
        raise DataError(
            f"its split column has {', '.join(map(shown_value, splits[:5]))}, none of them {role!r}",
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
