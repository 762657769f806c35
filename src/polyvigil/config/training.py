"""How a model learns: ``[training]``, ``[adapt]``, ``[lora]``, ``[distil]`` and ``[balance]``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from polyvigil.config.base import Spec

# Settings of every loop that AdamW runs (learn.loop): their ranges and meaning, once. What differs is the default.
Epochs = Annotated[int, Field(ge=1, le=1000)]
PostsPerStep = Annotated[int, Field(ge=1)]
MicroTokens = Annotated[int, Field(ge=8, description="tokens held on the device at once; halved when memory runs out")]
LearningRate = Annotated[float, Field(gt=0)]
WarmupShare = Annotated[float, Field(ge=0, le=1)]
WeightDecay = Annotated[float, Field(ge=0, description="AdamW's, on what weight_decay_on says")]
DecayedWeights = Literal["weights", "all"]
GradientNorm = Annotated[float, Field(gt=0, description="largest norm of a step's gradient")]
Precision = Annotated[Literal["fp32", "bf16", "fp16"], Field(description="fp16 uses a gradient scaler")]
CheckpointMinutes = Annotated[float, Field(ge=0)]
GradientCheckpointing = Annotated[bool, Field(description="less memory for about a third more time")]


RESUMABLE_SETTINGS = {"micro_tokens", "checkpoint_minutes", "gradient_checkpointing"}
"""Settings that move no weight: a resumed run may change them."""


class TrainingSpec(Spec):
    """How an encoder is fine-tuned. Defaults: the paper's recipe (task.md of the paper: 8 posts x 4 accumulations)."""

    epochs: Epochs = Field(default=5, description="passes over the training posts, all of them run")
    posts_per_step: PostsPerStep = Field(default=32, description="posts of one optimiser step (paper: 8 x 4)")
    micro_tokens: MicroTokens = 2048
    learning_rate: LearningRate = Field(
        default=1e-5, description="peak rate of AdamW; cosine to zero after the warm-up"
    )
    warmup: WarmupShare = Field(default=0.1, description="share of the steps over which the rate rises from zero")
    warmup_rounding: Literal["up", "down"] = Field(
        default="up",
        description="warm-up steps that are no whole number: up as Transformers' Trainer, down as the paper",
    )
    last_batch: Literal["kept", "dropped"] = Field(
        default="kept",
        description="posts at the end of an epoch that do not fill a step: a smaller step, or none (paper)",
    )
    weight_decay: WeightDecay = 0.01
    weight_decay_on: DecayedWeights = Field(
        default="weights", description="weights: not biases and layer norms; all: every parameter (paper)"
    )
    clip: GradientNorm = 1.0
    loss: Literal["focal", "cross-entropy"] = Field(default="focal", description="focal: Lin et al. 2017")
    alpha: float = Field(
        default=0.75, gt=0, lt=1, description="focal: weight of the positive class, 1 - alpha of the other"
    )
    gamma: float = Field(default=2.0, ge=0, description="focal: how much easy posts are played down")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1, description="cross-entropy: share given to the other class")
    head: Literal["random", "probe"] = Field(
        default="random",
        description="what the head starts from. random: small random weights; probe: the logistic regression on the "
        "model's vectors of the training posts, as they are before any step (Kumar et al. 2022)",
    )
    sampling: Literal["shuffle", "language"] = Field(
        default="shuffle", description="shuffle: every post once an epoch; language: drawn by share ** temperature"
    )
    temperature: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="language sampling: 1 keeps the shares of the languages, 0 makes them equal",
    )
    precision: Precision = "fp32"
    gradient_checkpointing: GradientCheckpointing = False
    checkpoint_minutes: CheckpointMinutes = Field(
        default=10.0,
        description="a checkpoint to resume from at least this often, and after each epoch; 0: each step",
    )


class AdaptSpec(Spec):
    """Further masked-language training of a backbone on posts without labels, before it is fine-tuned.

    Gururangan et al. 2020; the masks are those of Devlin et al. 2019, sampled again at every step.
    """

    epochs: Epochs = Field(default=3, description="passes over the posts")
    posts_per_step: PostsPerStep = Field(default=64, description="posts of one optimiser step")
    micro_tokens: MicroTokens = 4096
    mask_share: float = Field(
        default=0.15, gt=0, lt=1, description="of the tokens drawn; 80% become the mask, 10% another token, 10% stay"
    )
    learning_rate: LearningRate = Field(default=5e-5, description="peak rate of AdamW; cosine to zero")
    warmup: WarmupShare = Field(
        default=0.06, description="share of the steps over which the rate rises (Liu et al. 2019: 6%)"
    )
    weight_decay: WeightDecay = 0.01
    weight_decay_on: DecayedWeights = Field(
        default="weights", description="weights: not biases and layer norms; all: every parameter"
    )
    clip: GradientNorm = 1.0
    precision: Precision = "fp32"
    gradient_checkpointing: GradientCheckpointing = False
    held_out: float = Field(
        default=0.05, gt=0, lt=1, description="share of the posts that are only looked at, before and after"
    )
    checkpoint_minutes: CheckpointMinutes = Field(
        default=10.0, description="a checkpoint to resume from at least this often; 0: each step"
    )


class LoraSpec(Spec):
    """Small adapters trained instead of the backbone's weights, and the head in full. Hu et al. 2021, section 4.1."""

    rank: int = Field(default=0, ge=0, le=1024, description="of each adapter; 0: no adapters, every weight is trained")
    alpha: int = Field(
        default=16, ge=1, description="adapters are scaled by alpha / rank (Hu et al. 2021, RoBERTa-large: 16, rank 8)"
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="of an adapter's inputs, in training alone")


class DistilSpec(Spec):
    """Learning from a teacher's probabilities beside the labels. Hinton et al. 2015, section 2."""

    teacher: str = Field(default="", description="a bundle whose P(ADE) is learned; empty: labels alone")
    weight: float = Field(
        default=0.5, ge=0, le=1, description="share of the teacher in a labelled post's loss; the label has the rest"
    )
    temperature: float = Field(
        default=1.0, ge=1, le=100, description="flattens both probabilities: their log-odds are divided by it"
    )


class BalanceSpec(Spec):
    """What is done about the rarity of positives, in training alone. It moves thresholds, hardly the ranking."""

    weights: Literal["group", "class", "none"] = Field(
        default="group",
        description="group: positives and negatives weigh the same inside each (language, type); class: over all posts",
    )
    oversample: int = Field(default=1, ge=1, le=100, description="each positive stands this many times (paper: 3)")
