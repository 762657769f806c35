"""By which pooling of windows to train, and by which to read: planted evidence in long posts, all synthetic.

    python benchmarks/pooling.py [--seeds 3] [--json FILE]

A tiny encoder of random weights (1 layer of 32, windows of 64 tokens) is trained by each pooling on posts of 4 to 200
words, half of which hold one sentence of evidence, and thresholds are tuned by every pooling. Then 5,000-token posts
are read that hold the evidence at one of 50 places, and 50 that hold none; beside it with the weights as they are, cut
and by their two ends. Printed: found and falsely flagged, of 50 each, for each seed.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, XLMRobertaConfig, XLMRobertaTokenizer

from polyvigil.config.decide import DecideSpec
from polyvigil.config.model import EncoderSpec
from polyvigil.config.training import BalanceSpec, TrainingSpec
from polyvigil.decide.tune import tune
from polyvigil.detect.transformer import EncoderDetector
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.nn.pooling import POOLINGS
from polyvigil.nn.predict import window_scores
from polyvigil.nn.windows import LongRule, Reader
from polyvigil.types import LabelledPost, Post, Probabilities

FILLER = "I took the new pill today and my doctor said it is fine after lunch we went home"
WORDS = tuple(FILLER.split())
EVIDENCE = "the pill made me dizzy"
WINDOW, LONG, PLACES = 64, 5_000, 50
TRAINING = TrainingSpec(epochs=8, posts_per_step=16, micro_tokens=1024, learning_rate=0.006, loss="cross-entropy")
RULES = {"windows": LongRule("windows", 0.25, 128), "cut": LongRule("cut"), "head-tail": LongRule("head-tail")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        _write_model(Path(folder))
        for trained in POOLINGS:
            for seed in range(1, arguments.seeds + 1):
                spec = EncoderSpec(name=folder, max_tokens=WINDOW, long_posts="windows", pooling=trained)
                learner = EncoderLearner(spec, TRAINING, BalanceSpec(weights="none"), offline=True, device="cpu")
                detector = learner.fit(posts(240, seed=1), posts(160, seed=2), seed=seed)
                for read, told in _told(detector).items():
                    rows.setdefault(f"trained by {trained}, {read}", []).append(told)
                print(f"trained by {trained}, seed {seed}: dev F1 {detector.log.best.dev_f1:.3f}", flush=True)
    for name, told_of_seeds in rows.items():
        print(f"{name}: {', '.join(told_of_seeds)}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def posts(number: int, *, seed: int) -> list[LabelledPost]:
    """Half of them hold the evidence somewhere; of every four, two are short."""
    random = np.random.default_rng(seed)
    found = []
    for place in range(number):
        words = random.choice(WORDS, size=random.integers(4, 200 if place % 4 > 1 else 20)).tolist()
        if place % 2:
            words.insert(random.integers(len(words) + 1), EVIDENCE)
        found.append(LabelledPost(Post(f"{seed}-{place}", " ".join(words), "en"), place % 2))
    return found


def long_posts() -> list[LabelledPost]:
    """With the evidence at 50 places, from the first word to the last, and 50 without it."""
    random = np.random.default_rng(3)
    found = []
    for place in range(PLACES):
        words = random.choice(WORDS, size=LONG - 2).tolist()
        found.append(LabelledPost(Post(f"without-{place}", " ".join(words), "en"), 0))
        at = round(place * (LONG - 7) / (PLACES - 1))
        text = " ".join([*words[:at], EVIDENCE, *words[at : LONG - 7]])
        found.append(LabelledPost(Post(f"planted-{place}", text, "en"), 1))
    return found


def _told(detector: EncoderDetector) -> dict[str, str]:
    dev, test = posts(160, seed=2), long_posts()
    told = {}
    for how, rule in RULES.items():
        seen, long = (_scores(detector, part, rule) for part in (dev, test))
        for pooling in POOLINGS if how == "windows" else POOLINGS[:1]:
            labels = np.array([item.label for item in dev], dtype=np.int8)
            policy = tune(seen[pooling], labels, ["en"] * len(dev), spec=DecideSpec(), dev_fingerprint="")
            flags = policy.flags(long[pooling], ["en"] * len(test))
            counts = [int(flags[[item.label == label for item in test]].sum()) for label in (1, 0)]
            told[f"{how}, {pooling}" if how == "windows" else how] = f"{counts[0]} and {counts[1]}"
    return told


def _scores(detector: EncoderDetector, items: list[LabelledPost], rule: LongRule) -> dict[str, Probabilities]:
    """By each pooling, from one pass."""
    encoder = detector.encoder
    whole = encoder.reader
    encoder.reader = Reader(whole.max_tokens, whole.before, whole.after, rule)
    scores = window_scores(encoder, encoder.tokenise([item.post.text for item in items]), budget=2048)
    encoder.reader = whole
    return {pooling: scores.pooled(pooling) for pooling in POOLINGS}


def _write_model(folder: Path) -> None:
    words = sorted({*WORDS, *EVIDENCE.split()})
    special = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [("▁" + word, -1.0) for word in words]
    tokenizer = XLMRobertaTokenizer(vocab=[*special, *pieces, ("<mask>", 0.0)])
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer) + 3,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=WINDOW + 2,
        layer_norm_eps=1e-5,
        initializer_range=0.2,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main()
