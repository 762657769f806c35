"""What ``--dry-run`` prints of a training that was estimated, with nothing fetched or run."""

from __future__ import annotations

from polyvigil.cli.tables import duration, size
from polyvigil.config.model import StackedSpec
from polyvigil.config.recipe import FineTunedRecipe, Recipe
from polyvigil.detect.base import CostEstimate
from polyvigil.workflows.models import models_of

_PAPER_CARD = 12_600_000_000
"""Bytes of a card of 12 GB, as the paper's."""


def estimate_lines(recipe: Recipe, estimate: CostEstimate) -> list[str]:
    """What was estimated from a model's shape, with nothing fetched or run."""
    members, encoder = len(recipe.member_seeds), recipe.encoder
    rows = [("models", ", ".join(model.name for model in models_of(recipe)))]
    if encoder and isinstance(recipe, FineTunedRecipe):
        steps = f"{estimate.steps_per_epoch:,} steps"
        of = f"{estimate.posts_per_epoch:,} posts, about {estimate.tokens_per_epoch:,} tokens, {steps}"
        rows += [
            ("members", f"{members}, one for each seed"),
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


def _fit(estimate: CostEstimate) -> str:
    """Whether an estimate's memory fits its device, or the paper's card where the device's memory is not known."""
    room = estimate.device_memory or _PAPER_CARD
    card = estimate.device if estimate.device_memory else "a card of 12 GB, as the paper has"
    return f"{'fits' if estimate.peak_memory <= room else 'does not fit'} the {room / 1e9:.1f} GB of {card}"
