"""A short run of what benchmarks/interval_coverage.py measures, on languages with few positives and on others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.interval_coverage import draw, flags_of, holds, some_language, true_ap, true_f1
from scipy.special import expit

from polyvigil.evaluation.intervals import average_precision_interval, macro_f1_interval
from polyvigil.evaluation.paired import System, compare_systems
from polyvigil.metrics import count

SIMULATIONS = 250


@pytest.mark.parametrize("positives", [15, 40])
def test_average_precision_is_covered(positives: int) -> None:
    random = np.random.default_rng(11)
    held = 0
    for _ in range(SIMULATIONS):
        language = some_language(random, "en", positives=positives)
        posts = draw(random, [language], [language])
        interval = average_precision_interval(posts.labels, expit(posts.scores[0]), rounds=250)
        held += holds(interval, true_ap([language]))
    assert 0.92 <= held / SIMULATIONS <= 0.985


def test_macro_f1_and_differences_are_covered() -> None:
    random = np.random.default_rng(12)
    hits: Counter[str] = Counter()
    for _ in range(SIMULATIONS):
        first = [some_language(random, name, positives=int(random.integers(15, 60))) for name in ("de", "en", "ja")]
        second = [replace(one, apart=one.apart + 0.3, cut=one.cut + 0.2) for one in first]
        for other in (first, second):
            posts = draw(random, first, other)
            flags = [
                flags_of(scores, posts.names, own) for scores, own in zip(posts.scores, (first, other), strict=True)
            ]
            paired = compare_systems(posts.labels, posts.names.tolist(), *map(System, flags), rounds=600)
            if other is second:
                truth = true_f1(first) - true_f1(second)
                hits["difference"] += holds(paired.pooled.f1, truth)
                continue
            tables = [count(posts.labels[posts.names == one.name], flags[0][posts.names == one.name]) for one in first]
            hits["macro F1"] += holds(macro_f1_interval(tables), float(np.mean([true_f1([one]) for one in first])))
            assert paired.pooled.f1.p_randomisation is not None
            hits["randomisation"] += paired.pooled.f1.p_randomisation <= 0.05
            hits["bootstrap"] += paired.pooled.f1.p_bootstrap <= 0.05
            hits["Holm"] += any((part.f1.p_holm or 1.0) <= 0.05 for part in paired.languages)
    shares = {name: number / SIMULATIONS for name, number in hits.items()}
    assert 0.92 <= shares["difference"] <= 0.985
    assert 0.92 <= shares["macro F1"] <= 0.985
    assert all(shares.get(name, 0.0) <= 0.08 for name in ("randomisation", "bootstrap", "Holm"))
