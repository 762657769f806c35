"""Rules and objectives against brute force, closed forms and what each promises."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import fbeta_score

from polyvigil.config.decide import (
    BudgetObjective,
    DecideSpec,
    FBetaObjective,
    PooledF1Objective,
    PrecisionObjective,
    RecallObjective,
    ThresholdRule,
)
from polyvigil.decide.crossfit import assign_folds, cross_fitted_flags
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.objectives import value_of
from polyvigil.decide.policy import flagged
from polyvigil.decide.rules import SHRINKAGE, DevScores, find, joint_argmax
from polyvigil.decide.thresholds import (
    argmax,
    at_share,
    best_expected_f,
    bootstrap_thresholds,
    expected_argmax,
    logit,
    mean_logit,
    resample_weights,
)
from polyvigil.decide.tune import tune
from polyvigil.metrics import count, f1, f_beta

RULES: tuple[ThresholdRule, ...] = (
    "fixed",
    "paper-grid",
    "argmax",
    "bagged-argmax",
    "platt-fstar",
    "blend",
    "pooled",
    "shrunk",
)


def _world(seed: int = 0, sizes: dict[str, tuple[int, int, float]] | None = None) -> DevScores:
    """Normal logits: posts, positives, shift of each language."""
    random = np.random.default_rng(seed)
    parts = []
    for name, (posts, positives, shift) in (
        sizes or {"en": (400, 60, 0.0), "ja": (300, 20, -2.0), "ru": (500, 90, 0.5)}
    ).items():
        labels = (np.arange(posts) < positives).astype(np.int8)
        logits = shift - 2.5 + 3.5 * labels + random.normal(0, 1.1, posts)
        parts.append((1 / (1 + np.exp(-logits)), labels, np.full(posts, name)))
    return DevScores(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _tune(posts: DevScores, spec: DecideSpec) -> dict[str, float]:
    policy = tune(posts.probabilities, posts.labels, posts.languages.tolist(), spec=spec, dev_fingerprint="")
    return {name: threshold.value for name, threshold in policy.thresholds.items()}


@pytest.mark.parametrize("rule", RULES)
def test_rules_ignore_order_and_stay_in_range(rule: ThresholdRule) -> None:
    posts = _world()
    found = _tune(posts, DecideSpec(rule=rule))
    assert sorted(found) == ["en", "ja", "ru"]
    assert all(0 < value <= 1 for value in found.values())
    shuffled = posts.where(np.random.default_rng(5).permutation(len(posts.labels)))
    assert _tune(shuffled, DecideSpec(rule=rule)) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_a_language_of_one_class_takes_the_pooled_threshold(rule: ThresholdRule) -> None:
    posts = _world(sizes={"en": (400, 60, 0.0), "zh": (50, 0, 0.0)})
    spec = DecideSpec(rule=rule)
    policy = tune(posts.probabilities, posts.labels, posts.languages.tolist(), spec=spec, dev_fingerprint="")
    assert policy.thresholds["zh"].source == "pooled"
    assert policy.thresholds["zh"].value == find(posts, spec).pooled
    assert policy.thresholds["zh"].same_set_f1 is None
    assert "found on 0 positives only" in policy.thresholds["zh"].warnings[0]
    assert policy.thresholds["en"].warnings == ()


@pytest.mark.parametrize("objective", [FBetaObjective(beta=2), RecallObjective(at_least=0.9)], ids=["f-beta", "recall"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_serves_every_objective_of_a_language(
    rule: ThresholdRule, objective: FBetaObjective | RecallObjective
) -> None:
    assert all(0 < value <= 1 for value in _tune(_world(), DecideSpec(rule=rule, objective=objective)).values())


def test_f_beta_is_scikit_learns() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        labels, flags = random.integers(0, 2, 30), random.integers(0, 2, 30)
        beta = float(random.uniform(0.2, 4))
        counts = count(labels.astype(np.int8), flags.astype(bool))
        ours = f_beta(counts.tp, counts.fp, counts.fn, beta=beta)
        assert ours == pytest.approx(fbeta_score(labels, flags, beta=beta, zero_division=0), abs=1e-12)


def _every_cut(scores: np.ndarray) -> list[float]:
    return sorted({float(score) for score in scores if score > 0})


def test_recall_and_precision_objectives_equal_brute_force() -> None:
    random = np.random.default_rng(2)
    for _ in range(300):
        size = int(random.integers(2, 30))
        labels = (random.random(size) < 0.4).astype(np.int8)
        labels[0] = 1
        scores = np.round(random.uniform(0.01, 1, size), 2)
        share = float(random.uniform(0.1, 1))
        tables = [count(labels, flagged(scores, cut)) for cut in _every_cut(scores)]
        found = argmax(scores, labels, value=value_of(RecallObjective(at_least=share)))
        ours = count(labels, flagged(scores, found.threshold))
        allowed = [table for table in tables if table.recall >= share]
        assert ours.recall >= share
        assert ours.precision == max(table.precision for table in allowed)
        found = argmax(scores, labels, value=value_of(PrecisionObjective(at_least=share)))
        ours = count(labels, flagged(scores, found.threshold))
        allowed = [table for table in tables if table.precision >= share]
        if allowed:
            assert ours.precision >= share
            assert ours.recall == max(table.recall for table in allowed)
        else:  # not to be had: as precise as can be
            assert ours.precision == max(table.precision for table in tables)


def test_half_of_f_star_maximises_expected_f1() -> None:
    random = np.random.default_rng(3)
    for beta in (0.5, 1.0, 2.0):
        for _ in range(50):
            calibrated = random.beta(0.5, 3, int(random.integers(1, 60)))
            best = best_expected_f(calibrated, beta=beta)
            brute = max(
                float(
                    f_beta(
                        t := calibrated[calibrated >= cut].sum(),
                        (calibrated >= cut).sum() - t,
                        calibrated.sum() - t,
                        beta=beta,
                    )
                )
                for cut in calibrated
            )
            assert best == pytest.approx(brute, abs=1e-12)
            chosen = flagged(calibrated, best / (1 + beta**2))
            tp = calibrated[chosen].sum()
            assert float(f_beta(tp, chosen.sum() - tp, calibrated.sum() - tp, beta=beta)) == pytest.approx(
                best, abs=1e-12
            )
            value = value_of(FBetaObjective(beta=beta))
            assert expected_argmax(calibrated, value=value).value == pytest.approx(best, abs=1e-12)


def test_platt_fstar_threshold_is_half_of_f_star() -> None:
    posts = _world()
    found = find(posts, DecideSpec(rule="platt-fstar"))
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())
    for name, threshold in found.by_language.items():
        mine = posts.of(name)
        calibrated = calibration.calibrated(mine.probabilities, mine.languages.tolist())
        at_cut = calibration.calibrated(np.array([threshold]), [name])[0]
        assert at_cut == pytest.approx(best_expected_f(calibrated) / 2, abs=1e-9)


def test_bagged_threshold_is_the_mean_over_resamples() -> None:
    """The twin repeats posts instead of weighing them."""
    posts = _world().of("ja")
    order = np.lexsort((posts.labels, -posts.probabilities))
    scores, labels = posts.probabilities[order], posts.labels[order]
    random = np.random.default_rng(0)
    twin = []
    for _ in range(40):
        drawn = np.zeros(0, dtype=int)
        for places in (np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)):
            drawn = np.concatenate([drawn, places[random.integers(len(places), size=len(places))]])
        twin.append(argmax(scores[drawn], labels[drawn]).threshold)
    assert bootstrap_thresholds(posts.probabilities, posts.labels) == pytest.approx(np.array(twin))
    assert _tune(posts, DecideSpec(rule="bagged-argmax"))["ja"] == pytest.approx(mean_logit(np.array(twin)))


def test_weights_of_a_resample_are_repeated_posts() -> None:
    """With tied scores, scores of 0, few positives and none."""
    random = np.random.default_rng(3)
    for n in map(int, random.integers(1, 60, size=100)):
        scores = np.round(random.random(n), int(random.integers(1, 9))) * (random.random(n) > random.choice([0, 0.6]))
        labels = (random.random(n) < random.choice([0.0, 0.05, 0.3])).astype(int)
        order = np.lexsort((labels, -scores))
        draws, twin = np.random.default_rng(5), []
        for _ in range(40):
            weights = resample_weights(labels[order] == 1, draws)
            drawn = np.repeat(order, weights.astype(int))
            if (scores[drawn] * labels[drawn]).any():
                twin.append(argmax(scores[drawn], labels[drawn]).threshold)
        assert bootstrap_thresholds(scores, labels, seed=5).tolist() == twin


def test_blend_and_shrunk_lie_between_their_two_ends() -> None:
    posts = _world()
    bagged, platt = (_tune(posts, DecideSpec(rule=rule)) for rule in ("bagged-argmax", "platt-fstar"))
    blend, shrunk = (_tune(posts, DecideSpec(rule=rule)) for rule in ("blend", "shrunk"))
    pooled = mean_logit(bootstrap_thresholds(posts.probabilities, posts.labels))
    for name, positives in (("en", 60), ("ja", 20), ("ru", 90)):
        middle = (logit(np.array(bagged[name])) + logit(np.array(platt[name]))) / 2
        assert logit(np.array(blend[name])) == pytest.approx(middle)
        share = SHRINKAGE / (positives + SHRINKAGE)
        mixed = (1 - share) * logit(np.array(bagged[name])) + share * logit(np.array(pooled))
        assert logit(np.array(shrunk[name])) == pytest.approx(mixed)


def test_joint_thresholds_are_best_of_all_combinations() -> None:
    random = np.random.default_rng(4)
    for _ in range(60):
        size = 14
        posts = DevScores(
            np.round(random.uniform(0.01, 1, size), 1),
            (random.random(size) < 0.4).astype(np.int8),
            np.array(["en"] * 7 + ["ja"] * 7),
        )
        posts.labels[[0, 7]] = 1
        cuts = joint_argmax(posts, ["en", "ja"])
        flags = flagged(posts.probabilities, np.array([cuts[name] for name in posts.languages.tolist()]))
        best = max(
            count(posts.labels, flagged(posts.probabilities, np.repeat([first, second], 7))).f1
            for first, second in product(
                [*_every_cut(posts.probabilities[:7]), 2.0], [*_every_cut(posts.probabilities[7:]), 2.0]
            )
        )
        assert count(posts.labels, flags).f1 == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("rule", ["argmax", "bagged-argmax", "platt-fstar", "blend"])
def test_pooled_f1_gains_pooled_f1(rule: ThresholdRule) -> None:
    posts = _world(sizes={"en": (600, 150, 0.0), "ja": (600, 12, 1.6), "de_cadec": (60, 40, 0.0)})
    joint = tune(
        posts.probabilities,
        posts.labels,
        posts.languages.tolist(),
        spec=DecideSpec(rule=rule, objective=PooledF1Objective()),
        dev_fingerprint="",
    )
    alone = _tune(posts, DecideSpec(rule=rule))
    assert joint.thresholds["de_cadec"].value == alone["de_cadec"]  # no part of the pooled figure
    assert joint.thresholds["ja"].value >= alone["ja"]  # the hard language gives way
    if rule == "argmax":
        counted = posts.languages != "de_cadec"
        apart = flagged(posts.probabilities, np.array([alone[name] for name in posts.languages.tolist()]))
        together = joint.flags(posts.probabilities, posts.languages.tolist())
        assert count(posts.labels[counted], together[counted]).f1 >= count(posts.labels[counted], apart[counted]).f1


@pytest.mark.parametrize("reviews", [1, 20, 90, 300, 1200])
def test_a_budget_is_kept_and_spent_on_the_most_probable(reviews: int) -> None:
    posts = _world()
    spec = DecideSpec(objective=BudgetObjective(reviews=reviews, posts=1200))
    policy = tune(posts.probabilities, posts.labels, posts.languages.tolist(), spec=spec, dev_fingerprint="")
    flags = policy.flags(posts.probabilities, posts.languages.tolist())
    assert flags.sum() == reviews  # 1,200 dev posts, no ties
    calibration = fit("hierarchical-platt", posts.probabilities, posts.labels, posts.languages.tolist())
    calibrated = calibration.calibrated(posts.probabilities, posts.languages.tolist())
    assert calibrated[flags].min() >= calibrated[~flags].max(initial=0)
    assert policy.thresholds["en"].rule == "budget"


@pytest.mark.parametrize(
    ("scores", "share", "flags"),
    [
        ([0.1, 0.2, 0.3, 0.4], 0.5, 2),
        ([0.1, 0.3, 0.3, 0.4], 0.5, 1),
        ([0.0, 0.3, 0.3, 0.4], 1.0, 3),
        ([0.3, 0.3, 0.3, 0.3], 0.0, 0),
    ],
)
def test_at_share_flags_that_share_or_the_next_below(scores: list[float], share: float, flags: int) -> None:
    array = np.array(scores)
    assert flagged(array, at_share(array, share)).sum() == flags


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "shrunk", "objective": PooledF1Objective()}, "pooled-f1 has no rule shrunk"),
        ({"rule": "argmax", "objective": BudgetObjective(reviews=1, posts=2)}, "takes no rule"),
    ],
)
def test_rule_and_objective_that_do_not_go_together(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DecideSpec.model_validate(settings)
    with pytest.raises(ValidationError, match="may not be more than posts"):
        BudgetObjective(reviews=3, posts=2)


def test_the_edge_of_the_papers_grid_gives_a_warning() -> None:
    posts = _world(sizes={"en": (400, 60, 0.0), "ja": (400, 60, -4.0)})
    spec = DecideSpec(rule="paper-grid")
    policy = tune(posts.probabilities, posts.labels, posts.languages.tolist(), spec=spec, dev_fingerprint="")
    assert policy.thresholds["ja"].value == 0.20
    assert "the edge of the paper's grid" in policy.thresholds["ja"].warnings[0]
    scores, labels = np.array([0.9] * 30 + [0.795] * 60), np.array([1] * 30 + [0] * 60, dtype=np.int8)
    policy = tune(scores, labels, ["en"] * 90, spec=spec, dev_fingerprint="")
    assert policy.thresholds["en"].value == 0.80
    assert "0.80 is the edge of the paper's grid" in policy.thresholds["en"].warnings[0]


def test_folds_are_stratified_and_keep_groups_whole() -> None:
    posts = _world()
    random = np.random.default_rng(0)
    fold_of = assign_folds(posts, folds=5, random=random)
    for name in ("en", "ja", "ru"):
        for label in (0, 1):
            sizes = np.bincount(fold_of[(posts.languages == name) & (posts.labels == label)], minlength=5)
            assert sizes.max() - sizes.min() <= 1
    groups = [f"g{place // 3}" for place in range(len(posts.labels))]
    fold_of = assign_folds(posts, groups=groups, folds=5, random=random)
    assert all(len(set(fold_of[start : start + 3].tolist())) == 1 for start in range(0, len(groups), 3))


def test_cross_fitted_flags_are_those_of_the_other_folds() -> None:
    posts = _world()
    spec = DecideSpec(rule="argmax")
    [flags] = cross_fitted_flags(posts, spec=spec, folds=4, repeats=1, seed=7)
    fold_of = assign_folds(posts, folds=4, random=np.random.default_rng(7))
    for fold in range(4):
        out = fold_of == fold
        rest = posts.where(~out)
        policy = tune(rest.probabilities, rest.labels, rest.languages.tolist(), spec=spec, dev_fingerprint="")
        expected = policy.flags(posts.probabilities[out], posts.languages[out].tolist())
        assert flags[out].tolist() == expected.tolist()


def test_cross_fitting_removes_optimism() -> None:
    """Against the F1 on 20,000 other posts of the same simulated language."""
    same, crossed, truth = [], [], []
    spec = DecideSpec(rule="argmax")
    fresh = _world(99, sizes={"en": (20_000, 2_000, 0.0)})
    for seed in range(40):
        posts = _world(seed, sizes={"en": (150, 15, 0.0)})
        threshold = _tune(posts, spec)["en"]
        same.append(count(posts.labels, flagged(posts.probabilities, threshold)).f1)
        truth.append(count(fresh.labels, flagged(fresh.probabilities, threshold)).f1)
        crossed.append(count(posts.labels, cross_fitted_flags(posts, spec=spec, repeats=1)[0]).f1)
    assert np.mean(same) > np.mean(truth) + 0.04
    assert abs(np.mean(crossed) - np.mean(truth)) < 0.03


def test_a_single_positive_can_be_cross_fitted() -> None:
    posts = _world(sizes={"en": (40, 1, 0.0)})
    assert not cross_fitted_flags(posts, spec=DecideSpec(), repeats=2)[:, posts.labels == 1].any()


def test_f1_of_expected_counts_is_the_f1_of_counts() -> None:
    labels = np.array([1, 0, 1, 1, 0])
    assert best_expected_f(labels.astype(float)) == pytest.approx(float(f1(3, 0, 0)))


@pytest.mark.parametrize("rule", RULES)
def test_intervals_of_thresholds_are_those_of_resamples(rule: ThresholdRule) -> None:
    posts = _world(sizes={"en": (400, 60, 0.0), "ja": (300, 8, -2.0)})
    languages = posts.languages.tolist()
    spec = DecideSpec(rule=rule)
    told = tune(posts.probabilities, posts.labels, languages, spec=spec, dev_fingerprint="", resamples=60).thresholds
    for threshold in told.values():
        assert threshold.low is not None
        assert threshold.high is not None
        assert 0 < threshold.low <= threshold.value <= threshold.high <= 1
    if rule == "fixed":
        assert (told["en"].low, told["en"].high) == (0.5, 0.5)
    elif rule != "paper-grid":  # ja lies below the grid
        width = {n: logit(np.array(t.high)) - logit(np.array(t.low)) for n, t in told.items()}
        assert width["ja"] > width["en"] or rule == "pooled"  # fewer positives, less sure
    if rule == "argmax":  # the twin: draw, search, take quantiles
        ja = posts.of("ja")
        random = np.random.default_rng(11)
        cuts = []
        for _ in range(400):
            gold, rest = np.flatnonzero(ja.labels == 1), np.flatnonzero(ja.labels == 0)
            drawn = np.concatenate([random.choice(gold, len(gold)), random.choice(rest, len(rest))])
            cuts.append(argmax(ja.probabilities[drawn], ja.labels[drawn]).threshold)
        low, high = np.quantile(cuts, [0.025, 0.975])
        assert logit(np.array(told["ja"].low)) == pytest.approx(logit(low), abs=0.5)
        assert logit(np.array(told["ja"].high)) == pytest.approx(logit(high), abs=0.5)
