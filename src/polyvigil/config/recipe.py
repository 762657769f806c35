"""A recipe: one training run, from files to a bundle. TOML is read and written in ``config.load``.

There is one class for each kind of model, and it holds the sections that change something for that kind and no others:
a linear model takes no optimiser steps, so its recipe has no ``[training]``. ``Recipe`` is their union; which class a
tree of tables belongs to follows from ``model.kind`` (and, for a stack, from ``model.base.kind``). Fields stand in the
order in which a recipe is written, since a bundle's id covers the written text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, model_validator

from polyvigil.config.base import Spec
from polyvigil.config.data import DataSpec, EncoderDataSpec, FoldedDataSpec
from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import EncoderSpec, HybridSpec, LinearSpec, NerSpec, NliSpec, StackedSpec
from polyvigil.config.training import AdaptSpec, BalanceSpec, DistilSpec, LoraSpec, TrainingSpec

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed stands twice; its members would be the same")
    return seeds


Seeds = Annotated[
    tuple[Seed, ...],
    Field(strict=False, description="encoders: one member for each of these; none: one member, of `seed`"),
    AfterValidator(_distinct),
]


class BaseRecipe(Spec):
    """What every recipe has; the kinds below add their sections."""

    seed: Seed = Field(default=42, description="every random choice follows from it")

    @property
    def member_seeds(self) -> tuple[int, ...]:
        """The seed of each member, in their order: one member, unless ``seeds`` asks for several."""
        return (self.seed,)

    @property
    def encoder(self) -> EncoderSpec | None:
        """The encoder that is fine-tuned, if any: the model or the base of a stacked one."""
        return None

    @property
    def teacher(self) -> DistilSpec | None:
        """How the model learns from a teacher bundle; None without one."""
        return None

    @property
    def learns(self) -> bool:
        """Whether train posts are used at all: a zero-shot model is taken as it is."""
        return True

    @property
    def fits_weights(self) -> bool:
        """Whether the members' weights are fitted to the dev posts; if not, all weigh the same."""
        return False

    @property
    def folds(self) -> int:
        """In how many folds the training posts are dealt where there are no dev posts; 0: some are held out instead."""
        return 0

    @property
    def members(self) -> int:
        """How many members of the kind that takes longest are made."""
        return len(self.member_seeds)


def _folds(data: FoldedDataSpec | EncoderDataSpec) -> int:
    return data.folds if data.folds > 1 else 0


class LinearRecipe(BaseRecipe):
    """A linear model on n-grams. It has one optimum, whatever the seed, so there is one member."""

    data: FoldedDataSpec = FoldedDataSpec()
    model: LinearSpec = LinearSpec()
    balance: BalanceSpec = BalanceSpec()
    decide: DecideSpec = DecideSpec()

    @property
    def folds(self) -> int:
        """``data.folds``, unless it asks for none."""
        return _folds(self.data)


class EncoderRecipe(BaseRecipe):
    """A fine-tuned encoder, one member for each seed, or each seed and fold. It has every section there is."""

    seeds: Seeds = ()
    data: EncoderDataSpec = EncoderDataSpec()
    model: EncoderSpec = EncoderSpec()
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
    def encoder(self) -> EncoderSpec:
        """The model itself."""
        return self.model

    @property
    def teacher(self) -> DistilSpec | None:
        """``[distil]`` where it names a bundle."""
        return self.distil if self.distil.teacher else None

    @property
    def folds(self) -> int:
        """``data.folds``, unless it asks for none."""
        return _folds(self.data)

    @property
    def members(self) -> int:
        """How many encoders are trained: one for each seed, with folds one for each seed and fold."""
        return len(self.member_seeds) * (self.folds or 1)


class ZeroShotRecipe(BaseRecipe):
    """A model that is taken as it is: only thresholds are found, on the dev posts."""

    data: DataSpec = DataSpec()
    model: NliSpec | NerSpec = Field(default=NliSpec(), discriminator="kind")
    decide: DecideSpec = DecideSpec()

    @property
    def learns(self) -> bool:
        """Never: train posts are not used."""
        return False


class StackedRecipe(BaseRecipe):
    """A stack over a fine-tuned encoder, trained once for each fold and once on all. It has no teacher."""

    seeds: Seeds = ()
    data: DataSpec = DataSpec()
    model: StackedSpec = StackedSpec()
    adapt: AdaptSpec = AdaptSpec()
    training: TrainingSpec = TrainingSpec()
    lora: LoraSpec = LoraSpec()
    balance: BalanceSpec = BalanceSpec()
    decide: DecideSpec = DecideSpec()

    @property
    def member_seeds(self) -> tuple[int, ...]:
        """The seed of each member, in their order."""
        return self.seeds or (self.seed,)

    @property
    def encoder(self) -> EncoderSpec:
        """The base of the stack."""
        assert isinstance(self.model.base, EncoderSpec)
        return self.model.base

    @model_validator(mode="after")
    def _over_an_encoder(self) -> StackedRecipe:
        if not isinstance(self.model.base, EncoderSpec):
            raise ValueError("the base is linear: use StackedLinearRecipe, which has no [training]")
        return self


class StackedLinearRecipe(BaseRecipe):
    """A stack over a linear model: no optimiser steps, so no section about them."""

    data: DataSpec = DataSpec()
    model: StackedSpec = StackedSpec(base=LinearSpec())
    balance: BalanceSpec = BalanceSpec()
    decide: DecideSpec = DecideSpec()

    @property
    def base(self) -> LinearSpec:
        """The base of the stack."""
        assert isinstance(self.model.base, LinearSpec)
        return self.model.base

    @model_validator(mode="after")
    def _over_a_linear_model(self) -> StackedLinearRecipe:
        if not isinstance(self.model.base, LinearSpec):
            raise ValueError("the base is an encoder: use StackedRecipe")
        return self


class HybridRecipe(BaseRecipe):
    """A linear member and one encoder for each seed, as one ensemble with fitted weights.

    Each section but ``[data]``, ``[linear_balance]`` and ``[decide]`` is about the encoders.
    """

    seeds: Seeds = ()
    data: EncoderDataSpec = EncoderDataSpec()
    model: HybridSpec = HybridSpec()
    adapt: AdaptSpec = AdaptSpec()
    training: TrainingSpec = TrainingSpec()
    lora: LoraSpec = LoraSpec()
    distil: DistilSpec = DistilSpec()
    balance: BalanceSpec = BalanceSpec()
    linear_balance: BalanceSpec = BalanceSpec()
    decide: DecideSpec = DecideSpec()

    @property
    def member_seeds(self) -> tuple[int, ...]:
        """The seed of each encoder, in their order; the linear member has ``seed``."""
        return self.seeds or (self.seed,)

    @property
    def encoder(self) -> EncoderSpec:
        """What is fine-tuned."""
        return self.model.encoder

    @property
    def teacher(self) -> DistilSpec | None:
        """``[distil]`` where it names a bundle; the linear member learns from labels alone."""
        return self.distil if self.distil.teacher else None

    @property
    def fits_weights(self) -> bool:
        """Always."""
        return True

    @property
    def folds(self) -> int:
        """``data.folds``, unless it asks for none."""
        return _folds(self.data)

    @property
    def members(self) -> int:
        """How many encoders are trained: one for each seed, with folds one for each seed and fold."""
        return len(self.member_seeds) * (self.folds or 1)

    @property
    def parts(self) -> tuple[LinearRecipe, EncoderRecipe]:
        """What makes the members, in their order, each by itself."""
        linear = LinearRecipe(seed=self.seed, model=self.model.linear, balance=self.linear_balance, decide=self.decide)
        encoders = EncoderRecipe(
            seed=self.seed,
            seeds=self.seeds,
            data=self.data,
            model=self.model.encoder,
            adapt=self.adapt,
            training=self.training,
            lora=self.lora,
            distil=self.distil,
            balance=self.balance,
            decide=self.decide,
        )
        return linear, encoders


FineTunedRecipe: TypeAlias = EncoderRecipe | StackedRecipe | HybridRecipe
"""The recipes whose encoder takes optimiser steps: they have ``training``, ``lora``, ``adapt`` and ``seeds``."""

_KINDS = {
    "linear": "linear",
    "encoder": "encoder",
    "nli": "zero-shot",
    "ner": "zero-shot",
    "stacked": "stacked",
    "hybrid": "hybrid",
}
MODEL_KINDS = tuple(_KINDS)
"""The values of ``model.kind``."""


def _tag(tree: Any) -> str | None:
    """Which class of the union a tree of tables, or a recipe, belongs to; an unknown kind has every section."""
    model = _get(tree, "model")
    kind = _get(model, "kind") or "linear"
    tag = _KINDS.get(kind, "encoder") if isinstance(kind, str) else "encoder"
    return "stacked-linear" if tag == "stacked" and _get(_get(model, "base"), "kind") == "linear" else tag


def _get(part: Any, key: str) -> Any:
    return part.get(key) if isinstance(part, Mapping) else getattr(part, key, None)


Recipe: TypeAlias = Annotated[
    Annotated[LinearRecipe, Tag("linear")]
    | Annotated[EncoderRecipe, Tag("encoder")]
    | Annotated[ZeroShotRecipe, Tag("zero-shot")]
    | Annotated[StackedRecipe, Tag("stacked")]
    | Annotated[StackedLinearRecipe, Tag("stacked-linear")]
    | Annotated[HybridRecipe, Tag("hybrid")],
    Discriminator(_tag),
]
"""A recipe of any kind, by ``model.kind``."""

MemberRecipe: TypeAlias = LinearRecipe | EncoderRecipe | ZeroShotRecipe | StackedRecipe | StackedLinearRecipe
"""A recipe whose members are all of one kind."""


def member_recipes(recipe: Recipe) -> tuple[MemberRecipe, ...]:
    """What makes the members of a recipe, in their order: the recipe itself, unless its members differ in kind."""
    return recipe.parts if isinstance(recipe, HybridRecipe) else (recipe,)


RECIPE_KINDS = (EncoderRecipe, LinearRecipe, ZeroShotRecipe, StackedRecipe, StackedLinearRecipe, HybridRecipe)
"""The classes of the union."""

RECIPE_ADAPTER: TypeAdapter[Recipe] = TypeAdapter(Recipe)
"""Checks a tree of tables and makes a recipe of it; ``config.load.parse`` puts its errors into words."""
