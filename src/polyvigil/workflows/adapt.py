"""From posts without labels and a model to a model that knows how such posts are written: a folder, no bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyvigil.bundle.outputs import OutputKind, check_output
from polyvigil.config.load import find, load, shipped
from polyvigil.config.model import EncoderSpec
from polyvigil.config.recipe import FineTunedRecipe
from polyvigil.data.atomic import whole_folder
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.read import OnError, read_unlabelled
from polyvigil.errors import DataError, RecipeError, require
from polyvigil.text.normalise import NORMALISATION, model_text, no_text_reason
from polyvigil.types import Frozen
from polyvigil.workflows.learners import RunOptions
from polyvigil.workflows.work_folder import check_work_folder, work_folder

Log = Callable[[str], None]
RECORD_FILE = "adaptation.json"
_LEAST_POSTS = 20
_HERE = RunOptions()


class Adaptation(Frozen):
    """What was done: ``adaptation.json`` in the folder. Losses are means over masked tokens of held-out posts."""

    source: str
    posts: int
    held_out: int
    left_out: int
    """Posts whose text is one of those to be kept out."""
    repeated: int
    """Posts whose text came before."""
    epochs: int
    steps: int
    seconds: float
    loss_before: float
    loss_after: float
    fresh_head: bool
    """Whether the source had no masked-language head, so that a random one was made."""


@dataclass(frozen=True, slots=True)
class AdaptPosts:
    """Texts, normalised, each once; ``held_out`` are only looked at."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    left_out: int
    repeated: int
    notes: tuple[str, ...]


def recipe_for(model_or_recipe: str, *, settings: Sequence[str]) -> FineTunedRecipe:
    """A recipe by its file or name, or one for a model given by its folder or name. Raises RecipeError for a recipe
    without an encoder."""
    if model_or_recipe in shipped() or Path(model_or_recipe).suffix == ".toml":
        recipe = load(str(find(model_or_recipe)), settings=settings)
    else:
        recipe = load(str(find("adapt")), settings=settings)
        spec = recipe.model
        assert isinstance(spec, EncoderSpec)
        recipe = recipe.model_copy(update={"model": spec.model_copy(update={"name": model_or_recipe})})
    if not isinstance(recipe, FineTunedRecipe):
        raise RecipeError(
            f"a {recipe.model.kind} recipe has no encoder to adapt",
            where=model_or_recipe,
            hint="name a recipe of an encoder, or a model's folder or name",
        )
    return recipe


def gather(
    recipe: FineTunedRecipe, *, posts: Sequence[str], kept_out: Sequence[str] = (), on_error: OnError = "quarantine"
) -> AdaptPosts:
    """Read the posts, without those whose text is in a file of ``kept_out``. Raises DataError for under 20 texts."""
    files = [read_unlabelled(path, recipe.data, on_error=on_error) for path in posts]
    banned = [read_unlabelled(path, recipe.data, on_error=on_error) for path in kept_out]
    readable = [
        post for file in files for post in file.posts if not no_text_reason(model_text(post.text, NORMALISATION))
    ]
    out = np.isin(post_hashes(readable), post_hashes(post for file in banned for post in file.posts))
    rest = [post for post, gone in zip(readable, out.tolist(), strict=True) if not gone]
    texts = list(dict.fromkeys(model_text(post.text, NORMALISATION) for post in rest))
    if len(texts) < _LEAST_POSTS:
        raise DataError(
            f"{len(texts)} different texts are too few to adapt to", where="--posts", hint="give thousands of posts"
        )
    random = np.random.default_rng(np.random.SeedSequence([recipe.seed, len(texts)]))
    aside = np.zeros(len(texts), dtype=bool)
    aside[random.permutation(len(texts))[: max(1, round(recipe.adapt.held_out * len(texts)))]] = True
    return AdaptPosts(
        train=tuple(text for text, one in zip(texts, aside.tolist(), strict=True) if not one),
        held_out=tuple(text for text, one in zip(texts, aside.tolist(), strict=True) if one),
        left_out=int(out.sum()),
        repeated=len(rest) - len(texts),
        notes=tuple(note for file in (*files, *banned) for note in file.notes),
    )


def adapt(
    recipe: FineTunedRecipe,
    posts: AdaptPosts,
    *,
    output: Path,
    replace: bool = False,
    options: RunOptions = _HERE,
    log: Log = lambda _: None,
) -> Adaptation:
    """Train the recipe's encoder further and write it to ``output``, a folder that a recipe may name as model.name.

    Keeps checkpoints in ``OUTPUT.work``; the same call after an interruption goes on from there. Raises RecipeError
    where ``output`` exists, or torch is missing; and as learn.adapt does.
    """
    check_output(output, ADAPTED_MODEL, replace=replace)
    check_work_folder(work := work_folder(output), seeds=None)
    spec = recipe.encoder
    require("torch", "transformers", extra="encoders", needed_by="adapting an encoder", where="model.kind")
    from polyvigil.learn.adapt import adapt as train
    from polyvigil.learn.loop import TrainingCallbacks
    from polyvigil.nn.masked import load_masked_model

    model = load_masked_model(
        spec.name, max_tokens=spec.max_tokens, offline=options.offline, revision=spec.revision, seed=recipe.seed
    )
    if model.fresh_head:
        log(f"{spec.name} has no masked-language head: a fresh one is drawn, and much of the training goes into it")
    model.to(options.device)
    log(f"adapting {spec.name} to {len(posts.train):,} posts; {len(posts.held_out):,} are only looked at")
    done = train(
        model,
        model.tokenise(posts.train),
        model.tokenise(posts.held_out),
        spec=recipe.adapt,
        seed=recipe.seed,
        source=spec.model_dump_json(),
        work=work,
        callbacks=TrainingCallbacks(log, options.progress, options.stop),
    )
    adaptation = Adaptation(
        source=spec.name,
        posts=len(posts.train),
        held_out=len(posts.held_out),
        left_out=posts.left_out,
        repeated=posts.repeated,
        epochs=recipe.adapt.epochs,
        steps=done.steps,
        seconds=done.seconds,
        loss_before=done.before,
        loss_after=done.after,
        fresh_head=model.fresh_head,
    )
    with whole_folder(output, replace=replace) as partial:
        model.save(partial)
        (partial / RECORD_FILE).write_text(adaptation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(work, ignore_errors=True)
    return adaptation


ADAPTED_MODEL = OutputKind(
    "adapted model", lambda folder: (folder / RECORD_FILE).is_file(), folder=True, error=RecipeError
)
