"""Thresholds that were tuned out of fold, each post scored by one member, on the mean of the members of all folds.

    python benchmarks/fold_thresholds.py POSTS.csv WORK [--language en] [--posts 800] [--folds 5] [--epochs 5]
    python benchmarks/fold_thresholds.py POSTS.csv WORK --encoder path/to/an/encoder

POSTS.csv has the columns id, text, label, language, split, group; of its split train some groups are learned from with
``data.folds``, and up to 1,500 posts of the other groups are scored by every member. Without --encoder a tiny encoder
of random weights is trained, whose vocabulary is of all posts, so that a post of a fold and an unseen one hold as many
unknown words. Prints one JSON line: shares of flagged posts, F1, average precision and Brier scores of one member (the
mean over them), of their mean, and of two other ways to combine them; F1 of each fold after each epoch.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from polyvigil.bundle.store import Bundle
from polyvigil.config.load import load
from polyvigil.data.read import read_labelled
from polyvigil.data.write import write_posts
from polyvigil.metrics import average_precision, count
from polyvigil.types import LabelledPost, Labels, Probabilities
from polyvigil.workflows import train as training
from polyvigil.workflows.learners import RunOptions
from polyvigil_gladiators import tiny

MOST_UNSEEN = 1500


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("posts")
    parser.add_argument("work", type=Path)
    parser.add_argument("--language", default="en")
    parser.add_argument("--posts", dest="number", type=int, default=800)
    for name, default in (("folds", 5), ("epochs", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--encoder", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    items = [
        item
        for item in read_labelled(options.posts).posts
        if item.post.language == options.language and item.post.split == "train"
    ]
    learned, unseen = _parted(items, options.number, options.seed)
    write_posts(options.work / "train.csv", learned, replace=True)
    bundle = _bundle(options, [item.post.text for item in items])
    sys.stdout.write(json.dumps(_values(bundle, unseen, options.language)) + "\n")


def _parted(items: Sequence[LabelledPost], number: int, seed: int) -> tuple[list[LabelledPost], list[LabelledPost]]:
    """At least ``number`` posts of random groups, and posts of the others."""
    names = sorted({item.post.group or item.post.id for item in items})
    np.random.default_rng(seed).shuffle(names)
    rank = {name: index for index, name in enumerate(names)}
    ordered = sorted(items, key=lambda item: rank[item.post.group or item.post.id])
    last = rank[ordered[number - 1].post.group or ordered[number - 1].post.id]
    learned = [item for item in ordered if rank[item.post.group or item.post.id] <= last]
    return learned, ordered[len(learned) :][:MOST_UNSEEN]


def _bundle(options: argparse.Namespace, texts: Sequence[str]) -> Bundle:
    encoder = options.encoder or options.work / "encoder"
    settings = [f"model.name={encoder}", f"data.folds={options.folds}", f"training.epochs={options.epochs}"]
    settings += [f"seed={options.seed}", "training.checkpoint_minutes=60", "model.max_tokens=64"]
    if not options.encoder:
        tokenizer = tiny.tokenizer_of("xlm-roberta", texts)
        config = tiny.config_of("xlm-roberta", len(tokenizer), max_tokens=64, layers=2, hidden=64)
        config.initializer_range = 0.05
        tiny.write_random(encoder, config, tokenizer, seed=options.seed)
        tiny.one_thread()
        settings += ["training.head=random", "training.learning_rate=2e-3"]
    recipe = load("quick", settings=settings)
    data = training.gather(recipe, train=[options.work / "train.csv"], dev=[])
    run = RunOptions(device="cpu", offline=True)
    return training.train(recipe, data, output=options.work / "bundle", replace=True, options=run).bundle


def _values(bundle: Bundle, unseen: Sequence[LabelledPost], language: str) -> dict[str, object]:
    members = bundle.member_probabilities([item.post for item in unseen])
    labels = np.array([item.label for item in unseen], dtype=np.int8)
    mean, threshold = members.mean(axis=0), bundle.policy.threshold(language).value
    share = float(np.mean(members >= threshold))
    dev = bundle.dev_scores()

    def row(scores: Sequence[Probabilities], gold: Labels = labels, at: float = threshold) -> dict[str, float]:
        """The mean over scores of several members."""
        calibrated = [bundle.calibration.calibrated(one, [language] * len(one)) for one in scores]
        return {
            "flagged": float(np.mean([(one >= at).mean() for one in scores])),
            "f1": float(np.mean([count(gold, one >= at).f1 for one in scores])),
            "average_precision": float(np.mean([average_precision(gold, one) for one in scores])),
            "brier": float(np.mean([np.mean((one - gold) ** 2) for one in calibrated])),
        }

    return {
        "language": language,
        "posts": len(dev.labels),
        "unseen": len(labels),
        "threshold": threshold,
        "out of fold": row([dev.probabilities], dev.labels),
        "one member": row(list(members)),
        "mean": row([mean]),
        "mean, as many flagged": row([mean], at=float(np.quantile(mean, 1 - share))),
        "mean, best threshold": max(count(labels, mean >= at).f1 for at in np.unique(mean)),
        "mean of log-odds": row([expit(logit(np.clip(members, 1e-6, 1 - 1e-6)).mean(axis=0))]),
        "median": row([np.median(members, axis=0)]),
        "epochs": [[round(epoch.dev_f1, 3) for epoch in member.log.epochs] for member in bundle.members if member.log],
    }


if __name__ == "__main__":
    main()
