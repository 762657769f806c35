"""What must hold before the first step is begun: every model opens, every row can end, the disk has room.

A model that is there may still be of no use: weights that are damaged or another model's, a tokenizer whose library is
missing, a head without the classes that are needed. So each is opened by the loader that its step will use, and closed.
"""

from __future__ import annotations

import dataclasses
import gc
import shutil
from collections.abc import Mapping
from pathlib import Path

from polyvigil.bundle.verify import bundle_around
from polyvigil.config.specs import EncoderSpec, Recipe, StackedSpec
from polyvigil.errors import DataError, PolyvigilError, TrainingError
from polyvigil.learn.disk import DiskUse
from polyvigil.nn.source import weight_numbers
from polyvigil.workflows.learners import Machine, Say, learner_of
from polyvigil_gladiators.plan import Step, Training, Translation, source_of
from polyvigil_gladiators.survey import Standing

_NUMBER = 4  # bytes of a parameter


def open_models(standings: Mapping[Step, Standing], *, say: Say) -> dict[Step, Standing]:
    """The same, but a step whose models cannot be opened cannot run, and neither can what takes its output.

    A step with a model that has yet to be fetched is left as it is.
    """
    checked: dict[Step, Standing] = {}
    opened: dict[str, str] = {}
    for step, standing in standings.items():
        checked[step] = standing
        source = source_of(step)
        before = checked.get(source) if source else None
        if standing.state in {"done", "cannot run"}:
            continue
        if before is not None and before.state == "cannot run":
            checked[step] = dataclasses.replace(standing, state="cannot run", reason=before.reason)
            continue
        if not isinstance(step, Translation | Training) or not all(model.version for model in standing.models):
            continue
        key = _key(step, standing)
        if key not in opened:
            say(f"opening {', '.join(model.name for model in standing.models)}")
            opened[key] = _fault(step, standing)
            gc.collect()
        if opened[key]:
            checked[step] = dataclasses.replace(standing, state="cannot run", reason=opened[key])
    return checked


def check_output(output: Path) -> None:
    """Raise DataError where ``output`` lies in a bundle, is no folder, or holds files and nothing of a reproduction."""
    if bundle := bundle_around(output):
        raise DataError(
            "lies in a bundle, which a file more would damage",
            where=str(output),
            hint=f"choose a folder beside {bundle}",
        )
    if not output.exists():
        return
    if not output.is_dir():
        raise DataError("is no folder", where=str(output), hint="choose another: -o FOLDER")
    names = [path.name for path in output.iterdir() if not path.name.startswith(".")]
    if names and not any(name in _OWN_FOLDERS or name.startswith("reproduction.") for name in names):
        raise DataError("holds files of something else", where=str(output), hint="choose a new folder: -o FOLDER")


_OWN_FOLDERS = {"bundles", "translated", "scores", "audits", "tiny"}


def has_unfetched(standings: Mapping[Step, Standing]) -> bool:
    """Whether a step that can run has a model that has yet to be fetched."""
    return any(
        not model.version
        for standing in standings.values()
        if standing.state != "cannot run"
        for model in standing.models
    )


def check_room(standings: Mapping[Step, Standing], output: Path) -> None:
    """Raise TrainingError where the disk has less than what all steps leave and the largest training takes meanwhile.

    Sizes follow from those of the model files, which are there; a translation counts for nothing.
    """
    left = meanwhile = 0
    for step, standing in standings.items():
        if not isinstance(step, Training) or standing.state not in {"to do", "begun"} or standing.recipe is None:
            continue
        use = _disk_use(standing.recipe, standing)
        left += use.members * use.member
        meanwhile = max(meanwhile, use.most - use.members * use.member if standing.recipe.encoder else 0)
    need = left + max(0, meanwhile)
    free = shutil.disk_usage(_existing(output)).free
    if free < need:
        raise TrainingError(
            f"the trainings need {need / 1e9:.1f} GB ({left / 1e9:.1f} GB stay), the disk has {free / 1e9:.1f} GB free",
            where=str(output),
            hint="free some disk, choose another with -o, or run fewer rows: polyvigil reproduce ensemble ...",
        )


def _key(step: Translation | Training, standing: Standing) -> str:
    """The same for steps that open the same models alike."""
    if isinstance(step, Translation):
        return f"{standing.models[0].source} {step.to}"
    assert standing.recipe is not None
    return standing.recipe.model.model_dump_json()


def _fault(step: Translation | Training, standing: Standing) -> str:
    """What is wrong with the models of a step; empty where they can be used."""
    try:
        if isinstance(step, Translation):
            from polyvigil.nn.translator import load_translator

            translator = load_translator(standing.models[0].source, device="cpu", offline=True)
            for source in step.sources:
                for target in step.to:
                    translator.check(source, target)
        elif standing.recipe is not None:
            _open_recipe(standing.recipe)
    except (PolyvigilError, OSError, RuntimeError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""


def _open_recipe(recipe: Recipe) -> None:
    """Open the models of a recipe as its learner does. Raises what that raises."""
    spec = recipe.model
    if encoder := recipe.encoder:
        _open_encoder(encoder)
    if isinstance(spec, StackedSpec):
        recipe = Recipe(model=spec.further)
    if not recipe.learns:  # taken as it is: to open it is all that its learner does
        learner_of(recipe, Path(), Machine("cpu", offline=True), lambda _: None, None).fit((), (), seed=recipe.seed)


def _open_encoder(spec: EncoderSpec) -> None:
    from polyvigil.nn.encoder import load_encoder
    from polyvigil.nn.windows import LongRule

    load_encoder(
        spec.name,
        max_tokens=spec.max_tokens,
        long_posts=LongRule(spec.long_posts, spec.window_overlap, spec.most_windows),
        packing=spec.packing,
        offline=True,
        seed=0,
    )


def _disk_use(recipe: Recipe, standing: Standing) -> DiskUse:
    sizes = [_NUMBER * weight_numbers(model.source) for model in standing.models]
    trained = sizes[0] // _NUMBER if recipe.encoder else 0
    return DiskUse(
        trained=trained,
        member=sum(sizes),
        members=len(recipe.member_seeds),
        trainings=getattr(recipe.model, "folds", 0) + 1,
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())
