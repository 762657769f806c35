"""LoRA: small adapters beside the backbone's linear layers are trained, the head in full, all else stands still.

After the training the adapters are added to the weights they stand beside, so that a member is an ordinary model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from polyvigil.config.training import LoraSpec
from polyvigil.errors import RecipeError, require
from polyvigil.nn.encoder import Encoder

if TYPE_CHECKING:
    from peft import LoraModel

_POOLER = "pooler"  # between backbone and head; some pretrained models lack it, so it is trained with the head


@dataclass(frozen=True, slots=True)
class Adapters:
    """Adapters inside of an encoder."""

    tuner: LoraModel

    def merge(self) -> None:
        """Add each adapter to its layer's weight and take it out: the logits stay, the names are as they were."""
        model = self.tuner.merge_and_unload()
        model.requires_grad_(True)


def adapt(encoder: Encoder, *, spec: LoraSpec, seed: int) -> Adapters:
    """Put adapters into ``encoder``, in place, as peft does: W x becomes W x + alpha / rank * B A x (Hu et al. 2021).

    A is random, from ``seed``, B is zero, so the logits are what they were. Every linear layer of the backbone gets one
    (Dettmers et al. 2023 find that attention alone is not enough). From then on adapters and head alone are trained.
    Raises RecipeError where there is no such layer, or no peft.
    """
    require("peft", extra="encoders", needed_by="an adapter", where="lora.rank")
    from peft import LoraConfig, LoraModel

    model = encoder.model
    layers = [
        name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and not _of_head(model, name)
    ]
    if not layers:
        raise RecipeError(
            "the model's backbone has no linear layer that an adapter can stand beside",
            where="lora.rank",
            hint="set lora.rank = 0, which trains every weight",
        )
    config = LoraConfig(r=spec.rank, lora_alpha=spec.alpha, lora_dropout=spec.dropout, target_modules=layers)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        tuner = LoraModel(model, config, "default")
    for name, parameter in model.named_parameters():
        if _of_head(model, name):
            parameter.requires_grad_(True)
    return Adapters(tuner)


def _of_head(model: torch.nn.Module, name: str) -> bool:
    """Whether a module or parameter is the head's, the pooler counted to it."""
    backbone, *rest = name.split(".")
    return backbone != getattr(model, "base_model_prefix", "") or _POOLER in rest
