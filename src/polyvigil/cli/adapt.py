"""``polyvigil adapt``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, Offline, Posts, Replace
from polyvigil.cli.output import Answer, Output, training_options
from polyvigil.errors import RecipeError
from polyvigil.learn.launch import launched

if TYPE_CHECKING:
    from polyvigil.workflows.adapt import Adaptation, AdaptPosts


@command(
    examples=(
        "polyvigil adapt xlm-roberta-base --posts unlabelled.csv --except dev.csv -o adapted",
        "polyvigil adapt my.toml --posts posts.csv -o adapted --set adapt.epochs=5",
    ),
)
def adapt(
    out: Output,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's folder or hub name; or a recipe of an encoder.")
    ],
    posts: Annotated[list[str], typer.Option("--posts", help="Posts to learn from; labels are not read. Repeatable.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the adapted model goes: a folder.")],
    kept_out: Annotated[
        list[str] | None,
        typer.Option("--except", help="Posts whose texts are left out: give your dev and test files. Repeatable."),
    ] = None,
    posts_input: Posts = DEFAULT_POSTS,
    seed: Annotated[int | None, typer.Option(help="The recipe's seed, as --set seed=N.")] = None,
    replace: Replace = False,
    device: Device = "auto",
    offline: Offline = False,
) -> Answer:
    """Go on pre-training an encoder on posts without labels (masked language), for a recipe to fine-tune later.

    Ended at any moment, the same command goes on from its last checkpoint.
    """
    from polyvigil.bundle.outputs import check_output
    from polyvigil.workflows.adapt import ADAPTED_MODEL, gather, recipe_for
    from polyvigil.workflows.adapt import adapt as adapt_model

    if launched().size > 1:
        raise RecipeError("adapting runs in one process", where="torchrun", hint="run polyvigil adapt without it")
    settings = posts_input.all_settings() + ([f"seed={seed}"] if seed is not None else [])
    recipe = recipe_for(model, settings=settings)
    check_output(output, ADAPTED_MODEL, replace=replace, inputs=[model, *posts, *(kept_out or [])])
    corpus = gather(recipe, posts=posts, kept_out=kept_out or (), on_error=posts_input.on_row_error)
    _note_left_out(out, corpus, kept_out or ())
    with training_options(out, "adapting", device=device, offline=offline) as options:
        result = adapt_model(recipe, corpus, output=output, replace=replace, options=options, log=out.log)
    return _answer(out, result, output)


def _note_left_out(out: Output, corpus: AdaptPosts, kept_out: Sequence[str]) -> None:
    """Which posts are not learned from."""
    out.notes(corpus.notes)
    if kept_out:
        out.note(f"{corpus.left_out:,} posts left out: their texts are in {', '.join(Path(f).name for f in kept_out)}")
    else:
        out.note("no file was given with --except: see that no dev or test post is among these")
    if corpus.repeated:
        out.note(f"{corpus.repeated:,} posts left out: their texts came before")


def _answer(out: Output, result: Adaptation, output: Path) -> Answer:
    if result.fresh_head:
        out.warn(
            f"{result.source} has no masked-language head, so a fresh one was trained with it: the fall of the loss is "
            "mostly the head's, and the backbone may have been moved the wrong way; see that a bundle gains by it"
        )
    if result.loss_after >= result.loss_before:
        out.warn("the held-out masked loss did not fall: the adapted model is no better on such posts")
    lines = [
        f"{result.source}, adapted to {result.posts:,} posts in {result.steps:,} steps "
        f"({result.seconds:,.0f} s) -> {output}",
        f"masked loss of {result.held_out:,} held-out posts: {result.loss_before:.4f} before, "
        f"{result.loss_after:.4f} after",
        "",
        f"next: polyvigil train RECIPE --train TRAIN.csv --dev DEV.csv -o BUNDLE --set model.name={output}",
    ]
    return Answer(result.model_dump(mode="json") | {"folder": str(output)}, lines)
