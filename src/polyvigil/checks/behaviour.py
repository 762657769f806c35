"""Behaviour suites: authored texts whose decision, or whose change of decision, is known before a bundle is run.

In: a bundle and a suite (checks/behaviour_suites/*.toml). Out: `BehaviourResult`, a failure count with an interval for
each capability, test kind and language. The texts are authored, so they may be shown. Source: Ribeiro et al. 2020
(CheckList).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from polyvigil.bundle.outputs import json_document
from polyvigil.bundle.store import Bundle
from polyvigil.checks.behaviour_suite import MAX_FAILURE, Case, Expect, Kind, cases
from polyvigil.errors import RecipeError
from polyvigil.evaluation.intervals import Interval, share_interval
from polyvigil.types import Frozen, Post

BEHAVIOUR_NOTE: str = (
    "Behaviour tests are authored, synthetic sentences: they show what a bundle gets wrong, not how often that happens "
    "in real posts. Cases of one template are alike, so the intervals are too narrow."
)


class Failure(Frozen):
    """A case that failed: its texts, P(ADE) and decision of each."""

    texts: tuple[str, ...]
    probabilities: tuple[float, ...]
    flagged: tuple[bool, ...]


class Cell(Frozen):
    """One behaviour in one language: ``expect`` is what its cases expect, ``rule`` why.

    ``rate`` = failures / cases, with Jeffreys' 95% interval; ``trained``: whether the bundle was trained on the
    language; ``gated``: whether the gate looks at it; ``fails``: the gate does, and the interval lies above the limit.
    """

    behaviour: str
    capability: str
    kind: Kind
    expect: Expect
    rule: str
    language: str
    trained: bool
    gated: bool
    templates: int
    cases: int
    failures: int
    rate: float
    interval: Interval
    fails: bool
    examples: tuple[Failure, ...]
    """Up to three, of different templates first."""


class BehaviourResult(Frozen):
    """All cells, by behaviour in the order of the suites, then language."""

    bundle: str
    seed: int
    max_failure: float
    tolerance: float
    """How far P may move the wrong way in a direction test."""
    texts: int
    """Distinct texts scored."""
    not_trained: tuple[str, ...]
    """Languages looked at that the bundle was not trained on."""
    cells: tuple[Cell, ...]
    note: str = BEHAVIOUR_NOTE

    @property
    def failing(self) -> tuple[Cell, ...]:
        """The cells that the gate says no to."""
        return tuple(cell for cell in self.cells if cell.fails)


BEHAVIOUR = json_document("result of audit behaviour", ("bundle", "max_failure", "cells"))


TOLERANCE = 0.01  # of P: less than anyone would act on
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Answered:
    """A case with P(ADE) and the decision of each of its texts, in their order."""

    case: Case
    probabilities: tuple[float, ...]
    flagged: tuple[bool, ...]

    @property
    def passed(self) -> bool:
        """Whether the bundle did what the behaviour expects."""
        return passes(self.case.behaviour.expect, self.probabilities, self.flagged)


def behaviour(
    bundle: Bundle,
    *,
    languages: Sequence[str] = (),
    capabilities: Sequence[str] = (),
    seed: int = 42,
    max_failure: float = MAX_FAILURE,
    gate_untrained: bool = False,
) -> BehaviourResult:
    """Run the suites of these languages and capabilities (none named: all), every text scored once.

    A cell fails when the lower bound of its failure rate is above ``max_failure``, in [0, 1]; languages that the bundle
    was not trained on are reported, and fail only with ``gate_untrained``. Raises RecipeError for unknown names and a
    limit outside [0, 1].
    """
    if not 0 <= max_failure <= 1:
        raise RecipeError(f"{max_failure} is no share", where="--max-failure", hint="give one from 0 to 1, as 0.5")
    answered = answer(bundle, cases(languages=languages, capabilities=capabilities, seed=seed))
    groups: dict[tuple[str, str], list[Answered]] = {}
    for item in answered:
        groups.setdefault((item.case.behaviour.name, item.case.language), []).append(item)
    cells = []
    for group in groups.values():
        trained = bundle.is_trained_on(group[0].case.language)
        cells.append(_cell(group, trained=trained, gated=trained or gate_untrained, max_failure=max_failure))
    return BehaviourResult(
        bundle=bundle.id,
        seed=seed,
        max_failure=max_failure,
        tolerance=TOLERANCE,
        texts=len({(item.case.language, text) for item in answered for text in item.case.texts}),
        not_trained=tuple(dict.fromkeys(cell.language for cell in cells if not cell.trained)),
        cells=tuple(cells),
    )


def answer(bundle: Bundle, of: Sequence[Case]) -> tuple[Answered, ...]:
    """What the bundle says of each case, in their order; a text that stands in several is scored once."""
    indices: dict[tuple[str, str], int] = {}
    for case in of:
        for text in case.texts:
            indices.setdefault((case.language, text), len(indices))
    posts = [Post(f"behaviour-{index}", text, language) for (language, text), index in indices.items()]
    probabilities = bundle.probabilities(posts)
    flags = bundle.flags(posts, probabilities)
    answers = []
    for case in of:
        at = [indices[case.language, text] for text in case.texts]
        answers.append(Answered(case, tuple(probabilities[at].tolist()), tuple(flags[at].tolist())))
    return tuple(answers)


def passes(expect: Expect, probabilities: Sequence[float], flagged: Sequence[bool]) -> bool:
    """Whether one text (ade, no ade) or two (the others) were answered as expected.

    A direction holds when P of the second text is on the right side of the first's, or at most ``TOLERANCE`` beyond.
    """
    first, last = probabilities[0], probabilities[-1]
    match expect:
        case "ade":
            return bool(flagged[0])
        case "no ade":
            return not flagged[0]
        case "same":
            return flagged[0] == flagged[1]
        case "not lower":
            return last >= first - TOLERANCE
        case "not higher":
            return last <= first + TOLERANCE


def _cell(group: Sequence[Answered], *, trained: bool, gated: bool, max_failure: float) -> Cell:
    failed = [item for item in group if not item.passed]
    interval = share_interval(len(failed), len(group))
    first = group[0].case
    return Cell(
        behaviour=first.behaviour.name,
        capability=first.behaviour.capability,
        kind=first.behaviour.kind,
        expect=first.behaviour.expect,
        rule=first.behaviour.rule,
        language=first.language,
        trained=trained,
        gated=gated,
        templates=len({item.case.template for item in group}),
        cases=len(group),
        failures=len(failed),
        rate=len(failed) / len(group),
        interval=interval,
        fails=gated and interval.low > max_failure,
        examples=tuple(
            Failure(texts=item.case.texts, probabilities=item.probabilities, flagged=item.flagged)
            for item in _examples(failed)
        ),
    )


def _examples(failed: Sequence[Answered]) -> list[Answered]:
    """Up to three, one of each template before a second of any."""
    seen: Counter[int] = Counter()
    ranked = []
    for index, item in enumerate(failed):
        seen[item.case.template] += 1
        ranked.append((seen[item.case.template], index))
    return [failed[index] for _, index in sorted(ranked)[:_EXAMPLES]]
