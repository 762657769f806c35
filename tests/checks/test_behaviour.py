"""Behaviour tests against detectors whose every answer is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from polyvigil.bundle.store import Bundle
from polyvigil.checks.behaviour import BEHAVIOUR_NOTE, TOLERANCE, BehaviourResult, behaviour, passes
from polyvigil.checks.behaviour_suite import LANGUAGES, cases
from polyvigil.detect.base import FitRecord, Lengths, TrainingLog
from polyvigil.errors import RecipeError
from polyvigil.evaluation.intervals import share_interval
from polyvigil.types import Post, Probabilities


@dataclass(frozen=True, slots=True)
class Spoken:
    """A detector that says of each text what ``say`` says; it remembers what it was asked."""

    kind: ClassVar[str] = "linear"
    fit_record: FitRecord
    say: Callable[[str], float]
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def log(self) -> TrainingLog | None:
        return None

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        self.asked.extend((post.language, post.text) for post in posts)
        return np.array([self.say(post.text) for post in posts])

    def lengths(self, posts: Sequence[Post]) -> Lengths | None:  # noqa: ARG002
        return None

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def _speaking(bundle: Bundle, say: Callable[[str], float]) -> tuple[Bundle, Spoken]:
    detector = Spoken(bundle.members[0].fit_record, say)
    return replace(bundle, members=(detector,)), detector


def _failures(result: BehaviourResult) -> dict[str, int]:
    return {cell.behaviour: cell.failures for cell in result.cells if cell.failures}


# Of a detector that says nothing else, all 24 ADEs of each of the four behaviours are missed.
MISSED = {"explicit": 24, "relative": 24, "withdrawn": 24, "after_dose": 24}


@pytest.mark.parametrize(
    ("keyword", "failures"),
    [
        # template 0 of negated (5 of 24 cases) is flagged; template 2 of negation_added (6 of 24) rises from .1 to .9
        ("side effects", {"negated": 5, "negation_added": 6}),
        # templates 3 (5 of 24) and 4 (4 of 24) of withdrawn are found
        ("withdrawal", {"withdrawn": 24 - 9}),
        # the first text of template 2 of indication_to_reaction (6 of 24) alone, so that P falls from .9 to .1
        ("i need ", {"indication_to_reaction": 6}),
        # the slip of template 2 of mistyped; the mentions of templates 0 and 2 of mention_or_link
        ("docotr", {"mistyped": 6}),
        ("@user", {"mention_or_link": 12}),
        # template 0 of asked, 0 and 1 of no_effect, the second text of 0 of negation_added
        ("does ", {"asked": 6, "no_effect": 12, "negation_added": 6}),
    ],
)
def test_a_keyword_detector_fails_as_computed_by_hand(
    report_bundle: Bundle, keyword: str, failures: dict[str, int]
) -> None:
    bundle, _ = _speaking(report_bundle, lambda text: 0.9 if keyword in text.casefold() else 0.1)
    result = behaviour(bundle, languages=("en",))
    assert _failures(result) == MISSED | failures


def _toy(text: str) -> float:
    """As good as random, and the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32


def test_counts_are_those_of_a_naive_count(report_bundle: Bundle) -> None:
    bundle, detector = _speaking(report_bundle, _toy)
    result = behaviour(bundle, languages=("de", "fa"), seed=3)
    expected: dict[tuple[str, str], list[bool]] = {}
    texts = set()
    for case in cases(languages=("de", "fa"), seed=3):
        p = [_toy(text) for text in case.texts]
        flagged = [one >= bundle.policy.threshold(case.language).value for one in p]
        failed = {
            "ade": not flagged[0],
            "no ade": flagged[0],
            "same": len(set(flagged)) == 2,
            "not lower": p[-1] < p[0] - TOLERANCE,
            "not higher": p[-1] > p[0] + TOLERANCE,
        }[case.behaviour.expect]
        expected.setdefault((case.behaviour.name, case.language), []).append(failed)
        texts |= {(case.language, text) for text in case.texts}
    assert {(cell.behaviour, cell.language): (cell.cases, cell.failures) for cell in result.cells} == {
        key: (len(failed), sum(failed)) for key, failed in expected.items()
    }
    assert sorted(detector.asked) == sorted(texts), "each text is scored once"
    assert result.texts == len(texts)
    for cell in result.cells:
        assert cell.rate == cell.failures / cell.cases
        assert cell.interval == share_interval(cell.failures, cell.cases)


def test_examples_are_failures_of_different_templates(report_bundle: Bundle) -> None:
    bundle, _ = _speaking(report_bundle, lambda text: 0.9 if "headaches" in text else 0.1)
    cells = {cell.behaviour: cell for cell in behaviour(bundle, languages=("en",)).cells}
    template_of = {case.texts: case.template for case in cases(languages=("en",))}
    for name in MISSED:
        assert [template_of[example.texts] for example in cells[name].examples] == [0, 1, 2]
        assert all(example.flagged == (False,) and example.probabilities == (0.1,) for example in cells[name].examples)
    assert all(len(cell.examples) == min(3, cell.failures) for cell in cells.values())


@pytest.mark.parametrize(
    ("expect", "probabilities", "flagged", "right"),
    [
        ("ade", [0.2], [True], True),
        ("ade", [0.9], [False], False),
        ("no ade", [0.9], [False], True),
        ("no ade", [0.2], [True], False),
        ("same", [0.1, 0.9], [True, True], True),
        ("same", [0.1, 0.9], [False, False], True),
        ("same", [0.5, 0.5], [False, True], False),
        ("not lower", [0.5, 0.5 - 0.9 * TOLERANCE], [True, False], True),
        ("not lower", [0.5, 0.5 - 1.1 * TOLERANCE], [True, True], False),
        ("not higher", [0.5, 0.5 + 0.9 * TOLERANCE], [False, True], True),
        ("not higher", [0.5, 0.5 + 1.1 * TOLERANCE], [False, False], False),
    ],
)
def test_what_passes(expect: str, probabilities: list[float], flagged: list[bool], right: bool) -> None:
    assert passes(expect, probabilities, flagged) is right  # type: ignore[arg-type]


def test_the_gate_counts_languages_that_were_trained_on(report_bundle: Bundle) -> None:
    bundle, _ = _speaking(report_bundle, lambda _: 1.0)
    result = behaviour(bundle)
    wrong = {"indicated", "negated", "hearsay", "feared", "asked", "no_effect", "dose_alone"}
    trained = {"en", "de", "fr", "ja"}
    assert {(cell.behaviour, cell.language) for cell in result.cells if cell.failures} == {
        (name, language) for name in wrong for language in LANGUAGES
    }
    assert {(c.behaviour, c.language) for c in result.failing} == {(name, lang) for name in wrong for lang in trained}
    assert all(cell.trained == cell.gated == (cell.language in trained) for cell in result.cells)
    assert result.not_trained == ("ru", "zh", "fa")
    asked = behaviour(bundle, gate_untrained=True)
    assert len(asked.failing) == 7 * 7
    assert not any(cell.trained for cell in asked.cells if cell.language == "fa")
    assert not behaviour(bundle, max_failure=1.0).failing


def test_the_gate_uses_the_lower_bound(report_bundle: Bundle) -> None:
    bundle, _ = _speaking(report_bundle, lambda text: 0.9 if "withdrawal" in text.casefold() else 0.1)
    (cell,) = behaviour(bundle, languages=("en",), capabilities=("withdrawal",)).cells
    assert (cell.failures, cell.cases, cell.templates) == (15, 24, 5)
    assert cell.rate > 0.5 > cell.interval.low
    assert not cell.fails
    assert behaviour(bundle, languages=("en",), capabilities=("withdrawal",), max_failure=0.4).failing


def test_a_result_survives_json_and_calls_itself_synthetic(report_bundle: Bundle) -> None:
    result = behaviour(_speaking(report_bundle, _toy)[0], languages=("ja",))
    assert BehaviourResult.model_validate_json(result.model_dump_json()) == result
    assert "synthetic" in result.note
    assert result.note == BEHAVIOUR_NOTE


@pytest.mark.parametrize("limit", [-0.1, 1.1, float("nan")])
def test_a_limit_outside_0_to_1_is_refused(report_bundle: Bundle, limit: float) -> None:
    with pytest.raises(RecipeError, match=r"^--max-failure: .* is no share; give one from 0 to 1, as 0.5$"):
        behaviour(report_bundle, max_failure=limit)
