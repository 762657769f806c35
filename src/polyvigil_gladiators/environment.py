"""What a reproduction works with: the posts, the models, the scale, and the folder that everything goes to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from polyvigil.errors import RecipeError
from polyvigil.learn.launch import launched
from polyvigil.learn.ranks import this_rank
from polyvigil.workflows.learners import Log
from polyvigil.workflows.train import TrainingData
from polyvigil_gladiators.models import ModelFolder
from polyvigil_gladiators.posts import Files, read
from polyvigil_gladiators.test_posts import TestPosts, check_unseen, read_test
from polyvigil_gladiators.tiny import FULL, TINY, Scale, one_thread, tiny_models, tiny_posts


@dataclass(frozen=True, slots=True)
class Environment:
    """What a reproduction works with, and the folder that it writes to."""

    output: Path
    scale: Scale
    models: ModelFolder
    data: TrainingData
    test: TestPosts | None = None


def open_environment(
    files: Files,
    *,
    models: Path | None,
    output: Path,
    scale: Literal["full", "tiny"],
    offline: bool,
    log: Log = lambda _: None,
) -> Environment:
    """Read the posts of ``files``, and name the folder of the models; at the tiny scale those not given are made.

    Raises RecipeError for ``models`` that is no folder, or no posts at full scale; DataError and SplitError as reading
    does.
    """
    tiny = scale == "tiny"
    has_posts = bool(files.data or files.train or files.dev)
    if models and models.exists() and not models.is_dir():
        raise RecipeError("is no folder", where=f"--models {models}", hint="give a folder of model folders")
    if not tiny and not has_posts:
        raise RecipeError(
            "which posts?",
            where="--data",
            hint="give the shared task's, with --data or --train and --dev; or --scale tiny",
        )
    if tiny:
        one_thread()
    if tiny and not (has_posts and models):
        log("making synthetic posts and models with random weights")
    if launched().rank:
        wait_for_all_processes()  # the first process makes them
    posts = files if has_posts else Files(data=(tiny_posts(output / "tiny" / "data"),), test=files.test)
    folder = models or (tiny_models(output / "tiny" / "models") if tiny else None)
    if not launched().rank:
        wait_for_all_processes()
    resolved = posts.resolved
    data, test = read(resolved), read_test(resolved.test)
    if test:
        check_unseen(test, data.train, data.dev)
    return Environment(output, TINY if tiny else FULL, ModelFolder(folder, hub=not (tiny or offline)), data, test)


def wait_for_all_processes() -> None:
    """Return once every process of the launch has called this; one process alone does not wait."""
    if launched().size > 1:
        this_rank().wait()
