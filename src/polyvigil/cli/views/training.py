"""A training for people: what it would take, and what each epoch took."""

from __future__ import annotations

from polyvigil.cli.views.table import duration, size, table
from polyvigil.config.model import StackedSpec
from polyvigil.config.recipe import FineTunedRecipe, HybridRecipe, Recipe
from polyvigil.detect.base import CostEstimate, PoolingChoice, TrainingLog
from polyvigil.workflows.models import models_of

_PAPER_CARD = 12_600_000_000
"""Bytes of a card of 12 GB, as the paper's."""
_LONG = {
    "windows": "most of them are longer and are read in windows",
    "head-tail": "most of them have lost their middle",
    "cut": "most of them are cut",
}


def dry_run_lines(recipe: Recipe, estimate: CostEstimate | None) -> list[str]:
    """What a training would take: the first member measured or estimated, the others like it."""
    if isinstance(recipe, HybridRecipe):
        return ["one linear member, seconds to a minute, and:", *dry_run_lines(recipe.parts[-1], estimate)]
    if estimate is not None and not estimate.measured_steps:
        return estimate_lines(recipe, estimate)
    if not recipe.learns:
        return [
            "one zero-shot model, taken as it is (fetched if need be): as long as it takes to score the dev posts",
            "",
        ]
    if not isinstance(recipe, FineTunedRecipe):
        stack = f", learned {recipe.model.folds + 1} times" if isinstance(recipe.model, StackedSpec) else ""
        return [f"one linear model{stack}: no steps, no checkpoints, seconds to a minute", ""]
    encoder = recipe.encoder
    members, epochs = recipe.members, recipe.training.epochs
    if estimate is None:
        return [
            f"{encoder.name} is not on this machine and its shape is not known here: it is fetched when training "
            "begins, and until then nobody knows its time, memory and disk",
            "",
        ]
    steps = f"{estimate.steps_per_epoch:,} steps"
    disk = (
        f"{size(estimate.most_disk)} meanwhile, {size(estimate.checkpoint_bytes)} of it the checkpoints of one member; "
    )
    disk += f"{size(members * estimate.member_bytes)} after it"
    in_all = f"{duration(members * estimate.seconds)} in all"
    rows = [
        ("members", _members(recipe)),
        ("parameters", f"{estimate.parameters / 1e6:,.1f}M, {estimate.trained / 1e6:,.1f}M of them trained"),
        ("epochs", f"{epochs} of {estimate.posts_per_epoch:,} posts, {estimate.tokens_per_epoch:,} tokens, {steps}"),
        ("full length", f"{estimate.full:,} posts fill all {encoder.max_tokens} tokens; {_LONG[encoder.long_posts]}"),
        (
            "time",
            f"about {duration(estimate.seconds)} a member, {in_all}; measured on {estimate.measured_steps} of {steps}",
        ),
        ("memory", f"{estimate.peak_memory / 1e9:.1f} GB at the peak of these steps, on {estimate.device}"),
        ("disk", disk),
    ]
    if isinstance(recipe.model, StackedSpec):
        rows.append(
            ("stack", f"time and checkpoints are of {recipe.model.folds + 1} trainings; the further model is extra")
        )
    return [*(f"{name:<12} {value}" for name, value in rows), ""]


def estimate_lines(recipe: Recipe, estimate: CostEstimate) -> list[str]:
    """What was estimated from a model's shape, with nothing fetched or run."""
    members, encoder = recipe.members, recipe.encoder
    rows = [("models", ", ".join(model.name for model in models_of(recipe)))]
    if encoder and isinstance(recipe, FineTunedRecipe):
        steps = f"{estimate.steps_per_epoch:,} steps"
        of = f"{estimate.posts_per_epoch:,} posts, about {estimate.tokens_per_epoch:,} tokens, {steps}"
        rows += [
            ("members", _members(recipe)),
            ("parameters", f"{estimate.parameters / 1e6:,.1f}M, {estimate.trained / 1e6:,.1f}M of them trained"),
            ("epochs", f"{recipe.training.epochs} of {of}"),
            ("full length", f"about {estimate.full:,} posts fill all {encoder.max_tokens} tokens"),
            ("time", f"about {duration(estimate.seconds)} a member, {duration(members * estimate.seconds)} in all"),
        ]
    else:
        rows += [
            (
                "parameters",
                f"{estimate.parameters / 1e6:,.1f}M, none of them trained: a zero-shot model is taken as it is",
            ),
            (
                "time",
                f"about {duration(estimate.seconds)} for the dev posts, about {estimate.tokens_per_epoch:,} tokens",
            ),
        ]
    disk = f"{size(estimate.most_disk)} meanwhile, {size(members * estimate.member_bytes)} after it"
    rows += [
        ("device", f"{estimate.device}; {estimate.how}"),
        ("memory", f"about {estimate.peak_memory / 1e9:.1f} GB at the peak; {_fit(estimate)}"),
        ("disk", disk),
        (
            "download",
            f"about {size(estimate.download)}, once" if estimate.download else "none: the models are on this machine",
        ),
    ]
    if isinstance(recipe.model, StackedSpec):
        rows.append(("stack", f"time and checkpoints are of {recipe.model.folds + 1} trainings; scoring the posts of "
                     "the folds and the further model are extra"))  # fmt: skip
    rows += [("estimated", text) for text in estimate.assumptions]
    return [*(f"{name:<12} {value}" for name, value in rows), "nothing was fetched or run", ""]


def _members(recipe: FineTunedRecipe) -> str:
    """How many encoders are trained, and for what."""
    if not recipe.folds:
        return f"{recipe.members}, one for each seed"
    seeds = len(recipe.member_seeds)
    of = f"{recipe.folds} folds" if seeds == 1 else f"{recipe.folds} folds and {seeds} seeds"
    return f"{recipe.members}, one for each of {of}; each learns from all folds but its own"


def _fit(estimate: CostEstimate) -> str:
    """Whether an estimate's memory fits its device, or the paper's card where the device's memory is not known."""
    room = estimate.device_memory or _PAPER_CARD
    card = estimate.device if estimate.device_memory else "a card of 12 GB, as the paper has"
    return f"{'fits' if estimate.peak_memory <= room else 'does not fit'} the {room / 1e9:.1f} GB of {card}"


def epoch_lines(name: str, log: TrainingLog) -> list[str]:
    """The training of the member of a seed, and of a fold: the table of the paper's appendix A, and what each epoch
    cost."""
    rows = [
        (
            f"{record.epoch}{' *' if record is log.best else ''}",
            f"{record.loss:.4f}",
            f"{record.learning_rate:.1e}",
            f"{record.dev_f1:.4f}",
            duration(record.seconds),
            f"{record.posts_per_second:,.1f}",
            f"{record.peak_memory / 1e9:.1f} GB",
        )
        for record in log.epochs
    ]
    header = ("epoch", "loss", "lr", "dev F1 (same set)", "time", "posts/s", "memory")
    lines = [f"seed {name}, {log.device}; * the epoch that is kept", "", table(header, rows), ""]
    return [*lines, *_pooling_lines(log.pooling), ""] if log.pooling else lines


def _pooling_lines(choice: PoolingChoice) -> list[str]:
    of = f"{choice.long_posts:,} dev posts of several windows, {choice.long_positives:,} with an ADE"
    if not choice.figures:
        return [f"windows are pooled by {choice.chosen}, as trained; {of}: too few to choose"]
    values = ", ".join(f"{name} {value:.3f}" for name, value in choice.figures.items())
    return [f"windows are pooled by {choice.chosen}, by cross-fitted dev metrics: {values}; {of}"]
