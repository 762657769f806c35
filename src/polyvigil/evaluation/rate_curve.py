"""How the share of ADEs falls with the score, fitted to labels of read and audited posts, and what it leaves unread.

In: logits of calibrated P with labels. Out: a posterior of the rate at each logit u,
r(u) = h + (1 - h) sigmoid(a u + b + c min(0, u - t)), with t the threshold below which posts are not read as a rule. c
lets the slope change there, as real scores need it; h is the share that the model cannot see at all, and stays in the
model although labels hardly identify it. Priors: a ~ N(1, 1), b ~ N(0, 2^2), c ~ N(0, 1), ln h ~ N(ln(.1 X0 / M), 2^2),
with X0 the ADEs that the recalibrated scores expect among the M unread posts.

Labels are unweighted: whether a post is labelled depends on its score alone, so that weights would add noise only.
Those of posts more than 2 logits above t are left out, since they say nothing of what lies below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from polyvigil.decide.logistic import Problem, solve

Floats = NDArray[np.float64]

BIN = 0.25
GRID: Floats = np.arange(-14, 9, BIN)
"""Logits to which posts are rounded."""
ABOVE_THRESHOLD = 2.0
SAMPLES = 1200
LOWEST_SLOPE = 0.05
_CLIP = 1e-9
_MEAN, _SD = np.array([1.0, 0.0, 0.0]), np.array([1.0, 2.0, 1.0, 2.0])
_LARGEST_LOG_H = -1.0
_SCALE, _DEGREES = 1.15, 6.0  # of the t distribution that parameters are sampled from


def logits(probabilities: Floats) -> Floats:
    """Logits of calibrated P, which is clipped at 1e-9: (n,)."""
    result: Floats = logit(np.clip(probabilities, _CLIP, 1 - _CLIP))
    return result


@dataclass(frozen=True, slots=True)
class Recalibration:
    """P = sigmoid(slope x u + offset) for a post of logit u."""

    slope: float
    offset: float

    def rates(self, posts: Floats) -> Floats:
        """The share of ADEs at each logit: (n,), in [0, 1]."""
        result: Floats = expit(self.slope * posts + self.offset)
        return result


def recalibrate(posts: Floats, labels: Floats) -> Recalibration:
    """The map of the highest posterior for posts of these logits and labels, with slope ~ N(1, .5^2) and at least .05,
    offset ~ N(0, 2^2). Without posts it is the identity."""
    if not len(posts):
        return Recalibration(1.0, 0.0)
    problem = Problem(
        features=np.stack([posts, np.ones(len(posts))]),
        labels=labels.astype(np.float64),
        counts=np.array([len(posts)]),
        centre=np.array([[1.0], [0.0]]),
        precision=np.array([[0.5**-2], [2.0**-2]]),
        lowest=np.array([LOWEST_SLOPE, -np.inf]),
    )
    slope, offset = solve(problem)[:, 0].tolist()
    return Recalibration(slope, offset)


def binned(posts: Floats) -> NDArray[np.int64]:
    """The index in GRID of each post's logit: (n,)."""
    indices: NDArray[np.int64] = np.clip(np.rint((posts - GRID[0]) / BIN), 0, len(GRID) - 1).astype(np.int64)
    return indices


@dataclass(frozen=True, slots=True)
class RateCurve:
    """The posterior of the curve's parameters a, b, c, ln h: its mode, and samples with their weights.

    ``samples`` (n_samples, 4); ``weights`` (n_samples,), which sum to 1.
    """

    threshold: float
    mode: Floats
    samples: Floats
    weights: Floats

    def rates(self, posts: Floats) -> Floats:
        """The share of ADEs at each logit by the mode: (n,)."""
        rates: Floats = _rates(self.mode[None], posts, self.threshold)[0]
        return rates

    def missed(self, unread: Floats, random: np.random.Generator) -> NDArray[np.int64]:
        """How many ADEs stand among posts of these logits that nobody has read: one number a sample, (n_samples,)."""
        counts = np.bincount(binned(unread), minlength=len(GRID))
        used = counts > 0
        expected = _rates(self.samples, GRID[used], self.threshold) @ counts[used]
        return random.poisson(expected)


def fit_curve(
    labelled: Floats,
    labels: Floats,
    unread: Floats,
    *,
    threshold: float,
    random: np.random.Generator,
    samples: int = SAMPLES,
) -> RateCurve:
    """The posterior of the curve, from posts with labels (logits and 0 or 1), all of them read or audited for what
    their score is; ``unread``: logits of all posts below the threshold that nobody has read."""
    recalibration = recalibrate(labelled, labels)
    expected = max(1.0, float(recalibration.rates(GRID) @ np.bincount(binned(unread), minlength=len(GRID))))
    near = labelled <= threshold + ABOVE_THRESHOLD
    posts = np.bincount(binned(labelled[near]), minlength=len(GRID)).astype(np.float64)
    positives = np.bincount(binned(labelled[near]), labels[near], minlength=len(GRID)).astype(np.float64)
    used = posts > 0
    log_h = np.log(0.1 * expected / max(len(unread), 1))
    data = _Likelihood(GRID[used], posts[used], positives[used], threshold, np.append(_MEAN, log_h))
    mode = data.mode(np.array([recalibration.slope, recalibration.offset, 0.0, log_h]))
    return _sampled(data, mode, random, samples)


def _rates(parameters: Floats, posts: Floats, threshold: float) -> Floats:
    """The rates of ``posts`` (n,) by each row of ``parameters`` (m, 4): (m, n), inside (0, 1)."""
    hidden = np.exp(np.minimum(parameters[:, 3:], _LARGEST_LOG_H))
    below = np.minimum(0, posts - threshold)
    seen = expit(parameters[:, :1] * posts + parameters[:, 1:2] + parameters[:, 2:3] * below)
    result: Floats = np.clip(hidden + (1 - hidden) * seen, _CLIP, 1 - _CLIP)
    return result


@dataclass(frozen=True, slots=True)
class _Likelihood:
    """Labels by bin, and the prior: posts ``n`` and ADEs ``y`` at the logits ``grid``; ``centre``: the prior's mean."""

    grid: Floats
    n: Floats
    y: Floats
    threshold: float
    centre: Floats

    def log_posterior(self, parameters: Floats) -> Floats:
        """Of each row of ``parameters`` (m, 4), up to a constant: (m,)."""
        rates = _rates(parameters, self.grid, self.threshold)
        likelihood = np.log(rates) @ self.y + np.log1p(-rates) @ (self.n - self.y)
        result: Floats = likelihood - 0.5 * (((parameters - self.centre) / _SD) ** 2).sum(axis=1)
        return result

    def gradient_and_information(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Of the log posterior at (4,): its gradient (4,) and its Fisher information (4, 4)."""
        hidden = np.exp(min(parameters[3], _LARGEST_LOG_H))
        below = np.minimum(0, self.grid - self.threshold)
        seen = expit(parameters[0] * self.grid + parameters[1] + parameters[2] * below)
        rates = np.clip(hidden + (1 - hidden) * seen, _CLIP, 1 - _CLIP)
        rise = (1 - hidden) * seen * (1 - seen)
        slopes = np.stack([rise * self.grid, rise, rise * below, hidden * (1 - seen)])
        variance = rates * (1 - rates)
        gradient = slopes @ ((self.y - self.n * rates) / variance) - (parameters - self.centre) / _SD**2
        return gradient, (slopes * (self.n / variance)) @ slopes.T + np.diag(_SD**-2)

    def mode(self, start: Floats) -> Floats:
        """Fisher scoring with step halving, from ``start`` (4,)."""
        parameters, value = start, float(self.log_posterior(start[None])[0])
        for _ in range(30):
            gradient, information = self.gradient_and_information(parameters)
            step, length = np.linalg.solve(information, gradient), 1.0
            for _ in range(8):
                tried = parameters + length * step
                new_value = float(self.log_posterior(tried[None])[0])
                if new_value >= value - 1e-9:
                    break
                length /= 2
            rise = new_value - value
            if rise < -1e-9:  # no step of this direction rises: as far as scoring comes
                break
            parameters, value = tried, new_value
            if rise < 1e-7:
                break
        return parameters


def _sampled(data: _Likelihood, mode: Floats, random: np.random.Generator, samples: int) -> RateCurve:
    """Parameters from a t distribution about the mode, weighed by posterior over proposal."""
    _, information = data.gradient_and_information(mode)
    root = np.linalg.cholesky(np.linalg.inv(information)) * _SCALE
    normal = random.normal(size=(samples, 4))
    radius = np.sqrt(random.chisquare(_DEGREES, samples) / _DEGREES)
    parameters = mode + (normal / radius[:, None]) @ root.T
    parameters[:, 0] = np.maximum(parameters[:, 0], 0.02)
    parameters[:, 3] = np.minimum(parameters[:, 3], _LARGEST_LOG_H)
    distance = (np.linalg.solve(root, (parameters - mode).T) ** 2).sum(axis=0)
    log_weights = data.log_posterior(parameters) + (_DEGREES + 4) / 2 * np.log1p(distance / _DEGREES)
    weights = np.exp(log_weights - log_weights.max())
    return RateCurve(data.threshold, mode, parameters, weights / weights.sum())
