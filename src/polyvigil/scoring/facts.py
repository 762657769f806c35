"""What of a bundle is said once of all that it scores: which columns it can fill, and where ``p_calibrated`` holds.

In come the manifest, the calibration and the dev posts of a bundle, so that a folder is enough and no member is loaded;
out goes a small record that stands in a job, in a manifest and behind ``/v1/bundle``. ``rebased`` moves
``p_calibrated`` to another prevalence (Bayes' rule, decide.calibration).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from polyvigil.bundle import layout
from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.dev import read as read_dev
from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.store import Bundle
from polyvigil.decide.calibration import Calibration, HierarchicalPlatt, Identity, prior_shift, shifted
from polyvigil.detect import stacked
from polyvigil.detect.base import TOKEN_KINDS
from polyvigil.detect.stacked import StackedDetector
from polyvigil.errors import BundleError, RecipeError
from polyvigil.scoring.digits import rounded_all
from polyvigil.scoring.wire import CALIBRATED, COLUMNS, SEVERAL_MEMBERS, TOKENS, Decision, DecisionColumns
from polyvigil.types import Frozen

ALL = ""
"""Among prevalences by language: that of every language that is not named."""


class OutputFacts(Frozen):
    """What follows from the bundle alone, whatever the posts."""

    columns: tuple[str, ...] = COLUMNS
    """Those of wire.COLUMNS that can hold something, in their order."""
    prevalence: dict[str, float] = Field(default={})
    """The share of ADEs at which ``p_calibrated`` holds, by language, under ALL that of the others; empty where there
    is no such column, or where a service of an earlier version does not say it."""

    def prevalence_of(self, language: str) -> float | None:
        """The share of ADEs among posts of the language at which its ``p_calibrated`` holds; None where unknown."""
        return self.prevalence.get(language, self.prevalence.get(ALL))

    def at(self, prevalence: Mapping[str, float]) -> OutputFacts:
        """The same once ``p_calibrated`` is re-based to these prevalences (by language, ALL for the others).

        Raises RecipeError where that cannot be, or for a share outside (0, 1).
        """
        if not prevalence:
            return self
        check_prevalence(prevalence)
        if not self.prevalence:
            raise RecipeError(
                "this bundle has no p_calibrated, or does not say where it holds"
                if CALIBRATED not in self.columns
                else "the service does not say at which prevalence its p_calibrated holds",
                where="--prevalence",
                hint="polyvigil tune BUNDLE DEV.csv -o TUNED --set decide.calibration=hierarchical-platt"
                if CALIBRATED not in self.columns
                else "update the service",
            )
        return self.model_copy(update={"prevalence": {**({} if ALL in prevalence else self.prevalence), **prevalence}})


def check_prevalence(prevalence: Mapping[str, float]) -> None:
    """Raises RecipeError for a share that is none."""
    for language, share in prevalence.items():
        if not 0 < share < 1:
            where = f"--prevalence {language}={share:g}" if language else f"--prevalence {share:g}"
            raise RecipeError("a prevalence is between 0 and 1", where=where, hint="as 0.02 or fa=0.01")


def output_facts(bundle: Bundle) -> OutputFacts:
    """The facts of a loaded bundle."""
    kinds = [member.base.kind if isinstance(member, StackedDetector) else member.kind for member in bundle.all_members]
    return _facts(kinds, bundle.calibration, bundle.dev)


def read_output_facts(folder: Path | str, manifest: Manifest) -> OutputFacts:
    """The facts of a bundle in a folder that bundle.verify has verified. Raises BundleError where it is unreadable."""
    try:
        calibration = Calibration.model_validate_json((Path(folder) / layout.CALIBRATION).read_bytes())
        dev = read_dev(Path(folder) / layout.DEV)
        kinds = [
            stacked.read(Path(folder) / member.folder).base if member.kind == StackedDetector.kind else member.kind
            for member in manifest.all_members
        ]
    except (OSError, ValueError, KeyError) as error:
        raise BundleError(f"unreadable ({type(error).__name__})", where=str(folder)) from error
    return _facts(kinds, calibration, dev)


def _facts(kinds: Sequence[str], calibration: Calibration, dev: StoredDev) -> OutputFacts:
    """``kinds``: of all members; of a stacked one that of its base, which reads the posts."""
    empty: set[str] = set()
    if isinstance(calibration.root, Identity):
        empty.add(CALIBRATED)
    if len(kinds) == 1:
        empty.update(SEVERAL_MEMBERS)
    if TOKEN_KINDS.isdisjoint(kinds):
        empty.update(TOKENS)
    columns = tuple(column for column in COLUMNS if column not in empty)
    return OutputFacts(columns=columns, prevalence=_prevalence(calibration, dev) if CALIBRATED in columns else {})


def _prevalence(calibration: Calibration, dev: StoredDev) -> dict[str, float]:
    """The share of ADEs among the dev posts that each language's map was fitted on: of the language where it has a map
    of its own and posts of both classes, else of all."""
    shares = {ALL: float(dev.labels.mean())}
    if not isinstance(calibration.root, HierarchicalPlatt):
        return shares
    for language in calibration.root.languages:
        mask = dev.languages == language
        share = float(dev.labels[mask].mean()) if mask.any() else 0.0
        if 0 < share < 1:
            shares[language] = share
    return shares


def rebased(decisions: DecisionColumns, facts: OutputFacts, prevalence: Mapping[str, float]) -> DecisionColumns:
    """The decisions with ``p_calibrated`` as it is where ``prevalence`` is the share of ADEs, by language, under ALL of
    the languages not named; languages of neither are left as they are. ``facts``: of the bundle that decided."""
    if not prevalence or not decisions:
        return decisions
    languages = decisions["language"]
    shifts = {language: _shift(language, facts, prevalence) for language in {*languages}}
    by_post = np.fromiter(map(shifts.__getitem__, languages), np.float64, len(languages))
    calibrated = shifted(np.array(decisions[CALIBRATED], dtype=np.float64), by_post)
    return {**decisions, CALIBRATED: rounded_all(calibrated).tolist()}


def rebased_decisions(
    decisions: Sequence[Decision], facts: OutputFacts, prevalence: Mapping[str, float]
) -> list[Decision]:
    """``rebased`` of records."""
    if not prevalence or not decisions:
        return list(decisions)
    columns = {name: [getattr(decision, name) for decision in decisions] for name in ("language", CALIBRATED)}
    values = rebased(columns, facts, prevalence)[CALIBRATED]
    return [
        dataclasses.replace(decision, p_calibrated=value) for decision, value in zip(decisions, values, strict=True)
    ]


def _shift(language: str, facts: OutputFacts, prevalence: Mapping[str, float]) -> float:
    share, new = facts.prevalence_of(language), prevalence.get(language, prevalence.get(ALL))
    return 0.0 if share is None or new is None else prior_shift(share, new)
