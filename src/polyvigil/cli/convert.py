"""``polyvigil convert``."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import Offline, Replace
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.workflows.convert import ConvertedModel


@command(
    examples=(
        "polyvigil convert microsoft/mdeberta-v3-base -o models/mdeberta-v3-base",
        "polyvigil convert ./checkpoint -o ./checkpoint-safetensors",
    ),
)
def convert(
    out: Output,
    model: Annotated[str, typer.Argument(help="A model with PyTorch weights: a folder, or a name of the hub.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder that the model will be in.")],
    revision: Annotated[
        str, typer.Option(help="Of the model on the hub: a branch, tag, commit, or as refs/pr/5. Default: main.")
    ] = "",
    offline: Offline = False,
    replace: Replace = False,
) -> Answer:
    """Write a model's PyTorch weights (pytorch_model.bin) as safetensors, running nothing that the file says.

    Its tensors, configuration and tokenizer are kept as they are; a file that holds anything but tensors is refused.
    """
    from polyvigil.workflows.convert import convert as convert_model

    started = time.monotonic()
    result = convert_model(
        model,
        output=output,
        revision=revision,
        offline=offline,
        replace=replace,
        log=out.log,
        progress=lambda share: out.share("converting", started, share),
    )
    out.end_progress()
    if not result.has_tokenizer:
        out.note("the model has no tokenizer files: copy those that it was trained with into the folder")
    return Answer(asdict(result) | {"folder": str(output), "revision": revision}, _lines(result, model, output))


def _lines(result: ConvertedModel, model: str, output: Path) -> list[str]:
    """What was written, and what to do with it."""
    dtypes = ", ".join(f"{count:,} {name}" for name, count in sorted(result.dtypes.items()))
    shared = f"; {len(result.shared):,} more names share one of them" if result.shared else ""
    name = model.rstrip("/").rpartition("/")[2] if not Path(model).expanduser().is_dir() else output.name
    return [
        f"{model} -> {output}: {result.tensors:,} tensors ({dtypes}), {result.bytes / 1e6:,.1f} MB, checked{shared}",
        f"`polyvigil reproduce --models {output.parent}` takes it for the model whose name on the hub ends in "
        f"{output.name}" + ("" if name == output.name else f"; for {model} call the folder {name}"),
        "",
        f"next: polyvigil {_next(output)}",
    ]


def _next(output: Path) -> str:
    """The command that takes such a model: by its architecture and the names of its classes."""
    import json

    config = json.loads((output / "config.json").read_bytes())
    folder = str(output) if output.is_absolute() else f"./{output}"
    if config.get("model_type") == "m2m_100":
        return f"augment translate TRAIN.csv -o FA.csv --to fa --model {folder}"
    classes = config.get("id2label") or {}
    if any(str(name).lower() == "entailment" for name in classes.values()):
        return f"train nli --dev DEV.csv -o BUNDLE --set model.name={folder}"
    recipe = {"deberta-v2": "mdeberta", "xlm-roberta": "xlmr-base"}.get(config.get("model_type"), "RECIPE")
    return f"train {recipe} --train TRAIN.csv --dev DEV.csv -o BUNDLE --set model.name={folder}"
