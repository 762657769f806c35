"""Scoring real posts by a real multilingual encoder, language by language, against others' ways: one thread.

    python benchmarks/real_text.py ENCODER POSTS.csv [MORE.csv ...] [--posts 200] [--rounds 3] [--json FILE]

ENCODER is a folder (e5_folder.py writes one; its tokenizer is that of XLM-R, so the lengths are too); its head is a
random one on the first token, which costs what a trained one does. POSTS.csv has the columns id, text, label and
language. Of each file and language so many posts are drawn. Text in, P out, in the order given; tokenising is in every
arm; a post is cut at 256 tokens by all. The arms, which must agree within 1e-5, stand in inference_arms.py. There are
no bars: those of inference.py are of the task's mix of lengths.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

import inference_arms as arms
from inference import scored
from polyvigil.data.read import read_labelled
from polyvigil.nn.encoder import Encoder, load_encoder
from side_by_side import Ratio, compare, line, report, write
from synthetic import LONGEST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--posts", type=int, default=200, help="of each file and language, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="write the numbers here too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours, stock = (load_encoder(str(options.encoder), max_tokens=LONGEST, packing=packed) for packed in (True, False))
    stock.model.load_state_dict(ours.model.state_dict())  # the same random head
    tokenizer: Any = AutoTokenizer.from_pretrained(str(options.encoder))
    ratios: list[Ratio] = []
    notes: dict[str, object] = {"torch": torch.__version__, "arithmetic": torch.backends.cpu.get_cpu_capability()}
    for name, texts in drawn(options.files, options.posts).items():
        ratios += measured(name, texts, ours, stock.model, tokenizer, options.rounds)
        notes[name] = told(ours, texts)
    report([], notes, None)  # the ratios were printed as they came
    write(ratios, notes, options.json)


def drawn(files: Sequence[Path], most: int) -> dict[str, list[str]]:
    """Texts of each file and language, at most so many."""
    samples = {}
    for file in files:
        items = read_labelled(file).posts
        for language in sorted({item.post.language for item in items}):
            written = [item.post.text for item in items if item.post.language == language]
            chosen = np.random.default_rng(0).permutation(len(written))[:most]
            samples[f"{file.stem}, {language}"] = [written[index] for index in chosen]
    return samples


def measured(
    name: str, posts: list[str], ours: Encoder, model: torch.nn.Module, tokenizer: Any, rounds: int
) -> list[Ratio]:
    """Ours against each other way, on some posts."""
    one, many = (arms.hugging_face(model, tokenizer, posts, batch=batch) for batch in (1, 32))
    others = {
        "the paper's way": lambda: arms.paper(model, tokenizer, posts),
        "pipeline, batch 1": one,
        "pipeline, batch 32": many,
    }
    expected = scored(ours, posts)
    ratios = []
    for other, run in others.items():
        if (apart := np.abs(run() - expected).max()) > 1e-5:
            raise SystemExit(f"{name}, {other}: the arms disagree by {apart:.1e}; times would mean nothing")
        ratios.append(compare(f"{name}, {other}", lambda: scored(ours, posts), run, rounds=rounds, warm=True))
        print(line(ratios[-1]), flush=True)
    return ratios


def told(ours: Encoder, posts: list[str]) -> str:
    """How long the posts are."""
    counts = ours.token_counts(posts)
    cut = counts.clip(max=LONGEST)
    return (
        f"{len(posts)} posts, {counts.mean():.1f} tokens in the mean, median {np.median(counts):.0f}, "
        f"{(counts > LONGEST).mean():.1%} longer than {LONGEST}; padding at {LONGEST} {1 - cut.mean() / LONGEST:.1%}"
    )


if __name__ == "__main__":
    main()
