"""Do the steps that are missing: translations, trainings, scores of the test posts, audits.

One that fails is reported, and the others go on. Of several processes (learn.ranks) the first does everything, and the
others take part in the trainings of encoders alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from polyvigil.augment.choose import choose
from polyvigil.augment.translate import Cache, Translated, reject_line, translate, write_translated
from polyvigil.data.atomic import write_whole
from polyvigil.data.read import read_labelled
from polyvigil.data.translated import is_translated, without_translations_of
from polyvigil.errors import DataError, InterruptError, PolyvigilError
from polyvigil.learn.launch import launched
from polyvigil.workflows.learners import Log, RunOptions
from polyvigil.workflows.train import TrainingData, train_in_this_process
from polyvigil_gladiators.after import audit_bundle, score_test_posts
from polyvigil_gladiators.environment import Environment
from polyvigil_gladiators.plan import Scoring, Step, Training, Translation, source_of
from polyvigil_gladiators.posts import of_language
from polyvigil_gladiators.survey import StepStatus

Progress = Callable[[str, int, float, float], None]
"""What is done, of how many posts, since when (time.monotonic), and which share of it is done, in [0, 1]."""
_ALWAYS_LEFT_OUT = {"empty", "too-long"}
"""Row errors of a translation for which it is left out even where others are let through: there is nothing to learn."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Done:
    """A step after the run; ``seconds``: spent on it by this run."""

    status: StepStatus
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How the steps are done. ``progress``: see Progress; ``say``: is given a line for each stage."""

    run_options: RunOptions
    log: Log = lambda _: None
    progress: Progress = lambda *_: None


def run_steps(
    statuses: Mapping[Step, StepStatus], environment: Environment, *, options: StepOptions
) -> dict[Step, Done]:
    """Do what is missing of the steps, in their order, their models fetched (survey.survey).

    Ended at any moment, the same call goes on: finished steps stand, a translation keeps each batch, a training its
    checkpoints. Raises InterruptError when the machine is asked to stop; what else goes wrong in a step makes it
    ``failed``, and ends the run where several processes work together, which could no longer agree on the next step.
    """
    result: dict[Step, Done] = {}
    for step, status in statuses.items():
        if status.state in {"done", "cannot run"}:
            result[step] = Done(status)
            continue
        source = source_of(step)
        needed = result[source] if source else None
        if needed and needed.status.state == "failed":
            reason = f"{needed.status.step.name} failed: {needed.status.reason}"
            result[step] = Done(dataclasses.replace(status, state="failed", reason=reason))
            continue
        _check_stop(options.run_options)
        options.log(f"{step.name}:")
        started = time.monotonic()
        try:
            _do(step, status, needed, environment, options)
            ended = dataclasses.replace(status, state="done", reason="")
        except InterruptError:
            raise
        except (PolyvigilError, OSError, MemoryError, RuntimeError) as error:  # RuntimeError: torch's, no memory say
            if launched().size > 1:
                raise
            reason = str(error) or type(error).__name__
            options.log(f"{step.name} failed: {reason}")
            ended = dataclasses.replace(status, state="failed", reason=reason)
        result[step] = Done(ended, time.monotonic() - started)
    return result


def _do(step: Step, status: StepStatus, needed: Done | None, environment: Environment, options: StepOptions) -> None:
    trains = isinstance(step, Training) and status.recipe is not None and status.recipe.encoder is not None
    if launched().rank and not trains:
        while not status.output.exists():  # the first process makes it; its launcher ends this one if it fails
            time.sleep(_POLL_SECONDS)
            _check_stop(options.run_options)
    elif isinstance(step, Translation):
        _translate(step, status, environment, options)
    elif isinstance(step, Training):
        _train(step, status, environment, options)
    elif isinstance(step, Scoring):
        assert needed is not None
        assert environment.test is not None
        started, posts = time.monotonic(), len(environment.test.posts)

        def report(share: float) -> None:
            options.progress("scoring test posts", posts, started, share)
            _check_stop(options.run_options)

        score_test_posts(
            needed.status.output, environment.test, status.output, device=options.run_options.device, progress=report
        )
    else:
        assert needed is not None
        data = _training_data(step.training, needed.status, environment)
        audit_bundle(needed.status.output, data, status.output, device=options.run_options.device)


def _check_stop(options: RunOptions) -> None:
    if options.stop():
        raise InterruptError("the reproduction was stopped", hint="run the same command again: it goes on from here")


def _translate(step: Translation, status: StepStatus, environment: Environment, options: StepOptions) -> None:
    from polyvigil.nn.translator import load_translator

    started = time.monotonic()

    spec = step.spec(environment.scale)
    run_options = options.run_options
    translator = load_translator(status.models[0].source, device=run_options.device, offline=run_options.offline)
    sources = [item for item in environment.data.train if not is_translated(item.post)]
    chosen = [choose(sources, translator, spec, target=target, sources=step.sources) for target in step.to]
    number = sum(len(one.posts) for one in chosen)

    def report(share: float) -> None:
        options.progress("translating", number, started, share)
        _check_stop(run_options)

    status.output.parent.mkdir(parents=True, exist_ok=True)
    rows = translate(
        chosen,
        translator,
        Cache(status.output.parent / "translations.jsonl"),
        batch_tokens=spec.batch_tokens,
        progress=report,
    )
    used = [row for row in rows if _is_used(row, sieved=environment.scale.sieved)]
    if not used:
        raise DataError(f"none of {len(rows):,} translations can be used", where=status.models[0].name)
    aside = [reject_line(row) for row in rows if not _is_used(row, sieved=environment.scale.sieved)]
    if aside:
        write_whole(status.output.with_suffix(".rejects.jsonl"), "".join(aside), replace=True)
    write_translated(status.output, used, replace=True)


def _is_used(row: Translated, *, sieved: bool) -> bool:
    return not row.reason or (not sieved and row.reason not in _ALWAYS_LEFT_OUT)


def _train(step: Training, status: StepStatus, environment: Environment, options: StepOptions) -> None:
    assert status.recipe is not None
    data = _training_data(step, status, environment)
    train_in_this_process(status.recipe, data, output=status.output, options=options.run_options, log=options.log)


def _training_data(step: Training, status: StepStatus, environment: Environment) -> TrainingData:
    """The posts of a training, with translated ones where it takes some."""
    data = of_language(environment.data, step.language)
    if status.translated is None:
        return data
    further = without_translations_of(read_labelled(status.translated).posts, data.dev)
    return dataclasses.replace(data, train=(*data.train, *further))
