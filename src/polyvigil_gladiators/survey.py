"""Where every step stands. Its output is named by a hash of all that it is made from, so one that is there is done.

Recipe, posts, translations and the models' files are in the hash; the index of the models is not. Scores of test posts
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
from polyvigil.config.recipe import Recipe
from polyvigil.text.normalise import NORMALISATION
from polyvigil.workflows.models import models_of
from polyvigil_gladiators.environment import Environment
from polyvigil_gladiators.models import Model, find, lacking
from polyvigil_gladiators.plan import Audit, Row, Scoring, Step, Training, Translation
from polyvigil_gladiators.posts import digest, of_language
from polyvigil_gladiators.test_posts import TestPosts
from polyvigil_gladiators.tiny import Scale

State = Literal["done", "begun", "to do", "cannot run", "failed"]


@dataclass(frozen=True, slots=True)
class StepStatus:
    """A step and how far it is. ``reason``: why it cannot run or has failed; ``models``: one for each that it needs;
    of a training ``recipe``, its models as they are found here, and ``translated``, the file of its translations."""

    step: Step
    state: State
    output: Path
    reason: str = ""
    models: tuple[Model, ...] = ()
    recipe: Recipe | None = None
    translated: Path | None = None


def survey(
    steps: Sequence[Step], environment: Environment, *, fetch: bool = False, processes: int = 1
) -> dict[Step, StepStatus]:
    """How far every step is, in their order; ``fetch``: models that have yet to be fetched are; ``processes``: how many
    work together."""
    recipes = {step: _recipe(step, environment.scale) for step in steps if isinstance(step, Training)}
    models: dict[str, Model] = {}
    digests = {"train": digest(environment.data.train), "dev": digest(environment.data.dev)}
    statuses: dict[Step, StepStatus] = {}
    for step in steps:
        if isinstance(step, Scoring | Audit):
            statuses[step] = _after(step, statuses[step.training], environment)
            continue
        if isinstance(step, Translation):
            files: dict[str, tuple[str, ...]] = {step.spec(environment.scale).model: ()}
        else:
            files = {model.name: model.files for model in models_of(recipes[step])}
        for name in files:
            models[name] = models.get(name) or find(name, environment.models, fetch=fetch, files=files[name])
        needed = tuple(models[name] for name in files)
        reason = _obstacle(step, needed, environment, statuses) or _apart(step, recipes, processes)
        if isinstance(step, Translation):
            key = _key(_of_translation(step, environment), {"train": digests["train"]}, needed)
            output = file = environment.output / "translated" / f"{step.name}-{key}.csv"
            recipe, translated = None, None
        else:
            key = _key(_of_training(step, recipes[step], statuses), _used(recipes[step], digests), needed)
            output = environment.output / "bundles" / f"{step.name}-{key}"
            file = output / layout.MANIFEST
            recipe = _recipe(step, environment.scale, models=models)
            translated = statuses[step.translation].output if step.translation else None
        statuses[step] = StepStatus(
            step, _state(needed, reason, output, file), output, reason, needed, recipe, translated
        )
    return statuses


def row_obstacles(rows: Sequence[Row], statuses: Mapping[Step, StepStatus], environment: Environment) -> dict[str, str]:
    """Why rows cannot run, by their names: the first of their steps that cannot, or what is missing of test posts."""
    reasons = {}
    for row in rows:
        steps = [statuses[step] for step in row.steps if not isinstance(step, Scoring)]  # these wait for test posts
        reason = next((status.reason for status in steps if status.state == "cannot run"), "")
        if reason := reason or _test_obstacle(row, environment.test):
            reasons[row.key] = reason
    return reasons


def without_idle(
    statuses: Mapping[Step, StepStatus], rows: Sequence[Row], obstacles: Mapping[str, str]
) -> dict[Step, StepStatus]:
    """The same, but a step that only rows take which cannot run is not begun: it cannot run either."""
    needed = {step for row in rows if row.key not in obstacles for step in row.steps}
    idle = "not begun, for no row that takes it can run"
    return {
        step: status
        if step in needed or status.state in {"done", "cannot run"}
        else dataclasses.replace(status, state="cannot run", reason=idle)
        for step, status in statuses.items()
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


def _after(step: Scoring | Audit, training: StepStatus, environment: Environment) -> StepStatus:
    """How far what takes a bundle is."""
    if isinstance(step, Audit):
        output = environment.output / "audits" / f"{training.output.name}.json"
    else:
        posts = environment.test.digest if environment.test else "none"
        output = environment.output / "scores" / f"{training.output.name}-{posts}.safetensors"
    reason = training.reason if training.state == "cannot run" else ""
    if isinstance(step, Scoring) and environment.test is None:
        reason = reason or f"no test posts: {_GIVE_TEST}"
    is_done = training.state == "done" and output.is_file()
    return StepStatus(step, "cannot run" if reason else "done" if is_done else "to do", output, reason)


def _state(models: Sequence[Model], reason: str, output: Path, file: Path) -> State:
    """``file``: what is there when ``output`` is whole."""
    if reason:
        return "cannot run"
    if all(model.version for model in models) and file.is_file():
        return "done"
    return "begun" if output.with_name(output.name + ".work").is_dir() else "to do"


def leftovers(statuses: Mapping[Step, StepStatus], output: Path) -> tuple[Path, ...]:
    """Bundles, checkpoints and translations of these steps from another recipe, other posts or other models."""
    current = {status.output.name for status in statuses.values()}
    current |= {f"{name}.work" for name in current}
    names = {step.name for step in statuses}
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
    step: Translation | Training, models: Sequence[Model], environment: Environment, statuses: Mapping[Step, StepStatus]
) -> str:
    """Why a step cannot run; empty where nothing is known against it."""
    if missing := [model.missing for model in models if model.missing]:
        return "; ".join(dict.fromkeys(missing))
    if isinstance(step, Translation):
        return lacking(())
    if absent := lacking(step.libraries):
        return absent
    if step.translation and statuses[step.translation].state == "cannot run":
        return statuses[step.translation].reason
    posts = of_language(environment.data, step.language)
    for part, items in (("train", posts.train), ("dev", posts.dev)):
        if len({item.label for item in items}) < 2:
            return f"needs {part} posts of both labels" + (f" in {step.language}" if step.language else "")
    return ""


def _apart(step: Step, recipes: Mapping[Training, Recipe], processes: int) -> str:
    """Why a step cannot run in several processes: those of a stack would have to agree on its folds."""
    if processes == 1 or not isinstance(step, Training) or recipes[step].model.kind != "stacked":
        return ""
    return "a stacked recipe trains in one process: run this row without torchrun"


def _of_translation(step: Translation, environment: Environment) -> list[str]:
    settings = step.spec(environment.scale).model_dump_json(exclude={"batch_tokens"})
    return [settings, *step.to, "from", *step.sources, f"sieved: {environment.scale.sieved}"]


def _of_training(step: Training, recipe: Recipe, statuses: Mapping[Step, StepStatus]) -> list[str]:
    further = statuses[step.translation].output.name if step.translation else ""
    return [recipe.model_dump_json(), step.language, further, f"schema {layout.SCHEMA}"]


def _used(recipe: Recipe, digests: Mapping[str, str]) -> Mapping[str, str]:
    """A zero-shot model learns from no train posts."""
    return digests if recipe.learns else {"dev": digests["dev"]}


def _key(parts: Sequence[str], digests: Mapping[str, str], models: Sequence[Model]) -> str:
    """10 hexadecimal digits."""
    payload = [NORMALISATION, *parts, *(f"{part}: {value}" for part, value in digests.items())]
    payload += [f"{model.name}: {model.version}" for model in models]
    return hashlib.sha256("\0".join(payload).encode()).hexdigest()[:10]
