"""Long posts: overlapping windows, the two ends, or a cut, trained and scored alike.

    python benchmarks/windows.py planted MODEL
    python benchmarks/windows.py composed MODEL SENTENCES.csv
    python benchmarks/windows.py reviews MODEL REVIEWS.csv [--max-tokens 256] [--sample 240]

Each trains the encoder in the folder MODEL once for each way of reading, on the CPU (recipe quick, but 8 posts a step
and a rate of 1e-4, since the posts are few), tunes on dev and reports the test posts: average precision, F1 with a 95%
interval, and the paired difference to the first arm, the cut.

planted: synthetic posts, from the sample corpus, a quarter of them long; the test posts have 5,000 tokens, all but one
of their sentences without an ADE, the one with it at one of 50 places. composed: real English sentences, 10 in a post,
none or one with an ADE; one with an ADE stands in one post, one without may stand in several. reviews: a file as it is,
a sample of its train posts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from polyvigil.bundle.store import Bundle
from polyvigil.config.load import load
from polyvigil.data.read import Reading, read_labelled
from polyvigil.data.sample import sample_corpus
from polyvigil.evaluation.measure import Measured, measured
from polyvigil.evaluation.paired import System, compare_systems
from polyvigil.metrics import average_precision
from polyvigil.scoring.wire import score_posts
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training

WINDOWS = ("model.long_posts=windows",)
ARMS = {
    "cut": ("model.long_posts=cut",),
    "head-tail": ("model.long_posts=head-tail",),
    "windows, auto": WINDOWS,
    "windows, max": (*WINDOWS, "model.pooling=max"),
    "windows, mean": (*WINDOWS, "model.pooling=mean"),
    "windows, noisy-or": (*WINDOWS, "model.pooling=noisy-or"),
}
PLACES, LONG = 50, 5_000
Texts = dict[int, list[str]]  # by label


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("planted", "composed", "reviews"))
    parser.add_argument("model")
    parser.add_argument("posts", nargs="?")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--sample", type=int, default=240)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    make = {"planted": _planted, "composed": _composed, "reviews": _reviews}[arguments.part]
    material, test = make(arguments)
    for name, part in (("train", material.train), ("dev", material.dev), ("test", test)):
        print(f"{name}: {len(part):,} posts, {sum(item.label for item in part):,} positive", flush=True)
    rows, first = [], None
    for name in arguments.arms:
        begun = time.monotonic()
        tokens = arguments.max_tokens or {"planted": 128, "composed": 64, "reviews": 256}[arguments.part]
        settings = (
            f"model.name={arguments.model}",
            f"model.max_tokens={tokens}",
            f"training.epochs={arguments.epochs}",
        )
        settings += ("training.posts_per_step=8", "training.learning_rate=1e-4")
        with tempfile.TemporaryDirectory() as folder:
            recipe = load("quick", settings=(*settings, *ARMS[name]))
            machine = training.RunOptions(offline=True, device="cpu")
            bundle = training.train(recipe, material, output=Path(folder) / "b", options=machine).bundle
        row: dict[str, object] = {"arm": name, "seconds of training": round(time.monotonic() - begun)}
        if arguments.part == "planted":
            row |= _found(bundle, test)
        else:
            told = measured(bundle, Reading("test", tuple(test), (), ()))
            system = System(bundle.policy.flags(told.probabilities, told.gold.languages.tolist()), told.probabilities)
            first = first or system
            row |= _figures(told) | _against(told, first, system)
        log = bundle.members[0].log
        row["dev F1, same set"] = round(log.best.dev_f1, 3) if log else None
        if log and log.pooling:
            row["pooling"] = log.pooling.model_dump()
        print(json.dumps(row), flush=True)
        rows.append(row)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def _figures(told: Measured) -> dict[str, object]:
    pooled, ranked = told.evaluation.pooled, {}
    for language in sorted(set(told.gold.languages.tolist())):
        mine = told.gold.languages == language
        ranked[f"ap {language}"] = round(average_precision(told.gold.labels[mine], told.probabilities[mine]), 3)
    f1 = f"{pooled.f1:.3f} ({pooled.f1_interval.low:.3f}-{pooled.f1_interval.high:.3f})"
    return {"ap": round(pooled.average_precision, 3), **ranked, "f1": f1}


def _against(told: Measured, first: System, system: System) -> dict[str, object]:
    """F1 and average precision less those of the first arm, with paired 95% intervals."""
    pooled = compare_systems(told.gold.labels, told.gold.languages.tolist(), system, first).pooled
    row: dict[str, object] = {}
    for name, difference in (("f1", pooled.f1), ("ap", pooled.average_precision)):
        if difference is not None:
            row[f"{name} less the first's"] = (
                f"{difference.difference:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
            )
    return row


def _found(bundle: Bundle, test: Sequence[LabelledPost]) -> dict[str, object]:
    """Of the planted sentences found, of the posts without one flagged, and of the windows told those that hold it."""
    decided = score_posts(bundle, [item.post for item in test])
    told: dict[str, object] = {}
    for label, name in ((1, "planted found"), (0, "flagged without")):
        mine = [one.decision for one, item in zip(decided, test, strict=True) if item.label == label]
        told[name] = f"{sum(mine)} of {len(mine)}"
    right = 0
    for one, item in zip(decided, test, strict=True):
        if item.label and one.window:
            start, end = map(int, one.window.split("-"))
            low, high = map(int, item.post.group.split("-"))
            right += start <= low and high <= end
    told["planted inside the window told"] = f"{right} of {sum(item.label for item in test)}"
    return told


def _planted(arguments: argparse.Namespace) -> tuple[training.TrainingData, list[LabelledPost]]:
    draw = np.random.default_rng(0)
    corpus = [item for item in sample_corpus() if item.post.language == "en" and item.post.type != "forum post"]

    def texts(split: str) -> Texts:
        mine = [item for item in corpus if item.post.split == split]
        return {label: [item.post.text for item in mine if item.label == label] for label in (0, 1)}

    def posts(split: str, number: int) -> tuple[LabelledPost, ...]:
        sizes = [draw.integers(1, 21 if place % 8 > 5 else 3) for place in range(number)]  # a quarter is long
        return tuple(_post(texts(split), int(size), place, split, draw) for place, size in enumerate(sizes))

    material = training.TrainingData(posts("train", 400), posts("dev", 160), "synthetic", (), ())
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(arguments.model, local_files_only=True)
    source, test = texts("test"), []
    for place in range(PLACES):
        sentences: list[str] = []
        while len(tokenizer(" ".join(sentences), verbose=False)["input_ids"]) < LONG:
            sentences += draw.choice(source[0], size=10).tolist()
        if place % 5 == 0:
            test.append(LabelledPost(Post(f"without-{place}", " ".join(sentences), "en", split="test"), 0))
        evidence = str(draw.choice(source[1]))
        at = round(place * len(sentences) / (PLACES - 1))
        before = " ".join(sentences[:at])
        text = " ".join([*sentences[:at], evidence, *sentences[at:]])
        start = len(before) + bool(before)
        stretch = f"{start}-{start + len(evidence)}"
        test.append(LabelledPost(Post(f"planted-{place}", text, "en", split="test", group=stretch), 1))
    return material, test


def _post(texts: Texts, size: int, place: int, split: str, draw: np.random.Generator) -> LabelledPost:
    """``size`` sentences without an ADE; in every second post one is exchanged for one with."""
    sentences = draw.choice(texts[0], size=size).tolist()
    if place % 2:
        sentences[draw.integers(size)] = texts[1][place // 2 % len(texts[1])]
    return LabelledPost(Post(f"{split}-{place}", " ".join(sentences), "en", split=split), place % 2)


def _composed(arguments: argparse.Namespace) -> tuple[training.TrainingData, list[LabelledPost]]:
    draw = np.random.default_rng(0)
    read = [item for item in read_labelled(arguments.posts).posts if item.post.language == "en"]

    def posts(split: str, number: int) -> list[LabelledPost]:
        mine = [item for item in read if item.post.split == split]
        texts = {label: [item.post.text for item in mine if item.label == label] for label in (0, 1)}
        texts[1] = draw.permutation(texts[1]).tolist()
        return [_post(texts, 10, place, split, draw) for place in range(number)]

    return training.TrainingData(tuple(posts("train", 400)), tuple(posts("dev", 240)), "composed", (), ()), posts(
        "test", 480
    )


def _reviews(arguments: argparse.Namespace) -> tuple[training.TrainingData, list[LabelledPost]]:
    read = read_labelled(arguments.posts).posts
    train, dev, test = ([item for item in read if item.post.split == split] for split in ("train", "dev", "test"))
    places = np.sort(np.random.default_rng(0).permutation(len(train))[: arguments.sample])
    return training.TrainingData(tuple(train[place] for place in places.tolist()), tuple(dev), "reviews", (), ()), test


if __name__ == "__main__":
    main()
