"""The members of a run, made one after the other, so that one model at most is in memory and on the device.

In: a recipe, its posts, a folder for work. Out: a finished member for each seed: what it says of the dev posts, and its
files. An encoder is written to ``WORK/seed-N/finished`` as soon as it is trained and has scored the dev posts; then it
is dropped, and its checkpoints with it. A run that was interrupted takes a finished member from there, its hashes
checked, and neither loads nor trains it again. The bundle is made of these files.

Without dev posts (``Run.fold_of``) a linear member is fitted once more for each fold, to score it; of an encoder the
models of the folds are the members (docs/decisions/0024-folds-of-encoders.md).
"""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from polyvigil.bundle.layout import METRICS
from polyvigil.bundle.run_metrics import RunMetric, append_metrics, metrics_now, read_metrics
from polyvigil.config.recipe import FineTunedRecipe, Recipe, member_recipes
from polyvigil.config.training import RESUMABLE_SETTINGS, TrainingSpec
from polyvigil.data.atomic import whole_folder
from polyvigil.detect.base import NGRAM_KINDS, Detector, FitRecord, TrainingLog
from polyvigil.errors import TrainingError
from polyvigil.learn.distil import TeacherTargets
from polyvigil.learn.folds import folds_of, out_of_fold
from polyvigil.learn.launch import launched
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Frozen, LabelledPost, Post, Probabilities
from polyvigil.workflows.learners import Log, RunOptions, learner_of
from polyvigil.workflows.models import models_of
from polyvigil.workflows.work_folder import member_folder

COMPLETED = "finished"
_LINEAR = "linear"
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
    """A member and its P(ADE) of the dev posts, (n_dev,).

    Members of one ``model`` that were trained on folds have one row together: P of each post is of the member that has
    not learned from it. ``name``: what the member is called among the others.
    """

    member: Made
    dev: Probabilities
    name: str
    model: str


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
    metrics: list[RunMetric] = field(default_factory=list)
    """What members that are fitted in seconds have measured; encoders write to ``metrics.jsonl`` in ``work``."""
    fold_of: NDArray[np.int64] | None = None
    """The fold of each dev post, (n_dev,), where those are the training posts (workflows.train.TrainingData)."""

    @cached_property
    def key(self) -> str:
        """A hash of all that moves the weights of the members but their seeds: settings, posts, teacher, models."""
        whole = hashlib.sha256()
        for part in _parts_of_key(self):
            whole.update(len(part).to_bytes(8, "little") + part)
        return whole.hexdigest()


@dataclass(frozen=True, slots=True)
class _Job:
    """One member to make: what it learns from, and the posts that it scores.

    ``fold``: the one that it scores, and ``indices``: where its posts stand among the dev posts; None and all of them
    where there are dev posts that no member learns from.
    """

    name: str
    seed: int
    folder: Path
    train: Sequence[LabelledPost]
    dev: Sequence[LabelledPost]
    teacher_targets: TeacherTargets | None
    fold: int | None = None
    indices: Sequence[int] = ()

    def key(self, run: Run) -> str:
        """A hash of all that moves this member's weights."""
        return f"{run.key} {self.seed}" if self.fold is None else f"{run.key} {self.seed} fold {self.fold}"


def make_members(run: Run) -> tuple[Scored, ...]:
    """The members of each kind in their order: one for each seed, or of an encoder one for each seed and fold.

    Of several processes (learn.ranks) the first has them, the others none. Raises what the learner raises, and
    TrainingError where a finished member there is another run's.
    """
    parts = member_recipes(run.recipe)
    if len(parts) > 1:
        return tuple(scored for part in parts for scored in make_members(replace(run, recipe=part)))
    made = []
    jobs = [job for seed in run.recipe.member_seeds for job in _jobs(run, seed)]
    for number, job in enumerate(jobs):
        completed = _completed(job, run) if run.recipe.encoder else None
        if not _first_has(completed):
            if job.fold is not None:
                run.log(f"{job.name}: learning from {len(job.train):,} posts, to score the other {len(job.dev):,}")
            learner = learner_of(
                parts[0],
                job.folder,
                _measuring(run, job),
                run.log,
                job.teacher_targets,
                members=len(jobs) - number,
                of_fold=job.fold is not None,
            )
            detector = learner.fit(job.train, job.dev, seed=job.seed)
            if not launched().rank:
                completed = _scored(detector, job, run)
            del detector
            gc.collect()  # a model may hang in a cycle of references; the next one needs its memory
        made += [completed] if completed else []
    return tuple(made) if launched().rank else _with_whole_rows(made, jobs, n_dev=len(run.dev))


def _measuring(run: Run, job: _Job) -> RunOptions:
    """The options of the run, by which a member's values are kept; those of the first of several processes alone."""

    def log(step: int, values: Mapping[str, float]) -> None:
        measured = metrics_now(_LINEAR if run.recipe.encoder is None else job.name, step, values)
        if run.recipe.encoder is None:
            run.metrics.extend(measured)
        else:
            append_metrics(run.work / METRICS, measured)

    return run.options if launched().rank else replace(run.options, metrics=log)


def measured_in(run: Run) -> list[RunMetric]:
    """All that the members have measured."""
    path = run.work / METRICS
    return [*(read_metrics(path) if run.recipe.encoder and path.is_file() else ()), *run.metrics]


def drop_stale_metrics(work: Path) -> None:
    """Remove what a run has measured of which nothing else is left to go on from."""
    if not launched().rank and not any((*work.rglob("checkpoint-*"), *work.rglob(COMPLETED))):
        (work / METRICS).unlink(missing_ok=True)


def _jobs(run: Run, seed: int) -> list[_Job]:
    """The members of a seed: one, or of an encoder without dev posts one for each fold."""
    name = f"seed {seed}"
    if run.recipe.encoder is None or run.fold_of is None:
        folder = member_folder(run.work, seed, None)
        return [_Job(name, seed, folder, run.train, run.dev, run.teacher_targets)]
    folds = folds_of(run.dev, run.fold_of, train=run.train)
    return [
        _Job(
            f"{name}, fold {number + 1} of {len(folds)}",
            seed,
            member_folder(run.work, seed, number),
            fold.rest,
            fold.held_out,
            _targets_of(run, fold.rest),
            number,
            fold.indices,
        )
        for number, fold in enumerate(folds)
    ]


def _targets_of(run: Run, posts: Sequence[LabelledPost]) -> TeacherTargets | None:
    """What the teacher says of some of the training posts, and of the unlabelled ones."""
    if run.teacher_targets is None:
        return None
    index_of = {item: index for index, item in enumerate(run.train)}
    return replace(run.teacher_targets, of_train=run.teacher_targets.of_train[[index_of[item] for item in posts]])


def _with_whole_rows(made: Sequence[Scored], jobs: Sequence[_Job], *, n_dev: int) -> tuple[Scored, ...]:
    """Each member with P of all dev posts, where the members of a seed have scored a fold each."""
    rows: dict[int, Probabilities] = {}
    for scored, job in zip(made, jobs, strict=True):
        if job.fold is not None:
            rows.setdefault(job.seed, np.full(n_dev, np.nan))[job.indices] = scored.dev
    return tuple(replace(scored, dev=rows.get(job.seed, scored.dev)) for scored, job in zip(made, jobs, strict=True))


def _scored(detector: Detector, job: _Job, run: Run) -> Scored:
    """``detector`` on the dev posts; an encoder is then written to ``folder`` instead of its checkpoints."""
    if run.recipe.encoder is None:  # learned in seconds, or taken as it is
        posts = [item.post for item in job.dev]
        dev = _probabilities(detector, posts) if run.fold_of is None else _out_of_fold(run, job.seed)
        name = _LINEAR if detector.kind in NGRAM_KINDS else str(job.seed)
        return Scored(detector, dev, name, name)
    run.log(f"{job.name}: scoring the {len(job.dev):,} {'dev posts' if job.fold is None else 'posts of the fold'}")
    dev = _probabilities(detector, [item.post for item in job.dev])
    target = job.folder / COMPLETED
    try:
        with whole_folder(target, replace=True) as partial:
            (partial / _MEMBER).mkdir()
            detector.save(partial / _MEMBER)
            save_file({"p": dev}, partial / _DEV)
            record = _Record(
                key=job.key(run),
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
    _remove_checkpoints(job.folder)
    return _completed_member(job, record, dev)


def _completed_member(job: _Job, record: _Record, dev: Probabilities) -> Scored:
    member = CompletedMember(job.folder / COMPLETED / _MEMBER, record.kind, record.fit_record, record.log)
    return Scored(member, dev, job.name.removeprefix("seed "), str(job.seed))


def _probabilities(detector: Detector, posts: Sequence[Post]) -> Probabilities:
    """P(ADE) as a bundle of this detector alone gives it, (n_posts,)."""
    (probabilities,) = store.member_probabilities([detector], posts, normalisation=detector.normalisation)
    return np.asarray(probabilities, dtype=np.float64)


def _out_of_fold(run: Run, seed: int) -> Probabilities:
    """P(ADE) of each dev post by a detector like the member that has not learned from its fold, (n_dev,)."""
    assert run.fold_of is not None
    learner = learner_of(member_recipes(run.recipe)[0], run.work, run.options, run.log, None)
    n_folds = int(run.fold_of.max()) + 1

    def fit(fold: int, rest: Sequence[LabelledPost]) -> Callable[[Sequence[Post]], Probabilities]:
        run.log(f"fold {fold + 1} of {n_folds}: learning from {len(rest):,} posts, to score the others")
        return partial(_probabilities, learner.fit(rest, (), seed=seed))

    return out_of_fold(run.dev, run.fold_of, fit, train=run.train)


def _completed(job: _Job, run: Run) -> Scored | None:
    """The member that an earlier run has finished; None where there is none, or where a byte of it is damaged."""
    target = job.folder / COMPLETED
    if launched().rank or not target.is_dir():
        return None
    try:
        record = _Record.model_validate_json((target / _RECORD).read_bytes())
        if record.key != job.key(run):
            raise TrainingError(
                "the finished member there is another run's: its settings, posts, models or seed differ",
                where=str(target),
                hint=f"choose another output, or remove {run.work} to begin anew",
            )
        if _digests(target) != record.files:
            raise ValueError("another hash")
        dev = load_file(target / _DEV)["p"]
    except (OSError, ValidationError, ValueError, SafetensorError, KeyError):
        run.log(f"{job.name}: the finished member in {target} is damaged and is made again")
        shutil.rmtree(target, ignore_errors=True)
        return None
    run.log(f"{job.name} is finished: its member stands in {target}")
    _remove_checkpoints(job.folder)
    return _completed_member(job, record, dev)


def _first_has(completed: Scored | None) -> bool:
    """Whether the first of several processes has this member, so that none of them trains it; called by all of them."""
    if launched().size == 1:
        return completed is not None
    from polyvigil.learn.ranks import this_rank

    return bool(this_rank().first_text("finished" if completed else ""))


def _remove_checkpoints(folder: Path) -> None:
    """All of a member's folder but the finished member."""
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
    if run.fold_of is not None:
        yield b"folds" + run.fold_of.tobytes()
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
