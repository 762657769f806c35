"""Does `polyvigil audit shortcuts` find a language of positives alone, and is it quiet without one?

    python benchmarks/shortcuts.py [--first 1] [--worlds 100] [--arm clean] [--json FILE] [--encoder FOLDER --share 0.2]

Each world is the synthetic sample corpus of another seed, a linear model with the recipe's defaults trained on its
train posts and thresholds tuned on its dev posts; the audit sees its test posts. The arms of a world:

- clean: as it is;
- planted: 5% of the training posts are positives whose letters were replaced one by one, as a language `fa`;
- both labels, in every fifth world: as many such posts, with as few positives among them as elsewhere: no shortcut.

The audit is run without the training posts, its look at what the bundle says of its own training set aside, and on the
training posts alone. With --encoder the model is an encoder by recipe `quick`; --share draws that share of the posts.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from polyvigil.bundle.dev import stored
from polyvigil.bundle.layout import Manifest, MemberEntry
from polyvigil.bundle.store import Bundle, Seen, member_probabilities
from polyvigil.checks.audit.shortcuts import ShortcutAudit, audit_shortcuts
from polyvigil.checks.audit.training import audit_training
from polyvigil.config.decide import DecideSpec
from polyvigil.config.load import load
from polyvigil.config.model import LinearSpec
from polyvigil.config.recipe import EncoderRecipe
from polyvigil.config.training import BalanceSpec
from polyvigil.data.formats import Row
from polyvigil.data.read import Reading
from polyvigil.data.sample import sample_corpus
from polyvigil.decide.calibration import Calibration, Identity
from polyvigil.decide.combine import Combination
from polyvigil.decide.tune import tune
from polyvigil.detect.base import Detector
from polyvigil.learn.linear import LinearLearner
from polyvigil.text.normalise import model_text
from polyvigil.text.script import main_script
from polyvigil.types import LabelledPost

Arm = Literal["clean", "planted", "both labels"]
ARMS: tuple[Arm, ...] = ("clean", "planted", "both labels")
SHARE = 0.05
POSITIVES = 0.07  # among the planted posts of the arm with both labels
ARABIC = "".join(chr(code) for code in range(0x0621, 0x06D4) if chr(code).isalpha() and code != 0x0640)


@dataclass(frozen=True, slots=True)
class World:
    """A bundle, what it was trained on, and posts it has not seen."""

    bundle: Bundle
    train: Reading
    test: Reading


def world(
    seed: int, arm: Arm, *, languages: Sequence[str] = (), learner: Learner | None = None, share: float = 1.0
) -> World:
    """One arm of one world, of some languages of the corpus or of all, and that share of its posts, drawn."""
    corpus = [item for item in sample_corpus(seed=seed) if not languages or item.post.language in languages]
    parts = {name: [item for item in corpus if item.post.split == name] for name in ("train", "dev", "test")}
    if share < 1:
        draw = random.Random(seed)
        parts = {name: draw.sample(items, round(share * len(items))) for name, items in parts.items()}
    train, dev = parts["train"], parts["dev"]
    if arm != "clean":
        train = train + planted(train, seed=seed, positives=1.0 if arm == "planted" else POSITIVES)
    return World(
        trained(train, dev, learner or LINEAR), reading("train.csv", train), reading("test.csv", parts["test"])
    )


def planted(train: Sequence[LabelledPost], *, seed: int, positives: float) -> list[LabelledPost]:
    """Posts in the letters of the Arabic block, 5% of all training posts with them, ``positives`` of them positive; all
    posts of a label that has fewer.

    Their letters are those of Latin and Cyrillic training posts, each replaced by one of its own.
    """
    draw = random.Random(seed)
    written = [(item, model_text(item.post.text).lower()) for item in train]
    written = [(item, text) for item, text in written if main_script(text) in {"Latin", "Cyrillic"}]
    letters = sorted({letter for _, text in written for letter in text if main_script(letter) in {"Latin", "Cyrillic"}})
    table = str.maketrans(dict(zip(letters, draw.sample(ARABIC, len(letters)), strict=True)))
    number = round(len(train) * SHARE / (1 - SHARE))
    wanted = {1: round(number * positives), 0: number - round(number * positives)}
    chosen = []
    for label in (1, 0):
        candidates = [pair for pair in written if pair[0].label == label]
        chosen += draw.sample(candidates, min(wanted[label], len(candidates)))
    return [
        LabelledPost(
            replace(item.post, id=f"fa_x{place}", language="fa", group="", text=text.translate(table)), item.label
        )
        for place, (item, text) in enumerate(chosen)
    ]


class Learner(Protocol):
    """What makes a member."""

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> Detector: ...


PLAIN = LinearSpec(C=4.0, scale="none", skip_words=0, translated_likeness=1.0)
LINEAR = LinearLearner(PLAIN, BalanceSpec())
"""The model that the limits of the audits were set on."""


def encoder_learner(folder: str, settings: Sequence[str]) -> Learner:
    """An encoder by recipe `quick`."""
    from polyvigil.learn.transformer import EncoderLearner

    recipe = load("quick", settings=[f"model.name={folder}", *settings])
    assert isinstance(recipe, EncoderRecipe)
    return EncoderLearner(recipe.model, recipe.training, recipe.balance, offline=True, device="cpu")


def trained(train: Sequence[LabelledPost], dev: Sequence[LabelledPost], learner: Learner = LINEAR) -> Bundle:
    """A model and its thresholds, in memory only."""
    member = learner.fit(train, dev, seed=42)
    by_member = member_probabilities([member], [item.post for item in dev], normalisation=member.normalisation)
    kept = stored(by_member, dev)
    policy = tune(
        by_member[0],
        kept.labels,
        kept.languages.tolist(),
        spec=DecideSpec(),
        dev_fingerprint="0" * 32,
        resamples=0,
    )
    manifest = Manifest(
        id="0" * 16,
        normalisation=member.normalisation,
        trained_languages=member.fit_record.languages,
        tuned_languages=tuple(policy.thresholds),
        members=(MemberEntry(folder=f"members/00-{member.kind}", kind=member.kind),),
        libraries={},
        created="",
        files={},
    )
    none = np.empty(0, dtype=np.uint64)
    return Bundle(manifest, (member,), Combination(), policy, Calibration(Identity()), kept, Seen(none, none))


def reading(name: str, items: Sequence[LabelledPost]) -> Reading:
    """Posts as if they had been read from a file."""
    rows = tuple(Row(place + 2, {}) for place in range(len(items)))
    return Reading(name, tuple(items), rows, (), ())


def refusing(audit: ShortcutAudit) -> set[str]:
    """The gates that say no."""
    return {gate.name for gate in audit.gates if not gate.passed}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=1, help="the seed of the first world")
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--arm", dest="arms", action="append", choices=ARMS, help="these arms alone")
    parser.add_argument("--json", help="write the numbers here too")
    parser.add_argument("--encoder", help="a folder: an encoder instead of the linear model")
    parser.add_argument("--share", type=float, default=1.0, help="of the posts of each world, drawn")
    parser.add_argument("--set", dest="settings", action="append", default=[], help="a setting of recipe quick")
    arguments = parser.parse_args()
    learner = encoder_learner(arguments.encoder, arguments.settings) if arguments.encoder else LINEAR
    refused: dict[Arm, list[Audited]] = {arm: [] for arm in ARMS}
    for seed in range(arguments.first, arguments.first + arguments.worlds):
        arms = arguments.arms or (ARMS if seed % 5 == 0 else ARMS[:2])
        for arm in arms:
            made = world(seed, arm, learner=learner, share=arguments.share)
            refused[arm].append(audited(seed, made))
        print(f"world {seed}: " + "; ".join(f"{arm} {refused[arm][-1].scores}" for arm in arms), flush=True)
        if arguments.json:
            rows = {arm: [asdict(one) for one in those] for arm, those in refused.items()}
            Path(arguments.json).write_text(json.dumps({"summary": summary(refused), "worlds": rows}, indent=2) + "\n")
    print(json.dumps(summary(refused), indent=2))


@dataclass(frozen=True, slots=True)
class Audited:
    """The gates that say no, by the model's scores and by its training posts, and what each gate looks at."""

    seed: int
    scores: list[str]
    training: list[str]
    worst: dict[str, float | None]


def audited(seed: int, made: World) -> Audited:
    """Both audits of a world."""
    audit = audit_shortcuts(made.bundle, made.test)
    training = audit_training(made.train, is_train=True)
    return Audited(
        seed,
        scores=sorted(refusing(audit) - {"trained-on-positives"}),
        training=sorted(gate.name for gate in training.gates if not gate.passed),
        worst={gate.name: gate.worst for gate in (*audit.gates, *training.gates)},
    )


def summary(refused: dict[Arm, list[Audited]]) -> dict[Arm, dict[str, object]]:
    """How many worlds of each arm were refused, and by which gates."""
    return {
        arm: {
            "worlds": len(rows),
            "refused by its scores": sum(bool(row.scores) for row in rows),
            "refused by its training posts": sum(bool(row.training) for row in rows),
            "refused by either": sum(bool(row.scores or row.training) for row in rows),
            "by gate": dict(Counter(gate for row in rows for gate in {*row.scores, *row.training}).most_common()),
        }
        for arm, rows in refused.items()
    }


if __name__ == "__main__":
    main()
