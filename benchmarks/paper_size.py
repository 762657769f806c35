"""The paper's training at its own numbers of posts, with an encoder of XLM-R-base's shape and random weights.

    python benchmarks/paper_size.py [--json FILE]

Synthetic posts, as many as in the paper's Table 1 by language and label, and its CADEC reviews: texts of random words
of about the lengths that the paper gives. Printed: what `polyvigil train gladiators --dry-run` says of them, then three
seeds of three steps each on this machine's processor, and the most memory that the process took in each: it must not
grow from seed to seed. Nothing here says anything about quality. Needs 6 GB of memory and 12 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel, XLMRobertaConfig

from polyvigil.cli import main as program
from polyvigil.config.load import load
from polyvigil.data.write import write_posts
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows import train as training
from polyvigil.workflows.learners import RunOptions
from polyvigil_gladiators import paper
from polyvigil_gladiators.tiny import tokenizer_of

CHARACTERS = {"de": 625, "fr": 625, "ja": 55, "en": 101, "ru": 120, "zh": 60}  # ru and zh: not in the paper
POSITIVES = 2_992  # of the main train posts: (54,503 - 46,737 - 810) / 2 - 486
CADEC_DEV_POSITIVES = 54  # the paper does not tell it: as many as in train
WORDS = 4_000


def posts(split: str, random: np.random.Generator, words: list[str]) -> list[LabelledPost]:
    """All posts of a split."""
    train = split == "train"
    positives = {row.language: round(row.train * row.train_positive / 100) for row in paper.POSTS}
    positives["en"] += POSITIVES - sum(positives.values())  # the paper rounds the shares
    made = []
    for row in paper.POSTS:
        number = row.train if train else row.dev
        made += some(row.language, number, positives[row.language] if train else row.dev_positives, random, words)
    cadec = (paper.CADEC_TRAIN, paper.CADEC_TRAIN_POSITIVES) if train else (paper.CADEC_DEV, CADEC_DEV_POSITIVES)
    for language in ("de", "fr"):
        made += some(language, cadec[0] // 2, cadec[1] // 2, random, words, cadec=True)
    return [
        LabelledPost(Post(f"{item.post.id}_{split}{n}", item.post.text, item.post.language, item.post.type), item.label)
        for n, item in enumerate(made)
    ]


def some(
    language: str, number: int, positives: int, random: np.random.Generator, words: list[str], *, cadec: bool = False
) -> list[LabelledPost]:
    """Posts of one language, the first ``positives`` of them positive."""
    made = []
    for place in range(number):
        length = max(8, int(random.normal(CHARACTERS[language], CHARACTERS[language] / 4)))
        text = " ".join(words[i] for i in random.integers(len(words), size=length // 7 + 1))
        kind, name = ("drug_review", f"{language}_cadec") if cadec else ("", language)
        made.append(LabelledPost(Post(name, text, name, kind), int(place < positives)))
    return made


def write_model(folder: Path, words: list[str]) -> Path:
    """XLM-R-base's configuration with random weights, and a tokenizer that knows the words."""
    config = XLMRobertaConfig(
        vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1
    )
    torch.manual_seed(0)
    model = AutoModel.from_config(config)
    print(f"encoder: {sum(p.numel() for p in model.parameters()) / 1e6:.0f}M parameters, random weights")
    model.save_pretrained(folder)
    tokenizer_of("xlm-roberta", words).save_pretrained(folder)
    return folder


def peak_since_last() -> float:
    """Most resident memory in GB since the last call (Linux: VmHWM, reset through clear_refs)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak


def plan(folder: Path, model: Path) -> dict[str, object]:
    """What a dry run says."""
    line = ["train", "gladiators", "--train", f"{folder}/train.csv", "--dev", f"{folder}/dev.csv", "--offline"]
    line += ["-o", f"{folder}/bundle", "--dry-run", "--json", "--device", "cpu", "--set", f"model.name={model}"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = program.run([*line, "--set", "training.precision=fp32"])
    if code:
        raise SystemExit(f"the dry run ended with exit code {code}: {printed.getvalue()}")
    document: dict[str, dict[str, dict[str, object]]] = json.loads(printed.getvalue())
    return document["data"]["rehearsal"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="write the numbers here too")
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz")
    words = sorted({"".join(random.choice(letters, size=random.integers(3, 10))) for _ in range(WORDS)})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = {split: posts(split, random, words) for split in ("train", "dev")}
        for split, items in parts.items():
            write_posts(folder / f"{split}.csv", items)
            print(f"{split}: {len(items):,} synthetic posts, {sum(item.label for item in items):,} positive")
        model = write_model(folder / "model", words)
        told = plan(folder, model)
        steps = 5 * int(str(told["steps_per_epoch"]))
        print(
            f"plan: {told['posts_per_epoch']:,} posts an epoch, {steps:,} steps a seed, {told['seconds']:,.0f} s here"
        )
        recipe = load(
            "gladiators",
            settings=[f"model.name={model}", "training.epochs=1", "training.precision=fp32", "balance.oversample=1"],
        )
        english = {split: [item for item in items if item.post.language == "en"] for split, items in parts.items()}
        few = tuple(english["train"][:32] + english["train"][-64:])
        dev = tuple(english["dev"][::8])
        peaks: list[float] = []

        def say(line: str) -> None:
            print(f"  {line}", flush=True)
            if line.startswith("checkpoints in "):  # the seed's model is loaded, its training begins
                peak_since_last()
            if line.startswith("epoch "):  # its steps are taken, the dev posts scored
                peaks.append(round(peak_since_last(), 2))

        material = training.TrainingData(few, dev, "synthetic", (), ())
        training.train(recipe, material, output=folder / "bundle", options=RunOptions("cpu", offline=True), log=say)
        print("most memory by seed: " + ", ".join(f"{peak:.2f} GB" for peak in peaks))
    if arguments.json:
        data = {"plan": told, "steps": steps, "peak_gb": peaks}
        Path(arguments.json).write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
