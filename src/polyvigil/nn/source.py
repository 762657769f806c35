"""From what a recipe calls a model (a folder, or a name of the Hugging Face hub) to a folder that can be loaded.

Knows file names, no classes. Only JSON, safetensors and vocabularies are read: nothing pickled, no code. Pickled
weights are fetched for ``polyvigil convert`` alone (``checkpoint_folder``).
"""

from __future__ import annotations

import difflib
import hashlib
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

from polyvigil.errors import RecipeError, require

KNOWN_NAMES = (
    "xlm-roberta-base",
    "xlm-roberta-large",
    "FacebookAI/xlm-roberta-base",
    "FacebookAI/xlm-roberta-large",
    "microsoft/mdeberta-v3-base",
    "google-bert/bert-base-multilingual-cased",
    "cardiffnlp/twitter-xlm-roberta-base",
    "tohoku-nlp/bert-large-japanese-v2",
    "tohoku-nlp/bert-base-japanese-v3",
    "cl-tohoku/bert-base-japanese-v3",
    "MoritzLaurer/mDeBERTa-v3-base-mnli-xnli",
    "joeddav/xlm-roberta-large-xnli",
    "fastino/gliner2-multi-v1",
)
"""Names offered when one is misspelt."""

_FETCHED = ["*.json", "*.safetensors", "*.txt", "*.model"]
_SETTINGS = {".json", ".txt", ".model"}
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
TORCH_WEIGHTS = ("pytorch_model.bin", "pytorch_model.bin.index.json")
"""Pickled weights of PyTorch: one file, or the index of several."""
_CHECKPOINT = ("*.json", "*.txt", "*.model", "pytorch_model.bin", "pytorch_model-*.bin")
_OTHER_WEIGHTS = ("model.ckpt.index", "tf_model.h5", "flax_model.msgpack")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spm.model", "tokenizer.model")


def model_folder(source: str, *, offline: bool, revision: str = "", fetched: Sequence[str] = ()) -> Path:
    """The folder of a model, fetched from the hub if need be; ``offline`` uses what was fetched before.

    ``revision``: a branch, tag, commit or pull request of the hub (``refs/pr/5``); empty: the main branch.
    ``fetched``: the files to fetch, by their paths; else the JSON files, weights and vocabularies at the top.

    Raises RecipeError when there is no such folder or name, when a revision is given of a local folder, or when
    configuration, safetensors weights or tokenizer are missing.
    """
    folder = _folder(source, offline=offline, revision=revision, files=fetched)
    _check_files(folder, source)
    return folder


def checkpoint_folder(source: str, *, offline: bool, revision: str = "") -> Path:
    """The folder of a model with pickled PyTorch weights, for ``polyvigil convert``: fetched if need be, never opened.

    Raises RecipeError as ``model_folder`` does for source and revision, when the model has safetensors already (which
    are fetched, so that it can be used at once), and when it has no configuration or no PyTorch weights.
    """
    folder = _folder(source, offline=offline, revision=revision)
    if has_safetensors(folder):
        raise RecipeError(
            "has its weights as safetensors already: there is nothing to convert",
            where=source,
            hint=f"use it as it is: --set model.name={source}"
            + (f" --set model.revision={revision}" if revision else ""),
        )
    if not Path(source).expanduser().is_dir():
        folder = _fetched(source, offline=offline, revision=revision, files=_CHECKPOINT)
    if not (folder / "config.json").is_file():
        raise RecipeError("has no config.json", where=source, hint=_FOLDER_HINT)
    if not any((folder / name).is_file() for name in TORCH_WEIGHTS):
        raise RecipeError(
            f"has no PyTorch weights ({' or '.join(TORCH_WEIGHTS)})",
            where=source,
            hint="run the same command without --offline, which fetches them"
            if offline and not Path(source).expanduser().is_dir()
            else "weights of TensorFlow or Flax are not converted; choose a model or a revision that has others",
        )
    return folder


def has_safetensors(folder: Path) -> bool:
    """Whether a model's folder has weights that this program reads."""
    return any((folder / name).is_file() for name in _WEIGHTS)


def needs_fetching(source: str, *, revision: str = "") -> bool:
    """Whether ``model_folder`` would use the network: the name of a model of the hub that was not fetched before."""
    if Path(source).expanduser().exists() or _looks_like_a_path(source):
        return False
    try:
        _fetched(source, offline=True, revision=revision)
    except RecipeError:
        return True
    return False


def settings_bytes(source: str, *, revision: str = "") -> int:
    """Bytes of the files beside the weights (configuration, tokenizer) of a model that needs no fetching."""
    folder = model_folder(source, offline=True, revision=revision)
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and path.suffix in _SETTINGS)


def weight_numbers(source: str) -> int:
    """How many numbers the safetensors files of a model hold, by their headers; of one that needs no fetching."""
    from safetensors import safe_open

    total = 0
    for path in model_folder(source, offline=True).glob("*.safetensors"):
        with safe_open(path, framework="numpy") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - no dict
    return total


def folder_version(folder: Path) -> str:
    """12 hexadecimal digits of the weights in a model's folder and the files that say how they are used."""
    whole = hashlib.sha256()
    settings = [*folder.glob("*.json"), *folder.glob("encoder_config/*.json")]
    vocabularies = [*folder.glob("*.model"), *folder.glob("*.txt")]
    for path in sorted([*folder.glob("*.safetensors"), *settings, *vocabularies]):
        if path.name == "generation_config.json":  # not heeded (nn.translator)
            continue
        with path.open("rb") as stream:
            whole.update(hashlib.file_digest(stream, "sha256").digest())
    return whole.hexdigest()[:12]


_FOLDER_HINT = "give a folder with config.json, model.safetensors and tokenizer files, or a name of the hub"


def _looks_like_a_path(source: str) -> bool:
    return source.startswith((".", "/", "~")) or "\\" in source or source.count("/") > 1 or source.endswith("/")


def _folder(source: str, *, offline: bool, revision: str, files: Sequence[str] = ()) -> Path:
    """The local folder, or that of the hub's model. Raises RecipeError."""
    folder = Path(source).expanduser()
    if folder.is_dir():
        if revision:
            raise RecipeError(
                f"is a local folder, which has no revision {revision!r}",
                where=source,
                hint="leave the revision out, or give the model's name on the hub",
            )
        return folder
    if folder.exists():
        raise RecipeError("is a file, not a model folder", where=source, hint=_FOLDER_HINT)
    if _looks_like_a_path(source):
        raise RecipeError("no such folder", where=source, hint=_FOLDER_HINT)
    return _fetched(source, offline=offline, revision=revision, files=files)


def _fetched(name: str, *, offline: bool, revision: str = "", files: Sequence[str] = ()) -> Path:
    require("huggingface_hub", extra="encoders", needed_by="fetching a model", where=name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    try:
        folder = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=list(files) or _FETCHED,
            ignore_patterns=None if any("/" in file for file in files) else ["*/*"],
            local_files_only=offline,
        )
    except GatedRepoError as error:
        raise RecipeError(
            "this model is given out on request only",
            where=name,
            hint="accept its terms on huggingface.co, then run: hf auth login",
        ) from error
    except Exception as error:  # the hub's, the network's and a bad name's errors have no common class
        reason = "not fetched before, and fetching is off" if offline else "no network or no such model"
        if revision:
            reason += f" or revision {revision!r}" if not offline else f" (revision {revision!r})"
        known = name in KNOWN_NAMES
        near = [] if known else difflib.get_close_matches(name, KNOWN_NAMES, n=2, cutoff=0.6)
        spelling = f"check the spelling (did you mean {' or '.join(near)}?)" if near else "check the spelling"
        raise RecipeError(reason, where=name, hint=f"give a local folder with the model, or {spelling}") from error
    return Path(folder)


def _check_files(folder: Path, source: str) -> None:
    def has(names: tuple[str, ...]) -> str:
        return next((name for name in names if (folder / name).is_file()), "")

    if not has(("config.json",)):
        adapter = has(("adapter_config.json",))
        hint = "it holds a LoRA adapter: merge it into its model and save that" if adapter else _FOLDER_HINT
        raise RecipeError("has no config.json", where=source, hint=hint)
    if not has(_WEIGHTS):
        other = has((*TORCH_WEIGHTS, *_OTHER_WEIGHTS))
        message = f"has its weights in {other} only" if other else "has no weights (model.safetensors)"
        raise RecipeError(message, where=source, hint=_ways_out(source, convertible=other not in _OTHER_WEIGHTS))
    if not has(_TOKENIZERS):
        raise RecipeError(
            "has no tokenizer files",
            where=source,
            hint="copy tokenizer.json and tokenizer_config.json (or the vocabulary) of the original model into it",
        )


def _ways_out(source: str, *, convertible: bool) -> str:
    """What to do with a model without safetensors: another revision of the hub, or a conversion."""
    name = Path(source).name if Path(source).is_dir() else source.rpartition("/")[2]
    ways = ["take a revision of the hub that has safetensors (model.revision, such as refs/pr/5)"]
    if convertible:
        output = f"{name}-safetensors" if Path(source).is_dir() else f"models/{name}"
        ways.append(f"convert it: polyvigil convert {shlex.quote(source)} -o {shlex.quote(output)}")
    return "only safetensors are read, for other formats can run code; " + ", or ".join(ways)
