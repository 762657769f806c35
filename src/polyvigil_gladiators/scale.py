"""How large a reproduction is: the paper's size, or one that only shows that every path runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Scale:
    """``settings``: what is changed in a recipe, by the kind of its model. ``meaningless``: no figure says anything."""

    name: Literal["full", "tiny"]
    settings: dict[str, tuple[str, ...]]
    negatives: int
    """The most negatives that are translated where some are."""
    sample: int
    """The most posts that are translated where they are sampled at their prevalence."""
    sieved: bool
    """Whether translations that augment.filters finds fault with are left out."""
    batch_tokens: int
    """Tokens translated at once."""

    @property
    def meaningless(self) -> bool:
        return self.name == "tiny"


FULL = Scale("full", settings={}, negatives=6_000, sample=8_280, sieved=True, batch_tokens=2048)
_SHORT = ("training.learning_rate=1e-3",)
TINY = Scale(
    "tiny",
    settings={
        "encoder": ("model.max_tokens=48", *_SHORT),
        "stacked": ("model.base.max_tokens=48", "model.folds=2", *_SHORT),
        "nli": ("model.max_tokens=128",),
    },
    negatives=20,
    sample=36,
    # A random model writes letters at random: hardly any of it would pass, and nothing would be learned from.
    sieved=False,
    batch_tokens=16_384,
)
"""Random weights, synthetic posts: what the paper's recipes are, but for these settings."""
