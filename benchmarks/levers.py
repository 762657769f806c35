"""What moves a small encoder's ranking: settings of its training, one at a time, by cross-validation on training posts.

    python benchmarks/levers.py POSTS.csv ENCODER WORK [--arms quick layers-.9 ...] [--posts 1000] [--folds 3]

POSTS.csv has the columns id, text, label, language, split, group; the train split alone is looked at. ENCODER is a
folder (e5_folder.py writes one). Of each language at most so many posts are drawn and dealt into folds, groups whole;
each arm learns from all folds but one and scores that one, and keeps its last epoch, so that nothing is chosen on the
posts that are scored. Printed for each arm: average precision by language, its mean over languages of 50 positives or
more, the same of the mean of its P and the linear default's, and its difference to the first arm (95%, groups drawn
again). WORK keeps the scores, so that what stands there is not trained again.

An arm is recipe `quick` with one thing changed: a setting, what is written before each text, the rates of the layers,
the weights that it starts from, or the seed; or it is the mean of other arms. What is no
setting of the program is made here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.optim.optimizer import register_optimizer_step_pre_hook

from polyvigil.config.load import load
from polyvigil.config.recipe import EncoderRecipe, LinearRecipe
from polyvigil.data.read import read_labelled
from polyvigil.data.split import assign_folds
from polyvigil.detect.transformer import EncoderDetector
from polyvigil.learn import step
from polyvigil.learn.linear import LinearLearner
from polyvigil.learn.transformer import EncoderLearner
from polyvigil.metrics import average_precision
from polyvigil.types import LabelledPost, Post
from polyvigil.workflows.adapt import AdaptPosts, adapt
from polyvigil.workflows.adapt import recipe_for as adapt_recipe
from polyvigil.workflows.learners import RunOptions

DRAWS = 500
ENOUGH = 50
Text = Callable[[LabelledPost], str]


@dataclass(frozen=True, slots=True)
class Arm:
    """What is changed. ``layers``: the rate of a layer is that of the one above it times this."""

    settings: tuple[str, ...] = ()
    before: Text | None = None
    layers: float = 1.0
    adapted: bool = False
    members: int = 1
    """Above 1: the mean of so many models, each of which learns from all training posts but a fold of so many."""
    seed: int = 42
    mean_of: tuple[str, ...] = ()
    """Not trained: the mean of the P of these arms."""


ARMS = {
    "quick": Arm(),
    "rate 5e-5": Arm(("training.learning_rate=5e-5",)),
    "rate 2e-4": Arm(("training.learning_rate=2e-4",)),
    "3 epochs": Arm(("training.epochs=3",)),
    "4 epochs": Arm(("training.epochs=4",)),
    "layers .9": Arm(layers=0.9),
    "layers .8": Arm(layers=0.8),
    "layers .9, rate 2e-4": Arm(("training.learning_rate=2e-4",), layers=0.9),
    "warm-up .3": Arm(("training.warmup=0.3",)),
    "positives once": Arm(("balance.oversample=1",)),
    "3 epochs, positives once": Arm(("training.epochs=3", "balance.oversample=1")),
    "focal": Arm(("training.loss=focal",)),
    "focal, positives once": Arm(("training.loss=focal", "balance.oversample=1")),
    "weights by group": Arm(("balance.weights=group",)),
    "drawn by language": Arm(("training.sampling=language",)),
    "16 posts a step": Arm(("training.posts_per_step=16",)),
    "smoothing .1": Arm(("training.label_smoothing=0.1",)),
    "query": Arm(before=lambda _: "query: "),
    "language before the text": Arm(before=lambda item: f"{item.post.language}: "),
    "language and type": Arm(before=lambda item: f"{item.post.language} {item.post.type}: "),
    "adapted": Arm(adapted=True),
    "5 members, each without a fifth": Arm(members=5),
    "seed 123": Arm(seed=123),
    "seed 456": Arm(seed=456),
    "3 seeds": Arm(mean_of=("quick", "seed 123", "seed 456")),
    "first token, probe": Arm(("model.token_pooling=model",)),
    "no probe": Arm(("training.head=random",)),
}


def main() -> None:
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    split = [item for item in read_labelled(options.posts).posts if item.post.split == "train"]
    items = drawn(split, options.draw)
    folds = assign_folds(items, folds=options.folds, seed=0)
    known = [item.post.id for item in items]
    linear = _cached(options.work / "linear.json", known, partial(linear_scores, items, folds))

    def scored(name: str) -> NDArray[np.float64]:
        arm = ARMS[name]
        if arm.mean_of:
            return np.mean([scored(one) for one in arm.mean_of], axis=0)
        begun = time.monotonic()
        encoder = adapted(options, split, items) if arm.adapted else options.encoder
        make = partial(scores, arm, encoder, items, folds, options.settings)
        p = _cached(options.work / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}.json", known, make)
        print(f"{name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
        return p

    print_table(items, linear, {name: scored(name) for name in options.arms})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("posts", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--posts", dest="draw", type=int, default=1000, help="of each language, at most")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of every arm")
    return parser.parse_args()


def drawn(items: Sequence[LabelledPost], most: int) -> list[LabelledPost]:
    """At most so many of each language, at random, in the order of the file."""
    random = np.random.default_rng(0)
    kept: list[int] = []
    for language in sorted({item.post.language for item in items}):
        own = [index for index, item in enumerate(items) if item.post.language == language]
        kept += random.permutation(own)[:most].tolist()
    return [items[index] for index in sorted(kept)]


def _cached(file: Path, known: Sequence[str], make: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    if not file.is_file():
        file.write_text(json.dumps(dict(zip(known, make().tolist(), strict=True))))
    of = json.loads(file.read_text())
    return np.array([of[name] for name in known])


def linear_scores(items: Sequence[LabelledPost], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """P of the linear default, each post by the model that has not learned from its fold."""
    recipe = load("linear")
    assert isinstance(recipe, LinearRecipe)
    fitted = LinearLearner(recipe.model, recipe.balance)
    return _out_of_fold(items, folds, lambda train, held_out: fitted.fit(train, held_out, seed=42))


def scores(
    arm: Arm, encoder: Path, items: Sequence[LabelledPost], folds: NDArray[np.int64], settings: Sequence[str]
) -> NDArray[np.float64]:
    """P of an arm, each post by the model that has not learned from its fold."""
    own = [f"model.name={encoder}", *settings, *arm.settings]
    recipe = load("quick", settings=own)
    assert isinstance(recipe, EncoderRecipe)
    fitted = EncoderLearner(recipe.model, recipe.training, recipe.balance, offline=True, device="cpu", keep="last")
    if arm.before:
        items = [_with_text(item, arm.before(item) + item.post.text) for item in items]

    def fit(train: Sequence[LabelledPost], held_out: Sequence[LabelledPost]) -> Mean:
        learned = [train] if arm.members == 1 else without_a_fold(train, arm.members)
        return Mean([fitted.fit(items, held_out, seed=arm.seed) for items in learned])

    with layer_rates(arm.layers):
        return _out_of_fold(items, folds, fit)


def without_a_fold(items: Sequence[LabelledPost], folds: int) -> list[list[LabelledPost]]:
    """All posts but those of a fold, for each fold."""
    of = assign_folds(items, folds=folds, seed=1).tolist()
    return [[item for item, one in zip(items, of, strict=True) if one != fold] for fold in range(folds)]


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of some models' P."""

    models: Sequence[EncoderDetector]

    def probabilities(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        return np.mean([model.probabilities(posts) for model in self.models], axis=0)


def _out_of_fold(
    items: Sequence[LabelledPost], folds: NDArray[np.int64], fit: Callable[[Any, Any], Any]
) -> NDArray[np.float64]:
    result = np.full(len(items), np.nan)
    for fold in range(folds.max() + 1):
        train = [item for item, one in zip(items, folds.tolist(), strict=True) if one != fold]
        held_out = [item for item, one in zip(items, folds.tolist(), strict=True) if one == fold]
        result[folds == fold] = fit(train, held_out).probabilities([item.post for item in held_out])
    return result


def _with_text(item: LabelledPost, text: str) -> LabelledPost:
    return replace(item, post=replace(item.post, text=text))


@contextmanager
def layer_rates(decay: float) -> Iterator[None]:
    """Each layer at the rate of the one above it times ``decay``, the embeddings lowest. Howard and Ruder 2018."""
    plain: Callable[..., list[dict[str, Any]]] = vars(step)["parameter_groups"]

    def grouped(model: torch.nn.Module, **options: Any) -> list[dict[str, Any]]:
        depths = depth_of(model)
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        groups: dict[tuple[float, int], dict[str, Any]] = {}
        for group in plain(model, **options):
            for parameter in group["params"]:
                depth = depths[names[id(parameter)]]
                scale = decay ** (max(depths.values()) - depth)
                own = {**group, "params": [], "scale": scale}
                groups.setdefault((group["weight_decay"], depth), own)["params"].append(parameter)
        return list(groups.values())

    def scaled(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimiser.param_groups:
            group["lr"] *= group.get("scale", 1.0)

    handle = register_optimizer_step_pre_hook(scaled)
    vars(step)["parameter_groups"] = grouped
    try:
        yield
    finally:
        vars(step)["parameter_groups"] = plain
        handle.remove()


def depth_of(model: torch.nn.Module) -> dict[str, int]:
    """0 for the embeddings, 1 for the first layer, one more than the last layer for the head; by parameter."""
    numbers = {name: re.search(r"\.layers?\.(\d+)\.", name) for name, _ in model.named_parameters()}
    top = max(int(found[1]) for found in numbers.values() if found) + 2
    return {name: int(found[1]) + 1 if found else 0 if "embeddings" in name else top for name, found in numbers.items()}


def adapted(options: argparse.Namespace, split: Sequence[LabelledPost], items: Sequence[LabelledPost]) -> Path:
    """The encoder after `adapt` on the texts of the train split that were not drawn."""
    folder: Path = options.work / "adapted-encoder"
    if not folder.is_dir():
        used = {item.post.text for item in items}
        texts = list(dict.fromkeys(item.post.text for item in split if item.post.text not in used))
        posts = AdaptPosts(train=tuple(texts[:-200]), held_out=tuple(texts[-200:]), left_out=0, repeated=0, notes=())
        settings = [one for one in options.settings if one.startswith("training.precision")]
        own = [one.replace("training.", "adapt.") for one in settings]
        recipe = adapt_recipe("adapt", settings=[f"model.name={options.encoder}", "model.max_tokens=128", *own])
        done = adapt(recipe, posts, output=folder, options=RunOptions(device="cpu", offline=True))
        print(
            f"adapted to {done.posts:,} texts: masked loss {done.loss_before:.3f} -> {done.loss_after:.3f}, "
            f"{'a random' if done.fresh_head else 'its own'} masked-language head"
        )
    return folder


def print_table(
    items: Sequence[LabelledPost], linear: NDArray[np.float64], results: dict[str, NDArray[np.float64]]
) -> None:
    """Average precision of each arm."""
    labels = np.array([item.label for item in items])
    languages = np.array([item.post.language for item in items])
    groups = np.array([item.post.group or item.post.id for item in items])
    counts = {name: int(labels[languages == name].sum()) for name in sorted(set(languages.tolist()))}
    looked_at = [name for name, positives in counts.items() if positives >= ENOUGH]

    def mean(p: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
        by_language = [rows[languages[rows] == name] for name in looked_at]
        return float(np.mean([average_precision(labels[own], p[own]) for own in by_language]))

    everything = np.arange(len(items))
    draws = [_redrawn(groups, np.random.default_rng(seed)) for seed in range(DRAWS)]
    columns = " | ".join(f"{name} ({(languages == name).sum():,}, {counts[name]})" for name in counts)
    print(f"\n| arm | {columns} | mean | with linear | less the first (95%) |\n|{'---|' * (len(counts) + 4)}")
    first = next(iter(results.values()))
    for name, p in {"linear default": linear, **results}.items():
        cells = [f"{average_precision(labels[own], p[own]):.3f}" for own in (languages == one for one in counts)]
        moved = [mean(p, rows) - mean(first, rows) for rows in draws]
        low, high = np.quantile(moved, [0.025, 0.975])
        both = mean((p + linear) / 2, everything)
        told = "" if p is first else f"{mean(p, everything) - mean(first, everything):+.3f} ({low:+.3f} to {high:+.3f})"
        print(f"| {name} | {' | '.join(cells)} | {mean(p, everything):.3f} | {both:.3f} | {told} |")


def _redrawn(groups: NDArray[Any], random: np.random.Generator) -> NDArray[np.int64]:
    """The rows of as many groups, drawn with replacement."""
    _, of = np.unique(groups, return_inverse=True)
    rows = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[rows], np.arange(of.max() + 2))
    chosen = random.integers(0, of.max() + 1, of.max() + 1)
    return np.concatenate([rows[starts[one] : starts[one + 1]] for one in chosen])


if __name__ == "__main__":
    main()
