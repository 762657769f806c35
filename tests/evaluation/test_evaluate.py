"""Evaluation, intervals and the official score against counting by hand and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from polyvigil.data.fingerprint import fingerprint, post_hashes
from polyvigil.decide.calibration import Calibration, Identity
from polyvigil.decide.policy import DecisionPolicy, Threshold
from polyvigil.errors import PredictionsError, SplitError
from polyvigil.evaluation.evaluate import Evaluation, evaluate, gold_of, seen_before
from polyvigil.evaluation.intervals import f1_interval, share_interval
from polyvigil.evaluation.official import official_scores, predictions_csv, read_predictions
from polyvigil.metrics import Counts
from polyvigil.types import LabelledPost, Post


def _items(rows: list[tuple[str, str, int]]) -> list[LabelledPost]:
    return [LabelledPost(Post(f"p{n}", f"text {n}", lang, kind), label) for n, (lang, kind, label) in enumerate(rows)]


def _policy(**values: float) -> DecisionPolicy:
    def threshold(value: float, source: str) -> Threshold:
        return Threshold.model_validate(
            {"value": value, "source": source, "rule": "argmax", "posts": 9, "positives": 3}
        )

    return DecisionPolicy(
        thresholds={name: threshold(value, "own") for name, value in values.items()},
        fallback=threshold(0.5, "fallback"),
        dev_fingerprint="none",
    )


def _evaluate(items: list[LabelledPost], scores: list[float], policy: DecisionPolicy) -> Evaluation:
    return evaluate(
        gold_of(items),
        np.array(scores),
        policy,
        calibration=Calibration(Identity()),
        trained_languages=("en",),
        bundle="b",
        data="d.csv",
    )


def test_pooled_leaves_cadec_out_and_macro_is_over_languages() -> None:
    items = _items(
        [("en", "tweet", 1), ("en", "tweet", 0), ("ja", "tweet", 1), ("ja", "tweet", 1), ("de_cadec", "drug_review", 1)]
    )
    evaluation = _evaluate(items, [0.4, 0.2, 0.9, 0.1, 0.0], _policy(en=0.3, ja=0.5))
    assert (evaluation.pooled.posts, evaluation.pooled.tp, evaluation.pooled.fn) == (4, 2, 1)
    assert evaluation.pooled.f1 == pytest.approx(0.8)
    assert evaluation.macro_f1 == pytest.approx((1 + 2 / 3) / 2)
    by_name = {part.name: part for part in evaluation.languages}
    assert by_name["de_cadec"].threshold_source == "fallback"
    assert (by_name["en"].validated, by_name["ja"].validated) == (True, False)
    assert [part.name for part in evaluation.types] == ["drug_review", "tweet"]
    assert any("not validated for de_cadec, ja" in caution for caution in evaluation.cautions)
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def test_values_on_the_tuning_posts_are_called_optimistic() -> None:
    items = _items([("en", "tweet", 1), ("en", "tweet", 0)])
    policy = _policy(en=0.3).model_copy(update={"dev_fingerprint": fingerprint([item.post for item in items])})
    evaluation = _evaluate(items, [0.4, 0.2], policy)
    assert evaluation.same_set
    assert any("tuned on these very posts" in caution for caution in evaluation.cautions)


def test_training_posts_are_noticed_and_refused() -> None:
    items = _items([("en", "tweet", 1)] * 4)
    hashes = np.sort(post_hashes(item.post for item in items))
    none = np.empty(0, dtype=np.uint64)
    told = seen_before(items, hashes[:1], hashes[:2], data="x.csv")
    assert told[0].startswith("1 of 4 posts have the text of a training post")
    assert told[1].startswith("2 of 4 posts have the text of a post the thresholds were tuned on")
    assert seen_before(items, none, none, data="x.csv") == ()
    with pytest.raises(SplitError, match=r"x\.csv: 2 of 4 posts were trained on; metrics on them prove nothing"):
        seen_before(items, hashes[:2], none, data="x.csv")


def test_share_interval_is_jeffreys_and_closed_at_the_bounds() -> None:
    assert (share_interval(0, 0).low, share_interval(0, 0).high) == (0.0, 1.0)
    assert share_interval(0, 10).low == 0.0
    assert 0 < share_interval(0, 10).high < 0.3
    assert share_interval(10, 10).high == 1.0
    published = share_interval(5, 20)  # Jeffreys' interval of 5 of 20: (.1023, .4644)
    assert (published.low, published.high) == (pytest.approx(0.1023, abs=5e-4), pytest.approx(0.4644, abs=5e-4))


@pytest.mark.parametrize("counts", [Counts(0, 0, 5, 90), Counts(5, 0, 0, 90), Counts(3, 2, 2, 90), Counts(0, 9, 3, 0)])
def test_f1_interval_holds_its_value_and_has_width(counts: Counts) -> None:
    interval = f1_interval(counts)
    assert 0 <= interval.low <= counts.f1 <= interval.high <= 1
    assert interval.high - interval.low > 0.01
    assert f1_interval(counts) == interval


def test_f1_interval_covers_the_truth() -> None:
    """800 simulated test sets of 20 to 80 positives among 1,000 posts: 93 to 97% of the intervals hold the true F1."""
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(800):
        positives = int(random.integers(20, 81))
        recall, false_rate = random.uniform(0.5, 0.9), random.uniform(0.005, 0.04)
        negatives = 1000 - positives
        true = 2 * recall * positives / (positives + recall * positives + false_rate * negatives)
        tp, fp = int(random.binomial(positives, recall)), int(random.binomial(negatives, false_rate))
        interval = f1_interval(Counts(tp, fp, positives - tp, negatives - fp))
        covered += interval.low <= true <= interval.high
    assert 0.93 <= covered / 800 <= 0.97


def test_official_score_equals_scikit_learn_on_2000_cases() -> None:
    random = np.random.default_rng(6)
    names = np.array(["en", "fa", "de_cadec"])
    for _ in range(2000):
        size = int(random.integers(1, 13))
        labels, flags = random.integers(0, 2, size), random.integers(0, 2, size)
        languages = names[random.integers(0, 3, size)]
        gold = [LabelledPost(Post(f"{n}", "t", languages[n]), int(labels[n])) for n in range(size)]
        scores = official_scores(gold, {f"{n}": int(flags[n]) for n in range(size)})
        pooled = languages != "de_cadec"
        expected = f1_score(labels[pooled], flags[pooled], zero_division=0) if pooled.any() else 0.0
        assert scores.pooled == round(float(expected), 4)
        for name in set(languages.tolist()):
            mine = languages == name
            tp = int((labels[mine] & flags[mine]).sum())
            whole = int(labels[mine].sum() + flags[mine].sum())
            assert scores.languages[name] == round(2 * tp / whole if whole else 0.0, 4)


def test_scores_json_has_the_organisers_keys() -> None:
    gold = _items([("en", "tweet", 1), ("en", "tweet", 1), ("en", "tweet", 0), ("fr_cadec", "drug_review", 1)])
    scores = official_scores(gold, {"p0": 1, "p1": 0, "p2": 0, "p3": 0})
    assert scores.to_json() == '{"F1-en": 0.6667, "F1-fr_cadec": 0.0, "F1": 0.6667}'


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({"p0": 1}, r"1 of 2 gold ids have no prediction, first 'p1'"),
        ({"p0": 1, "p1": 0, "p9": 1}, r"1 predicted ids are not in the gold file, first 'p9'"),
    ],
)
def test_predictions_must_answer_each_gold_id(predictions: dict[str, int], message: str) -> None:
    with pytest.raises(PredictionsError, match=message):
        official_scores(_items([("en", "t", 1), ("en", "t", 0)]), predictions)


def test_files_of_other_posts_are_an_error_with_counts() -> None:
    gold = _items([("en", "t", 1), ("en", "t", 0)])
    with pytest.raises(PredictionsError) as none:
        official_scores(gold, {"x": 1, "y": 0}, gold_file="gold.csv", predictions_file="p.csv")
    assert str(none.value) == (
        "p.csv: 2 of 2 gold ids have no prediction, first 'p0', and no predicted id is in the gold file; the files are "
        "of different posts; predict these with: polyvigil submit BUNDLE gold.csv -o submission.zip"
    )
    with pytest.raises(PredictionsError, match=r"p\.csv: 1 predicted ids are not in the gold file.*--split.*submit"):
        official_scores(gold, {"p0": 1, "p1": 0, "q": 0}, gold_file="gold.csv", predictions_file="p.csv")


def test_gold_ids_must_not_repeat() -> None:
    post = LabelledPost(Post("a", "t", "en"), 1)
    with pytest.raises(PredictionsError, match="1 ids stand twice in the gold file, first 'a'"):
        official_scores([post, post], {"a": 1})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,predicted_label\na,1\na,0\n", r"p\.csv:3: id 'a' stands twice"),
        ("id,predicted_label\na,1.0\n", r"p\.csv:2: predicted_label '1.0' of id 'a' is not the integer 0 or 1"),
        ("id,predicted_label\na,\n", r"p\.csv:2: predicted_label ''"),
        ("id,predicted_label\na,2\n", r"is not the integer 0 or 1"),
        (
            "id,label\na,1\n",
            r"no column 'predicted_label'; the header must be id,predicted_label, or that of an output",
        ),
        ("id,predicted_label\na\n", r"p\.csv:2: 1 cells where the header has 2"),
    ],
)
def test_predictions_files_are_read_strictly(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(PredictionsError, match=message):
        read_predictions(tmp_path / "p.csv")


def test_predictions_round_trip(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(predictions_csv(["a", "b,c"], [True, False]))
    assert read_predictions(tmp_path / "p.csv") == {"a": 1, "b,c": 0}
