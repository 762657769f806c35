"""The packed forward of an encoder against the same model on padded posts: parity first, then speed on one thread.

    python benchmarks/packing.py [--layers 6] [--width 384] [--posts 128] [--json FILE]

A BERT of this size with random weights reads posts of random tokens whose lengths follow the natural mix of the task
(mean about 41 tokens, median 26, an eighth of the posts long). The other arms: every post padded to 256 in batches of
32, as the paper does; and sorted by length, padded to the longest of a batch within the same budget of tokens.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, BertConfig, BertTokenizer

from polyvigil.nn.encoder import Encoder, TokenIds, load_encoder
from polyvigil.nn.predict import probabilities
from side_by_side import compare, report

LONGEST = 256
VOCABULARY = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384, help="a multiple of 64")
    parser.add_argument("--posts", type=int, default=128)
    parser.add_argument("--budget", type=int, default=2048, help="tokens that go through at once")
    parser.add_argument("--json", help="write the figures here too")
    arguments = parser.parse_args()
    draw = np.random.default_rng(1)
    items = posts(draw, arguments.posts)
    lengths = np.array([len(item) for item in items])
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), layers=arguments.layers, width=arguments.width)
        packed = load_encoder(folder, max_tokens=LONGEST)
        stock = load_encoder(folder, max_tokens=LONGEST, packing=False)
    torch.set_num_threads(1)
    budget = arguments.budget

    ours = probabilities(packed, items, budget=budget)
    apart = max(
        np.abs(ours - padded_to_the_limit(stock, items)).max(),
        np.abs(ours - probabilities(stock, items, budget=budget)).max(),
    )
    if apart > 1e-5:
        raise SystemExit(f"the arms disagree by {apart:.1e}; times would mean nothing")
    ratios = [
        compare(
            f"packed against padded to {LONGEST}",
            lambda: probabilities(packed, items, budget=budget),
            lambda: padded_to_the_limit(stock, items),
        ),
        compare(
            "packed against sorted and padded",
            lambda: probabilities(packed, items, budget=budget),
            lambda: probabilities(stock, items, budget=budget),
        ),
    ]
    notes: dict[str, object] = {
        "torch": torch.__version__,
        "model": f"BERT, {arguments.layers} layers of {arguments.width}",
        "posts": f"{len(items)}, {lengths.sum()} tokens, mean {lengths.mean():.1f}, median {np.median(lengths):.0f}",
        f"padding at {LONGEST}": f"{1 - lengths.mean() / LONGEST:.1%}",
        "largest difference of P": f"{apart:.1e}",
    }
    report(ratios, notes, arguments.json)


def posts(draw: np.random.Generator, count: int) -> list[TokenIds]:
    """Random token ids; seven eighths short posts (log-normal around 24 tokens), one eighth forum posts."""
    short = draw.lognormal(np.log(24), 0.55, size=count)
    forum = draw.normal(150, 70, size=count)
    lengths = np.where(draw.random(count) < 0.125, forum, short).clip(4, LONGEST).astype(int)
    return [draw.integers(5, VOCABULARY, size=length, dtype=np.int32) for length in lengths]


def write_model(folder: Path, *, layers: int, width: int) -> None:
    """A BERT with random weights, and a tokenizer that is never used."""
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        intermediate_size=4 * width,
        initializer_range=0.05,
    )
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    BertTokenizer(
        vocab={token: place for place, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])}
    ).save_pretrained(folder)


def padded_to_the_limit(encoder: Encoder, items: list[TokenIds]) -> NDArray[np.float64]:
    """P(ADE) the paper's way: batches of 32 posts as they come, each post padded to 256 tokens."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(items), 32):
            batch = items[start : start + 32]
            ids = torch.zeros(len(batch), LONGEST, dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, item in enumerate(batch):
                ids[row, : len(item)] = torch.from_numpy(item)
                mask[row, : len(item)] = 1
            logits = encoder.model(input_ids=ids, attention_mask=mask).logits
            found.append(torch.softmax(logits.double(), dim=1)[:, 1].numpy())
    return np.concatenate(found)


if __name__ == "__main__":
    main()
