"""A model with pickled PyTorch weights as a folder with safetensors, which the program reads: its tensors, and no more.

In: a folder, or a name of the hub. Out: a folder with the same configuration and tokenizer, byte for byte, and the same
tensors under the same names, in the types in which they are stored. The head is kept, whatever it is. This is the only
module that uses nn.pickled, where a pickle is read (docs/decisions/0013-convert.md).
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from polyvigil.bundle.outputs import OutputKind, check_output
from polyvigil.data.atomic import whole_folder
from polyvigil.errors import BundleError, RecipeError
from polyvigil.nn.pickled.process import FileContents, convert_file
from polyvigil.nn.source import TORCH_WEIGHTS, checkpoint_folder, has_safetensors

Log = Callable[[str], None]

_COPIED = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "vocab.json", "vocab.txt", "merges.txt"),
    *("sentencepiece.bpe.model", "spm.model", "spiece.model", "tokenizer.model"),
)
"""Files that are copied where they are there: configuration, tokenizer and generation settings."""
_SPARE_BYTES = 64 * 2**20  # left free on the disk beside the model


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """``files``: what was written, in order; ``dtypes``: tensors of each type, by safetensors' names; ``shared``:
    further names of a tensor, which are not written again, and the name that it stands under."""

    files: tuple[str, ...]
    tensors: int
    bytes: int
    dtypes: dict[str, int]
    shared: dict[str, str]
    seconds: float

    @property
    def has_tokenizer(self) -> bool:
        """Whether any file of a tokenizer was copied."""
        return any(name.startswith(("tokenizer", "vocab", "spm", "sentencepiece")) for name in self.files)


def convert(
    source: str,
    *,
    output: Path,
    revision: str = "",
    offline: bool = False,
    replace: bool = False,
    log: Log = lambda _: None,
    progress: Callable[[float], None] = lambda _: None,
) -> ConvertedModel:
    """Write the model ``source`` to ``output`` with safetensors weights; ``progress`` is given shares of the work.

    Raises RecipeError where the model has safetensors already or no PyTorch weights, where ``output`` exists (unless
    ``replace`` and it is such a model), and where input and output lie in one another; BundleError for weights that are
    damaged or more than a state dict.
    """
    started = time.monotonic()
    check_output(output, CONVERTED_MODEL, replace=replace)
    folder = checkpoint_folder(source, offline=offline, revision=revision)
    _check_apart(folder, output)
    weights = weight_files(folder)
    copied = [name for name in _COPIED if (folder / name).is_file()]
    sizes = {name: (folder / name).stat().st_size for name in weights}
    _check_disk(output, sum(sizes.values()) + sum((folder / name).stat().st_size for name in copied))
    done = 0
    contents: dict[str, FileContents] = {}
    with whole_folder(output, replace=replace) as partial:
        for name, target in weights.items():
            log(f"reading {name} ({sizes[name] / 1e6:,.1f} MB) in a process of its own")
            before, share = done / sum(sizes.values()), sizes[name] / sum(sizes.values())
            contents[target] = convert_file(
                folder / name,
                partial / target,
                lambda part, before=before, share=share: progress(before + part * share),  # type: ignore[misc]
            )
            done += sizes[name]
        if len(weights) > 1 or "model.safetensors" not in contents:
            _write_index(partial, contents, where=source)
        for name in copied:
            shutil.copyfile(folder / name, partial / name)
    return ConvertedModel(
        files=(*contents, *copied),
        tensors=sum(len(one.tensors) for one in contents.values()),
        bytes=sum((output / name).stat().st_size for name in contents),
        dtypes=dict(Counter(tensor.dtype for one in contents.values() for tensor in one.tensors)),
        shared={name: kept for one in contents.values() for name, kept in one.shared.items()},
        seconds=time.monotonic() - started,
    )


def _is_model(folder: Path) -> bool:
    return (folder / "config.json").is_file() and has_safetensors(folder)


CONVERTED_MODEL = OutputKind("model", _is_model, folder=True, error=RecipeError)


def weight_files(folder: Path) -> dict[str, str]:
    """The files with weights in a checkpoint's folder, and the names of those made from them.

    Raises BundleError for an index that cannot be read, and for files that it names and that are not there.
    """
    single, index = (folder / name for name in TORCH_WEIGHTS)
    if single.is_file():
        return {single.name: "model.safetensors"}
    names = sorted(set(_weight_map(index).values()))
    if not names:
        raise BundleError("names no files", where=str(index), hint="copy or fetch the model again")
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(".bin"):
            raise BundleError(f"names {name[:80]!a}, which is no file beside it", where=str(index), hint=_AGAIN)
        if not (folder / name).is_file():
            raise BundleError(f"{name}, which it names, is missing", where=str(index), hint=_AGAIN)
    return {name: f"model-{k:05}-of-{len(names):05}.safetensors" for k, name in enumerate(names, start=1)}


_AGAIN = "copy or fetch the model again"


def _weight_map(index: Path) -> dict[str, str]:
    """Which file holds which tensor."""
    try:
        tree = json.loads(index.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BundleError("is no JSON", where=str(index), hint=_AGAIN) from error
    names = tree.get("weight_map") if isinstance(tree, dict) else None
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise BundleError("holds no weight_map", where=str(index), hint=_AGAIN)
    return names


def _write_index(folder: Path, contents: dict[str, FileContents], *, where: str) -> None:
    """``model.safetensors.index.json``, as transformers writes it. Raises BundleError for a name in two files."""
    files = [(tensor.name, file) for file, one in contents.items() for tensor in one.tensors]
    if len(dict(files)) < len(files):
        twice = next(name for name, count in Counter(name for name, _ in files).items() if count > 1)
        raise BundleError(f"holds {twice} in two files", where=where, hint=_AGAIN)
    total = sum((folder / file).stat().st_size for file in contents)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(files))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _check_apart(folder: Path, output: Path) -> None:
    source, target = folder.resolve(), output.resolve()
    if source == target or source in target.parents or target in source.parents:
        raise RecipeError(
            "input and output lie in one another", where=str(output), hint="choose a folder beside the model's"
        )


def _check_disk(output: Path, needed: int) -> None:
    there = next(path for path in (output.resolve(), *output.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed + _SPARE_BYTES:
        raise RecipeError(
            f"the model takes {needed / 1e9:,.2f} GB, and {free / 1e9:,.2f} GB are free",
            where=str(output),
            hint="free some space, or choose a folder on another disk",
        )
