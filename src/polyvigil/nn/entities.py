"""A model of named entities that takes any labels (GLiNER2): the only file that knows the library ``gliner2``.

Words are distinguished at spaces, as in the model's training; Han characters and kana, which are written without, are a
word each, since the model finds runs of few words.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import regex
import torch
from safetensors import SafetensorError

from polyvigil.errors import BundleError, RecipeError, not_installed
from polyvigil.nn.pretrained import move, quiet
from polyvigil.nn.source import model_folder

FILES = (
    *("config.json", "encoder_config/config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "spm.model", "sentencepiece.bpe.model", "vocab.txt"),
)
"""What is fetched of such a model (nn.source.model_folder)."""
_PARTS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}ー]|[^\p{Han}\p{Hiragana}\p{Katakana}ー]+")
_BATCH_SIZE = 8  # texts, of similar length


@dataclass(frozen=True, slots=True)
class Entity:
    """``text[start:end]`` is a ``label``, by a score in [0, 1]."""

    start: int
    end: int
    label: str
    score: float


class EntityFinder:
    """A GLiNER2 model on its device."""

    def __init__(self, model: Any) -> None:
        self._model = model
        default = import_module("gliner2.processing.word_splitter").resolve_word_splitter(None)

        def words(text: str, lower: bool = True) -> Iterator[tuple[str, int, int]]:
            for _, start, end in default(text, lower=False):
                for part in _PARTS.finditer(text, start, end):
                    yield (part[0].lower() if lower else part[0]), part.start(), part.end()

        model.set_word_splitter(words)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self._model.parameters()).device
        return device

    def to(self, device: str) -> None:
        """Move the weights (see nn.pretrained.move)."""
        move(self._model, device)

    def find(
        self, texts: Sequence[str], labels: Sequence[str], *, least_score: float, chunk_words: int
    ) -> list[list[Entity]]:
        """What is found in each text, in the order of ``texts``; by label, then place.

        Entities of one label do not overlap. A text of more than ``chunk_words`` words is read in pieces of so many, an
        eighth of them shared with the next. What stands beside a text moves a score by less than 1e-5.
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        answers = self._model.batch_extract_entities_long(
            [texts[index] for index in order],
            list(labels),
            batch_size=_BATCH_SIZE,
            threshold=least_score,
            include_confidence=True,
            include_spans=True,
            chunk_size=chunk_words,
            chunk_overlap=chunk_words // 8,
        )
        result: list[list[Entity]] = [[] for _ in texts]
        for index, answer in zip(order, answers, strict=True):
            size = len(texts[index])  # the library ends a text with a full stop, and may find it
            result[index] = [
                Entity(hit["start"], min(hit["end"], size), label, float(hit["confidence"]))
                for label in labels
                for hit in answer["entities"].get(label, [])
                if hit["start"] < size
            ]
        return result

    def save(self, folder: Path) -> None:
        """Write configurations, weights (safetensors) and tokenizer, as the library itself would."""
        with quiet():
            self._model.save_pretrained(folder)


def installed() -> bool:
    """Whether the library is there."""
    return find_spec("gliner2") is not None


def load_entity_finder(source: str, *, offline: bool = False, revision: str = "") -> EntityFinder:
    """Load a model in fp32 on the CPU, from a local folder or by its name on the Hugging Face hub (``revision`` of it).

    Code of the model's own is never run, pickles are never opened. Raises RecipeError when the library is not installed
    or the source cannot be used, BundleError when its files are damaged.
    """
    if not installed():
        raise not_installed("gliner2", extra="zero-shot", needed_by="this model", where=source)
    folder = model_folder(source, offline=offline, revision=revision, fetched=FILES)
    _check(folder, source)
    extractor = import_module("gliner2").AutoExtractor
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = extractor.from_pretrained(str(folder), map_location="cpu", attention_backend="standard")
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BundleError(
            f"cannot be read as a GLiNER2 model: {reason}", where=source, hint="copy or fetch the model again"
        ) from error
    return EntityFinder(model.float().eval())


def _check(folder: Path, source: str) -> None:
    """Raise RecipeError for a folder of another kind, and for one in which the library would find code or pickles."""
    for name in ("encoder_config/config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise RecipeError(
                f"has no {name}",
                where=source,
                hint="give a GLiNER2 model, such as fastino/gliner2-multi-v1; those of the older gliner cannot be read",
            )
    for name in ("config.json", "encoder_config/config.json", "tokenizer_config.json"):
        try:
            settings = json.loads((folder / name).read_bytes()) if (folder / name).is_file() else {}
        except ValueError as error:
            raise RecipeError(f"its {name} is not JSON", where=source, hint="copy or fetch the model again") from error
        if not isinstance(settings, dict) or "auto_map" in settings:
            raise RecipeError(
                f"its {name} names code of its own, which is not run",
                where=source,
                hint="choose a model whose architecture transformers itself knows",
            )
