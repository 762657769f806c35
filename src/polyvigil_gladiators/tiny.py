"""The tiny scale.

Random models of every kind, some synthetic posts, and settings under which every path runs in minutes.

Nothing measured at this scale means anything; reports say so. Tests use the same models.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertTokenizer,
    DebertaV2Config,
    DebertaV2Tokenizer,
    M2M100Config,
    M2M100ForConditionalGeneration,
    NllbTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    XLMRobertaConfig,
    XLMRobertaTokenizer,
)

from polyvigil.config.model import HYPOTHESES
from polyvigil.data.atomic import whole_folder
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import write_posts
from polyvigil.nn.pretrained import quiet
from polyvigil.nn.translator import CODES
from polyvigil.types import LabelledPost


@dataclass(frozen=True, slots=True)
class Scale:
    """``settings``: what is changed in a recipe, by the kind of its model. ``meaningless``: no metric says anything."""

    name: Literal["full", "tiny"]
    settings: dict[str, tuple[str, ...]]
    negatives: int
    """The most negatives that are translated where some are."""
    sample: int
    """The most posts that are translated where they are sampled at their prevalence."""
    sieved: bool
    """Whether translations that augment.filters finds fault with are left out."""
    batch_tokens: int
    """Tokens translated at once."""

    @property
    def meaningless(self) -> bool:
        return self.name == "tiny"


FULL = Scale("full", settings={}, negatives=6_000, sample=8_280, sieved=True, batch_tokens=2048)
_SHORT = ("training.learning_rate=1e-3",)
TINY = Scale(
    "tiny",
    settings={
        "encoder": ("model.max_tokens=48", *_SHORT),
        "stacked": ("model.base.max_tokens=48", "model.folds=2", *_SHORT),
        "nli": ("model.max_tokens=128",),
    },
    negatives=20,
    sample=36,
    # A random model writes letters at random: hardly any of it would pass, and nothing would be learned from.
    sieved=False,
    batch_tokens=16_384,
)
"""Random weights, synthetic posts: what the paper's recipes are, but for these settings."""


Kind = Literal["xlm-roberta", "deberta-v2", "bert"]


def encoder_folder(
    path: Path, kind: Kind, *, texts: Sequence[str], seed: int = 0, max_tokens: int = 48, layers: int = 2
) -> Path:
    """Write a model folder and return ``path``: it takes posts of up to ``max_tokens``.

    The vocabulary holds every word and every character of ``texts``.
    """
    tokenizer = tokenizer_of(kind, texts)
    config = config_of(kind, len(tokenizer), max_tokens=max_tokens, layers=layers)
    config.initializer_range = 0.2
    return write_random(path, config, tokenizer, seed=seed)


def write_random(
    path: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, *, seed: int, head: bool = False
) -> Path:
    """Write a model of random weights and its tokenizer; ``head`` adds a classifying one. The global random state is
    left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = (AutoModelForSequenceClassification if head else AutoModel).from_config(config)  # type: ignore[no-untyped-call]
    with quiet():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path


def config_of(kind: Kind, vocabulary: int, *, max_tokens: int, layers: int = 2, hidden: int = 32) -> PreTrainedConfig:
    """A small configuration of the kind, for posts of up to ``max_tokens``."""
    if kind == "xlm-roberta":
        make, positions = partial(XLMRobertaConfig, pad_token_id=1), max_tokens + 2
        return sized(make, vocabulary, positions=positions, layers=layers, hidden=hidden)
    if kind == "bert":
        return sized(BertConfig, vocabulary, positions=max_tokens, layers=layers, hidden=hidden)
    make_deberta = partial(  # type: ignore[call-arg]  # as in mDeBERTa v3
        DebertaV2Config,
        relative_attention=True,
        position_buckets=8,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
    )
    return sized(make_deberta, vocabulary, positions=max_tokens, layers=layers, hidden=hidden)


def sized(
    make: Callable[..., PreTrainedConfig], vocabulary: int, *, positions: int, layers: int, hidden: int
) -> PreTrainedConfig:
    """A configuration with odd sizes: none of them equals a default of the library."""
    return make(
        vocab_size=vocabulary + 3,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=37,
        hidden_act="gelu",
        max_position_embeddings=positions,
        layer_norm_eps=1e-4,
    )


def tokenizer_of(kind: Kind, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """A tokenizer of the kind's own class, its vocabulary made of the words and characters of ``texts``."""
    words = sorted({word for text in texts for word in text.split()})
    letters = sorted({letter for word in words for letter in word})
    if kind == "bert":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        pieces = [*special, *words, *letters, *("##" + letter for letter in letters)]
        vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
        return BertTokenizer(vocab=vocabulary, do_lower_case=False)
    pieces = ["▁" + word for word in words] + ["▁", *letters]
    scored = [(piece, -float(index)) for index, piece in enumerate(dict.fromkeys(pieces), start=1)]
    if kind == "deberta-v2":
        special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
        return DebertaV2Tokenizer(vocab=[(token, 0.0) for token in special] + scored, unk_id=3)
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    return XLMRobertaTokenizer(vocab=[(token, 0.0) for token in special] + scored + [("<mask>", 0.0)])


def japanese_folder(path: Path, *, texts: Sequence[str], words: Literal["mecab", "basic"] = "mecab") -> Path:
    """A BERT with the Japanese tokenizer; ``words`` is how it splits: "mecab" needs fugashi, "basic" nothing."""
    encoder_folder(path, "bert", texts=texts)
    letters = sorted({letter for text in texts for letter in text if not letter.isspace()})
    (path / "tokenizer.json").unlink()
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    (path / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    settings = {
        "tokenizer_class": "BertJapaneseTokenizer",
        "word_tokenizer_type": words,
        "subword_tokenizer_type": "character",
        "mecab_kwargs": {"mecab_dic": "unidic_lite"} if words == "mecab" else None,
    }
    (path / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return path


XNLI = ("entailment", "neutral", "contradiction")
_LETTERS = "abcdefghijklmnopqrstuvwxyzäöüßéабвгдежзийклмнопрстуфхцчшщъыьэюяابتجدسلم.,!?'0123456789"


def nli_folder(
    path: Path,
    kind: Kind = "deberta-v2",
    *,
    texts: Sequence[str],
    labels: Sequence[str] = XNLI,
    max_tokens: int = 96,
    seed: int = 0,
) -> Path:
    """Write an NLI model of ``kind`` whose classes have these names, and return ``path``."""
    tokenizer = tokenizer_of(kind, [*texts, *HYPOTHESES.values()])
    config = config_of(kind, len(tokenizer), max_tokens=max_tokens)
    config.initializer_range = 0.3
    config.num_labels = len(labels)
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: number for number, name in enumerate(labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
        for parameter in model.parameters():
            if not parameter.any():  # biases start at 0 and would hide a mistake about them
                torch.nn.init.normal_(parameter, std=0.3)
    with quiet():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path


def gliner_folder(path: Path, *, texts: Sequence[str], seed: int = 0) -> Path:
    """Write a GLiNER2 model over a tiny DeBERTa and return ``path``; its scores differ from word to word."""
    library = import_module("gliner2")
    tokenizer = tokenizer_of("deberta-v2", [*texts, "medicine side effect adverse drug reaction entities"])
    encoder = config_of("deberta-v2", len(tokenizer) + 30, max_tokens=256, layers=1)
    config = library.ExtractorConfig(model_name="tiny", max_width=4)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = library.SpanExtractor(config, encoder_config=encoder, tokenizer=tokenizer).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.12)
    with quiet():
        model.save_pretrained(path)
    return path


def nllb_folder(path: Path, *, languages: Sequence[str] = tuple(CODES.values()), seed: int = 5) -> Path:
    """Write a model of the NLLB family and return ``path``. Its vocabulary is letters; ``languages`` are the codes it
    knows. The global random state is left as it was."""
    vocabulary = {token: index for index, token in enumerate(("<s>", "<pad>", "</s>", "<unk>", "▁", *_LETTERS))}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=list(languages))
    config = M2M100Config(
        vocab_size=len(tokenizer) + 3,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=37,
        decoder_ffn_dim=37,
        max_position_embeddings=1024,
        init_std=0.6,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = M2M100ForConditionalGeneration(config)
        model.generation_config.num_beams = 7  # settings of a folder that must not be heeded
        model.generation_config.max_length = 9
    with quiet():
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return path


_EACH = 12
"""Of the posts of one language, split and label every twelfth is taken."""
LONGEST = 128
"""Tokens that the models with a pair of texts take."""


def tiny_posts(folder: Path) -> Path:
    """Write ``train.csv``, ``dev.csv`` and ``test.csv``, where they are not there yet, and return ``folder``."""
    if not folder.is_dir():
        chosen = _some(sample_corpus())
        with whole_folder(folder, replace=True) as partial:
            for split in ("train", "dev", "test"):
                write_posts(partial / f"{split}.csv", [item for item in chosen if item.post.split == split])
    return folder


def tiny_models(folder: Path) -> Path:
    """Write the models that are not there yet, under the last part of their names on the hub; return ``folder``.

    None of GLiNER2 without that library: rows that need it cannot run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in _makers().items():
        if not (folder / name).is_dir():
            with whole_folder(folder / name, replace=True) as partial:
                make(partial)
    return folder


def one_thread() -> None:
    """Models this small only wait for a second thread, and on a busy machine they wait long. For the whole process."""
    torch.set_num_threads(1)


def _makers() -> dict[str, Callable[[Path], object]]:
    texts = [item.post.text for item in _some(sample_corpus())]
    makers: dict[str, Callable[[Path], object]] = {
        "xlm-roberta-base": lambda path: encoder_folder(path, "xlm-roberta", texts=texts),
        "xlm-roberta-large": lambda path: encoder_folder(path, "xlm-roberta", texts=texts, layers=3, seed=1),
        "mdeberta-v3-base": lambda path: encoder_folder(path, "deberta-v2", texts=texts),
        "bert-large-japanese-v2": lambda path: japanese_folder(path, texts=texts),
        "mDeBERTa-v3-base-mnli-xnli": lambda path: nli_folder(path, texts=texts, max_tokens=LONGEST),
        "nllb-200-distilled-600M": nllb_folder,
    }
    if find_spec("gliner2"):
        makers["gliner2-multi-v1"] = lambda path: gliner_folder(path, texts=texts)
    return makers


def _some(corpus: tuple[LabelledPost, ...]) -> list[LabelledPost]:
    """Posts of all splits, every label of every language among them."""
    groups: dict[tuple[str, str, int], list[LabelledPost]] = defaultdict(list)
    for item in corpus:
        groups[item.post.language, item.post.split, item.label].append(item)
    return [item for items in groups.values() for item in items[::_EACH]]
