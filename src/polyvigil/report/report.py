"""All that a report says, as data: the JSON twin of the page. The page shows nothing that does not stand here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polyvigil.bundle.layout import CombinationRecord, Manifest
from polyvigil.bundle.store import Bundle
from polyvigil.config.score import TextForm
from polyvigil.decide.calibration import Calibration
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.shift import Shift, Side, shifts
from polyvigil.detect.base import FitRecord, TrainingLog
from polyvigil.errors import RecipeError
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.lengths import LengthSlice, length_slices
from polyvigil.evaluation.measure import Measured
from polyvigil.evaluation.subsets import MemberSubset, member_subsets
from polyvigil.report.advice import advice
from polyvigil.report.chart_data import ChartData, Mistake, chart_data, mistakes
from polyvigil.report.verdict import Finding, Verdict, verdict
from polyvigil.types import Frozen, Probabilities


class MemberSummary(Frozen):
    """A member of the bundle, and how it was trained."""

    name: str
    """``seed 42``; with its kind where the members are of several."""
    kind: str
    fit_record: FitRecord
    log: TrainingLog | None


class Changes(Frozen):
    """What changed since an older bundle, on the same posts."""

    bundle: str
    """Id of the older one."""
    created: str
    shifts: tuple[Shift, ...]
    """Threshold and share of posts flagged, old and new, of each language."""


class Report(Frozen):
    """``report.json``."""

    title: str
    note: str
    """Shown as a banner; empty: none."""
    command: str
    """The command line that makes the same report; may be empty."""
    verdict: Verdict
    advice: tuple[Finding, ...] = ()
    """What to do with it; empty in a report from before this was said."""
    evaluation: Evaluation
    pictures: ChartData
    manifest: Manifest
    combination: CombinationRecord
    policy: DecisionPolicy
    calibration: Calibration
    members: tuple[MemberSummary, ...]
    subsets: tuple[MemberSubset, ...]
    """Dev F1 of every set of members; empty for one member, and for members of folds."""
    out_of_fold: bool
    """Whether the dev posts are the training posts, each scored by a model that has not learned from it."""
    lengths: tuple[LengthSlice, ...]
    """Empty where no member counts tokens, or no posts were given."""
    since: Changes | None
    mistakes: tuple[Mistake, ...]
    """Posts word for word, masked or without their texts: empty unless they were asked for."""
    masked: bool = False
    """Whether links, addresses, mentions, dates and numbers in ``mistakes`` are masked (text.mask)."""
    has_text: bool = True
    """False: the texts in ``mistakes`` are left out."""


def report_of(
    measured: Measured,
    bundle: Bundle,
    *,
    title: str = "",
    note: str = "",
    command: str = "",
    older: Bundle | None = None,
    show_errors: int = 0,
    form: TextForm = "whole",
) -> Report:
    """The report on what was measured of ``bundle``.

    ``older``: a bundle to compare thresholds with. ``show_errors``: mistakes of each kind and language to list (0:
    none), with their text in this ``form``. Raises RecipeError where posts are needed for these and only stored dev
    scores were measured.
    """
    evaluation, gold = measured.evaluation, measured.gold
    languages = gold.languages.tolist()
    if show_errors and not measured.posts:
        raise RecipeError(
            "a bundle keeps no text of its dev posts", where="--show-errors", hint="give the file of labelled posts"
        )
    lengths = bundle.lengths(measured.posts) if measured.posts else None
    return Report(
        title=title or f"Finding adverse drug events in {evaluation.data}",
        note=note,
        command=command,
        verdict=verdict(evaluation),
        advice=advice(evaluation),
        evaluation=evaluation,
        pictures=chart_data(
            gold.labels, measured.probabilities, languages, dev=bundle.dev_scores(), abstained=measured.abstained
        ),
        manifest=bundle.manifest,
        combination=bundle.combination_record,
        policy=bundle.policy,
        calibration=bundle.calibration,
        members=_members(bundle),
        subsets=_subsets(bundle),
        out_of_fold=bundle.seen.out_of_fold,
        lengths=length_slices(lengths, languages) if lengths else (),
        since=None if older is None else _changes(measured, bundle, older),
        mistakes=mistakes(
            measured.posts,
            gold.labels,
            measured.probabilities,
            bundle.policy,
            most=show_errors,
            form=form,
            abstained=measured.abstained,
        )
        if show_errors
        else (),
        masked=form == "masked",
        has_text=form != "dropped",
    )


def _members(bundle: Bundle) -> tuple[MemberSummary, ...]:
    return tuple(
        MemberSummary(name=name, kind=member.kind, fit_record=member.fit_record, log=member.log)
        for name, member in zip(_names(bundle), bundle.all_members, strict=True)
    )


def _names(bundle: Bundle) -> Sequence[str]:
    """By seed; by place, kind and seed where two members share a seed."""
    seeds = [member.fit_record.seed for member in bundle.all_members]
    if len(set(seeds)) == len(seeds):
        return [f"seed {seed}" for seed in seeds]
    return [
        f"{number}: {member.kind}, seed {member.fit_record.seed}"
        for number, member in enumerate(bundle.all_members, start=1)
    ]


def _subsets(bundle: Bundle) -> tuple[MemberSubset, ...]:
    """On the stored dev scores, by the rule and the weights that the bundle has; none with a second stage, whose
    members do not stand beside those of the first, and none of members of folds, which have one score of a post
    together."""
    if bundle.second_stage or bundle.seen.out_of_fold:
        return ()
    dev = bundle.dev
    return member_subsets(
        dev.by_member,
        dev.labels,
        dev.languages.tolist(),
        names=_names(bundle),
        seconds=[member.log.seconds if member.log else 0.0 for member in bundle.members],
        spec=bundle.policy.spec,
        combination=bundle.combination.of_all,
        groups=dev.group_names,
    )


def _changes(measured: Measured, bundle: Bundle, older: Bundle) -> Changes:
    shift_rows = shifts(
        Side(
            older.policy,
            _older_scores(measured, bundle, older),
            older.abstains(measured.posts) if measured.posts else None,
        ),
        Side(bundle.policy, measured.probabilities, measured.abstained),
        measured.gold.languages.tolist(),
    )
    return Changes(bundle=older.id, created=older.manifest.created, shifts=shift_rows)


def _older_scores(measured: Measured, bundle: Bundle, older: Bundle) -> Probabilities:
    if measured.posts:
        return older.probabilities(measured.posts)
    indices = older.dev.indices_of(bundle.dev.keys)
    if indices is None:
        raise RecipeError(
            "the older bundle holds scores of other dev posts", where="--since", hint="give a file of posts"
        )
    return np.asarray(older.dev_scores().probabilities[indices])
