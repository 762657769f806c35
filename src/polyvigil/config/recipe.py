"""A recipe: one training run, from files to a bundle. TOML is read and written in ``config.load``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from polyvigil.config.base import Spec
from polyvigil.config.data import DataSpec
from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import EncoderSpec, LinearSpec, NerSpec, NliSpec, StackedSpec
from polyvigil.config.training import AdaptSpec, BalanceSpec, DistilSpec, LoraSpec, TrainingSpec


class Recipe(Spec):
    """One training run, from files to a bundle."""

    seed: int = Field(default=42, ge=0, le=2**32 - 1, description="every random choice follows from it")
    seeds: tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...] = Field(
        default=(), strict=False, description="encoders: one member for each of these; none: one member, of `seed`"
    )
    data: DataSpec = DataSpec()
    model: LinearSpec | EncoderSpec | NliSpec | NerSpec | StackedSpec = Field(
        default=LinearSpec(), discriminator="kind"
    )
    adapt: AdaptSpec = AdaptSpec()
    training: TrainingSpec = TrainingSpec()
    lora: LoraSpec = LoraSpec()
    distil: DistilSpec = DistilSpec()
    balance: BalanceSpec = BalanceSpec()
    decide: DecideSpec = DecideSpec()

    @property
    def member_seeds(self) -> tuple[int, ...]:
        """The seed of each member, in their order."""
        return self.seeds or (self.seed,)

    @property
    def learns(self) -> bool:
        """Whether train posts are used at all: a zero-shot model is taken as it is."""
        return self.model.kind not in {"nli", "ner"}

    @property
    def encoder(self) -> EncoderSpec | None:
        """The encoder that is fine-tuned, if any: the model or the base of a stacked one."""
        spec = self.model.base if isinstance(self.model, StackedSpec) else self.model
        return spec if isinstance(spec, EncoderSpec) else None

    @property
    def idle(self) -> tuple[str, ...]:
        """Settings that mean nothing for this kind of model."""
        if not self.learns:
            return ("seeds", "adapt", "training", "lora", "distil", "balance")
        if self.encoder is None:
            return ("seeds", "adapt", "training", "lora", "distil")
        return ("distil",) if self.model.kind == "stacked" else ()

    @model_validator(mode="before")
    @classmethod
    def _linear_by_default(cls, tree: Any) -> Any:
        model = tree.get("model") if isinstance(tree, dict) else None
        return {**tree, "model": {"kind": "linear", **model}} if isinstance(model, dict) else tree

    @model_validator(mode="after")
    def _encoder_settings(self) -> Recipe:
        if self.model.kind == "linear" and (self.seeds or "training" in self.model_fields_set):
            raise ValueError("seeds and [training] are for encoders; a linear model has one optimum, whatever the seed")
        if self.model.kind == "linear" and {"lora", "distil"} & self.model_fields_set:
            raise ValueError(
                "[lora] and [distil], a teacher, are for encoders; a linear model learns from labels alone"
            )
        if idle := sorted({*self.idle} & (self.model_fields_set - ({"seeds"} if not self.seeds else set()))):
            raise ValueError(f"{', '.join(idle)} would change nothing for this model; leave it out")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed stands twice in seeds; its members would be the same")
        return self
