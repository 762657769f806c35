"""How often the gate of `polyvigil compare OLD NEW reviewed.csv --gate` errs, and what it says of bundles fed back.

    python benchmarks/replacement_gate.py errors [--runs 300] [--json FILE]
    python benchmarks/replacement_gate.py feedback OPEN_ADE/sentences.csv [--seeds 3] [--prevalence 0] [--json FILE]

`errors` makes a stream of 10,000 posts whose truth is known: an old bundle with binormal scores, its threshold half of
the best expected F1, all flagged posts read (a fifth of them held out), ``--audited`` of the others audited; and a new
bundle, whose scores are the old one's, moved at random and drawn apart or together, so that it is better or worse by a
known difference of F1.

`feedback` makes a stream of real posts (``--prevalence`` 0: with as many ADEs as they have), learns an old bundle from
a fifth of them, has the 240 likeliest posts of the stream and 200 audited ones reviewed by their labels, and feeds them
back: as the program does it, and with the columns of the worklist removed, so that thresholds are tuned on posts that
were chosen by their score.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit

from polyvigil.checks.replacement_gate import MARGIN, decide
from polyvigil.evaluation.weighted_difference import DecidedPosts, count_cells
from polyvigil.metrics import count
from polyvigil.review.sampling import sample_audit

SIZE = 10_000
HELD_OUT = 0.2


@dataclass(frozen=True)
class Stream:
    """Labels and both bundles' logits."""

    labels: np.ndarray
    old: np.ndarray
    new: np.ndarray


def stream(random: np.random.Generator, *, prevalence: float, apart: float, new_apart: float, noise: float) -> Stream:
    """The old bundle's logits lie ``apart`` standard deviations apart by label, the new one's ``new_apart``."""
    labels = (random.random(SIZE) < prevalence).astype(np.int8)
    prior = np.log(prevalence / (1 - prevalence))
    common, own = random.normal(0, 1, SIZE), random.normal(0, 1, SIZE)

    def calibrated(signal: float, chance: np.ndarray) -> np.ndarray:
        # of two normals with one variance the log odds are linear in the score
        return prior + signal * (chance + signal * (labels - 0.5))

    return Stream(
        labels, calibrated(apart, common), calibrated(new_apart, np.sqrt(1 - noise**2) * common + noise * own)
    )


def threshold(posts: np.ndarray) -> float:
    """Half of the best expected F1, as a logit."""
    p = np.sort(expit(posts))[::-1]
    half = float(np.max(2 * np.cumsum(p) / (np.arange(1, len(p) + 1) + p.sum()))) / 2
    return float(np.log(half / (1 - half)))


def one_run(random: np.random.Generator, world: Stream, *, audited: int) -> dict[str, float | str]:
    """The truth, and what the gate says."""
    flags = [posts >= threshold(posts) for posts in (world.old, world.new)]
    truth = count(world.labels, flags[1]).f1 - count(world.labels, flags[0]).f1
    chances = expit(world.old)
    sample = sample_audit(chances, np.full(SIZE, "en"), audited, seed=int(random.integers(2**31)), frame=~flags[0])
    held_out = flags[0] & (random.random(SIZE) < HELD_OUT)
    strata = []
    for mask, weights in (
        (held_out, np.full(SIZE, flags[0].sum() / max(held_out.sum(), 1))),
        (sample.sampled, 1 / np.maximum(sample.inclusion, 1e-12)),
    ):
        if mask.any():
            strata.append(DecidedPosts(*(a[mask] for a in (world.labels, weights, chances, flags[0], flags[1]))))
    f1 = count_cells(strata, random).difference("f1")
    positives = sum(int(one.labels.sum()) for one in strata)
    posts = sum(len(one.labels) for one in strata)
    verdict, _ = decide(f1, MARGIN, posts=posts, positives=positives, audited=audited)
    return {
        "truth": truth,
        "verdict": verdict,
        "covers": float(f1.low <= truth <= f1.high),
        "bound": float(f1.at_least <= truth),
        "half": (f1.high - f1.low) / 2,
        "error": f1.difference - truth,
        "f1": count(world.labels, flags[0]).f1,
        "flagged": int(flags[0].sum()),
    }


WORLDS = {
    "much better": (0.5, 0.3),
    "better": (0.25, 0.3),
    "as good, other posts": (0.0, 0.45),
    "as good": (0.0, 0.2),
    "a little worse": (-0.15, 0.3),
    "worse": (-0.4, 0.3),
    "much worse": (-0.8, 0.4),
}


def errors(runs: int, audits: Sequence[int], prevalences: Sequence[float]) -> list[dict[str, float | str]]:
    rows = []
    for prevalence in prevalences:
        for audited in audits:
            for name, (more, noise) in WORLDS.items():
                random = np.random.default_rng([runs, audited, int(prevalence * 1000), len(name)])
                some = [
                    one_run(
                        random,
                        stream(random, prevalence=prevalence, apart=2.6, new_apart=2.6 + more, noise=noise),
                        audited=audited,
                    )
                    for _ in range(runs)
                ]
                share = {v: float(np.mean([r["verdict"] == v for r in some]))
                         for v in ("not worse", "worse", "undecided", "too few")}  # fmt: skip
                mean = {k: float(np.mean([r[k] for r in some]))
                        for k in ("truth", "covers", "bound", "half", "error", "f1", "flagged")}  # fmt: skip
                rows.append({"prevalence": prevalence, "audited": audited, "world": name, **mean, **share})
                print(
                    f"{prevalence:.2f} {audited:4d} {name:22s} F1 {mean['f1']:.2f} flagged {mean['flagged']:5.0f} "
                    f"truth {mean['truth']:+.3f} bias {mean['error']:+.3f} half {mean['half']:.3f} cov "
                    f"{mean['covers']:.3f} bound {mean['bound']:.3f} "
                    + " ".join(f"{key} {value:.2f}" for key, value in share.items()),
                    flush=True,
                )
    return rows


def feedback(path: Path, seeds: int, prevalences: Sequence[float]) -> list[dict[str, object]]:
    """For each seed and way of feeding back: F1 on test posts before and after, and what the gate says."""
    rows: list[dict[str, object]] = []
    for prevalence in prevalences:
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                some = _fed_back(Path(folder), path, seed, prevalence)
            rows += [{"prevalence": prevalence, "seed": seed, **row} for row in some]
            for row in some:
                print(prevalence, seed, row, flush=True)
    return rows


WAYS = {
    "train, as the program does it": "train linear --train seed.csv --train reviewed.csv -o {}",
    "train, columns of the worklist removed": "train linear --train seed.csv --train bare.csv -o {}",
    "tune on the queue alone, columns removed": "tune old bare.csv -o {}",
}


def _fed_back(folder: Path, path: Path, seed: int, prevalence: float) -> list[dict[str, object]]:
    _write_posts(folder, path, seed, prevalence)
    _ran(folder, "train linear --train seed.csv -o old")
    _ran(folder, "score old stream.csv -o scored.csv")
    _ran(folder, f"worklist scored.csv --budget 440 --audit 200 --seed {seed} -o list.csv")
    _decide(folder)
    before = _f1(folder, "old")
    rows = []
    for number, (way, command) in enumerate(WAYS.items()):
        bundle = f"new{number}"
        _ran(folder, command.format(bundle))
        gate = _ran(folder, f"compare old {bundle} reviewed.csv --gate", codes=(0, 3))
        data = json.loads(gate)["data"]
        pooled = data["pooled"]
        rows.append({
            "way": way, "before": before, "after": _f1(folder, bundle), "holds": data["holds"],
            "verdict": pooled["verdict"], **{key: pooled["f1"][key] for key in ("difference", "at_least")},
            "refused_by": [one["name"] for one in data["gates"] if not one["passed"]],
        })  # fmt: skip
    return rows


def _write_posts(folder: Path, path: Path, seed: int, prevalence: float) -> None:
    """A fifth of the posts to begin with, three fifths as the stream, a fifth to test on: groups whole, at random; of
    ADEs so many that they are ``prevalence`` of each part (0: as many as there are)."""
    random = np.random.default_rng(seed)
    with path.open(encoding="utf-8") as stream:
        rows = [{k: v for k, v in row.items() if k not in ("split", "note")} for row in csv.DictReader(stream)]
    groups = sorted({row["group"] for row in rows})
    side = dict(zip(groups, random.random(len(groups)).tolist(), strict=True))
    clear = sum(row["label"] == "0" for row in rows)
    share = prevalence / (1 - prevalence) * clear / (len(rows) - clear) if prevalence else 1.0
    rows = [row for row in rows if row["label"] == "0" or random.random() < share]
    parts = {
        "seed": [row for row in rows if side[row["group"]] < 0.2],
        "stream": [row for row in rows if 0.2 <= side[row["group"]] < 0.8],
        "test": [row for row in rows if side[row["group"]] >= 0.8],
    }
    (folder / "truth.json").write_text(json.dumps({row["id"]: row["label"] for row in parts["stream"]}))
    parts["stream"] = [{k: v for k, v in row.items() if k != "label"} for row in parts["stream"]]
    for name, some in parts.items():
        _write_csv(folder / f"{name}.csv", some)


def _write_csv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _decide(folder: Path) -> None:
    """Fill in the labels of the worklist, by which audited posts were read twice; ``bare.csv`` is its queue alone."""
    truth = json.loads((folder / "truth.json").read_text())
    rows = list(csv.DictReader((folder / "list.csv").open(encoding="utf-8-sig")))
    for row in rows:
        row["label"] = row["label_2"] = truth[row["id"]]
    _write_csv(folder / "reviewed.csv", rows)
    queue = [row for row in rows if row["purpose"] == "queue"]
    _write_csv(folder / "bare.csv", [{k: row[k] for k in ("id", "text", "label", "language")} for row in queue])


def _f1(folder: Path, bundle: str) -> float:
    data = json.loads(_ran(folder, f"evaluate {bundle} test.csv"))["data"]
    return float(data["pooled"]["f1"])


def _ran(folder: Path, command: str, *, codes: Sequence[int] = (0,)) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "polyvigil", *command.split(), "--json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in codes:
        raise SystemExit(f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["errors", "feedback"])
    parser.add_argument("posts", nargs="?", type=Path)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--audited", type=int, nargs="*", default=[100, 200, 400])
    parser.add_argument("--prevalence", type=float, nargs="*", default=[0.02, 0.1])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "errors":
        rows = errors(arguments.runs, arguments.audited, arguments.prevalence)
    else:
        rows = feedback(arguments.posts, arguments.seeds, arguments.prevalence)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
