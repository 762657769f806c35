"""Scoring by an encoder against others' ways and against its own variants: parity first, then speed on one thread.

    python benchmarks/inference.py [--json FILE]                      both sizes, against their bars
    python benchmarks/inference.py --layers 6 --width 384 --rounds 3  one size

XLM-Rs of real dimensions with random weights read synthetic posts: words of a vocabulary of 250,002, as many of them as
real posts have tokens (synthetic.py). Text in, P out, in the order given; tokenising is in every arm. The other arms
stand in inference_arms.py. Beside them: posts of German and French forums alone, which are long; int8 and bf16 (slow on
a CPU that has no such arithmetic) against fp32; the matrix products of ours alone; and three members against a cascade
of them that asks all three about a tenth of the posts (on a trained bundle that share is learned: polyvigil tune
--cascade).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer

import inference_arms as arms
from polyvigil.bundle.store import Bundle
from polyvigil.decide.cascade import Cascade, CascadeCounts, distance
from polyvigil.decide.combine import Combination
from polyvigil.decide.policy import DecisionPolicy, Threshold
from polyvigil.detect.base import FitRecord, TrainingLog
from polyvigil.detect.transformer import EncoderConfig, EncoderDetector
from polyvigil.nn.encoder import Encoder, load_encoder
from polyvigil.nn.predict import probabilities, token_budget
from polyvigil.types import Post
from side_by_side import Ratio, compare, line, report, write
from synthetic import LONGEST, VOCABULARY, forum_lengths, mixed_lengths, texts, vocabulary_of, write_model

POSTS = {(6, 384): 1024, (12, 768): 256}
BARS = {
    "the paper's way": 6.0,
    "pipeline, batch 32": 4.5,
    "forum": 1.8,
    "int8": 1.35,
    "GEMM": 0.70,
    "cascade": 2.0,
}
PIPELINE_BARS = {(6, 384): 1.7, (12, 768): 1.3}
"""Of batch 1."""
CALLED = 0.1
BUDGET = token_budget(torch.device("cpu"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--width", type=int, default=384, help="a multiple of 64")
    parser.add_argument("--posts", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--json", help="write the numbers here too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [(arguments.layers, arguments.width)] if arguments.layers else list(POSTS)
    ratios: list[Ratio] = []
    notes: dict[str, object] = {"torch": torch.__version__, "arithmetic": torch.backends.cpu.get_cpu_capability()}

    def tell(ratio: Ratio) -> None:
        print(line(ratio), flush=True)
        ratios.append(ratio)
        write(ratios, notes, arguments.json)  # as far as it is measured: the whole takes two hours

    for size in sizes:
        about = measure(size, arguments, tell)
        notes |= {f"{size[0]} x {size[1]}, {key}": value for key, value in about.items()}
    report([], notes, None)
    write(ratios, notes, arguments.json)


def measure(size: tuple[int, int], arguments: argparse.Namespace, tell: Callable[[Ratio], None]) -> dict[str, str]:
    """Tell the ratios for a model of this size as they are measured; what the arms were given and agree on."""
    layers, width = size
    draw = np.random.default_rng(1)
    vocabulary = vocabulary_of(draw)
    count = arguments.posts or POSTS.get(size, 256)
    lengths, long = mixed_lengths(draw, count), forum_lengths(draw, max(count // 4, 32))
    mixed, forum = texts(draw, lengths, vocabulary), texts(draw, long, vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), layers=layers, width=width, vocabulary=VOCABULARY, words=vocabulary)
        ours, small, half = (load_encoder(folder, max_tokens=LONGEST) for _ in range(3))
        stock = load_encoder(folder, max_tokens=LONGEST, packing=False)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    counted = ours.token_counts(mixed)
    if not np.array_equal(counted, lengths):
        raise SystemExit("the tokenizer does not give one token for each word")
    small.compute_in("int8")
    half.compute_in("bf16")
    model: Any = stock.model
    one, many = (arms.hugging_face(model, tokenizer, mixed, batch=batch) for batch in (1, 32))
    others: dict[str, Callable[[], NDArray[np.float64]]] = {
        "the paper's way": lambda: arms.paper(model, tokenizer, mixed),
        "pipeline, batch 1": one,
        "pipeline, batch 32": many,
        "sorted, padded to the longest of a batch": lambda: scored(stock, mixed),
    }
    expected, in_int8, in_bf16 = (scored(encoder, mixed) for encoder in (ours, small, half))
    apart = max(np.abs(run() - expected).max() for run in others.values())
    apart = max(apart, np.abs(arms.paper(model, tokenizer, forum) - scored(ours, forum)).max())
    if apart > 1e-5:
        raise SystemExit(f"the arms disagree by {apart:.1e}; times would mean nothing")
    rounds = arguments.rounds or 5
    head = f"{layers} x {width}, "

    def timed(name: str, fast: Callable[[], object], slow: Callable[[], object], bar: str) -> Ratio:
        wanted = PIPELINE_BARS.get(size) if bar == "pipeline, batch 1" else BARS.get(bar)
        ratio = compare(f"{head}{name}", fast, slow, rounds=rounds, warm=True, bar=wanted)
        tell(ratio)
        return ratio

    def fp32() -> object:
        return scored(ours, mixed)

    shapes = arms.products(lengths, layers=layers, width=width, budget=BUDGET)
    gemm = arms.bare(shapes)
    gemm()
    cascaded, all_three, called = members(ours, mixed)
    against = [timed(f"ours against {name}", fp32, run, name) for name, run in others.items()]
    timed(
        "forum posts, ours against the paper's way",
        lambda: scored(ours, forum),
        lambda: arms.paper(model, tokenizer, forum),
        "forum",
    )
    timed("int8 against our fp32", lambda: scored(small, mixed), fp32, "int8")
    timed("bf16 against our fp32", lambda: scored(half, mixed), fp32, "bf16")
    timed("share of the bare products", fp32, gemm, "GEMM")
    timed("cascade against 3 members", cascaded, all_three, "cascade")
    work = arms.operations(shapes)
    return {
        "posts": f"{count}, {lengths.sum():,} tokens, mean {lengths.mean():.1f}, median {np.median(lengths):.0f}",
        "forum posts": f"{len(long)}, {long.clip(max=LONGEST).mean():.1f} tokens in the mean once cut, "
        f"{(long > LONGEST).mean():.1%} longer than {LONGEST}",
        f"padding at {LONGEST}": f"{1 - lengths.mean() / LONGEST:.1%}, "
        f"forum {1 - long.clip(max=LONGEST).mean() / LONGEST:.1%}; ours none",
        "products of ours": f"{work / 1e9:,.0f} GFLOP, {work / 1e9 / against[0].ours_seconds:,.1f} GFLOP/s",
        "largest difference of P, fp32": f"{apart:.1e}",
        "largest difference of P, int8, random weights": f"{np.abs(in_int8 - expected).max():.1e}",
        "largest difference of P, bf16, random weights": f"{np.abs(in_bf16 - expected).max():.1e}",
        "posts of which the cascade asks all": f"{called:.1%}",
    }


def scored(encoder: Encoder, posts: list[str]) -> NDArray[np.float64]:
    """P(ADE) of texts our way."""
    return probabilities(encoder, encoder.tokenise(posts), budget=BUDGET)


def members(encoder: Encoder, posts: list[str]) -> tuple[Callable[[], object], Callable[[], object], float]:
    """A cascade of three members, all three of every post, and the share of posts that the cascade asks all about."""
    record = FitRecord(seed=0, posts=0, positives=0, languages=("en",), train_fingerprint="")
    log = TrainingLog(epochs=(), steps_per_epoch=0, posts_per_epoch=0, parameters=0, micro_tokens=0, device="cpu")
    config = EncoderConfig(max_tokens=LONGEST, packing=True, fit_record=record)
    items = [Post(str(place), text, "en") for place, text in enumerate(posts)]
    detectors = tuple(EncoderDetector(encoder, config, log) for _ in range(3))
    first = detectors[0].probabilities(items)
    middle = float(np.median(first))
    band = float(np.quantile(distance(first, np.full(len(first), middle)), CALLED))
    tally = CascadeCounts(posts=0, called=0, disagreeing=0, cost=0)
    policy = DecisionPolicy(
        thresholds={},
        fallback=Threshold(value=middle, source="fallback", rule="mean", posts=0, positives=0),
        dev_fingerprint="",
    )
    unused: Any = None
    cascade = Cascade(first=0, band=band, stated=0.0, learned=tally, verified=tally)
    made = [
        Bundle(unused, detectors, combination, policy, unused, unused, unused)
        for combination in (Combination(cascade=cascade), Combination())
    ]
    asked = made[0].staged_probabilities(items)
    return (
        lambda: made[0].probabilities(items),
        lambda: made[1].probabilities(items),
        float(np.isfinite(asked[1]).mean()),
    )


if __name__ == "__main__":
    main()
