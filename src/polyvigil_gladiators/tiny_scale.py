"""What the tiny scale works with: some of the synthetic sample corpus, and a tiny model for each that a row needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from polyvigil.data.atomic import whole_folder
from polyvigil.data.sample import sample_corpus
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost
from polyvigil_gladiators.models import lacking

_EACH = 12
"""Of the posts of one language, split and label every twelfth is taken."""
LONGEST = 128
"""Tokens that the models with a pair of texts take."""


def tiny_posts(folder: Path) -> Path:
    """Write ``train.csv``, ``dev.csv`` and ``test.csv``, where they are not there yet, and return ``folder``."""
    if not folder.is_dir():
        chosen = _some(sample_corpus())
        with whole_folder(folder) as partial:
            for split in ("train", "dev", "test"):
                write_posts(partial / f"{split}.csv", [item for item in chosen if item.post.split == split])
    return folder


def tiny_models(folder: Path) -> Path:
    """Write the models that are not there yet, under the last part of their names on the hub; return ``folder``.

    None without torch and transformers, and none of GLiNER2 without that library: rows that need it cannot run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if lacking(()):
        return folder
    for name, make in _makers().items():
        if not (folder / name).is_dir():
            with whole_folder(folder / name) as partial:
                make(partial)
    return folder


def one_thread() -> None:
    """Models this small only wait for a second thread, and on a busy machine they wait long. For the whole process."""
    if not lacking(()):
        import torch

        torch.set_num_threads(1)


def _makers() -> dict[str, Callable[[Path], object]]:
    from polyvigil_gladiators.tiny import encoder_folder, japanese_folder
    from polyvigil_gladiators.tiny_further import gliner_folder, nli_folder, nllb_folder

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
