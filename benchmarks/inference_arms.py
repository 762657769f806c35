"""Scoring as others do it, text in and P(ADE) out, in the order of the texts; and the bare matrix products of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase, pipeline

from polyvigil.nn.architectures import plan_for
from polyvigil.nn.batching import token_batches
from polyvigil.nn.encoder import Encoder
from synthetic import LONGEST


def paper(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> NDArray[np.float64]:
    """The paper's way: each post tokenised by itself and padded to 256 tokens, batches of 32 as they come."""
    rows = [
        tokenizer(text, padding="max_length", truncation=True, max_length=LONGEST, return_tensors="pt")
        for text in texts
    ]
    found = []
    with torch.inference_mode():
        for start in range(0, len(rows), 32):
            batch = rows[start : start + 32]
            ids, mask = (torch.cat([row[name] for row in batch]) for name in ("input_ids", "attention_mask"))
            logits = model(input_ids=ids, attention_mask=mask).logits
            found.append(torch.softmax(logits.double(), dim=1)[:, 1].numpy())
    return np.concatenate(found)


def hugging_face(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, batch: int
) -> Callable[[], NDArray[np.float64]]:
    """Hugging Face's text-classification pipeline, posts as they come, each batch padded to its longest post."""
    asked: Any = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu", top_k=None)

    def run() -> NDArray[np.float64]:
        answers = asked(list(texts), batch_size=batch, truncation=True, max_length=LONGEST)
        return np.array([next(one["score"] for one in answer if one["label"] == "ade") for answer in answers])

    return run


Shape = tuple[int, int, int]


def products(lengths: NDArray[np.int64], encoder: Encoder, *, budget: int) -> list[Shape]:
    """Rows, inputs and outputs of every linear layer of our forward pass, batch by batch."""
    config: Any = encoder.model.config
    plan = plan_for(encoder.model, config.to_dict())
    if plan is None:
        raise SystemExit("this architecture does not run without padding")
    names = plan.architecture
    of_all_tokens = names.attention_in[-2:]  # keys and values
    shapes = []
    for batch in token_batches(lengths, budget=budget):
        tokens, posts = int(lengths[batch].sum()), len(batch)
        for layer in range(plan.layers):
            first_only = plan.pooled == "first" and layer == plan.layers - 1
            for name in names.linears:
                linear: Any = encoder.model.get_submodule(f"{plan.layer_name(layer)}.{name}")
                rows = posts if first_only and name not in of_all_tokens else tokens
                shapes.append((rows, linear.in_features, linear.out_features))
    return shapes


def bare(shapes: Sequence[Shape]) -> Callable[[], None]:
    """These products and nothing else, of matrices that lie ready: how fast the machine could be."""
    left = {(rows, inputs): torch.randn(rows, inputs) for rows, inputs, _ in shapes}
    right = {(inputs, outputs): torch.randn(outputs, inputs) for _, inputs, outputs in shapes}

    def run() -> None:
        with torch.inference_mode():
            for rows, inputs, outputs in shapes:
                torch.nn.functional.linear(left[rows, inputs], right[inputs, outputs])

    return run


def operations(shapes: Sequence[Shape]) -> float:
    """Floating-point operations of these products; attention, a few percent more, is left out."""
    return float(sum(2 * rows * inputs * outputs for rows, inputs, outputs in shapes))
