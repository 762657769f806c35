"""Fitting the linear default on many posts, beside scikit-learn's pipeline: CPU time, peak memory, average precision.

    python benchmarks/linear_scale.py [POSTS.csv] [--posts 10000 100000] [--pipeline-up-to 100000] [--svg FILE]

Training posts are made from those of POSTS.csv, which needs a split column, or of the synthetic sample corpus: posts of
one language joined two by two, 4% of the words misspelt, so that the vocabulary grows as it does in people's posts. The
test posts are as they are. Three arms, each in a process of its own: the default recipe; the model of scikit-learn's
pipeline (no scale, no skip-grams) by our solver; that pipeline. Memory is the process's largest resident size, the
posts and all libraries in it. Numbers from spliced posts say how time and memory grow, and nothing about quality on
more real posts.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from polyvigil.config.model import LinearSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.data.read import read_labelled
from polyvigil.data.sample import sample_corpus
from polyvigil.learn.balance import training_weights
from polyvigil.learn.linear import LinearLearner
from polyvigil.metrics import average_precision
from polyvigil.text.normalise import model_text
from polyvigil.types import LabelledPost, Post

PLAIN = LinearSpec(C=4.0, scale="none", skip_words=0, translated_likeness=1.0)
ARMS = ("default", "plain", "scikit-learn")
_MISSPELT = 0.04

Score = Callable[[Sequence[Post]], np.ndarray]
"""P(ADE) of posts, (n_posts,)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", help="labelled posts with a split column")
    parser.add_argument("--posts", type=int, nargs="+", default=[10_000, 40_000, 100_000, 1_000_000])
    parser.add_argument(
        "--pipeline-up-to", type=int, default=100_000, help="posts that scikit-learn's pipeline is given"
    )
    parser.add_argument("--svg", help="draw the plot here")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(asdict(_measured(arguments.arm, arguments.source, arguments.posts[0]))))
        return
    runs: list[Run] = []
    for posts in arguments.posts:
        arms = ARMS if posts <= arguments.pipeline_up_to else ARMS[:2]
        runs += [_in_a_process(arm, arguments.source, posts) for arm in arms]
        if len(arms) == len(ARMS):
            print(f"{'':>10}the pipeline takes {runs[-1].seconds / runs[-2].seconds:.1f} times as long as ours (plain)")
    if arguments.svg:
        Path(arguments.svg).write_text(drawn(runs), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Run:
    """``seconds`` of CPU to fit; ``megabytes`` at the most, of them ``before`` the fit; ``ap`` on the test posts."""

    arm: str
    posts: int
    seconds: float
    megabytes: float
    before: float
    ap: float


def _in_a_process(arm: str, source: str | None, posts: int) -> Run:
    command = [sys.executable, __file__, *([source] if source else []), "--arm", arm, "--posts", str(posts)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    run = Run(**json.loads(done.stdout.splitlines()[-1]))
    print(
        f"{posts:>9,} {arm:13} {run.seconds:8.1f} s of CPU, {run.megabytes:6,.0f} MB ({run.before:,.0f} before), "
        f"AP {run.ap:.4f}",
        flush=True,
    )
    return run


def _measured(arm: str, source: str | None, n_posts: int) -> Run:
    items = read_labelled(source).posts if source else sample_corpus()
    test = [item for item in items if item.post.split == "test"]
    train = list(spliced([item for item in items if item.post.split == "train"], n_posts))
    held, begun = _megabytes(), time.process_time()
    fit = _pipeline if arm == "scikit-learn" else partial(_ours, LinearSpec() if arm == "default" else PLAIN)
    score = fit(train)
    seconds, most = time.process_time() - begun, _megabytes()
    gold = np.array([item.label for item in test], dtype=np.int8)
    return Run(arm, n_posts, seconds, most, held, average_precision(gold, score([item.post for item in test])))


def _ours(spec: LinearSpec, train: Sequence[LabelledPost]) -> Score:
    return LinearLearner(spec, BalanceSpec()).fit(train, (), seed=1).probabilities


def spliced(items: Sequence[LabelledPost], n_posts: int, *, seed: int = 0) -> Iterator[LabelledPost]:
    """Posts of two sentences of one language each; positive where one of them is."""
    draw = random.Random(seed)
    languages = sorted({item.post.language for item in items})
    by_language = {name: [item for item in items if item.post.language == name] for name in languages}
    for number in range(n_posts):
        own = by_language[draw.choice(items).post.language]
        pair = (draw.choice(own), draw.choice(own))
        text = " ".join(_misspelt(word, draw) for item in pair for word in item.post.text.split())
        first = pair[0].post
        yield LabelledPost(Post(f"{number}", text, first.language, first.type), max(item.label for item in pair))


def _misspelt(word: str, draw: random.Random) -> str:
    if len(word) < 3 or draw.random() > _MISSPELT:
        return word
    at = draw.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _pipeline(train: Sequence[LabelledPost]) -> Score:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import FeatureUnion, make_pipeline
    from threadpoolctl import threadpool_limits

    common = {"sublinear_tf": True, "preprocessor": lambda text: model_text(text).lower()}
    pipeline = make_pipeline(
        FeatureUnion(
            [
                ("words", TfidfVectorizer(ngram_range=PLAIN.word_ngrams, **common)),
                ("characters", TfidfVectorizer(analyzer="char_wb", ngram_range=PLAIN.character_ngrams, **common)),
            ]
        ),
        LogisticRegression(C=PLAIN.C, solver="liblinear", tol=1e-4),
    )
    with threadpool_limits(1):
        pipeline.fit(
            [item.post.text for item in train],
            [item.label for item in train],
            logisticregression__sample_weight=training_weights(train, BalanceSpec()),
        )
    return lambda posts: pipeline.predict_proba([post.text for post in posts])[:, 1]


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def drawn(runs: Sequence[Run]) -> str:
    """Two panels as SVG, CPU seconds and megabytes by posts, a line for each arm; both axes logarithmic."""
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 270" font-family="sans-serif" font-size="11">']
    parts.append("<title>Time and memory of fitting the linear default by number of posts</title>")
    sizes = [run.posts for run in runs]
    for left, title, values in (
        (40, "CPU seconds", [run.seconds for run in runs]),
        (410, "peak memory, MB", [run.megabytes for run in runs]),
    ):
        across = [left + 280 * share for share in _logarithmic(sizes)]
        down = [225 - 190 * share for share in _logarithmic(values)]
        parts.append(f'<text x="{left}" y="16" font-weight="bold">{title}</text>')
        parts.extend(
            f'<text x="{x:.0f}" y="244" text-anchor="middle">{n:,}</text>'
            for n, x in dict(zip(sizes, across, strict=True)).items()
        )
        for arm, dash in zip(ARMS, ("", "6 3", "2 3"), strict=True):
            own = [at for at, run in enumerate(runs) if run.arm == arm]
            line = " ".join(f"{across[at]:.0f},{down[at]:.0f}" for at in own)
            parts.append(f'<polyline points="{line}" fill="none" stroke="#246" stroke-dasharray="{dash}"/>')
            for at in own:
                x, y = across[at], down[at]
                parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="2.5" fill="#246"/>')
                parts.append(
                    f'<text x="{x + 4:.0f}" y="{y - 4:.0f}">{values[at]:,.{0 if values[at] >= 100 else 1}f}</text>'
                )
    parts.append('<text x="40" y="262">training posts; line: default, dashes: plain, dots: scikit-learn</text></svg>')
    return "\n".join(parts) + "\n"


def _logarithmic(values: Sequence[float]) -> list[float]:
    """Each value's place between the smallest, 0, and the largest, 1, by its logarithm."""
    low, high = math.log(min(values)), math.log(max(values))
    return [(math.log(value) - low) / max(high - low, 1e-9) for value in values]


if __name__ == "__main__":
    main()
