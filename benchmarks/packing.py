"""The packed forward of an encoder against the same model on padded posts: parity first, then speed on one thread.

    python benchmarks/packing.py [--layers 6] [--width 384] [--posts 1024] [--rounds 5] [--json FILE]

An XLM-R of this size with random weights reads posts of random tokens whose lengths follow the natural mix of the task
(mean about 42 tokens, median 26, an eighth of the posts long). The other arms: every post padded to 256 in batches of
32, as the paper does; and sorted by length, padded to the longest of a batch within the same budget of tokens. All arms
get token ids; making them is in no arm.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.predict import probabilities
from polyvigil.nn.windows import TokenIds
from side_by_side import compare, report
from synthetic import LONGEST, VOCABULARY, padded, posts, words, write_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--width", type=int, default=384, help="a multiple of 64")
    parser.add_argument("--posts", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="rows of the table of word vectors")
    parser.add_argument("--budget", type=int, default=2048, help="tokens that go through at once")
    parser.add_argument("--json", help="write the figures here too")
    arguments = parser.parse_args()
    draw = np.random.default_rng(1)
    items = posts(draw, arguments.posts, words(draw, vocabulary=arguments.vocabulary))
    lengths = np.array([len(item) for item in items])
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), layers=arguments.layers, width=arguments.width, vocabulary=arguments.vocabulary)
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
            rounds=arguments.rounds,
            warm=True,
        ),
        compare(
            "packed against sorted and padded",
            lambda: probabilities(packed, items, budget=budget),
            lambda: probabilities(stock, items, budget=budget),
            rounds=arguments.rounds,
            warm=True,
        ),
    ]
    notes: dict[str, object] = {
        "torch": torch.__version__,
        "model": f"XLM-R, {arguments.layers} layers of {arguments.width}, {arguments.vocabulary:,} words",
        "posts": f"{len(items)}, {lengths.sum()} tokens, mean {lengths.mean():.1f}, median {np.median(lengths):.0f}",
        f"padding at {LONGEST}": f"{1 - lengths.mean() / LONGEST:.1%}",
        "largest difference of P": f"{apart:.1e}",
    }
    report(ratios, notes, arguments.json)


def padded_to_the_limit(encoder: Encoder, items: list[TokenIds]) -> NDArray[np.float64]:
    """P(ADE) the paper's way: batches of 32 posts as they come, each post padded to 256 tokens."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(items), 32):
            ids, mask = padded(items[start : start + 32])
            logits = encoder.model(input_ids=ids, attention_mask=mask).logits
            found.append(torch.softmax(logits.double(), dim=1)[:, 1].numpy())
    return np.concatenate(found)


if __name__ == "__main__":
    main()
