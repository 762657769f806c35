"""What the report says to do: each language once, by its recall, its positives and whether it was learned."""

from __future__ import annotations

import numpy as np
import pytest

from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.intervals import Interval
from polyvigil.evaluation.measure import Measured
from polyvigil.evaluation.slices import Outcomes, Slice, slice_of
from polyvigil.report.advice import advice, is_chance

NOT_FOR = "Not for other languages"


def _language(evaluation: Evaluation, name: str, **changes: object) -> Slice:
    """A language like the first, with other values."""
    plain = {"name": name, "cross_fitted": None, "validated": True, "posts": 1000, "positives": 100, "flagged": 100}
    rates = {"recall": 0.7, "recall_interval": Interval(low=0.6, high=0.8)}
    return evaluation.languages[0].model_copy(update={**plain, **rates, **changes})


def _advised(evaluation: Evaluation, *parts: Slice) -> list[tuple[str, str]]:
    found = advice(evaluation.model_copy(update={"languages": parts}))
    return [(finding.level, finding.sentence) for finding in found]


def test_each_kind_of_language_is_named_once(clean_evaluation: Evaluation) -> None:
    low = Interval(low=0.05, high=0.3)
    found = _advised(
        clean_evaluation,
        _language(clean_evaluation, "aa"),
        _language(clean_evaluation, "bb", recall=0.15, recall_interval=low, flagged=60),
        _language(clean_evaluation, "cc", positives=19),
        _language(clean_evaluation, "dd", validated=False),
        _language(clean_evaluation, "ee", positives=0),
    )
    assert [level for level, _ in found[:5]] == ["pass", "warn", "fail", "warn", "warn"]
    for (_, sentence), name in zip(found[:5], ("aa", "dd", "bb", "cc", "ee"), strict=True):
        assert f" {name}" in sentence
    assert "aa (recall 0.70, at least 0.60)" in found[0][1]
    assert "bb (recall 0.15, 0.05 to 0.30)" in found[2][1]
    assert found[-1][1].startswith(NOT_FOR)


def test_what_is_not_proven_is_not_relied_on(clean_evaluation: Evaluation) -> None:
    """F1 no better than flagging every post; thresholds tuned on these very posts, without cross-fitting."""
    weak = _language(clean_evaluation, "aa", f1_interval=Interval(low=0.1, high=0.9))
    good = _language(clean_evaluation, "bb", f1_interval=Interval(low=0.6, high=0.9))
    ((level, sentence), (_, second), *_) = reversed(_advised(clean_evaluation, weak, good)[:2])
    assert (level, "aa" in sentence, "flagging every post" in sentence) == ("fail", True, True)
    assert "bb (recall" in second
    pooled = clean_evaluation.pooled.model_copy(update={"cross_fitted": None})
    found = advice(clean_evaluation.model_copy(update={"same_set": True, "pooled": pooled, "languages": (good,)}))
    assert (found[0].level, "tuned on these very posts" in found[0].sentence) == ("fail", True)


def test_chance_is_the_share_that_is_flagged(clean_evaluation: Evaluation) -> None:
    """In 100 worlds of random flags the recall is told from chance about as rarely as a 95% interval allows."""
    random = np.random.default_rng(5)
    told_apart = []
    for _ in range(100):
        labels = (random.random(400) < 0.1).astype(np.int64)
        scores = random.random(400)
        outcomes = Outcomes(labels, np.full(400, "x"), scores > 0.85, scores)
        part = slice_of("x", np.ones(400, dtype=bool), outcomes)
        told_apart.append(not is_chance(part))
    assert np.mean(told_apart) < 0.06
    assert not is_chance(_language(clean_evaluation, "good"))


def test_the_amount_of_reading(clean_evaluation: Evaluation) -> None:
    (reading,) = [one for one in clean_evaluation.workload.pooled.reading if one.recall == 0.8]
    sentences = [finding.sentence for finding in advice(clean_evaluation)]
    assert any(f"To find 80% of the ADEs, read the {round(1000 * reading.share):,} highest" in one for one in sentences)
    poor = reading.model_copy(update={"share": 0.75, "interval": Interval(low=0.6, high=0.85)})
    pooled = clean_evaluation.workload.pooled.model_copy(update={"reading": (poor,)})
    workload = clean_evaluation.workload.model_copy(update={"pooled": pooled})
    found = advice(clean_evaluation.model_copy(update={"workload": workload}))
    assert ("fail", True) in [(one.level, "as many as without the scores" in one.sentence) for one in found]


def test_on_the_dev_posts_the_cross_fitted_recall_is_named(dev_measured: Measured) -> None:
    evaluation = dev_measured.evaluation
    relied = advice(evaluation)[0].sentence
    named = [part for part in evaluation.languages if f"{part.name} (recall" in relied]
    assert named
    for part in named:
        assert part.cross_fitted is not None
        assert f"{part.name} (recall {part.cross_fitted.recall:.2f}, at least" in relied


@pytest.mark.parametrize("number", [7, 40])
def test_many_languages_are_named_alone(clean_evaluation: Evaluation, number: int) -> None:
    found = _advised(clean_evaluation, *(_language(clean_evaluation, f"l{index}") for index in range(number)))
    assert "recall" not in found[0][1]
    assert f"l{number - 1}." in found[0][1]
