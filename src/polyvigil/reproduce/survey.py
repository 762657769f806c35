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
from polyvigil.specs import Recipe, TranslationSpec
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
    models: dict[str, Model] = {}
    digests = {"train": digest(bench.material.train), "dev": digest(bench.material.dev)}
    found: dict[Step, Standing] = {}
    for step in steps:
        recipe = _recipe(step, bench.scale) if isinstance(step, Training) else None
        names = list(names_in(recipe).values()) if recipe else [step.spec(bench.scale).model]  # type: ignore[union-attr]
        for name in names:
            if name not in models:
                models[name] = find(name, bench.shelf, fetch=fetch)
        mine = tuple(models[name] for name in names)
        reason = _obstacle(step, mine, bench, found)
        if isinstance(step, Translation):
            spec = step.spec(bench.scale)
            output = bench.output / "translated" / f"{step.name}-{_key(_of_spec(step, spec, bench), digests, mine)}.csv"
            begun = False
        else:
            assert recipe is not None
            parts = [recipe.model_dump_json(), step.language, str(layout.SCHEMA)]
            if step.translation:
                parts.append(found[step.translation].output.name)
            used = digests if recipe.learns else {"dev": digests["dev"]}
            output = bench.output / "bundles" / f"{step.name}-{_key(parts, used, mine)}"
            begun = output.with_name(output.name + ".work").is_dir()
            recipe = _recipe(step, bench.scale, models=models)
        known = all(model.version for model in mine) and not reason
        done = known and (output / layout.MANIFEST if recipe else output).is_file()
        state: State = "done" if done else "cannot run" if reason else "begun" if begun else "to do"
        found[step] = Standing(step, state, output, reason, mine, recipe)
    return found


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
        return "; ".join(missing)
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


def _of_spec(step: Translation, spec: TranslationSpec, bench: Bench) -> list[str]:
    settings = spec.model_dump_json(exclude={"batch_tokens"})
    return [settings, *step.to, "from", *step.sources, f"sieved: {bench.scale.sieved}"]


def _key(parts: Sequence[str], digests: Mapping[str, str], models: Sequence[Model]) -> str:
    """10 hexadecimal digits."""
    told = [NORMALISATION, *parts, *(f"{part}: {value}" for part, value in digests.items())]
    told += [f"{model.name}: {model.version}" for model in models]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:10]
