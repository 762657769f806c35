"""NLLB-200 (NLLB Team 2022): sentences in one language to sentences in another. Weights are safetensors in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForSeq2SeqLM, GenerationConfig, PreTrainedModel

from polyvigil.errors import BundleError, RecipeError, TrainingError
from polyvigil.nn.pretrained import Config, TextTokenizer, check_sizes, move, quiet, read_config, read_tokenizer
from polyvigil.nn.source import folder_version, model_folder

CODES = {
    "de": "deu_Latn",
    "en": "eng_Latn",
    "fa": "pes_Arab",
    "fr": "fra_Latn",
    "ja": "jpn_Jpan",
    "ru": "rus_Cyrl",
    "zh": "zho_Hans",
}
"""The model's names of the languages (FLORES-200)."""
LONGEST = 512
"""Tokens of a source: NLLB was trained on no longer ones."""
_BUCKET = 16  # tokens; sources of one bucket run together, so that nothing depends on a longer neighbour
_ROOM = 32  # tokens that a translation may have beyond twice its source's bucket


class Nllb:
    """A translation model on its device; ``augment.translator.Translator`` says what its methods do."""

    writes_language = True
    longest = LONGEST

    def __init__(
        self, model: PreTrainedModel, tokenizer: TextTokenizer, *, name: str, version: str, beams: int
    ) -> None:
        self.name = name
        self.identity = f"{name}@{version}" + (f", {beams} beams" if beams > 1 else "")
        self._model = model
        self._tokenizer = tokenizer
        self._beams = beams

    def check(self, source: str, target: str) -> None:
        """Raise RecipeError unless both are codes of the task's languages, the model knows them, and they differ."""
        for language in (source, target):
            if language not in CODES:
                raise RecipeError(
                    f"cannot translate {source} to {target}: {language} is not one of {', '.join(CODES)}",
                    hint="choose among these with --from and --to",
                )
            self._code(language)
        if source == target:
            raise RecipeError(f"cannot translate {source} to itself", hint="give another language with --to")

    def sizes(self, texts: Sequence[str], *, source: str) -> list[int]:
        """Tokens of each text, special ones included."""
        return [len(one) for one in self._ids(texts, source)]

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Greedy, or by beams; a translation of over twice its source's tokens and 32 is cut there.

        Texts of about the same length run together and have room by that length alone. Raises RecipeError for a pair
        that ``check`` refuses, TrainingError when memory is too small for one sentence.
        """
        self.check(source, target)
        ids = self._ids(texts, source)
        buckets = np.array([-(-len(one) // _BUCKET) for one in ids], dtype=np.int64)
        result = [""] * len(texts)
        for bucket in np.unique(buckets):
            indices = np.flatnonzero(buckets == bucket)
            for index, text in zip(
                indices, self._generate([ids[p] for p in indices], target, int(bucket)), strict=True
            ):
                result[index] = text
        return result

    def _ids(self, texts: Sequence[str], source: str) -> list[list[int]]:
        if not texts:
            return []
        self._tokenizer.src_lang = CODES[source]
        ids: list[list[int]] = self._tokenizer(list(texts), return_attention_mask=False, verbose=False)["input_ids"]
        return ids

    def _code(self, language: str) -> int:
        number = self._tokenizer.convert_tokens_to_ids(CODES[language])
        if not isinstance(number, int) or number == self._tokenizer.unk_token_id:
            raise RecipeError(
                f"does not know the language {CODES[language]}", where=self.name, hint="use a model of the NLLB family"
            )
        return number

    def _generate(self, ids: Sequence[Sequence[int]], target: str, bucket: int) -> list[str]:
        width = max(map(len, ids))
        pad = self._model.generation_config.pad_token_id
        table = torch.tensor([[*one, *[pad] * (width - len(one))] for one in ids], device=self._model.device)
        mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in ids], device=self._model.device)
        try:
            with torch.inference_mode(), quiet():
                output_ids = self._model.generate(  # type: ignore[operator]  # a mixin's method
                    input_ids=table,
                    attention_mask=mask,
                    forced_bos_token_id=self._code(target),
                    num_beams=self._beams,
                    max_new_tokens=2 * _BUCKET * bucket + _ROOM,
                )
        except torch.OutOfMemoryError as error:
            if len(ids) < 2:
                raise TrainingError(
                    f"no memory to translate one sentence of {width} tokens", hint="use --beams 1, or --device cpu"
                ) from error
            half = len(ids) // 2
            return [*self._generate(ids[:half], target, bucket), *self._generate(ids[half:], target, bucket)]
        texts: list[str] = self._tokenizer.batch_decode(output_ids, skip_special_tokens=True)
        return texts


def load_translator(
    source: str, *, beams: int = 1, device: str = "auto", offline: bool = False, revision: str = ""
) -> Nllb:
    """Load a model of the NLLB family from a local folder or by its name on the Hugging Face hub (``revision`` of it).

    Its own generation settings are not used: what a translation depends on is in its identity. Raises RecipeError when
    the source cannot be used or is no translator, BundleError when its weights are damaged or incomplete.
    """
    folder = model_folder(source, offline=offline, revision=revision)
    with quiet():
        config = read_config(folder, source)
        tokenizer = read_tokenizer(folder, source)
        model = _read_model(folder, source, config)
    check_sizes(model, tokenizer, source, max_tokens=min(LONGEST, config.max_position_embeddings))
    move(model, device)
    name = Path(source).expanduser().resolve().name if Path(source).expanduser().is_dir() else source.rpartition("/")[2]
    return Nllb(model, tokenizer, name=name, version=folder_version(folder), beams=beams)


def _read_model(folder: Path, source: str, config: Config) -> PreTrainedModel:
    if config.model_type != "m2m_100":
        raise RecipeError(
            f"a {config.model_type!r} model does not translate as NLLB does",
            where=source,
            hint="give facebook/nllb-200-distilled-600M, or another model of that family",
        )
    try:
        model, loading_info = AutoModelForSeq2SeqLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (SafetensorError, OSError, RuntimeError) as error:
        raise BundleError("its weights cannot be read", where=source, hint="copy or fetch the model again") from error
    assert isinstance(model, PreTrainedModel)
    lacking = sorted(map(str, {*loading_info["missing_keys"], *loading_info["mismatched_keys"]}))
    if lacking:
        raise BundleError(
            f"{len(lacking)} tensors are missing or of another shape than config.json says, such as {lacking[0]}",
            where=source,
            hint="copy config.json and weights of the same model",
        )
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        decoder_start_token_id=config.decoder_start_token_id,
    )
    return model
