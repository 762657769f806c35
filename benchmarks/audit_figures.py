"""How often the estimates of what was missed hold the truth, and how wide they are, on real scores.

    python benchmarks/audit_figures.py OPEN_ADE/sentences.csv [--quick] [--runs 500] [--n 200] [--json FILE]

The posts are halved by group, and each half is scored by a linear bundle that has learned from the other, so that
scores and labels are real. A world is made of them: posts sampled again to a prevalence, their scores calibrated to it
and jittered (.15 logit), the threshold half of the best expected F1. All posts above it are read; of the others ``--n``
are audited (review.sampling). Without a file the scores are binormal.

Worlds: right; up, down (true odds e times higher or lower than the scores say); hidden and hidden30 (15% and 30% of
ADEs score as posts without one); sharp (logits x 1.6); blind (all ADEs score so).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from polyvigil.evaluation.audit_estimate import (
    AuditPart,
    MissedInterval,
    estimate_missed,
    missed_by_curve,
    missed_by_sample,
)
from polyvigil.evaluation.rate_curve import Floats, logits, recalibrate
from polyvigil.review.sampling import sample_audit

KINDS = ("right", "hidden", "hidden30", "up", "down", "sharp", "blind")
QUICK = ("right", "hidden", "up", "down")


@dataclass(frozen=True)
class Pool:
    """Calibrated logits of posts with and without an ADE, and the logit of their prevalence."""

    positive: Floats
    negative: Floats
    prior: float

    @classmethod
    def of(cls, scores: Floats, labels: Floats) -> Pool:
        fitted = recalibrate(scores, labels)
        posts = fitted.slope * scores + fitted.offset
        return cls(posts[labels == 1], posts[labels == 0], float(np.log(labels.mean() / (1 - labels.mean()))))


@dataclass(frozen=True)
class World:
    """An audit and the truth behind it."""

    part: AuditPart
    missed: int

    @property
    def recall(self) -> float:
        true = self.part.true_positives
        return true / max(true + self.missed, 1)


def binormal_pool(random: np.random.Generator, *, apart: float = 2.6) -> Pool:
    """A pool of made-up scores."""
    labels = (random.random(12000) < 0.2).astype(np.float64)
    scores = np.where(labels == 1, random.normal(0, 1.3, 12000), random.normal(-apart, 1, 12000))
    return Pool.of(scores, labels)


def half_of_best_f1(posts: Floats) -> float:
    """The threshold by the scores' own belief, as a logit: half of the best expected F1."""
    p = np.sort(expit(posts))[::-1]
    best = float(np.max(2 * np.cumsum(p) / (np.arange(1, len(p) + 1) + p.sum())))
    return float(np.log(best / 2 / (1 - best / 2)))


def world(
    random: np.random.Generator,
    pool: Pool,
    kind: str,
    *,
    prevalence: float,
    n: int,
    size: int = 5000,
    language: str = "en",
) -> World:
    """A queue of ``size`` posts, of which those above the threshold are read and ``n`` of the others audited."""
    n_positive = int(random.binomial(size, prevalence))
    labels = np.zeros(size, dtype=np.int8)
    labels[:n_positive] = 1
    posts = np.concatenate([random.choice(pool.positive, n_positive), random.choice(pool.negative, size - n_positive)])
    if kind in ("hidden", "hidden30", "blind"):
        share = {"hidden": 0.15, "hidden30": 0.3, "blind": 1.0}[kind]
        hide = np.flatnonzero(random.random(n_positive) < share)
        posts[hide] = random.choice(pool.negative, len(hide))
    posts += random.normal(0, 0.15, size) + np.log(prevalence / (1 - prevalence)) - pool.prior
    posts = 1.6 * posts if kind == "sharp" else posts + {"up": -1.0, "down": 1.0}.get(kind, 0.0)
    threshold = half_of_best_f1(posts)
    read = posts >= threshold
    seed = int(random.integers(2**31))
    sample = sample_audit(expit(posts), np.full(size, language), n, seed=seed, frame=~read)
    audited = sample.sampled[~read]
    part = AuditPart(
        language=language,
        read=posts[read],
        read_labels=labels[read],
        frame=posts[~read],
        inclusion=sample.inclusion[~read],
        audited=audited,
        audit_labels=labels[~read][audited],
        threshold=threshold,
    )
    return World(part, int(labels[~read].sum()))


def real_pool(path: Path) -> Pool:
    """Scores of the posts of a file, each half by groups scored by a bundle of the other half; languages together."""
    import polyvigil

    reading = polyvigil.read_labelled(path)
    groups = sorted({item.post.group or item.post.id for item in reading.posts})
    first = set(np.random.default_rng(1).permutation(groups)[: len(groups) // 2].tolist())
    halves = [
        [item for item in reading.posts if ((item.post.group or item.post.id) in first) == side]
        for side in (True, False)
    ]
    scores, labels = [], []
    for learned, scored in (halves, halves[::-1]):
        with tempfile.TemporaryDirectory() as folder:
            bundle = _trained(learned, Path(folder))
            posts = [item.post for item in scored]
            languages = [post.language for post in posts]
            p = bundle.calibration.calibrated(bundle.probabilities(posts), languages)
        scores.append(logits(p))
        labels.append(np.array([item.label for item in scored], dtype=np.float64))
    return Pool.of(np.concatenate(scores), np.concatenate(labels))


def _trained(items: Sequence[object], folder: Path):  # type: ignore[no-untyped-def]
    from polyvigil.bundle.store import load
    from polyvigil.config.load import load_text
    from polyvigil.data.write import write_posts
    from polyvigil.workflows.train import gather, train

    write_posts(folder / "train.csv", items)  # type: ignore[arg-type]
    recipe = load_text("[model]\nkind = 'linear'\n", where="benchmark")
    train(recipe, gather(recipe, train=[folder / "train.csv"], dev=[]), output=folder / "bundle")
    return load(folder / "bundle")


@dataclass(frozen=True)
class Row:
    """Of one estimator in one world: means over all runs."""

    error: float
    half_width: float
    coverage: float
    bound: float


def measured(runs: Sequence[World], intervals: Sequence[MissedInterval]) -> Row:
    """Error and half-width of recall, and how often interval and bound hold."""
    errors, widths, held, bounded = [], [], [], []
    for run, one in zip(runs, intervals, strict=True):
        true = run.part.true_positives
        recall = [true / max(true + x, 1e-9) for x in (one.value, one.low, one.high)]
        errors.append(recall[0] - run.recall)
        widths.append((recall[1] - recall[2]) / 2)
        held.append(one.low <= run.missed <= one.high)
        bounded.append(run.missed <= one.at_most)
    return Row(
        float(np.sqrt(np.mean(np.square(errors)))),
        float(np.mean(widths)),
        float(np.mean(held)),
        float(np.mean(bounded)),
    )


def cell(pool: Pool, kind: str, *, prevalence: float, n: int, size: int, runs: int) -> dict[str, object]:
    """One world, measured with both estimators and with the one that the program chooses."""
    random = np.random.default_rng([int(1e4 * prevalence), KINDS.index(kind), n])
    worlds = [world(random, pool, kind, prevalence=prevalence, n=n, size=size) for _ in range(runs)]
    worlds = [one for one in worlds if len(one.part.read) >= 3]
    rows = {
        "chosen": measured(worlds, [estimate_missed([one.part]) for one in worlds]),
        "curve": measured(worlds, [missed_by_curve([one.part]) for one in worlds]),
        "sample": measured(worlds, [missed_by_sample([one.part]) for one in worlds]),
    }
    recall = float(np.mean([one.recall for one in worlds]))
    return {"world": f"{prevalence:.0%} {kind}", "recall": recall, **{name: vars(row) for name, row in rows.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None)
    parser.add_argument("posts", nargs="?", type=Path)
    parser.add_argument("--quick", action="store_true", help="40 runs of four worlds at 2 and 5%%: about a minute")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--size", type=int, default=10_000)
    parser.add_argument("--prevalence", type=float, nargs="*", default=[0.01, 0.02, 0.05])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.quick:
        given.runs, given.prevalence = 40, [0.02, 0.05]
    started = time.monotonic()
    pool = real_pool(given.posts) if given.posts else binormal_pool(np.random.default_rng(0))
    print(f"{len(pool.positive):,} ADEs, {len(pool.negative):,} others, {time.monotonic() - started:.0f} s")
    print("| world | recall | chosen: rmse / half-width / coverage | sample: rmse / half-width / coverage / bound |")
    print("|---|---|---|---|")
    rows = []
    for prevalence in given.prevalence:
        for kind in QUICK if given.quick else KINDS:
            one = cell(pool, kind, prevalence=prevalence, n=given.n, size=given.size, runs=given.runs)
            rows.append(one)
            chosen, sample = one["chosen"], one["sample"]
            assert isinstance(chosen, dict)
            assert isinstance(sample, dict)
            print(
                f"| {one['world']} | {one['recall']:.2f} | {chosen['error']:.3f} / {chosen['half_width']:.3f} / "
                f"{chosen['coverage']:.3f} | {sample['error']:.3f} / {sample['half_width']:.3f} / "
                f"{sample['coverage']:.3f} / {sample['bound']:.3f} |",
                flush=True,
            )
    print(f"{time.monotonic() - started:.0f} s")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
