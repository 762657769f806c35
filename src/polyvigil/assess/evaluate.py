"""Stored probabilities, a policy and labels -> an Evaluation: pooled, per language, per type. No model is run here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from polyvigil.assess.intervals import Interval, f1_interval, share_interval
from polyvigil.data.fingerprint import fingerprint, post_hashes
from polyvigil.decide.policy import DecisionPolicy, ThresholdSource
from polyvigil.errors import SplitError
from polyvigil.metrics import average_precision, count, macro
from polyvigil.records import LabelledPost, Labels, Probabilities
from polyvigil.text.language import is_cadec

FEW_POSITIVES = 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Slice(_Frozen):
    """Figures on some of the posts; intervals are 95%. Threshold fields are set where one threshold decided all."""

    name: str
    posts: int
    positives: int
    flagged: int
    tp: int
    fp: int
    fn: int
    tn: int
    precision: float
    precision_interval: Interval
    recall: float
    recall_interval: Interval
    f1: float
    f1_interval: Interval
    average_precision: float
    threshold: float | None = None
    threshold_source: ThresholdSource | None = None
    validated: bool = True
    """False for a language that no member was trained on."""


class Evaluation(_Frozen):
    """All figures of one bundle on one set of posts. ``evaluation.json``."""

    bundle: str
    data: str
    data_fingerprint: str
    same_set: bool
    """True when the thresholds were tuned on these very posts: the figures are then optimistic."""
    posts: int
    positives: int
    pooled: Slice
    """Over all rows but the CADEC groups, as the official score of the shared task."""
    macro_f1: float
    """Unweighted mean of F1 over the languages, CADEC groups left out."""
    languages: tuple[Slice, ...]
    types: tuple[Slice, ...]
    cautions: tuple[str, ...]


def evaluate(
    items: Sequence[LabelledPost],
    probabilities: Probabilities,
    policy: DecisionPolicy,
    *,
    trained_languages: Sequence[str],
    bundle: str,
    data: str,
    cautions: Sequence[str] = (),
) -> Evaluation:
    """Score stored ``probabilities`` (n_posts,) against the labels of ``items``, in the same order.

    Raises ValueError when there are none, or not as many probabilities as posts.
    """
    if not items or len(items) != len(probabilities):
        raise ValueError(f"{len(items)} posts, {len(probabilities)} probabilities")
    posts = [item.post for item in items]
    labels = np.array([item.label for item in items], dtype=np.int8)
    languages = np.array([post.language for post in posts])
    types = np.array([post.type for post in posts])
    flags = policy.flags(probabilities, languages.tolist())
    per_language = []
    for language in sorted(set(languages.tolist())):
        threshold = policy.threshold(language)
        per_language.append(
            _slice(language, languages == language, labels, flags, probabilities).model_copy(
                update={
                    "threshold": threshold.value,
                    "threshold_source": threshold.source,
                    "validated": language in trained_languages,
                }
            )
        )
    official = np.array([not is_cadec(language) for language in languages.tolist()])
    if not official.any():
        official[:] = True
    data_fingerprint = fingerprint(posts)
    same_set = data_fingerprint == policy.dev_fingerprint
    return Evaluation(
        bundle=bundle,
        data=data,
        data_fingerprint=data_fingerprint,
        same_set=same_set,
        posts=len(posts),
        positives=int(labels.sum()),
        pooled=_slice("pooled", official, labels, flags, probabilities),
        macro_f1=macro({part.name: part.f1 for part in per_language if not is_cadec(part.name)}),
        languages=tuple(per_language),
        types=tuple(
            _slice(kind or "(none)", types == kind, labels, flags, probabilities)
            for kind in sorted(set(types.tolist()))
        ),
        cautions=(*cautions, *_cautions(per_language, same_set=same_set)),
    )


def seen_before(
    items: Sequence[LabelledPost], train: NDArray[np.uint64], dev: NDArray[np.uint64], *, data: str
) -> tuple[str, ...]:
    """What to say about posts that the bundle was made from, by the text hashes kept in it.

    Raises SplitError when half of the posts or more were trained on: figures on them prove nothing.
    """
    hashes = post_hashes(item.post for item in items)
    trained = int(np.isin(hashes, train).sum())
    if 2 * trained >= len(items):
        raise SplitError(
            f"{trained:,} of {len(items):,} posts were trained on; figures on them prove nothing",
            where=data,
            hint="evaluate on posts the bundle has not seen (--split test, if the file mixes splits)",
        )
    told = []
    if trained:
        told.append(
            f"{trained:,} of {len(items):,} posts have the text of a training post; figures on them are optimistic"
        )
    tuned = int(np.isin(hashes, dev).sum())
    if tuned and tuned < len(items):
        told.append(f"{tuned:,} of {len(items):,} posts have the text of a post the thresholds were tuned on")
    return tuple(told)


def _slice(
    name: str, mask: NDArray[np.bool_], labels: Labels, flags: NDArray[np.bool_], probabilities: Probabilities
) -> Slice:
    counts = count(labels[mask], flags[mask])
    return Slice(
        name=name,
        posts=int(np.count_nonzero(mask)),
        positives=counts.tp + counts.fn,
        flagged=counts.tp + counts.fp,
        tp=counts.tp,
        fp=counts.fp,
        fn=counts.fn,
        tn=counts.tn,
        precision=counts.precision,
        precision_interval=share_interval(counts.tp, counts.tp + counts.fp),
        recall=counts.recall,
        recall_interval=share_interval(counts.tp, counts.tp + counts.fn),
        f1=counts.f1,
        f1_interval=f1_interval(counts),
        average_precision=average_precision(labels[mask], probabilities[mask]),
    )


def _cautions(languages: Sequence[Slice], *, same_set: bool) -> list[str]:
    told = []
    if same_set:
        told.append("the thresholds were tuned on these very posts: the figures are optimistic")
    if foreign := [part.name for part in languages if not part.validated]:
        told.append(f"not validated for {', '.join(foreign)}: no member was trained on it")
    for part in languages:
        if part.positives < FEW_POSITIVES:
            noun = "positive" if part.positives == 1 else "positives"
            told.append(f"{part.name}: only {part.positives} {noun}; its figures can move a lot")
    return told
