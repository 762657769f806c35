"""Do the steps that are missing: translations, trainings, scores of the test posts, audits.

One that fails is reported, and the others go on. Of several processes (learn.ranks) the first does everything, and the
others take part in the trainings of encoders alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from polyvigil.augment.cache import Cache
from polyvigil.augment.choose import choose
from polyvigil.augment.rows import Translated, reject_line, write_translated
from polyvigil.augment.translate import translate
from polyvigil.data.atomic import write_whole
from polyvigil.data.read import read_labelled
from polyvigil.data.translated import is_translated, without_translations_of
from polyvigil.errors import DataError, InterruptError, PolyvigilError
from polyvigil.learn.launch import launched
from polyvigil.workflows import train as training
from polyvigil.workflows.learners import Machine, Say
from polyvigil.workflows.train import Material
from polyvigil_gladiators.after import audit_bundle, score_test_posts
from polyvigil_gladiators.plan import Scoring, Step, Training, Translation, source_of
from polyvigil_gladiators.posts import of_language
from polyvigil_gladiators.survey import Bench, Standing

Progress = Callable[[str, int, float, float], None]
"""What is done, of how many posts, since when (time.monotonic), and which share of it is done, in [0, 1]."""
_ALWAYS_LEFT_OUT = {"empty", "too-long"}
"""Faults of a translation for which it is left out even where others are let through: there is nothing to learn."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Done:
    """A step after the run; ``seconds``: spent on it by this run."""

    standing: Standing
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How the steps are done. ``progress``: see Progress; ``say``: is given a line for each stage."""

    machine: Machine
    say: Say = lambda _: None
    progress: Progress = lambda *_: None


def run_steps(standings: Mapping[Step, Standing], bench: Bench, *, options: RunOptions) -> dict[Step, Done]:
    """Do what is missing of the steps, in their order, their models fetched (survey.survey).

    Ended at any moment, the same call goes on: finished steps stand, a translation keeps each batch, a training its
    checkpoints. Raises InterruptError when the machine is asked to stop; what else goes wrong in a step makes it
    ``failed``, and ends the run where several processes work together, which could no longer agree on the next step.
    """
    finished: dict[Step, Done] = {}
    for step, standing in standings.items():
        if standing.state in {"done", "cannot run"}:
            finished[step] = Done(standing)
            continue
        source = source_of(step)
        needed = finished[source] if source else None
        if needed and needed.standing.state == "failed":
            reason = f"{needed.standing.step.name} failed: {needed.standing.reason}"
            finished[step] = Done(dataclasses.replace(standing, state="failed", reason=reason))
            continue
        _check_stop(options.machine)
        options.say(f"{step.name}:")
        started = time.monotonic()
        try:
            _do(step, standing, needed, bench, options)
            ended = dataclasses.replace(standing, state="done", reason="")
        except InterruptError:
            raise
        except (PolyvigilError, OSError, MemoryError, RuntimeError) as error:  # RuntimeError: torch's, no memory say
            if launched().size > 1:
                raise
            reason = str(error) or type(error).__name__
            options.say(f"{step.name} failed: {reason}")
            ended = dataclasses.replace(standing, state="failed", reason=reason)
        finished[step] = Done(ended, time.monotonic() - started)
    return finished


def _do(step: Step, standing: Standing, needed: Done | None, bench: Bench, options: RunOptions) -> None:
    trains = isinstance(step, Training) and standing.recipe is not None and standing.recipe.encoder is not None
    if launched().rank and not trains:
        while not standing.output.exists():  # the first process makes it; its launcher ends this one if it fails
            time.sleep(_POLL_SECONDS)
            _check_stop(options.machine)
    elif isinstance(step, Translation):
        _translate(step, standing, bench, options)
    elif isinstance(step, Training):
        _train(step, standing, bench, options)
    elif isinstance(step, Scoring):
        assert needed is not None
        assert bench.test is not None
        started, posts = time.monotonic(), len(bench.test.posts)

        def report(share: float) -> None:
            options.progress("scoring test posts", posts, started, share)
            _check_stop(options.machine)

        score_test_posts(
            needed.standing.output, bench.test, standing.output, device=options.machine.device, progress=report
        )
    else:
        assert needed is not None
        material = _material(step.training, needed.standing, bench)
        audit_bundle(needed.standing.output, material, standing.output, device=options.machine.device)


def _check_stop(machine: Machine) -> None:
    if machine.stop():
        raise InterruptError("the reproduction was stopped", hint="run the same command again: it goes on from here")


def _translate(step: Translation, standing: Standing, bench: Bench, options: RunOptions) -> None:
    from polyvigil.nn.translator import load_translator

    started = time.monotonic()

    spec = step.spec(bench.scale)
    machine = options.machine
    translator = load_translator(standing.models[0].source, device=machine.device, offline=machine.offline)
    sources = [item for item in bench.material.train if not is_translated(item.post)]
    chosen = [choose(sources, translator, spec, target=target, sources=step.sources) for target in step.to]
    number = sum(len(one.posts) for one in chosen)

    def report(share: float) -> None:
        options.progress("translating", number, started, share)
        _check_stop(machine)

    standing.output.parent.mkdir(parents=True, exist_ok=True)
    rows = translate(
        chosen,
        translator,
        Cache(standing.output.parent / "translations.jsonl"),
        batch_tokens=spec.batch_tokens,
        progress=report,
    )
    used = [row for row in rows if _is_used(row, sieved=bench.scale.sieved)]
    if not used:
        raise DataError(f"none of {len(rows):,} translations can be used", where=standing.models[0].name)
    aside = [reject_line(row) for row in rows if not _is_used(row, sieved=bench.scale.sieved)]
    if aside:
        write_whole(standing.output.with_suffix(".rejects.jsonl"), "".join(aside))
    write_translated(standing.output, used)


def _is_used(row: Translated, *, sieved: bool) -> bool:
    return not row.reason or (not sieved and row.reason not in _ALWAYS_LEFT_OUT)


def _train(step: Training, standing: Standing, bench: Bench, options: RunOptions) -> None:
    assert standing.recipe is not None
    material = _material(step, standing, bench)
    if launched().rank:  # the first process alone writes the bundle
        training.learn(standing.recipe, material, output=standing.output, machine=options.machine)
    else:
        training.train(standing.recipe, material, output=standing.output, machine=options.machine, say=options.say)


def _material(step: Training, standing: Standing, bench: Bench) -> Material:
    """The posts of a training, with translated ones where it takes some."""
    material = of_language(bench.material, step.language)
    if standing.translated is None:
        return material
    further = without_translations_of(read_labelled(standing.translated).posts, material.dev)
    return dataclasses.replace(material, train=(*material.train, *further))
