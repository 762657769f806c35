"""A training step against the paper's loop and Hugging Face's Trainer: parity first, then speed on one thread.

    python benchmarks/training.py [--json FILE]                      both sizes, against their bars
    python benchmarks/training.py --layers 6 --width 384             one size

An XLM-R with random weights takes steps of 32 posts of random tokens with the natural mix of lengths. Its table has
250,002 rows, of which the posts of the training set use 60,000 (synthetic.py). Ours: the learner's step, micro-batches
by token budget, packed, fused AdamW, the table trimmed. The other arms stand in training_arms.py. Dropout is off in
all, so that they can be compared; all use the focal loss. All arms get token ids: making them, which we do once, the
paper post by post in each epoch (about 1 ms a post), is in no arm.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

import training_arms
from polyvigil.config.training import TrainingSpec
from polyvigil.learn.dev import DevSet
from polyvigil.learn.fine_tune import TrainSet
from polyvigil.learn.losses import Batch, post_stepper
from polyvigil.learn.ranks import this_rank
from polyvigil.learn.trim import trim
from polyvigil.nn.encoder import load_encoder
from side_by_side import Ratio, compare, report
from synthetic import LONGEST, VOCABULARY, posts, words, write_model

POSTS = 32
BARS = {(6, 384): 4.0, (12, 768): 4.5}
"""Against the paper's loop."""
STEPS = {(6, 384): 2}
"""Of a round, each of other posts; else 1."""
ROUNDS = {(12, 768): 3}
"""Else 5."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int)
    parser.add_argument("--width", type=int, default=384, help="a multiple of 64")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="rows of the table of word vectors")
    parser.add_argument("--json", help="write the numbers here too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sizes = [(arguments.layers, arguments.width)] if arguments.layers else list(BARS)
    ratios: list[Ratio] = []
    notes: dict[str, object] = {"torch": torch.__version__, "table": f"{arguments.vocabulary:,} words"}
    for layers, width in sizes:
        found, about = measure(layers, width, arguments)
        ratios += found
        notes |= {f"{layers} x {width}, {key}": value for key, value in about.items()}
        report(ratios, notes, arguments.json)  # as far as it is measured


def measure(layers: int, width: int, arguments: argparse.Namespace) -> tuple[list[Ratio], dict[str, str]]:
    """The ratios for a model of this size, and what the arms were given and agree on."""
    draw = np.random.default_rng(1)
    spec, ids = TrainingSpec(), words(draw, vocabulary=arguments.vocabulary)
    count = POSTS * STEPS.get((layers, width), 1)
    items, labels = posts(draw, count, ids), (draw.random(count) < 0.19).astype(np.int8)
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), layers=layers, width=width, vocabulary=arguments.vocabulary)
        ours, papers, trainers = (load_encoder(folder, max_tokens=LONGEST, packing=p) for p in (True, False, False))
        tokenizer = AutoTokenizer.from_pretrained(folder)
    all_posts = TrainSet([*items, ids], labels, [], np.ones(count), np.arange(count))  # ids: all the other posts
    trimmed = trim(ours, all_posts, DevSet([], labels[:0], [], np.ones(0, dtype=bool)))
    for encoder in (ours, papers, trainers):
        for module in encoder.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        encoder.model.train()

    starts = range(0, count, POSTS)
    batches = [Batch(items[at : at + POSTS], labels[at : at + POSTS], np.ones(POSTS)) for at in starts]
    short = trimmed.posts.tokens
    mine = [replace(batch, tokens=short[at : at + POSTS]) for batch, at in zip(batches, starts, strict=True)]
    stepper = post_stepper(ours, spec=spec, ranks=this_rank())

    def our_steps() -> float:
        rate, budget = training_arms.RATE, spec.micro_tokens
        return sum(stepper.step(b, rate=rate, seed=0, micro_tokens=budget, where="").loss for b in mine)

    others = {"the paper's loop": training_arms.paper(papers.model, batches, spec)}
    with tempfile.TemporaryDirectory() as folder:
        others["Trainer"] = training_arms.trainer(trainers.model, tokenizer, batches, spec, folder=folder)
        before = [encoder.model.classifier.dense.weight.detach().clone() for encoder in (ours, papers, trainers)]
        losses = [our_steps(), *(steps() for steps in others.values())]
        moved = [
            float((encoder.model.classifier.dense.weight.detach() - was).abs().max())
            for encoder, was in zip((ours, papers, trainers), before, strict=True)
        ]
        apart = max(abs(loss / losses[0] - 1) for loss in losses)
        if apart > 1e-4 or min(moved) == 0:
            raise SystemExit(f"the arms disagree: summed losses {losses}, weights moved by {moved}")
        ratios = [
            compare(
                f"{layers} x {width}, training step against {name}",
                our_steps,
                steps,
                rounds=arguments.rounds or ROUNDS.get((layers, width), 5),
                warm=True,
                bar=BARS.get((layers, width)) if "paper" in name else None,
            )
            for name, steps in others.items()
        ]
    lengths = np.array([len(item) for item in items])
    about = {
        "posts": f"{count}, mean {lengths.mean():.1f} tokens, median {np.median(lengths):.0f}",
        "rows of our table": f"{ours.model.get_input_embeddings().num_embeddings:,}",
        "relative difference of the summed losses": f"{apart:.1e}",
    }
    return ratios, about


if __name__ == "__main__":
    main()
