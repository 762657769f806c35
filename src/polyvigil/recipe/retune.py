"""New thresholds for an old bundle: on stored dev scores, on other dev posts, on posts without labels. Members stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from polyvigil.assess.card import CardFacts, model_card
from polyvigil.assess.evaluate import Evaluation, Gold, evaluate, gold_of
from polyvigil.bundle import layout, store
from polyvigil.bundle.dev import stored
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.data.fingerprint import post_hashes
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.policy import DecisionPolicy, Threshold
from polyvigil.decide.rules import DevScores
from polyvigil.decide.shift import Shift, Side, shifts, transport
from polyvigil.decide.tune import RESAMPLES, tune
from polyvigil.decide.unlabelled import by_prior, place, references
from polyvigil.errors import RecipeError
from polyvigil.recipe.cascade import CascadeWish, cascade_for, check
from polyvigil.recipe.load import load_text, to_toml
from polyvigil.records import LabelledPost, Post, Probabilities
from polyvigil.specs import DecideSpec, Recipe

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to tune on. Without ``dev`` posts the bundle's stored dev scores serve."""

    decide: DecideSpec
    dev: tuple[LabelledPost, ...] = ()
    data: str = "stored dev scores"
    """What the dev posts are called."""
    unlabelled: tuple[Post, ...] = ()
    """Posts of languages without labels: each of those languages is given a threshold."""
    priors: Mapping[str, float] = field(default_factory=dict)
    """The known prevalence of some of those languages, in (0, 1)."""
    cascade: CascadeWish | None = None
    """Without one the new bundle has no cascade, since an old one was learned for the old thresholds."""


@dataclass(frozen=True, slots=True)
class Retuned:
    """The new bundle; ``shifts``: its thresholds beside the old ones, on the posts they were found on."""

    bundle: Bundle
    evaluation: Evaluation
    shifts: tuple[Shift, ...]


def recipe_of(folder: Path) -> Recipe:
    """The recipe that a bundle holds, with the settings its thresholds were found by."""
    return load_text(store.read_document(folder, layout.RECIPE), where=str(folder / layout.RECIPE))


def retune(
    source: Path, bundle: Bundle, plan: Plan, *, output: Path, overwrite: bool = False, say: Say = lambda _: None
) -> Retuned:
    """Tune the thresholds of the ``bundle`` loaded from ``source`` again and save the result at ``output``.

    Raises DataError for dev posts of one class, RecipeError for a prior of a language that has labels or no posts, or
    for a cascade that cannot be.
    """
    store.check_free(output, replace=overwrite)
    bundle = replace(bundle, combination=bundle.combination.of_all)
    if plan.cascade:
        check(plan.cascade, members=len(bundle.members))
    dev = bundle.dev
    gold = stored_gold(bundle)
    if plan.dev:
        say(f"scoring {len(plan.dev):,} dev posts")
        dev, gold = stored(bundle.member_probabilities([item.post for item in plan.dev]), plan.dev), gold_of(plan.dev)
    scores = dev.scores(bundle.combination)
    languages = scores.languages.tolist()
    say(f"tuning thresholds on {len(languages):,} dev posts ({scores.labels.sum():,} positive)")
    policy = tune(
        scores.probabilities,
        scores.labels,
        languages,
        spec=plan.decide,
        dev_fingerprint=gold.fingerprint,
        resamples=RESAMPLES,
    )
    if plan.unlabelled:
        say(f"scoring {len(plan.unlabelled):,} posts without labels")
    fresh = bundle.probabilities(plan.unlabelled)
    found = _for_the_unlabelled(plan, policy, scores=scores, fresh=fresh)
    policy = policy.with_thresholds({**policy.thresholds, **found})
    both = np.concatenate([scores.probabilities, fresh])
    told = shifts(
        Side(bundle.policy, both), Side(policy, both), [*languages, *(post.language for post in plan.unlabelled)]
    )
    seen = bundle.seen
    if plan.dev:
        seen = Seen(seen.train, np.unique(post_hashes(item.post for item in plan.dev)))
    combination = bundle.combination
    if plan.cascade:
        say("learning the cascade")
        cascade = cascade_for(plan.cascade, dev.by_member, scores, policy, groups=gold.groups)
        combination = combination.model_copy(update={"cascade": cascade})
    changed = replace(
        bundle,
        combination=combination,
        policy=policy,
        calibration=fit(plan.decide.calibration, scores.probabilities, scores.labels, languages),
        dev=dev,
        seen=seen,
    )
    evaluation = evaluation_of(changed, gold, scores.probabilities, name=str(output), data=plan.data)
    recipe = recipe_of(source).model_copy(update={"decide": plan.decide})
    return Retuned(
        save_changed(source, changed, evaluation, recipe, output=output, overwrite=overwrite), evaluation, told
    )


def keep_rates(
    source: Path,
    bundle: Bundle,
    like: Bundle,
    posts: Sequence[Post],
    *,
    output: Path,
    overwrite: bool = False,
    say: Say = lambda _: None,
) -> Retuned:
    """Thresholds for ``bundle`` that flag, of the same posts without labels, as many in each language as ``like`` does.

    Languages that the posts do not hold keep the thresholds they have; a cascade is left out, as in ``retune``.
    """
    store.check_free(output, replace=overwrite)
    bundle = replace(bundle, combination=bundle.combination.of_all)
    languages = [post.language for post in posts]
    say(f"scoring {len(posts):,} posts with both bundles")
    old, fresh = Side(like.policy, like.probabilities(posts)), bundle.probabilities(posts)
    policy = bundle.policy.with_thresholds({**bundle.policy.thresholds, **transport(old, fresh, languages)})
    told = shifts(old, Side(policy, fresh), languages)
    changed = replace(bundle, policy=policy)
    scores = bundle.dev.scores(bundle.combination).probabilities
    evaluation = evaluation_of(changed, stored_gold(bundle), scores, name=str(output), data="stored dev scores")
    saved = save_changed(source, changed, evaluation, recipe_of(source), output=output, overwrite=overwrite)
    return Retuned(saved, evaluation, told)


def _for_the_unlabelled(
    plan: Plan, policy: DecisionPolicy, *, scores: DevScores, fresh: Probabilities
) -> dict[str, Threshold]:
    """A threshold for each language that has posts without labels and none of its own."""
    names = np.array([post.language for post in plan.unlabelled], dtype=np.str_)
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
    known = references(scores, policy)
    found = {}
    for name in sorted(set(names.tolist()) - labelled):
        mine = fresh[names == name]
        if name in plan.priors:
            found[name] = by_prior(mine, plan.priors[name])
        elif known:
            found[name] = place(mine, known, rule=plan.decide.unlabelled)
    return found


def stored_gold(bundle: Bundle) -> Gold:
    """What is known of the dev posts that the bundle keeps."""
    dev = bundle.dev
    return Gold(dev.labels, dev.languages, dev.types, dev.group_names, bundle.policy.dev_fingerprint)


def evaluation_of(bundle: Bundle, gold: Gold, probabilities: Probabilities, *, name: str, data: str) -> Evaluation:
    """The bundle's figures on posts of these probabilities."""
    trained = bundle.manifest.trained_languages
    return evaluate(
        gold,
        probabilities,
        bundle.policy,
        calibration=bundle.calibration,
        trained_languages=trained,
        bundle=name,
        data=data,
    )


def save_changed(
    source: Path,
    bundle: Bundle,
    evaluation: Evaluation,
    recipe: Recipe,
    *,
    output: Path,
    overwrite: bool,
    documents: Mapping[str, str] = MappingProxyType({}),
) -> Bundle:
    """Save ``bundle``, whose members stand in the bundle folder ``source``, with what else is kept there of them."""
    records = [member.fit_record for member in bundle.members]
    facts = CardFacts(evaluation, bundle.policy, bundle.combination, bundle.calibration, records)
    kept = [name for name in (layout.SOURCES, layout.PARITY) if name in bundle.manifest.files]
    return store.save(
        output,
        members=store.copied(source, bundle),
        combination=bundle.combination,
        policy=bundle.policy,
        calibration=bundle.calibration,
        dev=bundle.dev,
        seen=bundle.seen,
        documents={
            **{name: store.read_document(source, name) for name in kept},
            layout.EVALUATION: evaluation.model_dump_json(indent=2) + "\n",
            layout.RECIPE: to_toml(recipe),
            **documents,
        },
        card=lambda manifest: model_card(manifest, facts),
        replace=overwrite,
    )
