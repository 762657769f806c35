"""`polyvigil tune`.

New thresholds for a bundle, from its stored dev scores or from new labelled posts; a cascade on request.

In: a bundle, and optionally labelled or unlabelled posts. Out: a new bundle with the same members. The dev scores are
never computed twice; where flag rates are to be kept, thresholds are transported by matching rates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle import layout, store
from polyvigil.bundle.coverage import knowing_members, posts_by_language
from polyvigil.bundle.dev import StoredDev, stored
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.config.decide import DecideSpec
from polyvigil.config.load import load_text
from polyvigil.config.recipe import Recipe
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.packed_posts import field_array, field_of, posts_of
from polyvigil.decide.cascade import Cascade, fit_cascade
from polyvigil.decide.coverage import coverage_of
from polyvigil.decide.policy import DecisionPolicy, Threshold
from polyvigil.decide.rules import DevScores
from polyvigil.decide.shift import Shift, Side, shifts, transport
from polyvigil.decide.unlabelled import Reference, by_prior, references, similar_threshold
from polyvigil.errors import RecipeError
from polyvigil.evaluation.evaluate import Evaluation, gold_of, stored_gold
from polyvigil.types import LabelledPost, Post, Probabilities
from polyvigil.workflows.assemble import (
    BundleDraft,
    Decisions,
    assemble_bundle,
    decisions,
    subset_policy,
    subset_scores,
)


@dataclass(frozen=True, slots=True)
class CascadeOptions:
    """``stated``: the share of posts on which the cascade may disagree with all members together, in [0, 1)."""

    stated: float
    first: int | None = None
    """The index of the member to ask first; None: the one that makes the cascade cheapest."""
    costs: tuple[float, ...] = ()
    """Of asking each member; empty: all the same."""


def cascade_for(
    options: CascadeOptions,
    by_member: NDArray[np.float64],
    posts: DevScores,
    policy: DecisionPolicy,
    *,
    groups: Sequence[str],
) -> Cascade:
    """The cascade that was requested, learned on ``by_member`` (n_members, n_posts). Raises RecipeError."""
    check(options, members=len(by_member))
    return fit_cascade(
        by_member, posts, policy, stated=options.stated, groups=groups, first=options.first, costs=options.costs
    )


def check(options: CascadeOptions, *, members: int) -> None:
    """Raises RecipeError for what a bundle of so many members cannot have; called before posts are scored."""
    if members < 2:
        raise RecipeError(
            "the bundle has one member, and a cascade needs another to call",
            where="--cascade",
            hint="join bundles first: polyvigil ensemble BUNDLE BUNDLE -o OUT",
        )
    if not 0 <= options.stated < 1:
        raise RecipeError(
            f"{options.stated:g} is no share of posts, at least 0 and below 1", where="--cascade", hint="as 0.005"
        )
    if options.first is not None and options.first not in range(members):
        raise RecipeError(
            f"there is no member {options.first}",
            where="--cascade-first",
            hint=f"members have the indices 0 to {members - 1}; polyvigil inspect BUNDLE shows them",
        )
    if options.costs and (len(options.costs) != members or not all(0 < cost < np.inf for cost in options.costs)):
        raise RecipeError(
            f"{len(options.costs)} costs given for {members} members; give each member one above 0",
            where="--cascade-costs",
        )


Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to tune on. Without ``dev`` posts the bundle's stored dev scores serve."""

    decide: DecideSpec
    dev: Sequence[LabelledPost] = ()
    data: str = "stored dev scores"
    """What the dev posts are called."""
    unlabelled: Sequence[Post] = ()
    """Posts of languages without labels: each of those languages is given a threshold."""
    priors: Mapping[str, float] = field(default_factory=dict)
    """The known prevalence of some of those languages, in (0, 1)."""
    cascade: CascadeOptions | None = None
    """Without one the new bundle has no cascade, since an old one was learned for the old thresholds."""


@dataclass(frozen=True, slots=True)
class TuneResult:
    """The new bundle; ``shifts``: its thresholds beside the old ones, on the posts they were found on."""

    bundle: Bundle
    evaluation: Evaluation
    shifts: tuple[Shift, ...]


def recipe_of(folder: Path) -> Recipe:
    """The recipe that a bundle holds, with the settings its thresholds were found by."""
    return load_text(store.read_document(folder, layout.RECIPE), where=str(folder / layout.RECIPE))


def tune_bundle(
    source: Path, bundle: Bundle, plan: Plan, *, output: Path, replace: bool = False, log: Log = lambda _: None
) -> TuneResult:
    """Tune the thresholds of the ``bundle`` loaded from ``source`` again and save the result at ``output``.

    Raises DataError for dev posts of one class, RecipeError for a prior of a language that has labels or no posts, or
    for a cascade that cannot be.
    """
    check_output(output, BUNDLE, replace=replace)
    bundle = without_judge(source, bundle)
    if plan.cascade:
        check(plan.cascade, members=len(bundle.members))
        if bundle.seen.out_of_fold and not plan.dev:
            raise RecipeError(
                "of each stored dev post the bundle has the score of one fold alone, which tells nothing of agreement",
                where="--cascade",
                hint="give labelled posts that no member was trained on: polyvigil tune BUNDLE DEV.csv --cascade ...",
            )
    dev = bundle.dev
    gold = stored_gold(dev, fingerprint=bundle.policy.dev_fingerprint)
    if plan.dev:
        log(f"scoring {len(plan.dev):,} dev posts")
        dev, gold = stored(bundle.member_probabilities(posts_of(plan.dev)), plan.dev), gold_of(plan.dev)
    bundle = _with_coverage(bundle, plan)
    scores = dev.scores(bundle.combination)
    languages = scores.languages.tolist()
    log(f"tuning thresholds on {len(languages):,} dev posts ({scores.labels.sum():,} positive)")
    decided = decisions(dev, bundle.combination, gold, plan.decide)
    if plan.unlabelled:
        log(f"scoring {len(plan.unlabelled):,} posts without labels")
    fresh = bundle.probabilities(plan.unlabelled)
    new_thresholds = _for_the_unlabelled(plan, decided.policy, bundle, dev=dev, fresh=fresh)
    policy = decided.policy.with_thresholds({**decided.policy.thresholds, **new_thresholds})
    both = np.concatenate([scores.probabilities, fresh])
    of_unlabelled = list(field_of(plan.unlabelled, "language"))
    sides = [Side(one, both, _abstained(bundle, one, plan, n_dev=len(languages))) for one in (bundle.policy, policy)]
    changes = shifts(sides[0], sides[1], [*languages, *of_unlabelled])
    seen = bundle.seen
    if plan.dev:
        seen = Seen(seen.train, np.unique(post_hashes(posts_of(plan.dev))))
    combination = bundle.combination
    if plan.cascade:
        log("learning the cascade")
        counted = dev.counted(combination)
        cascade = cascade_for(plan.cascade, counted, scores, policy, groups=gold.groups)
        combination = combination.model_copy(update={"cascade": cascade})
    bundle_draft = BundleDraft(
        store.copied(source, bundle),
        combination,
        Decisions(policy, decided.calibration),
        dev,
        gold,
        data=plan.data,
        seen=seen,
        recipe=recipe_of(source).model_copy(update={"decide": plan.decide}),
        documents=kept_documents(source, bundle),
    )
    assembled = assemble_bundle(bundle_draft, output=output, replace=replace)
    return TuneResult(assembled.bundle, assembled.evaluation, changes)


def keep_rates(
    source: Path,
    bundle: Bundle,
    like: Bundle,
    posts: Sequence[Post],
    *,
    output: Path,
    replace: bool = False,
    log: Log = lambda _: None,
) -> TuneResult:
    """Thresholds for ``bundle`` that flag, of the same posts without labels, as many in each language as ``like`` does.

    Languages that the posts do not hold keep the thresholds they have; a cascade is left out, as in ``retune``.
    """
    check_output(output, BUNDLE, replace=replace)
    bundle = without_judge(source, bundle)
    languages = list(field_of(posts, "language"))
    log(f"scoring {len(posts):,} posts with both bundles")
    old, fresh = Side(like.policy, like.probabilities(posts), like.abstains(posts)), bundle.probabilities(posts)
    policy = bundle.policy.with_thresholds({**bundle.policy.thresholds, **transport(old, fresh, languages)})
    tuned = dataclasses.replace(bundle, policy=policy)
    changes = shifts(old, Side(policy, fresh, tuned.abstains(posts)), languages)
    bundle_draft = BundleDraft(
        store.copied(source, bundle),
        bundle.combination,
        Decisions(policy, bundle.calibration),
        bundle.dev,
        stored_gold(bundle.dev, fingerprint=policy.dev_fingerprint),
        data="stored dev scores",
        seen=bundle.seen,
        recipe=recipe_of(source),
        documents=kept_documents(source, bundle),
    )
    assembled = assemble_bundle(bundle_draft, output=output, replace=replace)
    return TuneResult(assembled.bundle, assembled.evaluation, changes)


def _abstained(bundle: Bundle, policy: DecisionPolicy, plan: Plan, *, n_dev: int) -> NDArray[np.bool_]:
    """Which of the dev posts and of those without labels the bundle with this policy abstains on. A bundle keeps no
    text of its dev posts, which count as decided."""
    decides = dataclasses.replace(bundle, policy=policy)
    of_dev = decides.abstains(posts_of(plan.dev)) if plan.dev else np.zeros(n_dev, dtype=np.bool_)
    return np.concatenate([of_dev, decides.abstains(plan.unlabelled)])


def without_judge(source: Path, bundle: Bundle) -> Bundle:
    """The bundle without its cascade. Raises RecipeError for a judge, whose bands are for the thresholds it has."""
    if bundle.second_stage:
        raise RecipeError(
            "has a judge, whose bands were found for its thresholds",
            where=str(source),
            hint="tune the bundle of its first stage, then run polyvigil judge again",
        )
    return dataclasses.replace(bundle, combination=bundle.combination.of_all)


def _with_coverage(bundle: Bundle, plan: Plan) -> Bundle:
    """The bundle in which those members alone count in a language of unlabelled posts that are seen to read it."""
    members, old = len(bundle.members), bundle.combination.coverage
    labelled = {*field_of(posts_of(plan.dev), "language")} or {*bundle.dev.languages.tolist()}
    named = dict(old.languages) if old else {}
    for name, posts in posts_by_language(plan.unlabelled).items():
        if name not in labelled:
            named[name] = knowing_members(bundle.members, name, posts, least_known=plan.decide.least_known)
    coverage = coverage_of(named, old.elsewhere if old else (), members=members)
    return dataclasses.replace(bundle, combination=bundle.combination.model_copy(update={"coverage": coverage}))


def _for_the_unlabelled(
    plan: Plan, policy: DecisionPolicy, bundle: Bundle, *, dev: StoredDev, fresh: Probabilities
) -> dict[str, Threshold]:
    """A threshold for each language that has posts without labels and none of its own."""
    names = field_array(plan.unlabelled, "language")
    combination, everyone = bundle.combination, tuple(range(len(bundle.members)))
    known_to: dict[tuple[int, ...], tuple[Reference, ...]] = {}

    def known(language: str) -> tuple[Reference, ...]:
        """The labelled languages by the scores and thresholds of the members that count in ``language``."""
        members = combination.coverage.members(language) if combination.coverage else everyone
        if members not in known_to and members == everyone:
            known_to[members] = references(dev.scores(combination), policy)
        elif members not in known_to:
            alone = subset_policy(members, dev, combination, plan.decide)
            known_to[members] = references(subset_scores(members, dev, combination), alone)
        return known_to[members]

    labelled = {name for name, threshold in policy.thresholds.items() if threshold.source == "own"}
    for name in plan.priors:
        if name in labelled:
            raise RecipeError(
                "a prior is for a language without labels; this one has labelled dev posts", where=f"--prior {name}"
            )
        if name not in names:
            raise RecipeError(
                "there are no unlabelled posts of this language",
                where=f"--prior {name}",
                hint="give some with --unlabelled; the threshold is found on them",
            )
    result = {}
    for name in sorted(set(names.tolist()) - labelled):
        language_scores = fresh[names == name]
        if name in plan.priors:
            result[name] = by_prior(language_scores, plan.priors[name])
        elif labelled:
            rule = plan.decide.unlabelled
            foreign = bundle.reads_ngrams_alone and not bundle.is_trained_on(name)
            chosen = rule if rule != "auto" else "share" if foreign else "overlap"
            result[name] = similar_threshold(language_scores, known(name), rule=chosen)
    return result


def kept_documents(source: Path, bundle: Bundle) -> dict[str, str]:
    """What stays true of the members wherever they stand: where they come from, and the parity of an export."""
    names = (layout.SOURCES, layout.PARITY)
    return {name: store.read_document(source, name) for name in names if name in bundle.manifest.files}
