"""A threshold for a language without labels, from the scores of its posts and from the labelled languages.

The thresholds of the labelled languages are averaged, those whose scores look alike weighing most, and the result is
held to a share of flagged posts near theirs. A linear model that was not trained on the language flags that share: its
scores mean something else there (decisions/0019). Estimating the prevalence first (SLD-EM, BBSE, PACC) does worse:
decisions/0006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polyvigil.decide.policy import DecisionPolicy, Threshold, flagged
from polyvigil.decide.rules import DevScores
from polyvigil.decide.thresholds import at_share, logit
from polyvigil.text.language import is_cadec
from polyvigil.types import Probabilities

_BINS = np.linspace(-7.0, 7.0, 29)
_POWER = 4  # of the overlaps as weights: the languages that look alike decide (docs/decisions/0006)
_CLAMP = 2.0  # times the usual share of flags, or one such part of it, at most
_FAR = 3.0  # times: two shares so far apart are worth a warning
_UNLIKE = 0.5  # an overlap below this is worth one


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of a labelled language: its scores, its threshold, the share it flags."""

    language: str
    scores: Probabilities
    threshold: float
    share: float


def references(posts: DevScores, policy: DecisionPolicy) -> tuple[Reference, ...]:
    """The languages with thresholds of their own, CADEC groups left out."""
    flags = policy.flags(posts.probabilities, posts.languages.tolist())
    known = [name for name, t in policy.thresholds.items() if t.source == "own" and not is_cadec(name)]
    result = []
    for name in known:
        mask = posts.languages == name
        if mask.any():
            result.append(
                Reference(name, posts.probabilities[mask], policy.threshold(name).value, float(np.mean(flags[mask])))
            )
    return tuple(result)


def similar_threshold(
    scores: Probabilities, known: Sequence[Reference], *, rule: Literal["overlap", "share", "mean"] = "overlap"
) -> Threshold:
    """A threshold for the language of unlabelled ``scores`` (n_posts,), n_posts > 0, with warnings where it is unsure.

    ``overlap`` and ``share``: as above; ``mean``: the paper's mean of thresholds. Raises ValueError without scores or
    without a labelled language.
    """
    if not len(scores) or not known:
        raise ValueError(f"{len(scores)} scores, {len(known)} labelled languages")
    overlaps = np.array([overlap(reference.scores, scores) for reference in known])
    thresholds = np.array([reference.threshold for reference in known])
    share = _mean_share(known)
    mean, weighted = float(thresholds.mean()), _weighted(thresholds, overlaps)
    clamped = _clamped(scores, weighted, share)
    best = int(np.argmax(overlaps))
    alike = rule == "overlap"
    values = {"overlap": clamped, "share": at_share(scores, share), "mean": mean}
    return Threshold(
        value=values[rule],
        source="fallback" if rule == "mean" else "similar",
        rule=rule,
        posts=len(scores),
        positives=0,
        like=known[best].language if alike else "",
        warnings=_warnings(scores, mean=mean, weighted=weighted, clamped=clamped, share=share, alike=overlaps[best]),
    )


def by_prior(scores: Probabilities, prior: float) -> Threshold:
    """The threshold that flags as many of the unlabelled posts (n_posts,) as ``prior``, their prevalence, says.

    A prevalence twice too high costs .05 to .14 of F1 (docs/decisions/0006), so it must be known, not guessed.
    """
    return Threshold(value=at_share(scores, prior), source="prior", rule="prior", posts=len(scores), positives=0)


def overlap(first: Probabilities, second: Probabilities) -> float:
    """Shared area of two histograms of logits, 28 bins from -7 to 7 (beyond: the outer bins), in [0, 1]."""
    return float(np.minimum(_histogram(first), _histogram(second)).sum())


def _histogram(scores: Probabilities) -> NDArray[np.float64]:
    inside = np.clip(logit(scores), _BINS[0], _BINS[-1])
    return np.histogram(inside, bins=_BINS)[0] / len(scores)


def _weighted(thresholds: NDArray[np.float64], overlaps: NDArray[np.float64]) -> float:
    """Mean logit, weights overlap ** 4; equal weights where nothing overlaps."""
    weights = overlaps**_POWER
    total = weights.sum()
    weights = weights / total if total > 0 else np.full(len(thresholds), 1 / len(thresholds))
    return float(1 / (1 + np.exp(-np.sum(weights * logit(thresholds)))))


def _mean_share(known: Sequence[Reference]) -> float:
    """The geometric mean of the shares flagged; at least half a post counts in each."""
    shares = [max(reference.share, 0.5 / len(reference.scores)) for reference in known]
    return float(np.exp(np.mean(np.log(shares))))


def _clamped(scores: Probabilities, threshold: float, reference_share: float) -> float:
    share = share_at(scores, threshold)
    if share > _CLAMP * reference_share:
        return at_share(scores, _CLAMP * reference_share)
    if share < reference_share / _CLAMP:
        return at_share(scores, reference_share / _CLAMP)
    return threshold


def share_at(scores: Probabilities, threshold: float) -> float:
    """The share of posts that a threshold flags, in [0, 1]."""
    return float(np.mean(flagged(scores, threshold)))


def _warnings(
    scores: Probabilities, *, mean: float, weighted: float, clamped: float, share: float, alike: float
) -> tuple[str, ...]:
    shares = [max(share_at(scores, value), 0.5 / len(scores)) for value in (mean, weighted, clamped)]
    messages = []
    if not 1 / _FAR <= shares[1] / share <= _FAR:
        messages.append(
            f"the threshold of languages like it would flag {shares[1]:.1%} of these posts, and {share:.1%} of the "
            "labelled ones: the scores mean something else here"
        )
    if max(shares) > _FAR * min(shares):
        messages.append(f"sensible rules would flag {min(shares):.1%} to {max(shares):.1%} of the posts: label some")
    if alike < _UNLIKE:
        messages.append(
            f"no labelled language has scores like these (largest overlap {alike:.2f}): not validated, and no "
            "threshold will help; have its posts read"
        )
    return tuple(messages)
