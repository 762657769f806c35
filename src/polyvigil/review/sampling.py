"""Audit samples: a few of the posts that nobody would read are read all the same, so that what was missed is known.

In: calibrated P of the posts that are not going to be read, and how many of them to audit. Out: which, and with what
probability each could have been taken, which is stored for good: without it no sample says anything of the others.
A sample depends on scores, languages and the seed alone, never on a label.

Design: systematic sampling along the score with unequal probabilities (Madow 1949). The probabilities go as
0.7 sqrt(p (1 - p)) + 0.3 evenly, as a regression estimator wants them (Isaki and Fuller 1982), with a floor that posts
which look harmless to the model keep a chance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyvigil.types import Probabilities

UNIFORM_SHARE = 0.3
"""Of an audit sample: the share whose probability is the same for all posts, whatever their score."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class AuditSample:
    """Which posts are audited, and with what probability each could have been: both (n_posts,), in their order."""

    sampled: NDArray[np.bool_]
    inclusion: NDArray[np.float64]
    """In [0, 1]; 0 for posts outside the frame."""


def inclusion_probabilities(
    calibrated: Probabilities, n: int, *, uniform_share: float = UNIFORM_SHARE
) -> Probabilities:
    """With what probability each post is in a sample of ``n``: (n_posts,), summing to ``n``, at most 1 each.

    All of them are 1 where ``n`` is the number of posts. Raises ValueError for an ``n`` that is none of 0 to n_posts,
    a ``uniform_share`` outside (0, 1], and a P outside [0, 1].
    """
    if not 0 <= n <= len(calibrated):
        raise ValueError(f"a sample of {n} of {len(calibrated)} posts")
    if not 0 < uniform_share <= 1:
        raise ValueError(f"uniform_share {uniform_share} is not in (0, 1]")
    if not ((calibrated >= 0) & (calibrated <= 1)).all():
        raise ValueError("a probability is outside [0, 1]")
    if n == 0:
        return np.zeros(len(calibrated))
    deviation = np.sqrt(calibrated * (1 - calibrated))
    total = deviation.sum()
    even = np.full(len(calibrated), 1 / len(calibrated))
    shares = even if total == 0 else (1 - uniform_share) * deviation / total + uniform_share * even
    return _capped(shares, n)


def _capped(shares: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """min(1, c x share) with the c for which the sum is ``n``; all shares are above 0."""
    descending = np.sort(shares)[::-1]
    rest = np.cumsum(descending[::-1])[::-1]  # of each post and those of smaller shares
    # ``certain`` posts have probability 1, the fewest with which the next one has at most that; n - 1 always will do
    certain = int(((n - np.arange(n)) * descending[:n] <= rest[:n]).argmax())
    probabilities = (n - certain) / rest[certain] * shares
    return np.where(probabilities > 1 - _ROUNDING, 1.0, probabilities)


def systematic_sample(order: NDArray[np.float64], inclusion: NDArray[np.float64], start: float) -> NDArray[np.bool_]:
    """One sample of fixed size, each post in it with its ``inclusion``, evenly along ``order``: (n_posts,).

    ``inclusion`` (n_posts,) sums to the size; ``start``, uniform in [0, 1), is all that chance decides.
    """
    sampled = inclusion > 1 - _ROUNDING
    uncertain = np.flatnonzero(~sampled)
    size = round(float(inclusion[uncertain].sum()))
    if not size:
        return sampled
    ordered = uncertain[np.argsort(order[uncertain], kind="stable")]
    reached = np.cumsum(inclusion[ordered])
    reached *= size / reached[-1]  # without the rounding of the sum, which could cost the last post its place
    passed = np.ceil(reached - start)  # how many of the points start, start + 1, ... lie before each post's end
    passed[-1] = size
    sampled[ordered[np.diff(passed, prepend=0.0) > 0]] = True
    return sampled


def sample_audit(
    calibrated: Probabilities,
    languages: Sequence[str] | NDArray[np.str_],
    n: int,
    *,
    seed: int,
    frame: NDArray[np.bool_] | None = None,
    groups: NDArray[np.int64] | None = None,
    quotas: Mapping[str, int] | None = None,
) -> AuditSample:
    """An audit sample of ``n`` posts, equally many of each language that has them.

    ``frame`` (n_posts,): the posts that may be audited, those that nobody reads; None: all. ``groups`` (n_posts,): a
    number for each post, the same for posts that say the same: of a language's posts of one group, the one of the
    highest P stands for all, and only where the whole group is in the frame. ``quotas``: how many of some languages.

    The sample of a language does not depend on the other languages. Raises ValueError as ``allocation`` does.
    """
    names = np.asarray(languages)
    eligible = np.ones(len(names), dtype=bool) if frame is None else frame.copy()
    if groups is not None:
        eligible &= representatives(calibrated, languages, groups) & ~_shares_a_group(names, groups, ~eligible)
    sizes = {str(name): int(size) for name, size in zip(*np.unique(names[eligible], return_counts=True), strict=True)}
    numbers = allocation(n, sizes, quotas or {})
    sample = AuditSample(np.zeros(len(names), dtype=bool), np.zeros(len(names)))
    for language, number in numbers.items():
        posts = np.flatnonzero(eligible & (names == language))
        inclusion = inclusion_probabilities(calibrated[posts], number)
        start = float(np.random.default_rng([seed, language_number(language)]).random())
        sample.inclusion[posts] = inclusion
        sample.sampled[posts] = systematic_sample(calibrated[posts], inclusion, start)
    return sample


def language_number(language: str) -> int:
    """A number that stands for a language in the seed of a random generator."""
    return int.from_bytes(hashlib.blake2b(language.encode(), digest_size=4).digest(), "little")


def representatives(
    calibrated: Probabilities, languages: Sequence[str] | NDArray[np.str_], groups: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Whether each post is the one of the highest P, and of such the first, of its language and group: (n_posts,)."""
    codes = np.unique(np.asarray(languages), return_inverse=True)[1]
    order = np.lexsort((np.arange(len(codes)), -calibrated, groups, codes))
    first = np.ones(len(codes), dtype=bool)
    first[1:] = (np.diff(codes[order]) != 0) | (np.diff(groups[order]) != 0)
    mask = np.zeros(len(codes), dtype=bool)
    mask[order[first]] = True
    return mask


def _shares_a_group(
    names: NDArray[np.str_], groups: NDArray[np.int64], outside: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Whether a post of the same language and group is ``outside``: (n_posts,)."""
    codes = np.unique(names, return_inverse=True)[1]
    _, keys = np.unique(np.stack([codes, groups]), axis=1, return_inverse=True)
    keys = keys.reshape(-1)
    hit = np.zeros(int(keys.max(initial=-1)) + 1, dtype=bool)
    hit[keys[outside]] = True
    return hit[keys]


def allocation(n: int, sizes: Mapping[str, int], quotas: Mapping[str, int]) -> dict[str, int]:
    """How many of ``n`` posts each language gets: its quota, else an equal part of what the quotas leave.

    No language gets more than its ``sizes``; what one cannot take goes to the others. One more goes to the first
    languages by name where the parts do not come out even. Raises ValueError for quotas that exceed ``n`` or a
    language's posts, and for an ``n`` that exceeds all posts or leaves a language without any.
    """
    for language, quota in quotas.items():
        if not 0 <= quota <= sizes.get(language, 0):
            raise ValueError(f"a quota of {quota:,} for {language}, which has {sizes.get(language, 0):,} posts to take")
    rest = n - sum(quotas.values())
    open_languages = sorted(language for language in sizes if language not in quotas)
    if rest < 0:
        raise ValueError(f"quotas of {sum(quotas.values()):,} posts, and {n:,} to take")
    if rest > sum(sizes[language] for language in open_languages):
        raise ValueError(f"{n:,} posts to take, and {sum(sizes.values()):,} to take them from")
    if n > 0 and rest < len(open_languages):
        raise ValueError(f"{n:,} posts to take do not give each of {len(sizes):,} languages one")
    numbers = dict(quotas) | dict.fromkeys(open_languages, 0)
    while rest and open_languages:
        part, more = divmod(rest, len(open_languages))
        for index, language in enumerate(open_languages):
            given = min(part + (index < more), sizes[language] - numbers[language])
            numbers[language] += given
            rest -= given
        open_languages = [language for language in open_languages if numbers[language] < sizes[language]]
    return {language: numbers[language] for language in sorted(numbers)}
