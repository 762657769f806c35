"""What handling the rarity of positives buys an encoder: cross-entropy, focal loss, positives three times, and both.

    python benchmarks/imbalance.py POSTS.csv MODEL [--language en] [--sample 1500] [--epochs 2] [--json FILE]

Fine-tunes the encoder in the folder MODEL on a sample of the train split, three seeds for each arm, tunes one threshold
on the dev split and reports the test split: average precision of each seed, and average precision and F1 of the mean of
the three, with a 95% interval; the linear default, fitted on the same rows, stands beside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from polyvigil.config.load import load
from polyvigil.data.read import Reading, read_labelled
from polyvigil.evaluation.measure import measure
from polyvigil.metrics import average_precision
from polyvigil.workflows import train as training

SEEDS = (42, 123, 456)
ARMS = {
    "cross-entropy": ("training.loss=cross-entropy", "balance.oversample=1"),
    "focal": ("training.loss=focal", "balance.oversample=1"),
    "positives x3": ("training.loss=cross-entropy", "balance.oversample=3"),
    "focal and x3": ("training.loss=focal", "balance.oversample=3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("posts")
    parser.add_argument("model")
    parser.add_argument("--language", default="en")
    parser.add_argument("--sample", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    chosen = [item for item in read_labelled(arguments.posts).posts if item.post.language == arguments.language]
    parts = {split: [item for item in chosen if item.post.split == split] for split in ("train", "dev", "test")}
    places = np.random.default_rng(0).permutation(len(parts["train"]))[: arguments.sample]
    train = tuple(parts["train"][place] for place in np.sort(places))
    material = training.TrainingData(train, tuple(parts["dev"]), "dev", (), ())
    test = Reading(arguments.posts, tuple(parts["test"]), (), ())
    positives = sum(item.label for item in train)
    print(f"{len(train):,} training posts ({positives:,} positive), {len(test.posts):,} test posts", flush=True)
    rows = [_run("linear default", "linear", (), material, test)]
    for name, settings in ARMS.items():
        common = (f"model.name={arguments.model}", f"training.epochs={arguments.epochs}", f"seeds={list(SEEDS)}")
        rows.append(_run(name, "quick", (*common, *settings), material, test))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _run(
    name: str, recipe: str, settings: tuple[str, ...], material: training.TrainingData, test: Reading
) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        machine = training.RunOptions(offline=True)
        trained = training.train(load(recipe, settings=settings), material, output=Path(folder) / "b", options=machine)
    bundle = trained.bundle
    posts = [item.post for item in test.posts]
    labels = np.array([item.label for item in test.posts], dtype=np.int8)
    each = [average_precision(labels, scores) for scores in bundle.member_probabilities(posts)]
    pooled = measure(bundle, test).pooled
    row: dict[str, object] = {
        "arm": name,
        "ap_by_seed": [round(value, 4) for value in each],
        "ap": round(pooled.average_precision, 4),
        "f1": round(pooled.f1, 4),
        "f1_interval": [round(pooled.f1_interval.low, 4), round(pooled.f1_interval.high, 4)],
        "threshold": round(bundle.policy.threshold(posts[0].language).value, 3),
    }
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()
