"""How posts are translated for training: options of ``polyvigil augment``, no section of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from polyvigil.config.base import REVISION, Spec


class TranslationSpec(Spec):
    """Which posts are translated for training, and by what (docs/augmentation.md)."""

    model: str = Field(
        default="facebook/nllb-200-distilled-600M",
        description="an NLLB model (NLLB Team 2022): a name on the Hugging Face hub, or a local folder",
    )
    revision: str = Field(default="", description=REVISION)
    beams: int = Field(default=1, ge=1, le=16, description="1 takes the likeliest token each time")
    batch_tokens: int = Field(default=2048, ge=8, description="tokens translated at once, padding and beams counted")
    only: Literal["positives", "negatives", "all"] = Field(
        default="all", description="posts of which label; all keeps the prevalence, and so teaches no shortcut"
    )
    negatives: int | None = Field(default=None, ge=0, description="at most so many negatives, drawn at random")
    most: int | None = Field(
        default=None, ge=1, description="at most so many posts for each target language, drawn at their prevalence"
    )
    seed: int = Field(default=42, ge=0, le=2**32 - 1, description="of the draws")
