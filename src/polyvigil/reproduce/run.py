"""Do the steps that are missing: translations, then trainings. One that fails is told, and the others go on."""

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
from polyvigil.recipe import run
from polyvigil.recipe.learners import Machine, Say
from polyvigil.reproduce.plan import Step, Training, Translation
from polyvigil.reproduce.posts import of_language
from polyvigil.reproduce.survey import Bench, Standing

Translating = Callable[[float, int, float], None]
_ALWAYS_LEFT_OUT = {"empty", "too-long"}
"""Faults of a translation for which it is left out even where others are let through: there is nothing to learn."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step after the run; ``seconds``: spent on it by this run."""

    standing: Standing
    seconds: float = 0.0


def run_steps(
    standings: Mapping[Step, Standing],
    bench: Bench,
    *,
    machine: Machine,
    say: Say,
    translating: Translating = lambda *_: None,
) -> dict[Step, Done]:
    """Do what is missing of the steps, in their order, their models fetched (survey.survey).

    Ended at any moment, the same call goes on: finished steps stand, a translation keeps each batch, a training its
    checkpoints. ``translating`` is told the share done, in [0, 1], of how many posts, and since when. Raises
    InterruptError when the machine is asked to stop; what else goes wrong in a step makes it ``failed``.
    """
    finished: dict[Step, Done] = {}
    for step, standing in standings.items():
        if standing.state in {"done", "cannot run"}:
            finished[step] = Done(standing)
            continue
        needed = finished[step.translation] if isinstance(step, Training) and step.translation else None
        if needed and needed.standing.state == "failed":
            told = f"{needed.standing.step.name} failed: {needed.standing.reason}"
            finished[step] = Done(dataclasses.replace(standing, state="failed", reason=told))
            continue
        _go_on(machine)
        say(f"{step.name}:")
        started = time.monotonic()
        try:
            if isinstance(step, Translation):
                _translate(step, standing, bench, machine, translating)
            else:
                _train(step, standing, bench, needed, machine, say)
            ended = dataclasses.replace(standing, state="done", reason="")
        except InterruptError:
            raise
        except (PolyvigilError, OSError, MemoryError, RuntimeError) as error:  # RuntimeError: torch's, no memory say
            told = str(error) or type(error).__name__
            say(f"{step.name} failed: {told}")
            ended = dataclasses.replace(standing, state="failed", reason=told)
        finished[step] = Done(ended, time.monotonic() - started)
    return finished


def _go_on(machine: Machine) -> None:
    if machine.stop():
        raise InterruptError("the reproduction was stopped", hint="run the same command again: it goes on from here")


def _translate(step: Translation, standing: Standing, bench: Bench, machine: Machine, translating: Translating) -> None:
    from polyvigil.nn.translator import load_translator

    started = time.monotonic()

    spec = step.spec(bench.scale)
    translator = load_translator(standing.models[0].source, device=machine.device, offline=machine.offline)
    sources = [item for item in bench.material.train if not is_translated(item.post)]
    chosen = [choose(sources, translator, spec, target=target, sources=step.sources) for target in step.to]
    number = sum(len(one.posts) for one in chosen)

    def told(share: float) -> None:
        translating(share, number, started)
        _go_on(machine)

    standing.output.parent.mkdir(parents=True, exist_ok=True)
    rows = translate(
        chosen,
        translator,
        Cache(standing.output.parent / "translations.jsonl"),
        batch_tokens=spec.batch_tokens,
        progress=told,
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


def _train(step: Training, standing: Standing, bench: Bench, needed: Done | None, machine: Machine, say: Say) -> None:
    assert standing.recipe is not None
    material = of_language(bench.material, step.language)
    if needed:
        further = without_translations_of(read_labelled(needed.standing.output).posts, material.dev)
        material = dataclasses.replace(material, train=(*material.train, *further))
    run.train(standing.recipe, material, output=standing.output, machine=machine, say=say)
