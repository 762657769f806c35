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
from polyvigil.config.model import EncoderSpec, StackedSpec
from polyvigil.config.recipe import Recipe, ZeroShotRecipe
from polyvigil.errors import DataError, PolyvigilError, TrainingError
from polyvigil.learn.disk import DiskUse
from polyvigil.nn.source import weight_numbers
from polyvigil.workflows.learners import Log, RunOptions, learner_of
from polyvigil_gladiators.plan import Step, Training, Translation, source_of
from polyvigil_gladiators.survey import StepStatus

_NUMBER = 4  # bytes of a parameter


def open_models(statuses: Mapping[Step, StepStatus], *, log: Log) -> dict[Step, StepStatus]:
    """The same, but a step whose models cannot be opened cannot run, and neither can what takes its output.

    A step with a model that has yet to be fetched is left as it is.
    """
    checked: dict[Step, StepStatus] = {}
    opened: dict[str, str] = {}
    for step, status in statuses.items():
        checked[step] = status
        source = source_of(step)
        before = checked.get(source) if source else None
        if status.state in {"done", "cannot run"}:
            continue
        if before is not None and before.state == "cannot run":
            checked[step] = dataclasses.replace(status, state="cannot run", reason=before.reason)
            continue
        if not isinstance(step, Translation | Training) or not all(model.version for model in status.models):
            continue
        key = _key(step, status)
        if key not in opened:
            log(f"opening {', '.join(model.name for model in status.models)}")
            opened[key] = _model_error(step, status)
            gc.collect()
        if opened[key]:
            checked[step] = dataclasses.replace(status, state="cannot run", reason=opened[key])
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
    if names and not any(name in _OUTPUT_FOLDERS or name.startswith("reproduction.") for name in names):
        raise DataError("holds files of something else", where=str(output), hint="choose a new folder: -o FOLDER")


_OUTPUT_FOLDERS = {"bundles", "translated", "scores", "audits", "tiny"}


def has_unfetched(statuses: Mapping[Step, StepStatus]) -> bool:
    """Whether a step that can run has a model that has yet to be fetched."""
    return any(
        not model.version for status in statuses.values() if status.state != "cannot run" for model in status.models
    )


def check_room(statuses: Mapping[Step, StepStatus], output: Path) -> None:
    """Raise TrainingError where the disk has less than what all steps leave and the largest training takes meanwhile.

    Sizes follow from those of the model files, which are there; a translation counts for nothing.
    """
    left = meanwhile = 0
    for step, status in statuses.items():
        if not isinstance(step, Training) or status.state not in {"to do", "begun"} or status.recipe is None:
            continue
        use = _disk_use(status.recipe, status)
        left += use.members * use.member
        meanwhile = max(meanwhile, use.most - use.members * use.member if status.recipe.encoder else 0)
    need = left + max(0, meanwhile)
    free = shutil.disk_usage(_existing(output)).free
    if free < need:
        raise TrainingError(
            f"the trainings need {need / 1e9:.1f} GB ({left / 1e9:.1f} GB stay), the disk has {free / 1e9:.1f} GB free",
            where=str(output),
            hint="free some disk, choose another with -o, or run fewer rows: polyvigil reproduce ensemble ...",
        )


def _key(step: Translation | Training, status: StepStatus) -> str:
    """The same for steps that open the same models alike."""
    if isinstance(step, Translation):
        return f"{status.models[0].source} {step.to}"
    assert status.recipe is not None
    return status.recipe.model.model_dump_json()


def _model_error(step: Translation | Training, status: StepStatus) -> str:
    """What is wrong with the models of a step; empty where they can be used."""
    try:
        if isinstance(step, Translation):
            from polyvigil.nn.translator import load_translator

            translator = load_translator(status.models[0].source, device="cpu", offline=True)
            for source in step.sources:
                for target in step.to:
                    translator.check(source, target)
        elif status.recipe is not None:
            _open_recipe(status.recipe)
    except (PolyvigilError, OSError, RuntimeError, MemoryError) as error:
        return str(error) or type(error).__name__
    return ""


def _open_recipe(recipe: Recipe) -> None:
    """Open the models of a recipe as its learner does. Raises what that raises."""
    spec = recipe.model
    if encoder := recipe.encoder:
        _open_encoder(encoder)
    if isinstance(spec, StackedSpec):
        recipe = ZeroShotRecipe(model=spec.further)
    if isinstance(recipe, ZeroShotRecipe):  # taken as it is: to open it is all that its learner does
        learner_of(recipe, Path(), RunOptions("cpu", offline=True), lambda _: None, None).fit((), (), seed=recipe.seed)


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


def _disk_use(recipe: Recipe, status: StepStatus) -> DiskUse:
    sizes = [_NUMBER * weight_numbers(model.source) for model in status.models]
    trained = sizes[0] // _NUMBER if recipe.encoder else 0
    return DiskUse(
        trained=trained,
        member=sum(sizes),
        members=len(recipe.member_seeds),
        trainings=getattr(recipe.model, "folds", 0) + 1,
    )


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())
