"""What a training would take, from the model's shape and the posts' lengths alone: nothing is fetched, loaded or run.

In: a shape (nn.shapes), texts, settings, a device's rate (learn.devices). Out: a CostEstimate, with the assumptions
behind it. Time: operations of all passes over the rate, and the bytes that AdamW moves. Memory: 16 bytes for each
trained number (weight, gradient, two moments, fp32), 4 for each other one, and activations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.config.model import EncoderSpec
from polyvigil.config.recipe import FineTunedRecipe, Recipe
from polyvigil.detect.base import CostEstimate
from polyvigil.learn.balance import training_indices
from polyvigil.learn.devices import CONTEXT_BYTES, DeviceRate
from polyvigil.learn.disk import DiskUse
from polyvigil.learn.schedule import steps_per_epoch
from polyvigil.nn.shapes import ModelShape
from polyvigil.nn.windows import LongRule, Reader
from polyvigil.text.normalise import NORMALISATION, model_texts
from polyvigil.text.token_counts import ASSUMPTION, estimated_rows, estimated_tokens
from polyvigil.types import LabelledPost, Post

_TOKENIZER_BYTES = 25_000_000  # of XLM-R: tokenizer.json 17 MB, sentencepiece model 5 MB, and room
_OVERHEAD_BYTES = 200_000  # of a checkpoint: names and shapes of about 400 tensors
_OPTIMISER_BYTES = 32
"""Moved by a step for each trained number: AdamW reads four and writes three (28), clipping reads the gradient (4)."""
_PAIR_TOKENS = 24  # of an NLI hypothesis and what frames it
_SCORING_TOKENS = 2048  # at once


@dataclass(frozen=True, slots=True)
class _Windows:
    """Of each post: ``length`` of its windows, all alike, how ``many``, and their ``operations`` in a forward pass."""

    length: NDArray[np.int64]
    many: NDArray[np.int64]
    operations: NDArray[np.float64]

    @property
    def tokens(self) -> NDArray[np.int64]:
        return self.length * self.many


def estimate_training(
    recipe: FineTunedRecipe,
    shape: ModelShape,
    rate: DeviceRate,
    train: Sequence[LabelledPost],
    dev: Sequence[LabelledPost],
    *,
    unlabelled: Sequence[Post] = (),
) -> CostEstimate:
    """Of one member of a recipe with an encoder of this ``shape``; ``seconds`` of a stack: of all its trainings."""
    spec, training = recipe.encoder, recipe.training
    shape = shape.pooled_by(spec.token_pooling)
    labels = np.array([item.label for item in train], dtype=np.int8)
    posts = [*(item.post for item in train), *unlabelled]
    windows = _windows(posts, spec, shape)
    pool = np.append(training_indices(labels, times=recipe.balance.oversample), np.arange(len(labels), len(posts)))
    steps = steps_per_epoch(len(pool), posts_per_step=training.posts_per_step, last_batch=training.last_batch)
    trainings = getattr(recipe.model, "folds", 0) + 1
    whole = shape.parameters
    fitted = _adapters(shape, recipe.lora.rank) if recipe.lora.rank else whole - _rows_left_out(posts, windows, shape)
    passes = (2 if recipe.lora.rank else 3) + training.gradient_checkpointing
    operations = passes * float(windows.operations[pool].sum())
    operations += float(_windows([item.post for item in dev], spec, shape).operations.sum())
    epoch = operations / rate.operations + steps * _OPTIMISER_BYTES * fitted / rate.bytes
    disk = DiskUse(
        trained=fitted,
        member=4 * shape.parameters + _TOKENIZER_BYTES,
        members=recipe.members,
        trainings=trainings,
        overhead=_OVERHEAD_BYTES,
    )
    return CostEstimate(
        parameters=shape.parameters,
        trained=fitted if recipe.lora.rank else shape.parameters,
        posts_per_epoch=len(pool),
        steps_per_epoch=steps,
        tokens_per_epoch=int(windows.tokens[pool].sum()),
        full=int((windows.length == spec.max_tokens).sum()),
        checkpoint_bytes=disk.checkpoints,
        member_bytes=disk.member,
        most_disk=disk.most,
        seconds=trainings * training.epochs * epoch,
        measured_steps=0,
        peak_memory=training_memory(recipe, shape, rate, fitted=fitted, windows=windows),
        device=rate.name,
        device_memory=rate.memory,
        download=shape.download,
        how=rate.basis,
        assumptions=(
            ASSUMPTION,
            "memory: 16 bytes a trained parameter, the table of words as trimmed as by its usual rows, and activations",
            *_caution(shape),
        ),
    )


def memory_of_weights(recipe: FineTunedRecipe, shape: ModelShape) -> int:
    """Bytes of weights, gradients and two moments in fp32, of the whole table of words; activations come on top."""
    fitted = _adapters(shape, recipe.lora.rank) if recipe.lora.rank else shape.parameters
    return 4 * shape.parameters + 12 * fitted


def training_memory(
    recipe: FineTunedRecipe, shape: ModelShape, rate: DeviceRate, *, fitted: int, windows: _Windows | None = None
) -> int:
    """Bytes at the peak of a step; ``fitted`` numbers are trained. Without ``windows`` a micro-batch is full."""
    training = recipe.training
    tokens, longest = training.micro_tokens, recipe.encoder.max_tokens
    if windows is not None and len(windows.length):
        longest = int(windows.length.max())
        largest = np.sort(windows.tokens)[-training.posts_per_step :].sum()
        tokens = max(longest, min(tokens, int(largest)))
    resident = shape.parameters if recipe.lora.rank else fitted
    casts = 0 if training.precision == "fp32" else 2 * shape.layers * shape.linear  # weights in half precision
    activations = shape.activation_bytes(
        tokens,
        precision=training.precision,
        checkpointing=training.gradient_checkpointing,
        longest=longest if rate.is_cpu else 0,
    )
    return 4 * resident + 12 * fitted + casts + activations + CONTEXT_BYTES


def estimate_scoring(recipe: Recipe, shape: ModelShape, rate: DeviceRate, dev: Sequence[LabelledPost]) -> CostEstimate:
    """Of a zero-shot model, which takes no steps: the dev posts are scored once."""
    further = _PAIR_TOKENS if recipe.model.kind == "nli" else 2 * _PAIR_TOKENS
    limit = getattr(recipe.model, "max_tokens", shape.positions)
    lengths = np.minimum(
        estimated_tokens(model_texts([item.post.text for item in dev], NORMALISATION)) + further, limit
    )
    operations = sum(shape.forward_operations(int(length)) for length in lengths)
    member = 4 * shape.parameters + _TOKENIZER_BYTES
    return CostEstimate(
        parameters=shape.parameters,
        trained=0,
        posts_per_epoch=0,
        steps_per_epoch=0,
        tokens_per_epoch=int(lengths.sum()),
        full=int((lengths == limit).sum()),
        checkpoint_bytes=0,
        member_bytes=member,
        most_disk=member,
        seconds=operations / rate.operations,
        measured_steps=0,
        peak_memory=4 * shape.parameters + _SCORING_TOKENS * 30 * shape.hidden + CONTEXT_BYTES,
        device=rate.name,
        device_memory=rate.memory,
        download=shape.download,
        how=rate.basis,
        assumptions=(ASSUMPTION, *_caution(shape)),
    )


def _caution(shape: ModelShape) -> tuple[str, ...]:
    if shape.weights == "safetensors":
        return ()
    return ("download: whether the hub holds these weights as safetensors is not known; a pickle is never opened",)


def _windows(posts: Sequence[Post], spec: EncoderSpec, shape: ModelShape) -> _Windows:
    """How each post is read, by its estimated tokens."""
    rule = LongRule(spec.long_posts, spec.window_overlap, spec.most_windows)
    reader = Reader(spec.max_tokens, 1, 1, rule)
    tokens = estimated_tokens(model_texts([post.text for post in posts], NORMALISATION))
    length = np.minimum(tokens, spec.max_tokens)
    many = np.ones_like(length)
    if spec.long_posts == "windows":
        for index in np.flatnonzero(tokens > spec.max_tokens):
            many[index] = len(reader.starts(int(tokens[index])))
    by_length = {int(size): shape.forward_operations(int(size)) for size in np.unique(length)}
    return _Windows(length, many, many * np.array([by_length[int(size)] for size in length]))


def _rows_left_out(posts: Sequence[Post], windows: _Windows, shape: ModelShape) -> int:
    """Parameters of the rows of the table of words that no post asks for, which training leaves out (learn.trim)."""
    languages = np.array([post.language.partition("_")[0] for post in posts])
    rows = sum(estimated_rows(int(windows.tokens[languages == name].sum())) for name in np.unique(languages))
    return max(0, shape.vocabulary - rows) * shape.hidden


def _adapters(shape: ModelShape, rank: int) -> int:
    """Parameters of LoRA's adapters on every linear layer, and of the head (learn.lora)."""
    adapters = shape.layers * rank * sum(inputs + outputs for inputs, outputs in shape.linear_layers)
    return adapters + shape.hidden**2 + 3 * shape.hidden + 2
