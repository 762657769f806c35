"""From what a recipe calls a model (a folder, or a name of the Hugging Face hub) to a folder that can be loaded.

Knows file names, no classes. Only JSON, safetensors and vocabularies are fetched or read: nothing pickled, no code.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from polyvigil.errors import RecipeError

KNOWN_NAMES = (
    "xlm-roberta-base",
    "xlm-roberta-large",
    "FacebookAI/xlm-roberta-base",
    "FacebookAI/xlm-roberta-large",
    "microsoft/mdeberta-v3-base",
    "google-bert/bert-base-multilingual-cased",
    "cardiffnlp/twitter-xlm-roberta-base",
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
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.ckpt.index", "tf_model.h5")
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spm.model", "tokenizer.model")


def model_folder(source: str, *, offline: bool, fetched: Sequence[str] = ()) -> Path:
    """The folder of a model, fetched from the hub if need be; ``offline`` uses what was fetched before.

    ``fetched``: the files to fetch, by their paths; else the JSON files, weights and vocabularies at the top.

    Raises RecipeError when there is no such folder or name, or when configuration, safetensors weights or tokenizer
    are missing.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if folder.exists():
            raise RecipeError("is a file, not a model folder", where=source, hint=_FOLDER_HINT)
        if _looks_like_a_path(source):
            raise RecipeError("no such folder", where=source, hint=_FOLDER_HINT)
        folder = _fetched(source, offline=offline, files=fetched)
    _check_files(folder, source)
    return folder


def needs_fetching(source: str) -> bool:
    """Whether ``model_folder`` would use the network: the name of a model of the hub that was not fetched before."""
    if Path(source).expanduser().exists() or _looks_like_a_path(source):
        return False
    try:
        _fetched(source, offline=True)
    except RecipeError:
        return True
    return False


def settings_bytes(source: str) -> int:
    """Bytes of the files beside the weights (configuration, tokenizer) of a model that needs no fetching."""
    folder = model_folder(source, offline=True)
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file() and path.suffix in _SETTINGS)


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


def _fetched(name: str, *, offline: bool, files: Sequence[str] = ()) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    try:
        folder = snapshot_download(
            name,
            allow_patterns=list(files) or _FETCHED,
            ignore_patterns=None if files else ["*/*"],
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
        pickled = has(_PICKLED)
        fault = f"has its weights in {pickled} only" if pickled else "has no weights (model.safetensors)"
        hint = f"only safetensors are read, for other formats can run code; {_convert_hint(source)}"
        raise RecipeError(fault, where=source, hint=hint)
    if not has(_TOKENIZERS):
        raise RecipeError(
            "has no tokenizer files",
            where=source,
            hint="copy tokenizer.json and tokenizer_config.json (or the vocabulary) of the original model into it",
        )


def _convert_hint(source: str) -> str:
    return (
        'convert once, if you trust the model: python -c "from transformers import AutoModel, AutoTokenizer; n = '
        f"{source!r}; AutoModel.from_pretrained(n).save_pretrained('converted'); "
        "AutoTokenizer.from_pretrained(n).save_pretrained('converted')\""
    )
