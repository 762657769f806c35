"""Stacked: scikit-learn's coefficients, fitted to probabilities of posts that the base did not learn from."""
# ruff: noqa: ARG002

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from polyvigil.bundle import layout
from polyvigil.cli.views.bundle import stack_lines, stacks
from polyvigil.config.model import LinearSpec, StackedSpec
from polyvigil.config.training import BalanceSpec
from polyvigil.detect import linear, stacked
from polyvigil.detect.base import CostEstimate, FitRecord
from polyvigil.detect.stacked import StackedConfig, StackedDetector, assemble, design, read
from polyvigil.errors import BundleError, DataError, SplitError
from polyvigil.learn.linear import LinearLearner
from polyvigil.learn.stacked import StackedLearner
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import LabelledPost, Post, Probabilities

NAMES = ("characters", "ends_in_d")


@dataclass(frozen=True, slots=True)
class Counter:
    """Two features of a text: a stand-in for a zero-shot model."""

    feature_names: ClassVar[tuple[str, ...]] = NAMES
    kind: ClassVar[str] = "nli"
    log: ClassVar[None] = None
    normalisation: ClassVar[str] = NORMALISATION
    fit_record: FitRecord = field(default=FitRecord(seed=0, posts=0, positives=0, languages=(), train_fingerprint=""))

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        return np.full(len(posts), 0.5)

    def features(self, posts: Sequence[Post]) -> NDArray[np.float64]:
        return np.array([[len(post.text) / 20, post.text.endswith("d")] for post in posts], dtype=float).reshape(-1, 2)

    def lengths(self, posts: Sequence[Post]) -> None:
        return None

    def save(self, folder: Path) -> None:
        (folder / "polyvigil.json").write_text("{}")


@dataclass(frozen=True, slots=True)
class CounterLearner:
    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> Counter:
        assert not train  # it is given no post
        return Counter()

    def estimate_cost(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Spy:
    """The linear learner, which remembers what it was given."""

    part: str
    given: dict[str, list[LabelledPost]]

    def fit(self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int) -> linear.LinearDetector:
        self.given[self.part] = list(train)
        return LinearLearner(LinearSpec(), BalanceSpec()).fit(train, dev, seed=seed)

    def estimate_cost(
        self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int
    ) -> CostEstimate | None:
        return None


def learner(spec: StackedSpec, given: dict[str, list[LabelledPost]] | None = None) -> StackedLearner:
    kept = {} if given is None else given
    return StackedLearner(spec, lambda part: Spy(part, kept), CounterLearner())


def spec(**settings: object) -> StackedSpec:
    return StackedSpec.model_validate({"base": {"kind": "linear"}, "further": {"kind": "nli"}, "folds": 3, **settings})


@pytest.fixture(scope="module")
def train(corpus: tuple[LabelledPost, ...]) -> list[LabelledPost]:
    chosen = [item for item in corpus if item.post.language == "en" and item.post.split == "train"]
    return chosen[:300]


@pytest.fixture(scope="module")
def posts(corpus: tuple[LabelledPost, ...]) -> list[Post]:
    return [item.post for item in corpus if item.post.language == "en" and item.post.split == "test"][:80]


@pytest.mark.parametrize("base_as", ["logit", "p"])
def test_coefficients_equal_scikit_learn_out_of_fold(
    train: list[LabelledPost], posts: list[Post], base_as: str
) -> None:
    given: dict[str, list[LabelledPost]] = {}
    detector = learner(spec(base_as=base_as, C=0.7), given).fit(train, [], seed=5)
    assert list(given) == ["fold-0", "fold-1", "fold-2", "all"]
    assert given["all"] == train
    out_of_fold = np.full(len(train), np.nan)
    for part in list(given)[:3]:
        rest = {item.post.id for item in given[part]}
        held_out = [place for place, item in enumerate(train) if item.post.id not in rest]
        fitted = LinearLearner(LinearSpec(), BalanceSpec()).fit(given[part], [], seed=5)
        assert np.isnan(out_of_fold[held_out]).all()  # every post is held out once
        out_of_fold[held_out] = fitted.probabilities([train[place].post for place in held_out])
    assert not np.isnan(out_of_fold).any()
    first = np.log(out_of_fold / (1 - out_of_fold)) if base_as == "logit" else out_of_fold
    matrix = np.column_stack([first, Counter().features([item.post for item in train])])
    oracle = LogisticRegression(C=0.7, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    oracle.fit(matrix, [item.label for item in train])
    assert np.abs(np.array(detector.config.coefficients) - oracle.coef_[0]).max() < 1e-4
    assert detector.config.intercept == pytest.approx(oracle.intercept_[0], abs=1e-4)
    new = design(detector.base.probabilities(posts), Counter().features(posts), base_as=detector.config.base_as)
    assert np.abs(detector.probabilities(posts) - oracle.predict_proba(new)[:, 1]).max() < 1e-4
    assert detector.fit_record == detector.base.fit_record
    assert detector.fit_record.posts == len(train)


def test_folds_keep_groups_whole_and_follow_the_seed(train: list[LabelledPost]) -> None:
    grouped = [
        LabelledPost(Post(item.post.id, item.post.text, "en", group=f"g{place // 4}"), item.label)
        for place, item in enumerate(train)
    ]
    given: dict[str, list[LabelledPost]] = {}
    learner(spec(), given).fit(grouped, [], seed=5)
    for part in ("fold-0", "fold-1", "fold-2"):
        inside = {item.post.group for item in given[part]}
        outside = {item.post.group for item in grouped} - inside
        assert len(given[part]) == sum(item.post.group in inside for item in grouped)
        assert outside
    first, again, other = (learner(spec()).fit(train, [], seed=seed).config for seed in (5, 5, 6))
    assert first == again != other


def test_an_overfitted_base_gets_no_weight(train: list[LabelledPost]) -> None:
    """The coefficient of P fitted to the base's own training posts is several times as large."""
    detector = learner(spec()).fit(train, [], seed=5)
    own = [item.post for item in train]
    matrix = design(detector.base.probabilities(own), Counter().features(own), base_as="logit")
    flattered = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000).fit(matrix, [item.label for item in train])
    assert flattered.coef_[0][0] > 1.2 * detector.config.coefficients[0] > 0


def test_p_does_not_depend_on_other_posts(train: list[LabelledPost], posts: list[Post]) -> None:
    detector = learner(spec()).fit(train, [], seed=5)
    together = detector.probabilities(posts)
    assert together.tolist() == [detector.probabilities([post])[0] for post in posts]
    assert detector.probabilities([]).shape == (0,)
    assert detector.lengths(posts) is None
    assert detector.log is None
    [evidence] = detector.evidence(posts[:1])
    assert evidence.method == "occlusion"
    assert evidence.logit == pytest.approx(np.log(together[0] / (1 - together[0])))


def test_p_of_0_and_1_have_finite_logits() -> None:
    matrix = design(np.array([0.0, 0.5, 1.0]), np.zeros((3, 1)), base_as="logit")
    assert matrix[:, 0].tolist() == pytest.approx([np.log(1e-6 / (1 - 1e-6)), 0.0, -np.log(1e-6 / (1 - 1e-6))])
    assert design(np.array([0.0, 0.5, 1.0]), np.zeros((3, 1)), base_as="p")[:, 0].tolist() == [0.0, 0.5, 1.0]


def test_it_is_written_with_its_two_detectors_inside(
    train: list[LabelledPost], posts: list[Post], tmp_path: Path
) -> None:
    detector = learner(spec()).fit(train, [], seed=5)
    detector.save(tmp_path)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert layout.is_bundle_file(f"members/00-stacked/{path.relative_to(tmp_path).as_posix()}")
    base = linear.load(tmp_path / stacked.BASE)
    loaded = assemble(tmp_path, read(tmp_path), base=base, further=Counter())
    assert loaded.config == detector.config
    assert np.array_equal(loaded.probabilities(posts), detector.probabilities(posts))


def test_damaged_or_foreign_stacks_are_refused(train: list[LabelledPost], tmp_path: Path) -> None:
    detector = learner(spec()).fit(train, [], seed=5)
    detector.save(tmp_path)
    path = tmp_path / stacked.CONFIG_FILE
    record = json.loads(path.read_text())

    def written(**changes: object) -> Path:
        path.write_text(json.dumps(record | changes))
        return tmp_path

    for changes in (
        {"coefficients": [1.0]},
        {"coefficients": [1.0, 2.0, "nan"]},
        {"base": "stacked"},
        {"further": "linear"},
        {"intercept": None},
        {"more": 1},
    ):
        with pytest.raises(BundleError, match=r"not a readable stacked detector \(ValidationError\); copy the bundle"):
            read(written(**changes))
    config = read(written(features=["characters", "other"]))
    with pytest.raises(BundleError, match="not a readable stacked detector"):
        assemble(tmp_path, config, base=detector.base, further=Counter())
    path.unlink()
    with pytest.raises(BundleError, match="FileNotFoundError"):
        read(tmp_path)


def test_posts_that_cannot_be_learned_from_are_refused(train: list[LabelledPost]) -> None:
    with pytest.raises(DataError, match="training posts hold 0 positives; both classes are needed"):
        learner(spec()).fit([item for item in train if not item.label], [], seed=1)
    few = [LabelledPost(Post(str(place), f"text {place}", "en"), place) for place in range(2)]
    with pytest.raises(SplitError, match=r"2 groups of posts are too few for 3 folds; set model\.folds lower"):
        learner(spec()).fit(few, [], seed=1)


def test_a_cost_estimate_counts_every_training() -> None:
    once = CostEstimate(
        parameters=10,
        trained=10,
        posts_per_epoch=1,
        steps_per_epoch=1,
        tokens_per_epoch=1,
        full=0,
        checkpoint_bytes=100,
        member_bytes=40,
        most_disk=140,
        seconds=2.0,
        measured_steps=1,
        peak_memory=1,
        device="cpu",
    )

    @dataclass(frozen=True)
    class EstimateSpy(Spy):
        def estimate_cost(
            self, train: Sequence[LabelledPost], dev: Sequence[LabelledPost], *, seed: int
        ) -> CostEstimate:
            return once

    estimate = StackedLearner(spec(folds=4), lambda part: EstimateSpy(part, {}), CounterLearner()).estimate_cost(
        [], [], seed=1
    )
    assert estimate == once.model_copy(update={"seconds": 10.0})
    assert learner(spec()).estimate_cost([], [], seed=1) is None


def test_the_table_shows_the_paper_s_values() -> None:
    config = StackedConfig(
        base="encoder",
        further="ner",
        base_as="p",
        features=("best_reaction", "covered"),
        intercept=-3.5,
        coefficients=(6.5, 0.25, -0.125),
    )
    members = [Counter(), StackedDetector(Counter(), Counter(), config)]
    assert [(stack.member, stack.config) for stack in stacks(members)] == [(1, config)]
    rows = [line.split() for line in "\n".join(stack_lines(stacks(members))).splitlines()]
    assert ["P", "(encoder)", "+6.500", "+7.01", "(of", "P)"] in rows
    assert ["best_reaction", "(ner)", "+0.250", "below", "0.23"] in rows
    assert ["covered", "(ner)", "-0.125", "below", "0.23"] in rows
    assert ["intercept", "-3.500"] in rows
    assert not stack_lines(stacks([Counter()]))
    logit = stack_lines(stacks([StackedDetector(Counter(), Counter(), config.model_copy(update={"base_as": "logit"}))]))
    assert any("logit of P (encoder)" in line for line in logit)
    assert logit[-1] == 'to compare with the paper\'s: model.base_as = "p"'
