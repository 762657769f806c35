"""Calibration maps: scikit-learn and scipy as oracles of the fits, and what every map promises."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from polyvigil.config.decide import CalibrationKind
from polyvigil.decide.calibration import (
    Beta,
    Calibration,
    HierarchicalPlatt,
    Identity,
    Isotonic,
    Platt,
    PlattParameters,
    Temperature,
)
from polyvigil.decide.fit_calibration import MIN_SLOPE, fit

KINDS: tuple[CalibrationKind, ...] = get_args(CalibrationKind)
FITTED = tuple(kind for kind in KINDS if kind != "identity")
LANGUAGES = ("de", "en", "ja")
_PROBABILITY = st.one_of(
    st.floats(0, 1), st.sampled_from([0.0, 5e-324, 1e-7, 1e-6, 0.5, 1 - 1e-6, float(np.nextafter(1, 0)), 1.0])
)


def _posts(size: int, *, slope: float, offset: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    random = np.random.default_rng(seed)
    scores = random.normal(-1.5, 1.8, size)
    labels = (random.random(size) < 1 / (1 + np.exp(-(slope * scores + offset)))).astype(np.int8)
    return 1 / (1 + np.exp(-scores)), labels, random.choice(LANGUAGES, size).tolist()


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def _minus_log_likelihood(scores: np.ndarray, labels: np.ndarray) -> float:
    return float(np.sum(np.logaddexp(0, scores) - labels * scores))


@st.composite
def _fitted(draw: st.DrawFn) -> Calibration:
    rows = draw(
        st.lists(st.tuples(_PROBABILITY, st.integers(0, 1), st.sampled_from(LANGUAGES)), min_size=1, max_size=30)
    )
    probabilities, labels, languages = zip(*rows, strict=True)
    return fit(draw(st.sampled_from(KINDS)), np.array(probabilities), np.array(labels, dtype=np.int8), list(languages))


_SLOPE = st.floats(0, 50, exclude_min=True)
_OFFSET = st.floats(-50, 50)
_MADE = st.one_of(
    st.just(Calibration(Identity())),
    st.builds(lambda slope: Calibration(Temperature(slope=slope)), _SLOPE),
    st.builds(lambda slope, offset: Calibration(Platt(slope=slope, offset=offset)), _SLOPE, _OFFSET),
    st.builds(lambda a, b, c: Calibration(Beta(a=a, b=b, c=c)), st.floats(0, 50), st.floats(0, 50), _OFFSET),
    st.builds(
        lambda pooled, own: Calibration(HierarchicalPlatt(pooled=pooled, languages=own)),
        st.builds(PlattParameters, slope=_SLOPE, offset=_OFFSET),
        st.dictionaries(st.sampled_from(LANGUAGES), st.builds(PlattParameters, slope=_SLOPE, offset=_OFFSET)),
    ),
    st.builds(
        lambda scores, shares: Calibration(
            Isotonic(scores=tuple(sorted(scores)), shares=tuple(sorted(shares[: len(scores)])))
        ),
        st.lists(_PROBABILITY, min_size=1, max_size=8, unique=True),
        st.lists(_PROBABILITY, min_size=8, max_size=8),
    ),
)
_ANY = st.one_of(_MADE, _fitted())


@settings(max_examples=150, deadline=None)
@given(
    calibration=_ANY, seen=st.lists(_PROBABILITY, min_size=1, max_size=20), language=st.sampled_from([*LANGUAGES, "fa"])
)
def test_every_map_is_monotone_and_keeps_0(calibration: Calibration, seen: list[float], language: str) -> None:
    around = np.array(sorted({0.0, *seen, *np.nextafter(seen, 0).tolist(), *np.nextafter(seen, 1).tolist()}))
    result = calibration.calibrated(around, [language] * len(around))
    assert result.shape == around.shape
    assert result[0] == 0
    assert ((result >= 0) & (result <= 1)).all()
    assert (np.diff(result) >= 0).all()


@settings(max_examples=150, deadline=None)
@given(calibration=_ANY, q=_PROBABILITY.filter(bool), language=st.sampled_from([*LANGUAGES, "fa"]))
def test_threshold_is_the_smallest_float_that_reaches_q(calibration: Calibration, q: float, language: str) -> None:
    threshold = calibration.threshold(q, language)
    assert threshold > 0
    if threshold == math.inf:
        assert calibration.calibrated(np.ones(1), [language])[0] < q
    else:
        just_below, at = calibration.calibrated(np.array([np.nextafter(threshold, 0), threshold]), [language] * 2)
        assert just_below < q <= at


@settings(max_examples=150, deadline=None)
@given(calibration=_ANY)
def test_json_gives_the_same_map_to_the_last_bit(calibration: Calibration) -> None:
    again = Calibration.model_validate_json(calibration.model_dump_json())
    assert again == calibration
    assert type(again.root) is type(calibration.root)
    assert again.model_dump_json() == calibration.model_dump_json()
    p = np.linspace(0, 1, 101)
    assert np.array_equal(again.calibrated(p, ["de"] * 101), calibration.calibrated(p, ["de"] * 101))


def test_the_json_is_the_map_with_its_kind() -> None:
    assert Calibration(Platt(slope=0.1, offset=-2.0)).model_dump_json() == '{"kind":"platt","slope":0.1,"offset":-2.0}'
    with pytest.raises(ValidationError, match="frozen"):
        Calibration(Identity()).root = Identity()
    for wrong in (
        '{"kind":"platt","slope":0.0,"offset":0.0}',
        '{"kind":"platt","slope":NaN,"offset":0.0}',
        '{"kind":"spline"}',
        '{"slope":1.0}',
        '{"kind":"beta","a":-1.0,"b":0.0,"c":0.0}',
        '{"kind":"isotonic","scores":[0.5,0.2],"shares":[0.1,0.2]}',
        '{"kind":"isotonic","scores":[0.2,0.5],"shares":[0.2,0.1]}',
        '{"kind":"isotonic","scores":[0.2,0.5],"shares":[0.2]}',
        '{"kind":"isotonic","scores":[],"shares":[]}',
    ):
        with pytest.raises(ValidationError):
            Calibration.model_validate_json(wrong)


def test_thresholds_at_the_ends_and_on_flat_pieces() -> None:
    steps = Calibration(Isotonic(scores=(0.2, 0.4, 0.6, 0.8), shares=(0.1, 0.1, 0.5, 0.5)))
    assert steps.threshold(0.05, "en") == 5e-324  # all P are above: every post with something to read
    assert steps.threshold(0.1, "en") == 5e-324
    assert steps.threshold(0.3, "en") == pytest.approx(0.5)
    assert steps.threshold(0.5, "en") == pytest.approx(0.6)  # where the flat piece begins
    assert steps.threshold(0.51, "en") == math.inf
    assert Calibration(Identity()).threshold(0.37, "en") == 0.37
    for wrong in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            steps.threshold(wrong, "en")


def test_flags_on_calibrated_p_and_on_the_threshold_are_the_same() -> None:
    p, labels, languages = _posts(3000, slope=0.8, offset=-0.6)
    for kind in KINDS:
        calibration = fit(kind, p, labels, languages)
        cuts = {language: calibration.threshold(0.3, language) for language in LANGUAGES}
        by_p = p >= np.array([cuts[language] for language in languages])
        assert np.array_equal(by_p, calibration.calibrated(p, languages) >= 0.3)


@pytest.mark.parametrize(("slope", "offset"), [(0.6, -1.0), (1.7, 0.8)])
def test_platt_and_temperature_equal_scikit_learn(slope: float, offset: float) -> None:
    p, labels, languages = _posts(20_000, slope=slope, offset=offset)
    oracle = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000)
    oracle.fit(_logit(p)[:, None], labels)
    platt = fit("platt", p, labels, languages).root
    assert isinstance(platt, Platt)  # the prior moves it by about 1e-5
    assert platt.slope == pytest.approx(oracle.coef_[0, 0], abs=1e-4)
    assert platt.offset == pytest.approx(oracle.intercept_[0], abs=1e-4)
    oracle = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000, fit_intercept=False)
    oracle.fit(_logit(p)[:, None], labels)
    temperature = fit("temperature", p, labels, languages).root
    assert isinstance(temperature, Temperature)
    assert temperature.slope == pytest.approx(oracle.coef_[0, 0], abs=1e-4)


def test_beta_equals_scikit_learn_if_not_negative() -> None:
    p, labels, languages = _posts(20_000, slope=0.8, offset=0.5)
    oracle = LogisticRegression(C=1e9, tol=1e-10, max_iter=10_000)
    oracle.fit(np.column_stack([np.log(p), -np.log(1 - p)]), labels)
    assert (oracle.coef_ > 0).all()
    beta = fit("beta", p, labels, languages).root
    assert isinstance(beta, Beta)
    assert [beta.a, beta.b, beta.c] == pytest.approx([*oracle.coef_[0], *oracle.intercept_], abs=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_beta_has_the_least_loss_of_nonnegative_coefficients(seed: int) -> None:
    p, labels, languages = _posts(40, slope=1.0 - 0.1 * seed, offset=0.0, seed=seed)

    def loss(w: np.ndarray) -> float:
        scores = w[0] * np.log(p) - w[1] * np.log(1 - p) + w[2]
        return _minus_log_likelihood(scores, labels) + ((w[0] - 1) ** 2 + (w[1] - 1) ** 2 + w[2] ** 2) / 200

    beta = fit("beta", p, labels, languages).root
    assert isinstance(beta, Beta)
    oracle = minimize(loss, [1, 1, 0], method="L-BFGS-B", bounds=[(0, None), (0, None), (None, None)], tol=1e-12)
    assert loss(np.array([beta.a, beta.b, beta.c])) <= oracle.fun + 1e-9
    assert [beta.a, beta.b, beta.c] == pytest.approx(oracle.x, abs=2e-2)


def test_some_sets_have_a_beta_coefficient_of_0() -> None:
    bounds = set()
    for seed in range(20):
        beta = fit("beta", *_posts(40, slope=1.0 - 0.1 * seed, offset=0.0, seed=seed)).root
        assert isinstance(beta, Beta)
        bounds.add((beta.a == 0, beta.b == 0))
    assert bounds == {(False, False), (True, False), (False, True), (True, True)}


@pytest.mark.parametrize("seed", range(8))
def test_hierarchical_platt_equals_brute_force(seed: int) -> None:
    random = np.random.default_rng(seed)
    p, labels, languages = _posts(120, slope=(1.5, 0.8, 0.2, -0.5)[seed % 4], offset=random.normal(), seed=seed)
    labels[np.array(languages) == "ja"] = 0  # one class: between the prior and its posts
    found = fit("hierarchical-platt", p, labels, languages).root
    assert isinstance(found, HierarchicalPlatt)
    bounds = [(MIN_SLOPE, None), (None, None)]

    def loss(w: np.ndarray, mine: np.ndarray, centre: np.ndarray, spread: np.ndarray) -> float:
        penalty = float(np.sum(((w - centre) / spread) ** 2)) / 2
        return _minus_log_likelihood(w[0] * _logit(p[mine]) + w[1], labels[mine]) + penalty

    everyone = np.ones(len(p), dtype=bool)
    weak = (everyone, np.array([1.0, 0.0]), np.array([10.0, 10.0]))
    oracle = minimize(loss, [1.0, 0.0], args=weak, method="L-BFGS-B", bounds=bounds, tol=1e-13)
    pooled = np.array([found.pooled.slope, found.pooled.offset])
    assert pooled == pytest.approx(oracle.x, abs=1e-4)
    assert sorted(found.languages) == ["de", "en", "ja"]
    for language, line in found.languages.items():
        strong = (np.array(languages) == language, pooled, np.array([0.3 * pooled[0], 0.7]))
        oracle = minimize(loss, pooled, args=strong, method="L-BFGS-B", bounds=bounds, tol=1e-13)
        own = np.array([line.slope, line.offset])
        assert loss(own, *strong) <= oracle.fun + 1e-9
        assert own == pytest.approx(oracle.x, abs=1e-3)


def test_a_language_never_seen_has_the_pooled_line() -> None:
    p, labels, languages = _posts(500, slope=0.7, offset=-0.5)
    found = fit("hierarchical-platt", p, labels, languages)
    assert isinstance(found.root, HierarchicalPlatt)
    pooled = Calibration(Platt(slope=found.root.pooled.slope, offset=found.root.pooled.offset))
    assert np.array_equal(found.calibrated(p, ["fa"] * 500), pooled.calibrated(p, ["fa"] * 500))
    assert fit("platt", p, labels, languages) == pooled
    mixed = found.calibrated(p, languages)
    for language in LANGUAGES:
        mine = np.array(languages) == language
        assert np.array_equal(mixed[mine], found.calibrated(p[mine], [language] * int(mine.sum())))


def test_isotonic_equals_scikit_learn_on_100_sets() -> None:
    random = np.random.default_rng(5)
    everywhere = np.linspace(1e-9, 1, 500)
    for _ in range(100):
        size = int(random.integers(1, 60))
        p = np.round(random.uniform(0.01, 1, size), int(random.integers(1, 4))) + 0.001
        p = np.minimum(p, 1.0)
        labels = (random.random(size) < p ** random.uniform(-0.2, 3)).astype(np.int8)
        found = fit("isotonic", p, labels, ["en"] * size)
        oracle = IsotonicRegression(out_of_bounds="clip").fit(p, labels)
        assert found.calibrated(everywhere, ["en"] * 500) == pytest.approx(oracle.predict(everywhere), abs=1e-12)
        assert isinstance(found.root, Isotonic)
        assert found.root.scores == pytest.approx(oracle.X_thresholds_)


def test_isotonic_where_blocks_are_pooled_one_by_one() -> None:
    rising = [label for zeros in range(30, 0, -1) for label in [*[0] * zeros, 1]]
    labels = np.array([*rising, *[0] * 500], dtype=np.int8)
    p = np.linspace(0.1, 0.9, len(labels))
    oracle = IsotonicRegression(out_of_bounds="clip").fit(p, labels)
    found = fit("isotonic", p, labels, ["en"] * len(labels))
    assert found.calibrated(p, ["en"] * len(p)) == pytest.approx(oracle.predict(p), abs=1e-12)


_HARD = {
    "one post, positive": ([0.3], [1]),
    "one post, negative": ([0.999999999], [0]),
    "one class, far off": ([0.9999, 1.0] * 200, [0] * 400),
    "other class, far off": ([1e-9, 1e-3] * 200, [1] * 400),
    "one score": ([0.4] * 100, [0, 0, 0, 1] * 25),
    "separated": (np.linspace(0.01, 0.99, 100).tolist(), [0] * 50 + [1] * 50),
    "upside down": (np.linspace(0.01, 0.99, 100).tolist(), [1] * 50 + [0] * 50),
    "separated at the ends": ([1e-300] * 500 + [1.0] * 500, [0] * 500 + [1] * 500),
    "upside down at the ends": ([1e-300] * 500 + [1.0] * 500, [1] * 500 + [0] * 500),
}


@pytest.mark.parametrize("kind", FITTED)
@pytest.mark.parametrize("case", _HARD)
def test_hard_posts_give_a_map_towards_their_labels(kind: CalibrationKind, case: str) -> None:
    p, labels = np.array(_HARD[case][0]), np.array(_HARD[case][1], dtype=np.int8)
    languages = ["en"] * len(p)
    calibration = fit(kind, p, labels, languages)
    again = Calibration.model_validate_json(calibration.model_dump_json())  # nothing infinite, no slope below 0
    result = again.calibrated(p, languages)
    before, after = np.mean((p - labels) ** 2), np.mean((result - labels) ** 2)
    assert after <= before + 1e-3
    assert np.isfinite(again.calibrated(np.linspace(0, 1, 50), ["fa"] * 50)).all()


def test_one_score_is_mapped_to_its_share() -> None:
    p, labels, languages = np.full(400, 0.4), np.array([0, 0, 0, 1] * 100, dtype=np.int8), ["en"] * 400
    for kind in ("platt", "hierarchical-platt", "beta", "isotonic", "temperature"):
        by_share = fit(kind, p, labels, languages).calibrated(p, languages)
        assert by_share == pytest.approx(np.full(400, 0.25), abs=1e-3)


def test_posts_of_0_are_left_out_of_the_fit() -> None:
    p, labels, languages = _posts(300, slope=0.8, offset=0.3)
    more = np.append(p, np.zeros(100)), np.append(labels, np.ones(100, dtype=np.int8)), [*languages, *["zh"] * 100]
    for kind in KINDS:
        calibration = fit(kind, *more)
        assert calibration == fit(kind, p, labels, languages)
        assert (calibration.calibrated(more[0], more[2])[300:] == 0).all()
        assert fit(kind, np.zeros(3), np.ones(3, dtype=np.int8), ["en"] * 3).root == Identity()


def test_order_of_posts_does_not_matter() -> None:
    p, labels, languages = _posts(400, slope=0.8, offset=0.3)
    order = np.random.default_rng(0).permutation(400)
    for kind in KINDS:
        first = fit(kind, p, labels, languages)
        second = fit(kind, p[order], labels[order], [languages[place] for place in order])
        assert first.calibrated(p, languages) == pytest.approx(second.calibrated(p, languages), abs=1e-9)


def test_bad_input_to_a_fit_is_refused() -> None:
    labels = np.array([0, 1], dtype=np.int8)
    with pytest.raises(ValueError, match="2 probabilities, 2 labels, 1 languages"):
        fit("platt", np.array([0.1, 0.2]), labels, ["en"])
    for outside in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
            fit("platt", np.array([0.1, outside]), labels, ["en", "en"])
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        fit("platt", np.array([0.1, 0.2]), np.array([0, 2], dtype=np.int8), ["en", "en"])
    with pytest.raises(ValueError, match="2 probabilities, 1 languages"):
        Calibration(Identity()).calibrated(np.array([0.1, 0.2]), ["en"])
