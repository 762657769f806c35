"""Where every step stands. Its output is named by a hash of all that it is made from, so one that is there is done.

Recipe, posts, translations and the models' files are in the hash; the place of the models is not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyvigil.bundle import layout
from polyvigil.recipe.load import load, shipped
from polyvigil.recipe.run import Material
from polyvigil.reproduce.models import Model, Shelf, find, lacking, names_in
from polyvigil.reproduce.plan import Step, Training, Translation
from polyvigil.reproduce.posts import digest, of_language
from polyvigil.reproduce.scale import Scale
from polyvigil.specs import Recipe
from polyvigil.text.normalise import NORMALISATION

State = Literal["done", "begun", "to do", "cannot run", "failed"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What a reproduction works with, and the folder that it writes to."""

    output: Path
    scale: Scale
    shelf: Shelf
    material: Material


@dataclass(frozen=True, slots=True)
class Standing:
    """A step and how far it is. ``reason``: why it cannot run or has failed; ``models``: one for each that it needs;
    ``recipe``: of a training, with its models as they are found here."""

    step: Step
    state: State
    output: Path
    reason: str = ""
    models: tuple[Model, ...] = ()
    recipe: Recipe | None = None


def survey(steps: Sequence[Step], bench: Bench, *, fetch: bool = False) -> dict[Step, Standing]:
    """How far every step is, in their order; ``fetch``: models that have yet to be fetched are."""
    recipes = {step: _recipe(step, bench.scale) for step in steps if isinstance(step, Training)}
    models: dict[str, Model] = {}
    digests = {"train": digest(bench.material.train), "dev": digest(bench.material.dev)}
    found: dict[Step, Standing] = {}
    for step in steps:
        if isinstance(step, Translation):
            names = [step.spec(bench.scale).model]
        else:
            names = list(names_in(recipes[step]).values())
        for name in names:
            models[name] = models.get(name) or find(name, bench.shelf, fetch=fetch)
        mine = tuple(models[name] for name in names)
        reason = _obstacle(step, mine, bench, found)
        if isinstance(step, Translation):
            told = _key(_of_translation(step, bench), {"train": digests["train"]}, mine)
            output = file = bench.output / "translated" / f"{step.name}-{told}.csv"
            recipe = None
        else:
            told = _key(_of_training(step, recipes[step], found), _used(recipes[step], digests), mine)
            output = bench.output / "bundles" / f"{step.name}-{told}"
            file = output / layout.MANIFEST
            recipe = _recipe(step, bench.scale, models=models)
        found[step] = Standing(step, _state(mine, reason, output, file), output, reason, mine, recipe)
    return found


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
    there = [path for folder in ("bundles", "translated") for path in sorted((output / folder).glob("[!.]*-*"))]
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
    settings = scale.settings.get(load(path).model.kind, ())
    recipe = load(path, settings=settings)
    named = [
        f"{setting}={json.dumps(models[name].source or name, ensure_ascii=False)}"
        for setting, name in names_in(recipe).items()
        if models
    ]
    return load(path, settings=[*settings, *named])


def _obstacle(step: Step, models: Sequence[Model], bench: Bench, found: Mapping[Step, Standing]) -> str:
    """Why a step cannot run; empty where nothing is known against it."""
    if missing := [model.missing for model in models if model.missing]:
        return "; ".join(dict.fromkeys(missing))
    if isinstance(step, Translation):
        return lacking(())
    if absent := lacking(step.libraries):
        return absent
    if step.translation and found[step.translation].state == "cannot run":
        return found[step.translation].reason
    mine = of_language(bench.material, step.language)
    for part, items in (("train", mine.train), ("dev", mine.dev)):
        if step.language and len({item.label for item in items}) < 2:
            return f"needs {part} posts of both labels in {step.language}"
    return ""


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
