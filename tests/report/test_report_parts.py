"""What a report tells beside figures: mistakes, lengths, what changed; and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.config.score import TextForm
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.detect.base import Lengths
from polyvigil.errors import RecipeError
from polyvigil.evaluation.intervals import share_interval
from polyvigil.evaluation.lengths import length_slices
from polyvigil.evaluation.measure import Measured
from polyvigil.report.chart_data import MOST_CHARACTERS, mistakes
from polyvigil.report.report import report_of
from polyvigil.text.mask import mask
from polyvigil.types import Post


def test_mistakes_are_the_surest_of_each_kind_and_language(
    report_measured: Measured, report_policy: DecisionPolicy
) -> None:
    labels, scores = report_measured.gold.labels, report_measured.probabilities
    found = mistakes(report_measured.posts, labels, scores, report_policy, most=3)
    expected = []
    for language in sorted({post.language for post in report_measured.posts}):
        cut = report_policy.threshold(language).value
        rows = [
            (float(score), post, int(label))
            for score, post, label in zip(scores, report_measured.posts, labels, strict=True)
            if post.language == language
        ]
        wrong = sorted((row for row in rows if row[2] == 0 and row[0] >= cut), key=lambda row: -row[0])[:3]
        missed = sorted((row for row in rows if row[2] == 1 and row[0] < cut), key=lambda row: row[0])[:3]
        expected += [("false positive", post.id, p) for p, post, _ in wrong]
        expected += [("false negative", post.id, p) for p, post, _ in missed]
    assert [(one.kind, one.id, one.p) for one in found] == expected
    assert {one.language for one in found} >= {"de", "en", "fa"}


def test_long_posts_are_shortened_and_say_so(report_policy: DecisionPolicy) -> None:
    posts = [Post("a", "x" * (MOST_CHARACTERS + 1), "en"), Post("b", "x" * MOST_CHARACTERS, "en")]
    found = mistakes(posts, np.zeros(2, dtype=np.int8), np.ones(2), report_policy, most=2)
    assert [(len(one.text), one.shortened) for one in found] == [(MOST_CHARACTERS, True), (MOST_CHARACTERS, False)]


@pytest.mark.parametrize("most", [0, 21])
def test_too_many_mistakes_are_refused(most: int, report_policy: DecisionPolicy) -> None:
    with pytest.raises(ValueError, match="1 to 20 can be shown"):
        mistakes([], np.empty(0, dtype=np.int8), np.empty(0), report_policy, most=most)


def test_lengths_are_shown_by_language() -> None:
    tokens = np.array([10, 20, 30, 300, 7], dtype=np.int32)
    first, second = length_slices(Lengths(tokens, tokens > 256), ["ja", "ja", "ja", "ja", "en"])
    assert (first.name, first.posts, first.median, first.longest, first.truncated, first.share) == ("en", 1, 7, 7, 0, 0)
    assert (second.name, second.posts, second.median, second.longest) == ("ja", 4, 25, 300)
    assert second.high == pytest.approx(np.quantile(tokens[:4], 0.95))
    assert (second.truncated, second.share, second.interval) == (1, 0.25, share_interval(1, 4))


def test_a_bundle_has_no_text_to_show(dev_measured: Measured, report_bundle: Bundle) -> None:
    with pytest.raises(RecipeError, match="keeps no text of its dev posts") as caught:
        report_of(dev_measured, report_bundle, show_errors=1)
    assert caught.value.hint == "give the file of labelled posts"


def test_stored_scores_are_compared_on_the_same_posts(dev_measured: Measured, report_bundle: Bundle) -> None:
    turned = np.arange(len(report_bundle.dev.labels))[::-1]
    dev = report_bundle.dev
    other_order = replace(
        dev,
        by_member=dev.by_member[:, turned],
        labels=dev.labels[turned],
        languages=dev.languages[turned],
        types=dev.types[turned],
        groups=dev.groups[turned],
        keys=dev.keys[turned],
    )
    since = report_of(dev_measured, report_bundle, older=replace(report_bundle, dev=other_order)).since
    assert since is not None
    assert all(shift.old_share == shift.new_share for shift in since.shifts)
    others = replace(report_bundle, dev=replace(dev, keys=dev.keys + np.uint64(1)))
    with pytest.raises(RecipeError, match="holds scores of other dev posts"):
        report_of(dev_measured, report_bundle, older=others)


def test_mistakes_are_masked_before_they_are_cut(report_policy: DecisionPolicy) -> None:
    text = f"@anna_b {'x ' * (MOST_CHARACTERS // 2 - 12)} https://t.co/abcdefghij call +49 170 1234567"
    labels, p = np.array([0], dtype=np.int8), np.array([1.0])
    forms: tuple[TextForm, ...] = ("whole", "masked", "dropped")
    (whole,), (hidden,), (dropped,) = (
        mistakes([Post("a", text, "en")], labels, p, report_policy, most=1, form=form) for form in forms
    )
    assert (dropped.text, dropped.shortened, dropped.id) == ("", False, "a")
    assert whole.text == text[:MOST_CHARACTERS]
    assert hidden.text == mask(text)[:MOST_CHARACTERS]
    assert "t.co" in whole.text
    assert "t.co" not in hidden.text
