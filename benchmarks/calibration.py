"""Which calibration map is nearest to the truth on posts it was not fitted to?

    python benchmarks/calibration.py [--seeds 20]

Synthetic scores with the paper's dev sizes and positives. Measured on 20,000 further posts of each language, at its
prevalence: the log loss above that of the true P, in thousandths (mean over languages and seeds; standard error).
Worlds: ``shifted``, each language's scores moved by its own offset; ``equal``, not moved; ``overconfident``, moved, and
logits doubled as an overfitted encoder's are; ``saturated``, moved, and the highest scores say less than they seem to.
"""

from __future__ import annotations

import argparse
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from polyvigil.config.decide import CalibrationKind
from polyvigil.decide.fit_calibration import fit
from thresholds import DEV

WORLDS = ("shifted", "equal", "overconfident", "saturated")
_FURTHER = 20_000
Floats = NDArray[np.float64]


def posts_of(
    random: np.random.Generator, world: str, offset: float, number: int, positives: int, share: float
) -> tuple[Floats, NDArray[np.int8], Floats]:
    """Scores, labels and true P of one language's posts: (number,) each. ``share``: prevalence."""
    labels = (np.arange(number) < positives).astype(np.int8)
    z = np.where(labels == 1, random.normal(1.0, 1.3, number), random.normal(-2.0, 1.0, number))
    likelihood = norm.pdf(z, 1.0, 1.3) * share
    truth = likelihood / (likelihood + norm.pdf(z, -2.0, 1.0) * (1 - share))
    logits = z + (0 if world == "equal" else offset)
    if world == "overconfident":
        logits = 2 * logits
    if world == "saturated":
        logits = np.where(logits > 0, np.expm1(np.minimum(logits, 3)), logits)
    return np.clip(1 / (1 + np.exp(-logits)), 1e-9, 1 - 1e-9), labels, truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    print(f"{'map':<20}" + "".join(f"{world:>20}" for world in WORLDS))
    for kind in get_args(CalibrationKind):
        cells = [np.array([excess(kind, world, seed) for seed in range(seeds)]) for world in WORLDS]
        values = (f"{1000 * cell.mean():.1f} ({1000 * cell.std(ddof=1) / np.sqrt(seeds):.1f})" for cell in cells)
        print(f"{kind:<20}" + "".join(f"{value:>20}" for value in values), flush=True)


def excess(kind: CalibrationKind, world: str, seed: int) -> float:
    """Mean over the languages of the log loss on further posts, less that of the true P."""
    random = np.random.default_rng(seed)
    offsets = random.normal(0, 0.7, len(DEV))
    dev, names, further = [], [], []
    for (language, (number, positives)), offset in zip(DEV.items(), offsets, strict=True):
        share = positives / number
        dev.append(posts_of(random, world, offset, number, positives, share))
        names += [language] * number
        further.append(posts_of(random, world, offset, _FURTHER, round(share * _FURTHER), share))
    fitted = fit(kind, np.concatenate([one[0] for one in dev]), np.concatenate([one[1] for one in dev]), names)
    losses = []
    for language, (scores, labels, truth) in zip(DEV, further, strict=True):
        p = fitted.calibrated(scores, [language] * _FURTHER)
        losses.append(log_loss(p, labels) - log_loss(truth, labels))
    return float(np.mean(losses))


def log_loss(p: Floats, labels: NDArray[np.int8]) -> float:
    """Mean negative log-likelihood; P of 0 and 1 count as 1e-6 from them."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.mean(np.where(labels == 1, np.log(p), np.log1p(-p))))


if __name__ == "__main__":
    main()
