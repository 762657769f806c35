"""Control charts of weekly counts: how far the last two weeks lie from a reference period, in standard deviations.

In: weekly counts as arrays whose leading axes are any (streams, simulations), the weeks in order, the first ``k`` of
them the reference. Out: ``Chart``, the value of each week, the mean of two weeks, and its distance from the reference.

Weeks of a real stream vary more than binomial counts do. Each chart therefore begins with an assumption (log-odds vary
by BETWEEN from week to week, histograms by a Dirichlet of 1/CONCENTRATION) that counts as PRIOR_WEEKS weeks of
evidence, and the weeks of the reference correct it: a moderated variance (Smyth 2004), so the statistic has a Student
distribution of more degrees of freedom than eight weeks alone give. Two weeks in a row are alike (AUTOCORRELATION), so
their mean is held less exact than that of independent weeks. The constants were chosen, and the false alarms counted,
by benchmarks/monitor_alarms.py; see docs/decisions/0025.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

BETWEEN = 0.1
"""Standard deviation of a week's log-odds that is assumed beside the sampling of posts."""
CONCENTRATION = 0.001
"""The same of a histogram: the intra-week correlation of its Dirichlet-multinomial."""
PRIOR_WEEKS = 8
"""As many weeks the assumed variation counts for, beside those of the reference."""
AUTOCORRELATION = 0.5
"""Of the variation between weeks, one week apart, that is allowed for."""
RATIO_DEVIATION = 0.5
"""Standard deviation that is assumed of a distance over its expected value."""
_OF_TWO = (1 + AUTOCORRELATION) / 2
_OF_REFERENCE = (1 + AUTOCORRELATION) / (1 - AUTOCORRELATION) * 2 / 3
"""By how much less a mean of k such weeks is worth than one of k independent weeks; for k of about 8."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart over weeks; arrays (..., n_weeks).

    ``values``: of each week; ``means``: of it and the week before; ``statistic``: by how many standard deviations
    (``deviation``) that mean lies from ``center``; NaN in the reference, where nothing is tested. All those of a share
    are on the scale of ``scaled_share``: ``share_of`` and ``totals``, None of a distance, take them back.
    ``reference``, (..., 1): the share of the reference, or the mean distance in it. ``freedom``: degrees of freedom.
    """

    values: Floats
    means: Floats
    statistic: Floats
    center: Floats
    deviation: Floats
    reference: Floats
    freedom: int
    totals: Floats | None = None


def rate_chart(counts: Floats, totals: Floats, k: int, *, design: Floats | float = 1.0) -> Chart:
    """The chart of a share: ``counts`` of ``totals`` posts, (..., n_weeks), the first ``k`` weeks the reference.

    On the scale arcsin(sqrt(share)), whose sampling variance is 1 / 4n. ``design``: of a mean of values in [0, 1]
    instead of a count, its variance over that of a count, (..., 1).
    """
    posts = totals[..., :k].sum(-1, keepdims=True)
    share = counts[..., :k].sum(-1, keepdims=True) / np.maximum(posts, 1)
    scaled, center = scaled_share(counts, totals), scaled_share(share * totals, totals)
    between = BETWEEN**2 * share * (1 - share) / 4
    sampling = design / (4 * totals + 2)
    residuals = (scaled - center)[..., :k] ** 2 / (sampling[..., :k] + between)
    excess = (PRIOR_WEEKS + residuals.sum(-1, keepdims=True)) / (PRIOR_WEEKS + k - 1)
    of_center = design / (4 * posts + 2) + between * _OF_REFERENCE / k
    variance = excess * ((sampling + _before(sampling)) / 4 + between * _OF_TWO + of_center)
    means, of_means = (scaled + _before(scaled)) / 2, (center + _before(center)) / 2
    deviation = np.sqrt(variance)
    statistic = _statistic(means, of_means, deviation, k)
    return Chart(scaled, means, statistic, of_means, deviation, share, PRIOR_WEEKS + k - 1, totals)


def distance_chart(histograms: Floats, k: int) -> Chart:
    """The chart of how far a histogram is from that of the reference: ``histograms`` (..., n_weeks, n_bins).

    Its value is the square root of the Jensen-Shannon divergence over what sampling and the assumed variation would
    give, about 1 in a stable stream. A week of the reference is compared with the others of it.
    """
    totals = histograms.sum(-1)
    whole = histograms[..., :k, :].sum(-2, keepdims=True)
    remaining = np.concatenate(
        [whole - histograms[..., :k, :], np.broadcast_to(whole, histograms[..., k:, :].shape)], axis=-2
    )
    bins = np.maximum((whole > 0).sum(-1), 2)
    expected = (bins - 1) / 8 * (1 / np.maximum(totals, 1) + 1 / np.maximum(remaining.sum(-1), 1) + CONCENTRATION)
    ratios = np.sqrt(divergence(histograms, remaining) / expected)
    reference = ratios[..., :k].mean(-1, keepdims=True)
    assumed = RATIO_DEVIATION * np.maximum(1.0, reference)
    squares = ((ratios[..., :k] - reference) ** 2).sum(-1, keepdims=True)
    variance = (PRIOR_WEEKS * assumed**2 + squares) / (PRIOR_WEEKS + k - 1)
    deviation = np.sqrt(variance * (_OF_TWO + _OF_REFERENCE / k)) * np.ones_like(ratios)
    means, center = (ratios + _before(ratios)) / 2, reference * np.ones_like(ratios)
    statistic = _statistic(means, center, deviation, k)
    return Chart(ratios, means, statistic, center, deviation, reference, PRIOR_WEEKS + k - 1)


def _statistic(means: Floats, center: Floats, deviation: Floats, k: int) -> Floats:
    statistic: Floats = (means - center) / deviation
    statistic[..., :k] = np.nan
    return statistic


def scaled_share(counts: Floats, totals: Floats) -> Floats:
    """Shares on a scale on which the sampling variance does not depend on them (Anscombe 1948), in [0, pi/2]."""
    scaled: Floats = np.arcsin(np.sqrt((counts + 0.375) / (totals + 0.75)))
    return scaled


def share_of(scaled: Floats, totals: Floats) -> Floats:
    """The shares that ``scaled_share`` took to these values, in [0, 1]."""
    angles = np.clip(scaled, 0, np.pi / 2)
    shares: Floats = np.clip(((totals + 0.75) * np.sin(angles) ** 2 - 0.375) / np.maximum(totals, 1), 0, 1)
    return shares


def divergence(first: Floats, second: Floats) -> Floats:
    """Jensen-Shannon divergence of histograms, over the last axis, in nats: 0 for the same shares, log 2 at most."""
    p, q = (part / np.maximum(part.sum(-1, keepdims=True), 1e-300) for part in (first, second))
    middle = (p + q) / 2
    nats: Floats = np.maximum((_entropy(middle) - (_entropy(p) + _entropy(q)) / 2), 0.0)
    return nats


def _entropy(shares: Floats) -> Floats:
    terms: Floats = -shares * np.log(np.where(shares > 0, shares, 1.0))
    return np.asarray(terms.sum(-1))


def _before(values: Floats) -> Floats:
    """The values a week earlier; of the first week its own."""
    return np.concatenate([values[..., :1], values[..., :-1]], axis=-1)


def limit(freedom: int, *, charts: int, false_alarms: float, weeks: int = 13, sides: int = 2) -> float:
    """The statistic beyond which a chart alarms, so that ``charts`` of them together give ``false_alarms`` in so many
    weeks: a quantile of Student's distribution."""
    return -float(stdtrit(freedom, false_alarms / (weeks * charts * sides)))
