"""Made-up audits of cleared posts, in worlds where the model is right, believes too much or too little, or is blind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from polyvigil.evaluation.audit_estimate import AuditPart
from polyvigil.evaluation.rate_curve import Floats, recalibrate
from polyvigil.review.sampling import sample_audit


@dataclass(frozen=True)
class World:
    """An audit and the truth behind it."""

    part: AuditPart
    missed: int

    @property
    def recall(self) -> float:
        found = self.part.true_positives
        return found / max(found + self.missed, 1)


def pool(random: np.random.Generator, *, apart: float = 2.6) -> tuple[Floats, Floats, float]:
    """Calibrated logits of posts with and without an ADE, and the logit of their prevalence."""
    labels = random.random(12000) < 0.2
    scores = np.where(labels, random.normal(0, 1.3, 12000), random.normal(-apart, 1, 12000))
    fitted = recalibrate(scores, labels.astype(np.float64))
    logits = fitted.slope * scores + fitted.offset
    return logits[labels], logits[~labels], float(np.log(labels.mean() / (1 - labels.mean())))


def half_of_best_f1(logits: Floats) -> float:
    """The threshold by the scores' own belief: half of the best expected F1."""
    p = np.sort(expit(logits))[::-1]
    best = float(np.max(2 * np.cumsum(p) / (np.arange(1, len(p) + 1) + p.sum())))
    return float(np.log(best / 2 / (1 - best / 2)))


def world(
    random: np.random.Generator,
    posts: tuple[Floats, Floats, float],
    kind: str,
    *,
    prevalence: float,
    n: int,
    size: int = 5000,
    language: str = "en",
) -> World:
    """``kind``: right, up or down (true odds 2.7 times higher or lower), hidden (15% of ADEs look harmless), blind."""
    positive, negative, prior = posts
    n_positive = int(random.binomial(size, prevalence))
    labels = np.zeros(size, dtype=np.int8)
    labels[:n_positive] = 1
    logits = np.concatenate([random.choice(positive, n_positive), random.choice(negative, size - n_positive)])
    if kind in ("hidden", "blind"):
        hide = np.flatnonzero(random.random(n_positive) < {"hidden": 0.15, "blind": 1.0}[kind])
        logits[hide] = random.choice(negative, len(hide))
    logits += random.normal(0, 0.15, size) + np.log(prevalence / (1 - prevalence)) - prior
    logits += {"up": -1.0, "down": 1.0}.get(kind, 0.0)
    threshold = half_of_best_f1(logits)
    read = logits >= threshold
    sample = sample_audit(expit(logits), [language] * size, n, seed=int(random.integers(2**31)), frame=~read)
    audited = sample.sampled[~read]
    part = AuditPart(
        language=language,
        read=logits[read],
        read_labels=labels[read],
        frame=logits[~read],
        inclusion=sample.inclusion[~read],
        audited=audited,
        audit_labels=labels[~read][audited],
        threshold=threshold,
    )
    return World(part, int(labels[~read].sum()))
