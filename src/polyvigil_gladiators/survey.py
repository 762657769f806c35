"""Where every step stands. Its output is named by a hash of all that it is made from, so one that is there is done.

Recipe, posts, translations and the models' files are in the hash; the place of the models is not. Scores of test posts
and audits are named by their bundle's hash, and by that of the posts.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyvigil.bundle import layout
from polyvigil.config.load import load, shipped
from polyvigil.config.specs import Recipe
from polyvigil.text.normalise import NORMALISATION
from polyvigil.workflows.models import models_of
from polyvigil.workflows.train import Material
from polyvigil_gladiators.models import Model, Shelf, find, lacking
from polyvigil_gladiators.plan import Audit, Row, Scoring, Step, Training, Translation
from polyvigil_gladiators.posts import digest, of_language
from polyvigil_gladiators.scale import Scale
from polyvigil_gladiators.test_posts import TestPosts

State = Literal["done", "begun", "to do", "cannot run", "failed"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a reproduction works with, and the folder that it writes to."""

    output: Path
    scale: Scale
    shelf: Shelf
    material: Material
    test: TestPosts | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A step and how far it is. ``reason``: why it cannot run or has failed; ``models``: one for each that it needs;
    of a training ``recipe``, its models as they are found here, and ``translated``, the file of its translations."""

    step: Step
    state: State
    output: Path
    reason: str = ""
    models: tuple[Model, ...] = ()
    recipe: Recipe | None = None
    translated: Path | None = None


def survey(steps: Sequence[Step], bench: Bench, *, fetch: bool = False, processes: int = 1) -> dict[Step, Standing]:
    """How far every step is, in their order; ``fetch``: models that have yet to be fetched are; ``processes``: how many
    work together."""
    recipes = {step: _recipe(step, bench.scale) for step in steps if isinstance(step, Training)}
    models: dict[str, Model] = {}
    digests = {"train": digest(bench.material.train), "dev": digest(bench.material.dev)}
    found: dict[Step, Standing] = {}
    for step in steps:
        if isinstance(step, Scoring | Audit):
            found[step] = _after(step, found[step.training], bench)
            continue
        if isinstance(step, Translation):
            files: dict[str, tuple[str, ...]] = {step.spec(bench.scale).model: ()}
        else:
            files = {model.name: model.files for model in models_of(recipes[step])}
        for name in files:
            models[name] = models.get(name) or find(name, bench.shelf, fetch=fetch, files=files[name])
        needed = tuple(models[name] for name in files)
        reason = _obstacle(step, needed, bench, found) or _apart(step, recipes, processes)
        if isinstance(step, Translation):
            told = _key(_of_translation(step, bench), {"train": digests["train"]}, needed)
            output = file = bench.output / "translated" / f"{step.name}-{told}.csv"
            recipe, translated = None, None
        else:
            told = _key(_of_training(step, recipes[step], found), _used(recipes[step], digests), needed)
            output = bench.output / "bundles" / f"{step.name}-{told}"
            file = output / layout.MANIFEST
            recipe = _recipe(step, bench.scale, models=models)
            translated = found[step.translation].output if step.translation else None
        found[step] = Standing(step, _state(needed, reason, output, file), output, reason, needed, recipe, translated)
    return found


def row_obstacles(rows: Sequence[Row], standings: Mapping[Step, Standing], bench: Bench) -> dict[str, str]:
    """Why rows cannot run, by their names: the first of their steps that cannot, or what is missing of test posts."""
    reasons = {}
    for row in rows:
        steps = [standings[step] for step in row.steps if not isinstance(step, Scoring)]  # these wait for test posts
        reason = next((standing.reason for standing in steps if standing.state == "cannot run"), "")
        if reason := reason or _test_obstacle(row, bench.test):
            reasons[row.key] = reason
    return reasons


def without_idle(
    standings: Mapping[Step, Standing], rows: Sequence[Row], obstacles: Mapping[str, str]
) -> dict[Step, Standing]:
    """The same, but a step that only rows take which cannot run is not begun: it cannot run either."""
    needed = {step for row in rows if row.key not in obstacles for step in row.steps}
    idle = "not begun, for no row that takes it can run"
    return {
        step: standing
        if step in needed or standing.state in {"done", "cannot run"}
        else dataclasses.replace(standing, state="cannot run", reason=idle)
        for step, standing in standings.items()
    }


def _test_obstacle(row: Row, test: TestPosts | None) -> str:
    if row.test and test is None:
        return f"{NO_LABELS if row.test == 'labels' else 'no test posts'}: {_GIVE_TEST}"
    if row.test == "labels" and test and not test.has_labels:
        return f"{NO_LABELS} in {test.name}"
    if row.test == "fa" and test and not any(post.language == "fa" for post in test.posts):
        return f"no posts in fa among the test posts: {_GIVE_TEST}"
    return ""


NO_LABELS = "no test labels"
_GIVE_TEST = "give the task's test file, --test FILE"


def _after(step: Scoring | Audit, training: Standing, bench: Bench) -> Standing:
    """How far what takes a bundle is."""
    if isinstance(step, Audit):
        output = bench.output / "audits" / f"{training.output.name}.json"
    else:
        posts = bench.test.digest if bench.test else "none"
        output = bench.output / "scores" / f"{training.output.name}-{posts}.safetensors"
    reason = training.reason if training.state == "cannot run" else ""
    if isinstance(step, Scoring) and bench.test is None:
        reason = reason or f"no test posts: {_GIVE_TEST}"
    is_done = training.state == "done" and output.is_file()
    return Standing(step, "cannot run" if reason else "done" if is_done else "to do", output, reason)


def _state(models: Sequence[Model], reason: str, output: Path, file: Path) -> State:
    """``file``: what is there when ``output`` is whole."""
    if reason:
        return "cannot run"
    if all(model.version for model in models) and file.is_file():
        return "done"
    return "begun" if output.with_name(output.name + ".work").is_dir() else "to do"


def leftovers(standings: Mapping[Step, Standing], output: Path) -> tuple[Path, ...]:
    """Bundles, checkpoints and translations of these steps from another recipe, other posts or other models."""
    current = {standing.output.name for standing in standings.values()}
    current |= {f"{name}.work" for name in current}
    names = {step.name for step in standings}
    folders = ("bundles", "translated")
    there = [path for folder in folders for path in sorted((output / folder).glob("[!.]*-*"))]
    return tuple(
        path
        for path in there
        if path.name not in current
        and path.name.partition(".")[0].rpartition("-")[0] in names
        and path.suffix in {"", ".work", ".csv"}
    )


def _recipe(step: Training, scale: Scale, *, models: Mapping[str, Model] | None = None) -> Recipe:
    """The shipped recipe at this scale; with ``models``, each model by where it was found."""
    path = str(shipped()[step.recipe])
    settings = list(scale.settings.get(load(path).model.kind, ()))
    if step.seeds:
        settings.append(f"seeds={list(step.seeds)}")
    recipe = load(path, settings=settings)
    named = [
        f"{model.setting}={json.dumps(models[model.name].source or model.name, ensure_ascii=False)}"
        for model in models_of(recipe)
        if models
    ]
    return load(path, settings=[*settings, *named])


def _obstacle(
    step: Translation | Training, models: Sequence[Model], bench: Bench, found: Mapping[Step, Standing]
) -> str:
    """Why a step cannot run; empty where nothing is known against it."""
    if missing := [model.missing for model in models if model.missing]:
        return "; ".join(dict.fromkeys(missing))
    if isinstance(step, Translation):
        return lacking(())
    if absent := lacking(step.libraries):
        return absent
    if step.translation and found[step.translation].state == "cannot run":
        return found[step.translation].reason
    own = of_language(bench.material, step.language)
    for part, items in (("train", own.train), ("dev", own.dev)):
        if len({item.label for item in items}) < 2:
            return f"needs {part} posts of both labels" + (f" in {step.language}" if step.language else "")
    return ""


def _apart(step: Step, recipes: Mapping[Training, Recipe], processes: int) -> str:
    """Why a step cannot run in several processes: those of a stack would have to agree on its folds."""
    if processes == 1 or not isinstance(step, Training) or recipes[step].model.kind != "stacked":
        return ""
    return "a stacked recipe trains in one process: run this row without torchrun"


def _of_translation(step: Translation, bench: Bench) -> list[str]:
    settings = step.spec(bench.scale).model_dump_json(exclude={"batch_tokens"})
    return [settings, *step.to, "from", *step.sources, f"sieved: {bench.scale.sieved}"]


def _of_training(step: Training, recipe: Recipe, found: Mapping[Step, Standing]) -> list[str]:
    further = found[step.translation].output.name if step.translation else ""
    return [recipe.model_dump_json(), step.language, further, f"schema {layout.SCHEMA}"]


def _used(recipe: Recipe, digests: Mapping[str, str]) -> Mapping[str, str]:
    """A zero-shot model learns from no train posts."""
    return digests if recipe.learns else {"dev": digests["dev"]}


def _key(parts: Sequence[str], digests: Mapping[str, str], models: Sequence[Model]) -> str:
    """10 hexadecimal digits."""
    told = [NORMALISATION, *parts, *(f"{part}: {value}" for part, value in digests.items())]
    told += [f"{model.name}: {model.version}" for model in models]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:10]
