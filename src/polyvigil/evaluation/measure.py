"""Run a bundle once over labelled posts, or take its stored dev scores, and evaluate it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from polyvigil.bundle import layout
from polyvigil.bundle.store import Bundle, read_document
from polyvigil.data.packed_posts import field_of, posts_of
from polyvigil.data.read import NO_LABEL, Reading
from polyvigil.data.shown import shown_word
from polyvigil.data.translated import refuse_translated
from polyvigil.decide.rules import DevScores
from polyvigil.errors import SplitError
from polyvigil.evaluation.dev_comparison import compare_with_dev
from polyvigil.evaluation.evaluate import Evaluation, Gold, evaluate, gold_of, seen_before, stored_gold
from polyvigil.evaluation.leave_out import LeftOut, leave_one_language_out
from polyvigil.evaluation.slices import Column, Slice
from polyvigil.types import Post, Probabilities


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation and what it was made from: all in the order of the posts."""

    evaluation: Evaluation
    gold: Gold
    probabilities: Probabilities
    posts: Sequence[Post] = ()
    """Empty where the stored dev scores were measured: a bundle keeps no text."""
    abstained: NDArray[np.bool_] | None = None
    """Which posts are not flagged whatever their P; None of stored dev scores."""


def measure(
    bundle: Bundle, reading: Reading, *, budgets: Sequence[int] = (), prevalence: float | None = None
) -> Evaluation:
    """Evaluate on posts the bundle was not fitted on; see ``measured``."""
    return measured(bundle, reading, budgets=budgets, prevalence=prevalence).evaluation


def measured(
    bundle: Bundle,
    reading: Reading,
    *,
    budgets: Sequence[int] = (),
    prevalence: float | None = None,
    columns: Sequence[Column] = (),
    dev: Sequence[Slice] = (),
) -> Measured:
    """Score and evaluate posts the bundle was not fitted on.

    ``columns``: what they are sliced by (evaluation.columns). ``dev``: slices of the dev posts to compare with, as
    ``cross_fitted_dev`` gives them; not looked at where the posts are the dev posts. Raises SplitError as
    ``cautions_about``.
    """
    cautions = cautions_about(bundle, reading)
    posts = posts_of(reading.posts)
    gold, probabilities = gold_of(reading.posts), bundle.probabilities(posts)
    abstained = bundle.abstains(posts)
    evaluation = evaluate(
        gold,
        probabilities,
        bundle.policy,
        calibration=bundle.calibration,
        trained_languages=bundle.manifest.trained_languages,
        bundle=bundle.id,
        data=Path(reading.name).name,
        budgets=budgets,
        prevalence=prevalence,
        columns=columns,
        cautions=(*cautions, *_abstention(posts, abstained)),
        abstained=abstained,
    )
    if dev and not evaluation.same_set:
        comparison = compare_with_dev(evaluation.languages, dev)
        evaluation = evaluation.model_copy(update={"dev_comparison": comparison})
    return Measured(evaluation, gold, probabilities, posts, abstained)


def _abstention(posts: Sequence[Post], abstained: NDArray[np.bool_]) -> tuple[str, ...]:
    counts = Counter(compress(field_of(posts, "language"), abstained.tolist()))
    return tuple(
        f"{language}: {number:,} posts are not flagged: the model was not trained on it (tune --unlabelled may help)"
        for language, number in sorted(counts.items())
    )


def cautions_about(bundle: Bundle, reading: Reading) -> tuple[str, ...]:
    """What to say of metrics on posts some of which the bundle was made from.

    Raises SplitError when the file mixes splits and none was picked, or holds translations or mostly training posts.
    """
    splits = Counter(field_of(posts_of(reading.posts), "split"))
    if "train" in splits and len(splits) > 1:
        named = ", ".join(f"{shown_word(name) or None}: {n:,}" for name, n in splits.most_common(8))
        raise SplitError(
            f"the file mixes splits ({named})",
            where=reading.name,
            hint="pick one: --split test",
        )
    refuse_translated(reading.posts, part="test", where=reading.name)
    seen = seen_before(reading.posts, bundle.seen.train, bundle.seen.dev, data=reading.name)
    return (*seen, *unlabelled_rows(reading))


def unlabelled_rows(reading: Reading) -> tuple[str, ...]:
    """One sentence on the rows of a file that have no label; none where all have one."""
    unlabelled = sum(row_error.reason == NO_LABEL for row_error in reading.row_errors)
    if not unlabelled:
        return ()
    rows = len(reading.posts) + len(reading.row_errors)
    return (f"{unlabelled:,} of {rows:,} rows have no label and are not measured",)


def measured_on_dev(bundle: Bundle, *, budgets: Sequence[int] = (), prevalence: float | None = None) -> Measured:
    """Evaluate the stored scores of the dev posts, all members scored: same-set metrics, and cross-fitted ones."""
    gold = stored_gold(bundle.dev, fingerprint=bundle.policy.dev_fingerprint)
    probabilities = bundle.dev_scores().probabilities
    evaluation = evaluate(
        gold,
        probabilities,
        bundle.policy,
        calibration=bundle.calibration,
        trained_languages=bundle.manifest.trained_languages,
        bundle=bundle.id,
        data="the dev posts, by stored scores"
        + (", each by a model that has not learned from it" if bundle.seen.out_of_fold else ""),
        budgets=budgets,
        prevalence=prevalence,
    )
    return Measured(evaluation, gold, probabilities)


def cross_fitted_dev(bundle: Bundle, folder: Path | str) -> tuple[Slice, ...]:
    """Cross-fitted metrics on the dev posts of the ``bundle`` that was loaded from ``folder``, by language.

    As its evaluation.json has them; else computed from the dev scores it holds. No model is run. Empty for a bundle
    that has neither.
    """
    if layout.EVALUATION in bundle.manifest.files:
        try:
            stored = Evaluation.model_validate_json(read_document(folder, layout.EVALUATION))
        except ValidationError:  # written by another version: the dev scores give the same
            stored = None
        of_these = stored is not None and stored.data_fingerprint == bundle.policy.dev_fingerprint
        if stored and of_these and all(part.cross_fitted for part in stored.languages):
            return stored.languages
    if not len(bundle.dev.labels) or not bundle.policy.dev_fingerprint:
        return ()
    return measured_on_dev(bundle).evaluation.languages


def left_out(bundle: Bundle, reading: Reading) -> tuple[LeftOut, ...]:
    """Each language of the posts played as one without labels (evaluation.leave_out)."""
    gold = gold_of(reading.posts)
    probabilities = bundle.probabilities(posts_of(reading.posts))
    return leave_one_language_out(DevScores(probabilities, gold.labels, gold.languages), spec=bundle.policy.spec)
