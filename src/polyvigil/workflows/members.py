"""The members of a run, made one after the other, so that one model at most is in memory and on the device.

In: a recipe, its posts, a folder for work. Out: a finished member for each seed: what it says of the dev posts, and its
files. An encoder is written to ``WORK/seed-N/finished`` as soon as it is trained and has scored the dev posts; then it
is dropped, and its checkpoints with it. A run that was interrupted takes a finished member from there, its hashes
checked, and neither loads nor trains it again. The bundle is made of these files.
"""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from polyvigil.bundle import store
from polyvigil.config.recipe import FineTunedRecipe, Recipe, member_recipes
from polyvigil.config.training import RESUMABLE_SETTINGS, TrainingSpec
from polyvigil.data.atomic import whole_folder
from polyvigil.data.translated import is_translated
from polyvigil.detect.base import Detector, FitRecord, TrainingLog
from polyvigil.errors import TrainingError
from polyvigil.learn.distil import TeacherTargets
from polyvigil.learn.folds import out_of_fold
from polyvigil.learn.launch import launched
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Frozen, LabelledPost, Post, Probabilities
from polyvigil.workflows.learners import Log, RunOptions, learner_of
from polyvigil.workflows.models import models_of

COMPLETED = "finished"
_MEMBER, _DEV, _RECORD = "member", "dev.safetensors", "finished.json"


class Made(store.Member, Protocol):
    """A member that is ready to be saved in a bundle."""

    @property
    def log(self) -> TrainingLog | None: ...


@dataclass(frozen=True, slots=True)
class CompletedMember:
    """A member whose files stand in ``folder``; none of it is in memory."""

    folder: Path
    kind: str
    fit_record: FitRecord
    log: TrainingLog | None
    normalisation: str = NORMALISATION  # what is fitted in this run reads by it, and a run's key holds it

    def save(self, folder: Path) -> None:
        """Give its files a second name in ``folder``: a link where the file system can, else a copy."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True, copy_function=_link)


@dataclass(frozen=True, slots=True)
class Scored:
    """A member and its P(ADE) of the dev posts, (n_dev,)."""

    member: Made
    dev: Probabilities


class _Record(Frozen):
    """``finished.json``: all but the member's own files, and their SHA-256 by path."""

    key: str
    kind: str
    fit_record: FitRecord
    log: TrainingLog | None
    files: dict[str, str]


@dataclass(frozen=True)
class Run:
    """What all members of a run are made from. ``work``: folder of the run's checkpoints and finished members."""

    recipe: Recipe
    train: tuple[LabelledPost, ...]
    dev: tuple[LabelledPost, ...]
    work: Path
    options: RunOptions
    log: Log
    teacher_targets: TeacherTargets | None = field(default=None)
    fold_of: NDArray[np.int64] | None = None
    """The fold of each dev post, (n_dev,), where those are the training posts (workflows.train.TrainingData)."""

    @cached_property
    def key(self) -> str:
        """A hash of all that moves the weights of the members but their seeds: settings, posts, teacher, models."""
        whole = hashlib.sha256()
        for part in _parts_of_key(self):
            whole.update(len(part).to_bytes(8, "little") + part)
        return whole.hexdigest()


def make_members(run: Run) -> tuple[Scored, ...]:
    """The members of each kind, one for each seed, in their order.

    Of several processes (learn.ranks) the first has them, the others none. Raises what the learner raises, and
    TrainingError where a finished member there is another run's.
    """
    parts = member_recipes(run.recipe)
    if len(parts) > 1:
        return tuple(scored for part in parts for scored in make_members(replace(run, recipe=part)))
    made = []
    seeds = run.recipe.member_seeds
    for number, seed in enumerate(seeds):
        folder = run.work / f"seed-{seed}"
        completed = _completed(folder, seed, run) if run.recipe.encoder else None
        if not _first_has(completed):
            learner = learner_of(
                parts[0], folder, run.options, run.log, run.teacher_targets, members=len(seeds) - number
            )
            detector = learner.fit(run.train, run.dev, seed=seed)
            if not launched().rank:
                completed = _scored(detector, folder, seed, run)
            del detector
            gc.collect()  # a model may hang in a cycle of references; the next one needs its memory
        made += [completed] if completed else []
    return tuple(made)


def _scored(detector: Detector, folder: Path, seed: int, run: Run) -> Scored:
    """``detector`` on the dev posts; an encoder is then written to ``folder`` instead of its checkpoints."""
    if run.recipe.encoder:
        run.log(f"seed {seed}: scoring the {len(run.dev):,} dev posts")
    dev = _probabilities(detector, [item.post for item in run.dev]) if run.fold_of is None else _out_of_fold(run, seed)
    if run.recipe.encoder is None:  # learned in seconds, or taken as it is
        return Scored(detector, dev)
    target = folder / COMPLETED
    try:
        with whole_folder(target, replace=True) as partial:
            (partial / _MEMBER).mkdir()
            detector.save(partial / _MEMBER)
            save_file({"p": dev}, partial / _DEV)
            record = _Record(
                key=f"{run.key} {seed}",
                kind=detector.kind,
                fit_record=detector.fit_record,
                log=detector.log,
                files=_digests(partial),
            )
            (partial / _RECORD).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the finished member cannot be written ({error})",
            where=str(target),
            hint="free some disk and run the same command again: nothing is trained again",
        ) from error
    _remove_checkpoints(folder)
    return Scored(CompletedMember(target / _MEMBER, record.kind, record.fit_record, record.log), dev)


def _probabilities(detector: Detector, posts: Sequence[Post]) -> Probabilities:
    """P(ADE) as a bundle of this detector alone gives it, (n_posts,)."""
    (probabilities,) = store.member_probabilities([detector], posts, normalisation=detector.normalisation)
    return np.asarray(probabilities, dtype=np.float64)


def _out_of_fold(run: Run, seed: int) -> Probabilities:
    """P(ADE) of each dev post by a detector like the member that has not learned from its fold, (n_dev,)."""
    assert run.fold_of is not None
    learner = learner_of(member_recipes(run.recipe)[0], run.work, run.options, run.log, None)
    further = [item for item in run.train if is_translated(item.post)]
    n_folds = int(run.fold_of.max()) + 1

    def fit(fold: int, rest: Sequence[LabelledPost]) -> Callable[[Sequence[Post]], Probabilities]:
        run.log(f"fold {fold + 1} of {n_folds}: learning from {len(rest):,} posts, to score the others")
        return partial(_probabilities, learner.fit(rest, (), seed=seed))

    return out_of_fold(run.dev, run.fold_of, fit, further=further)


def _completed(folder: Path, seed: int, run: Run) -> Scored | None:
    """The member that an earlier run has finished; None where there is none, or where a byte of it is damaged."""
    target = folder / COMPLETED
    if launched().rank or not target.is_dir():
        return None
    try:
        record = _Record.model_validate_json((target / _RECORD).read_bytes())
        if record.key != f"{run.key} {seed}":
            raise TrainingError(
                "the finished member there is another run's: its settings, posts, models or seed differ",
                where=str(target),
                hint=f"choose another output, or remove {run.work} to begin anew",
            )
        if _digests(target) != record.files:
            raise ValueError("another hash")
        dev = load_file(target / _DEV)["p"]
    except (OSError, ValidationError, ValueError, SafetensorError, KeyError):
        run.log(f"seed {seed}: the finished member in {target} is damaged and is made again")
        shutil.rmtree(target, ignore_errors=True)
        return None
    run.log(f"seed {seed} is finished: its member stands in {target}")
    _remove_checkpoints(folder)
    return Scored(CompletedMember(target / _MEMBER, record.kind, record.fit_record, record.log), dev)


def _first_has(completed: Scored | None) -> bool:
    """Whether the first of several processes has this member, so that none of them trains it; called by all of them."""
    if launched().size == 1:
        return completed is not None
    from polyvigil.learn.ranks import this_rank

    return bool(this_rank().first_text("finished" if completed else ""))


def _remove_checkpoints(folder: Path) -> None:
    """All of a seed's folder but the finished member."""
    for path in folder.iterdir():
        if path.name != COMPLETED:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _parts_of_key(run: Run) -> Iterator[bytes]:
    recipe = run.recipe
    if isinstance(recipe, FineTunedRecipe):
        same = recipe.training.model_copy(update=_defaults_of_resumable(recipe.training))
        recipe = recipe.model_copy(update={"training": same})
    yield recipe.model_dump_json(exclude={"seed", "seeds", "data", "adapt"}).encode()
    yield NORMALISATION.encode()
    for part in (run.train, run.dev):
        yield b"posts"
        for item in part:
            yield _text_of(item.post) + bytes([item.label])
    for version in _model_versions(recipe):
        yield version.encode()
    if run.teacher_targets:
        yield run.teacher_targets.teacher.encode()
        yield np.concatenate([run.teacher_targets.of_train, run.teacher_targets.of_unlabelled]).tobytes()
        yield from (_text_of(post) for post in run.teacher_targets.unlabelled)


def _defaults_of_resumable(spec: TrainingSpec) -> dict[str, object]:
    return {name: type(spec).model_fields[name].default for name in RESUMABLE_SETTINGS}


def _text_of(post: Post) -> bytes:
    fields = (post.id, post.text, post.language, post.type, post.group)
    return "\0".join(fields).encode(errors="surrogatepass")


def _model_versions(recipe: Recipe) -> list[str]:
    """Hashes of the files of the models that a recipe names, all fetched by now."""
    from polyvigil.nn.source import folder_version, model_folder

    return [
        folder_version(model_folder(model.name, offline=True, revision=model.revision, fetched=model.files))
        for model in models_of(recipe)
    ]


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` but the record, by its path there."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _RECORD:
            with path.open("rb") as stream:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digests


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
