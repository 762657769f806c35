"""What torchrun or ``accelerate launch`` set in this process's environment; imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from polyvigil.config.model import EncoderSpec
from polyvigil.config.recipe import Recipe
from polyvigil.errors import RecipeError

_SHARDED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
}


@dataclass(frozen=True, slots=True)
class Launch:
    """Process ``rank`` (from 0) of ``size``, number ``local_rank`` of its machine. ``sharding``: a way of splitting one
    model over devices that was asked for, which is not there (docs/decisions/0005-no-fsdp.md)."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    sharding: str = ""

    def check(self, recipe: Recipe) -> None:
        """Raise RecipeError for what cannot be trained as it was launched."""
        if self.sharding:
            raise RecipeError(
                f"{self.sharding} is not there: each process holds the whole model, which fits one device",
                where="accelerate launch",
                hint=f"launch without {self.sharding}; where memory is short, choose a LoRA recipe or set "
                "training.gradient_checkpointing = true",
            )
        if self.size > 1 and not isinstance(recipe.model, EncoderSpec):
            raise RecipeError(
                f"a {recipe.model.kind} recipe trains in one process, and {self.size} were started",
                where="model.kind",
                hint="run polyvigil train without torchrun or accelerate launch",
            )


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """This process among those started together: one alone, unless RANK and WORLD_SIZE say otherwise.

    Raises RecipeError when a number there is none.
    """
    sharding = next((name for key, name in _SHARDED.items() if environment.get(key, "").lower() in {"1", "true"}), "")
    try:
        rank, size = int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1"))
        local_rank = int(environment.get("LOCAL_RANK", str(rank)))
    except ValueError as error:
        raise RecipeError(
            f"RANK, WORLD_SIZE and LOCAL_RANK must be numbers ({error})",
            where="the environment",
            hint="let torchrun or accelerate launch set them, or unset them",
        ) from error
    if "RANK" not in environment or size < 2:
        return Launch(sharding=sharding)
    return Launch(rank, size, local_rank, sharding)
