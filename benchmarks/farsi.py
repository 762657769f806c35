"""The Farsi story: what translated posts do to a model, by how many of them are positive.

    python benchmarks/farsi.py [--encoder FOLDER] [--json FILE]

On the synthetic sample corpus, with the translator that maps letters into Arabic script (`--mapping arabic`): mapped
posts have the words and labels of en and ru train posts, and a script that dev never shows. Each arm trains the linear
default (with `--encoder`, the encoder in that folder, for 2 epochs) on the train posts and on:

- none: nothing more;
- v1: their positives alone, as the paper's first Farsi augmentation;
- v2: their positives, and negatives until 27.5% are positive, as its second;
- v3: as many posts as v2, drawn at their own prevalence.

Twice: with the paper's balance (positives three times, no weights), and with the default (weights by group). Values
are of mapped en and ru test posts, of the corpus's dev posts, and of `polyvigil audit shortcuts`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from polyvigil.augment.choose import choose
from polyvigil.augment.mapping import Mapping
from polyvigil.augment.translate import Cache, translate
from polyvigil.bundle.store import Bundle
from polyvigil.checks.audit.shortcuts import audit_shortcuts
from polyvigil.config.augment import TranslationSpec
from polyvigil.config.model import EncoderSpec
from polyvigil.config.recipe import EncoderRecipe, LinearRecipe, Recipe
from polyvigil.config.training import BalanceSpec, TrainingSpec
from polyvigil.data.formats import Row
from polyvigil.data.read import Reading
from polyvigil.data.sample import sample_corpus
from polyvigil.decide.thresholds import logit
from polyvigil.types import LabelledPost
from polyvigil.workflows import train as training

SOURCES = ("en", "ru")
POSITIVE_SHARE = 0.275  # of the paper's v2
ARMS = ("none", "v1", "v2", "v3")
BALANCES = {
    "paper": BalanceSpec(weights="none", oversample=3),
    "group": BalanceSpec(),
}


@dataclass(frozen=True)
class Told:
    """One arm. Shares in [0, 1]; ``moved``: how far thresholds of other languages are from those of arm none, in
    logits, at most; ``rate``: largest ratio of their flag rates on the dev posts, either way."""

    balance: str
    arm: str
    mapped: int
    mapped_positives: int
    flagged_negatives: float
    flagged_positives: float
    prior: float
    dev_f1: float
    dev_cross_fitted: float | None
    moved: float
    moved_at: str
    rate: float
    rate_at: str
    refused: tuple[str, ...]


def mapped_train(train: Sequence[LabelledPost], arm: str) -> list[LabelledPost]:
    """The further training posts of an arm."""
    positives = sum(item.label for item in train if item.post.language in SOURCES)
    both = round(positives / POSITIVE_SHARE)
    specs = {
        "v1": TranslationSpec(only="positives"),
        "v2": TranslationSpec(negatives=both - positives),
        "v3": TranslationSpec(most=both),
    }
    return mapped(train, specs[arm]) if arm in specs else []


def mapped(items: Sequence[LabelledPost], spec: TranslationSpec) -> list[LabelledPost]:
    """Posts in mapped letters, by the command's own code."""
    chosen = choose(items, Mapping(), spec, target="fa", sources=SOURCES)
    with tempfile.TemporaryDirectory() as folder:
        rows = translate([chosen], Mapping(), Cache(Path(folder) / "cache.jsonl"), batch_tokens=spec.batch_tokens)
    return [row.item for row in rows if not row.reason]


def arm(
    corpus: Sequence[LabelledPost], name: str, *, recipe: Recipe, balance: str, folder: Path, before: Bundle | None
) -> tuple[Told, Bundle]:
    """Train an arm, measure it, audit it. ``before``: the bundle of arm none, with the same balance."""
    parts = {split: [item for item in corpus if item.post.split == split] for split in ("train", "dev", "test")}
    train = [*parts["train"], *mapped_train(parts["train"], name)]
    material = training.TrainingData(tuple(train), tuple(parts["dev"]), "sample", (), ())
    output = folder / f"{balance}-{name}"
    made = training.train(recipe.model_copy(update={"balance": BALANCES[balance]}), material, output=output)
    bundle = made.bundle
    unseen = mapped(parts["test"], TranslationSpec())
    flags = bundle.policy.flags(bundle.probabilities([item.post for item in unseen]), ["fa"] * len(unseen))
    positive = [bool(item.label) for item in unseen]
    known = [item for item in parts["test"] if item.post.language != "fa"]
    audit = audit_shortcuts(bundle, reading([*known, *unseen]), train=reading(train))
    moved, rate = thresholds_moved(before or bundle, bundle)
    told = Told(
        balance=balance,
        arm=name,
        mapped=len(train) - len(parts["train"]),
        mapped_positives=sum(item.label for item in train[len(parts["train"]) :]),
        flagged_negatives=mean([flag for flag, is_positive in zip(flags, positive, strict=True) if not is_positive]),
        flagged_positives=mean([flag for flag, is_positive in zip(flags, positive, strict=True) if is_positive]),
        prior=mean(positive),
        dev_f1=made.evaluation.pooled.f1,
        dev_cross_fitted=made.evaluation.pooled.cross_fitted.f1 if made.evaluation.pooled.cross_fitted else None,
        moved=moved[0],
        moved_at=moved[1],
        rate=rate[0],
        rate_at=rate[1],
        refused=tuple(gate.name for gate in audit.gates if not gate.passed),
    )
    return told, bundle


def thresholds_moved(before: Bundle, after: Bundle) -> tuple[tuple[float, str], tuple[float, str]]:
    """The largest move of a language's threshold in logits, and of its flag rate on the dev posts as a ratio."""
    moves, rates = [], []
    for language, threshold in before.policy.thresholds.items():
        new = after.policy.threshold(language).value
        moves.append((abs(float(logit(new) - logit(threshold.value))), language))
        shares = []
        for bundle in (before, after):
            mine = bundle.dev.languages == language
            p = bundle.dev.scores(bundle.combination.of_all).probabilities[mine]
            shares.append(mean(bundle.policy.flags(p, [language] * len(p)).tolist()))
        rates.append((max(shares[0] / shares[1], shares[1] / shares[0]) if all(shares) else float("inf"), language))
    return max(moves), max(rates)


def mean(values: Sequence[bool]) -> float:
    """Share of true ones."""
    return float(sum(values) / len(values))


def reading(items: Sequence[LabelledPost]) -> Reading:
    """Posts as if they had been read from a file."""
    return Reading("posts.csv", tuple(items), tuple(Row(place + 2, {}) for place in range(len(items))), (), ())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="a model folder, in place of the linear default")
    parser.add_argument("--seed", type=int, default=42, help="of the corpus")
    parser.add_argument("--json", help="write the numbers here too")
    arguments = parser.parse_args()
    recipe: Recipe = LinearRecipe()
    if arguments.encoder:
        recipe = EncoderRecipe(
            model=EncoderSpec(name=arguments.encoder, max_tokens=128),
            training=TrainingSpec(epochs=2, learning_rate=5e-5, loss="cross-entropy"),
        )
    corpus = sample_corpus(seed=arguments.seed)
    rows = []
    print("flagged: of mapped test posts; moved, rate: largest change of another language's threshold and flag rate")
    print("balance arm   posts (positive)  flagged: negatives positives (prior)  dev F1 cross  moved  rate  refused by")
    with tempfile.TemporaryDirectory() as folder:
        for balance in BALANCES:
            before = None
            for name in ARMS:
                told, bundle = arm(corpus, name, recipe=recipe, balance=balance, folder=Path(folder), before=before)
                before = before or bundle
                rows.append(told)
                share = told.mapped_positives / told.mapped if told.mapped else 0.0
                print(
                    f"{balance:<7} {name:<5} {told.mapped:>5} ({share:>6.1%})     {told.flagged_negatives:>10.1%}"
                    f" {told.flagged_positives:>9.1%} ({told.prior:.1%})  {told.dev_f1:.3f}"
                    f" {told.dev_cross_fitted or 0:.3f}  {told.moved:.2f} ({told.moved_at})  {told.rate:.2f}"
                    f" ({told.rate_at})  {', '.join(told.refused) or '-'}",
                    flush=True,
                )
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


if __name__ == "__main__":
    main()
