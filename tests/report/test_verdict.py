"""The verdict of a report: each level, and what brings it."""

from __future__ import annotations

import pytest

from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.intervals import Interval
from polyvigil.evaluation.measure import Measured
from polyvigil.report.verdict import verdict


def _with_pooled(evaluation: Evaluation, **changes: object) -> Evaluation:
    return evaluation.model_copy(update={"pooled": evaluation.pooled.model_copy(update=changes)})


def test_verdict_pass_conditions(clean_evaluation: Evaluation) -> None:
    told = verdict(clean_evaluation)
    assert told.level == "pass"
    assert [finding.level for finding in told.findings] == ["pass", "pass", "pass"]
    assert told.sentences[2] == "No caution was raised."


@pytest.mark.parametrize(
    ("cautions", "sentence"),
    [(("few positives",), "One caution was raised."), (("a", "b"), "2 cautions were raised.")],
)
def test_a_caution_warns(clean_evaluation: Evaluation, cautions: tuple[str, ...], sentence: str) -> None:
    told = verdict(clean_evaluation.model_copy(update={"cautions": cautions}))
    assert told.level == "warn"
    assert told.sentences[2] == sentence


def test_tuning_posts_fail_without_cross_fitting(clean_evaluation: Evaluation) -> None:
    told = verdict(clean_evaluation.model_copy(update={"same_set": True, "cautions": ("same posts",)}))
    assert told.level == "fail"
    assert [finding.level for finding in told.findings] == ["fail", "pass", "warn"]
    assert "tuned on these very posts" in told.sentences[0]


def test_tuning_posts_warn_with_cross_fitting(dev_measured: Measured) -> None:
    evaluation = dev_measured.evaluation
    told = verdict(evaluation)
    assert told.level == "warn"
    assert [finding.level for finding in told.findings] == ["warn", "pass", "warn"]
    assert "stand by the cross-fitted" in told.sentences[0]
    crossed = evaluation.pooled.cross_fitted
    assert crossed is not None
    assert f"cross-fitted pooled F1 begins at {crossed.f1_interval.low:.3f}" in told.sentences[1]
    poor = crossed.model_copy(update={"f1_interval": Interval(low=told.flag_all_f1, high=0.9)})
    assert verdict(_with_pooled(evaluation, cross_fitted=poor)).findings[1].level == "fail"


def test_f1_must_beat_flagging_everything(clean_evaluation: Evaluation) -> None:
    pooled = clean_evaluation.pooled
    share = pooled.positives / pooled.posts
    flag_all = verdict(clean_evaluation).flag_all_f1
    assert flag_all == pytest.approx(2 * share / (1 + share), abs=1e-15)
    equal = verdict(_with_pooled(clean_evaluation, f1_interval=Interval(low=flag_all, high=0.9)))
    above = verdict(_with_pooled(clean_evaluation, f1_interval=Interval(low=flag_all + 1e-9, high=0.9)))
    assert (equal.level, above.level) == ("fail", "pass")
    assert f"no better than flagging every post ({flag_all:.3f})" in equal.sentences[1]


def test_posts_without_a_positive_fail(clean_evaluation: Evaluation) -> None:
    nothing = _with_pooled(clean_evaluation, positives=0, tp=0, fn=0, f1=0.0, f1_interval=Interval(low=0.0, high=1.0))
    told = verdict(nothing)
    assert (told.level, told.flag_all_f1) == ("fail", 0.0)
    assert "None of these posts is labelled as an ADE" in told.sentences[1]
