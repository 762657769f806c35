"""How many labels each way of picking posts to learn from needs, on real posts.

    python benchmarks/learn_picks.py OPEN_ADE/sentences.csv [--seeds 3] [--prevalence 0.08] [--json FILE]

A bundle learns from 300 random posts and scores the others; 100 of them are labelled, it learns again, three times. Of
each hundred the half is the queue, the likeliest posts of each language; the other half is picked by each way from
those below the threshold. Average precision is of test posts of other groups.
"""

from __future__ import annotations

import argparse
import csv
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import polyvigil
from polyvigil.evaluation.rate_curve import logits
from polyvigil.metrics import average_precision
from polyvigil.review.learn_picks import LearnPool, pick_to_learn, spaced_out, text_vectors
from polyvigil.types import LabelledPost, Post

START, STEP, ROUNDS = 300, 100, 3
Pick = Callable[[LearnPool, int, np.random.Generator], np.ndarray]


def near_threshold(pool: LearnPool, n: int, _: np.random.Generator) -> np.ndarray:
    return np.argsort(np.abs(pool.scores))[:n]


def spaced_halves(pool: LearnPool, n: int, random: np.random.Generator) -> np.ndarray:
    """As pick_to_learn, but each half spaced out among four times as many."""
    vectors = text_vectors([*pool.texts, *pool.positives])
    posts, known = vectors[: len(pool.texts)], vectors[len(pool.texts) :]
    likeness = np.asarray((posts @ known.T).max(axis=1).todense()).ravel()
    near = spaced_out(posts, near_threshold(pool, 4 * (n - n // 2), random), n - n // 2)
    likeness[near] = -1
    return np.concatenate([near, spaced_out(posts, np.argsort(-likeness)[: 4 * (n // 2)], n // 2)])


WAYS: dict[str, Pick | None] = {
    "the queue alone": None,
    "at random": lambda pool, n, random: random.permutation(len(pool.texts))[:n],
    "nearest to the threshold": near_threshold,
    "half near it, half like a known ADE": lambda pool, n, _: pick_to_learn(pool, n),
    "the same, spaced out": spaced_halves,
    "of bands of scores, spaced out": lambda pool, n, _: pick_to_learn(LearnPool(pool.texts, pool.scores), n),
}


def read(path: Path, seed: int, prevalence: float) -> tuple[list[LabelledPost], list[LabelledPost]]:
    """Posts to learn from, in random order, and posts to test on, of other groups; so many of them ADEs."""
    random = np.random.default_rng(seed)
    with path.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["language"] != "ja"]
    clear = sum(row["label"] == "0" for row in rows)
    share = prevalence / (1 - prevalence) * clear / (len(rows) - clear)
    rows = [row for row in rows if row["label"] == "0" or random.random() < share]
    groups = sorted({row["group"] for row in rows})
    side = dict(zip(groups, random.random(len(groups)).tolist(), strict=True))
    pool: list[LabelledPost] = []
    test: list[LabelledPost] = []
    for row in rows:
        post = Post(id=row["id"], text=row["text"], language=row["language"], group=row["group"])
        (pool if side[row["group"]] < 0.7 else test).append(LabelledPost(post, int(row["label"])))
    random.shuffle(pool)  # type: ignore[arg-type]
    return pool, test


def trained(items: Sequence[LabelledPost]) -> polyvigil.Bundle:
    rows = [{"id": i.post.id, "text": i.post.text, "label": i.label, "language": i.post.language} for i in items]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return polyvigil.train("linear", rows, settings={"data.folds": 3})


def picked(
    bundle: polyvigil.Bundle,
    known: Sequence[LabelledPost],
    rest: Sequence[LabelledPost],
    pick: Pick | None,
    random: np.random.Generator,
) -> list[int]:
    """The next hundred: the queue, and of what is below the threshold by ``pick``."""
    posts = [item.post for item in rest]
    languages = np.array([post.language for post in posts])
    u = logits(bundle.calibration.calibrated(bundle.probabilities(posts), languages.tolist()))
    chosen: list[int] = []
    for language in np.unique(languages).tolist():
        here = np.flatnonzero(languages == language)
        threshold = bundle.policy.threshold(language).value
        limit = float(logits(bundle.calibration.calibrated(np.array([threshold]), [language]))[0])
        queue = here[np.argsort(-u[here])[: STEP // (4 if pick else 2)]]
        chosen += queue.tolist()
        if pick:
            below = here[(u[here] < limit) & ~np.isin(here, queue)]
            ades = [item.post.text for item in known if item.label and item.post.language == language]
            pool = LearnPool([posts[index].text for index in below], u[below] - limit, ades)
            chosen += below[pick(pool, STEP // 4, random)].tolist()
    return chosen


def curve(
    pool: list[LabelledPost], test: list[LabelledPost], start: polyvigil.Bundle, pick: Pick | None, seed: int
) -> tuple[list[float], int]:
    """Average precision after each round, and how many ADEs were learned from."""
    known, rest, bundle, random = pool[:START], pool[START:], start, np.random.default_rng(seed)
    labels, texts = np.array([item.label for item in test], dtype=np.int8), [item.post for item in test]
    values = [float(average_precision(labels, bundle.probabilities(texts)))]
    for _ in range(ROUNDS):
        chosen = set(picked(bundle, known, rest, pick, random))
        known = [*known, *(rest[index] for index in sorted(chosen))]
        rest = [item for index, item in enumerate(rest) if index not in chosen]
        bundle = trained(known)
        values.append(float(average_precision(labels, bundle.probabilities(texts))))
    return values, sum(item.label for item in known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("posts", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prevalence", type=float, default=0.08)
    parser.add_argument("--ways", nargs="*", default=list(WAYS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = []
    for seed in range(arguments.seeds):
        pool, test = read(arguments.posts, seed, arguments.prevalence)
        start = trained(pool[:START])
        for way in arguments.ways:
            values, ades = curve(pool, test, start, WAYS[way], seed)
            result.append({"seed": seed, "way": way, "average_precision": values, "ades": ades})
            print(seed, f"{way:36s}", " ".join(f"{value:.3f}" for value in values), ades, flush=True)
    for way in arguments.ways:
        of_way = [row for row in result if row["way"] == way]
        means = np.mean([row["average_precision"] for row in of_way], axis=0)
        print(f"{way:38s}", " ".join(f"{value:.3f}" for value in means), np.mean([row["ades"] for row in of_way]))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
