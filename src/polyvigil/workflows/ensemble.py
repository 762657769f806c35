"""`polyvigil ensemble`: the members of several bundles become one bundle, with weights, a cascade or neither.

In: bundles tuned on the same dev posts, or dev posts to score all of them on. Out: a bundle on disk with its
`sources.json` (which member was trained in which bundle). No member is trained again; bundles that do not go together
are refused before anything is scored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from polyvigil.bundle import layout, store
from polyvigil.bundle.coverage import knowing_members, posts_by_language
from polyvigil.bundle.dev import StoredDev, stored
from polyvigil.bundle.layout import Sources
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.config.decide import DecideSpec
from polyvigil.data.fingerprint import post_hashes
from polyvigil.decide.combine import Combination
from polyvigil.decide.coverage import MemberCoverage, coverage_of
from polyvigil.decide.weights import fitted_weights, regime_weights
from polyvigil.errors import BundleError, RecipeError, SplitError
from polyvigil.evaluation.evaluate import Evaluation, Gold, gold_of, stored_gold
from polyvigil.evaluation.subsets import (
    MemberAblation,
    MemberSubset,
    WeightGain,
    ablate_members,
    member_subsets,
    weight_gain,
)
from polyvigil.text.normalise import FIRST_NORMALISATION
from polyvigil.types import Frozen, LabelledPost
from polyvigil.workflows.assemble import BundleDraft, assemble_bundle, decisions
from polyvigil.workflows.tune import recipe_of

_MOST_MEMBERS = 100  # their folders have two digits


@dataclass(frozen=True, slots=True)
class Source:
    """A bundle and the folder that it was loaded from."""

    folder: Path
    bundle: Bundle


@dataclass(frozen=True, slots=True)
class EnsemblePlan:
    """How bundles are joined. Without ``dev`` posts they must all hold scores of the same ones."""

    decide: DecideSpec
    weights: tuple[float, ...] = ()
    """One for each bundle, dealt out over its members, or one for each member; none: all members weigh the same."""
    fit: bool = False
    """Fit the weights to the dev posts, and leave out members that get none."""
    dev: Sequence[LabelledPost] = ()
    data: str = "stored dev scores"
    """What the dev posts are called."""


def check(sources: Sequence[Source], plan: EnsemblePlan) -> None:
    """Raises RecipeError for bundles that cannot be one, or weights that are not for them."""
    if len(sources) < 2:
        raise RecipeError("one bundle is no ensemble", where="ensemble", hint="name two or more")
    named: dict[str, Path] = {}
    for source in sources:
        if source.bundle.id in named:
            raise RecipeError(
                f"the same bundle as {named[source.bundle.id]}", where=str(source.folder), hint="name each once"
            )
        named[source.bundle.id] = source.folder
        if source.bundle.second_stage:
            raise RecipeError(
                "has a judge, which cannot be one member beside others",
                where=str(source.folder),
                hint="join the bundles of the first stage, then run polyvigil judge",
            )
    check_read_alike(sources)
    sizes = [len(source.bundle.members) for source in sources]
    if sum(sizes) > _MOST_MEMBERS:
        raise RecipeError(f"{sum(sizes)} members are too many for one bundle", hint=f"at most {_MOST_MEMBERS}")
    if plan.fit and plan.weights:
        raise RecipeError("weights are either given or fitted", where="--weights", hint="leave --fit-weights out")
    if plan.weights and len(plan.weights) not in {len(sizes), sum(sizes)}:
        raise RecipeError(
            f"{len(plan.weights)} weights for {len(sizes)} bundles of {sum(sizes)} members",
            where="--weights",
            hint="give one for each bundle, or one for each member",
        )
    if wrong := [weight for weight in plan.weights if not 0 < weight < np.inf]:
        raise RecipeError(
            f"a weight must be above 0, not {wrong[0]:g}", where="--weights", hint="leave the bundle out instead"
        )


def check_read_alike(sources: Sequence[Source]) -> None:
    """Raises RecipeError for bundles whose members read posts by another normalisation than those of the first."""
    first = sources[0].bundle.normalisation
    for source in sources[1:]:
        if (other := source.bundle.normalisation) != first:
            raise RecipeError(
                f"its members read posts by {other}, those of {sources[0].folder} by {first}",
                where=str(source.folder),
                hint=f"train again the one that reads by {FIRST_NORMALISATION}",
            )


def leaks(dev: NDArray[np.uint64], train: NDArray[np.uint64]) -> tuple[str, ...]:
    """What to say of dev posts that a member was trained on, by text hashes. Raises SplitError for half or more."""
    shared = int(np.isin(dev, train).sum())
    summary = f"{shared:,} of {len(dev):,} texts of dev posts were trained on by a member"
    if 2 * shared >= len(dev):
        raise SplitError(
            f"{summary}; weights and thresholds found on them would be worthless",
            hint="give other posts: --dev DEV.csv",
        )
    return (f"{summary}; dev metrics are a little optimistic",) if shared else ()


def ensemble_sources(sources: Sequence[Source], kept: Sequence[int]) -> Sources:
    """Of the members at the places ``kept``, counted through all ``sources``.

    Those of a source that was itself joined keep the bundle that they were trained in.
    """
    each = [bundle_sources(source.folder, source.bundle) for source in sources]
    members = [member for record in each for member in record.members]
    chosen = tuple(members[index] for index in kept)
    recipes = {name: text for record in each for name, text in record.recipes.items() if name in chosen}
    return Sources(members=chosen, recipes=dict(sorted(recipes.items())))


def bundle_sources(folder: Path, bundle: Bundle) -> Sources:
    """Of the members of one bundle, joined or not, loaded from ``folder``. Raises BundleError for damaged ones."""
    if layout.SOURCES not in bundle.manifest.files:
        recipe = store.read_document(folder, layout.RECIPE)
        return Sources(members=(bundle.id,) * len(bundle.all_members), recipes={bundle.id: recipe})
    where = str(folder / layout.SOURCES)
    try:
        record = Sources.model_validate_json(store.read_document(folder, layout.SOURCES))
    except ValueError as error:
        raise BundleError("unreadable", where=where, hint="join its sources again") from error
    if len(record.members) != len(bundle.all_members) or not set(record.members) <= record.recipes.keys():
        raise BundleError("it is about other members", where=where, hint="join its sources again")
    return record


Log = Callable[[str], None]


class EnsembleMember(Frozen):
    """A member of the bundles that were joined."""

    name: str
    kind: str
    seed: int
    source: str
    """Id of the bundle it comes from."""
    weight: float
    """Share of the whole, in [0, 1]; 0: left out."""


@dataclass(frozen=True, slots=True)
class EnsembleResult:
    """The new bundle. ``parity`` and ``subsets`` are of the members that are in it, in its order."""

    bundle: Bundle
    evaluation: Evaluation
    members: tuple[EnsembleMember, ...]
    """All that were there, also those left out."""
    weight_gain: WeightGain | None
    """Of fitted weights."""
    ablations: tuple[MemberAblation, ...]
    subsets: tuple[MemberSubset, ...]
    notes: tuple[str, ...]


def build_ensemble(
    sources: Sequence[Source],
    plan: EnsemblePlan,
    *,
    output: Path,
    replace: bool = False,
    log: Log = lambda _: None,
) -> EnsembleResult:
    """Save the members of all ``sources`` as one bundle at ``output``, in their order.

    Raises RecipeError for bundles or weights that do not go together or hold different dev posts, SplitError when half
    of the dev posts or more were trained on.
    """
    check_output(output, BUNDLE, replace=replace)
    check(sources, plan)
    seen = np.unique(post_hashes(item.post for item in plan.dev)) if plan.dev else sources[0].bundle.seen.dev
    train = np.unique(np.concatenate([source.bundle.seen.train for source in sources]))
    notes = (*leaks(seen, train), *_cascades(sources))
    dev, gold = dev_of(sources, plan, log)
    coverage = Combination(coverage=_coverage(sources, plan))
    weights, improvement = _weights(sources, plan, dev, coverage)
    members = _members(sources, weights)
    kept = [index for index, member in enumerate(members) if member.weight]
    dev = dataclasses.replace(dev, by_member=dev.by_member[kept])
    combination = coverage.of(kept).model_copy(
        update={"weights": tuple(weights[index] for index in kept) if weights else ()}
    )
    scores = dev.scores(combination)
    languages = scores.languages.tolist()
    log(f"tuning thresholds on {len(languages):,} dev posts ({scores.labels.sum():,} positive)")
    decided = decisions(dev, combination, gold, plan.decide)
    copies = [copy for source in sources for copy in store.copied(source.folder, source.bundle)]
    log(f"writing {output}")
    bundle_draft = BundleDraft(
        [copies[index] for index in kept],
        combination,
        decided,
        dev,
        gold,
        data=plan.data,
        seen=Seen(train, seen),
        recipe=recipe_of(sources[0].folder).model_copy(update={"decide": plan.decide}),
        documents={layout.SOURCES: ensemble_sources(sources, kept).model_dump_json(indent=2) + "\n"},
    )
    assembled = assemble_bundle(bundle_draft, output=output, replace=replace)
    log("comparing with and without each member")
    names = [members[index].name for index in kept]
    ablations = ablate_members(dev.by_member, scores, combination, names=names, spec=plan.decide, groups=gold.groups)
    subsets = member_subsets(
        dev.by_member,
        scores.labels,
        languages,
        names=names,
        seconds=[member.log.seconds if member.log else 0.0 for member in assembled.bundle.members],
        spec=plan.decide,
        combination=combination,
        groups=gold.groups,
    )
    return EnsembleResult(assembled.bundle, assembled.evaluation, members, improvement, ablations, subsets, notes)


def dev_of(sources: Sequence[Source], plan: EnsemblePlan, log: Log) -> tuple[StoredDev, Gold]:
    """The dev scores of all members. A bundle that holds scores of these posts is not run."""
    first = sources[0].bundle
    blank = stored(np.empty((0, len(plan.dev))), plan.dev) if plan.dev else first.dev
    parts = []
    for source in sources:
        indices = source.bundle.dev.indices_of(blank.keys)
        if indices is None and not plan.dev:
            raise RecipeError(
                "its thresholds were tuned on other dev posts than those of the first bundle",
                where=str(source.folder),
                hint="give the posts to tune on, which no member was trained on: --dev DEV.csv",
            )
        if indices is None:
            log(f"scoring {len(plan.dev):,} dev posts with {source.folder}")
            parts.append(source.bundle.member_probabilities([item.post for item in plan.dev]))
        else:
            parts.append(source.bundle.dev.by_member[:, indices])
    dev = dataclasses.replace(blank, by_member=np.concatenate(parts))
    if plan.dev:
        return dev, gold_of(plan.dev)
    return dev, stored_gold(dev, fingerprint=first.policy.dev_fingerprint)


def _cascades(sources: Sequence[Source]) -> list[str]:
    return [
        f"{source.folder}: its cascade is left out; polyvigil tune OUT --cascade learns one for the new bundle"
        for source in sources
        if source.bundle.combination.cascade
    ]


def _coverage(sources: Sequence[Source], plan: EnsemblePlan) -> MemberCoverage | None:
    """Which members count where: what a source has measured of a language holds for its own."""
    posts = posts_by_language(item.post for item in plan.dev)
    trained = {name for source in sources for name in source.bundle.manifest.trained_languages}
    measured = [source.bundle.combination.coverage for source in sources]
    names = {*posts, *trained, *(name for coverage in measured if coverage for name in coverage.languages)}

    def knowing(name: str) -> list[int]:
        chosen: list[int] = []
        offset = 0
        for source, coverage in zip(sources, measured, strict=True):
            members = source.bundle.members
            if coverage and name in coverage.languages and name not in posts:
                known = coverage.members(name)
            else:
                known = knowing_members(members, name, posts.get(name, []), least_known=plan.decide.least_known)
            chosen += [offset + index for index in known]
            offset += len(members)
        return chosen

    number = sum(len(source.bundle.members) for source in sources)
    return coverage_of({name: knowing(name) for name in sorted(names)}, knowing(""), members=number)


def _weights(
    sources: Sequence[Source], plan: EnsemblePlan, dev: StoredDev, coverage: Combination
) -> tuple[tuple[float, ...], WeightGain | None]:
    """A weight for each member, none where all are the same, and what fitting gains."""
    if plan.fit:
        equal, counted = dev.scores(coverage), dev.counted(coverage)
        improvement = weight_gain(counted, equal, groups=dev.group_names)
        return tuple(fitted_weights(counted, equal).tolist()), improvement
    if len(plan.weights) == len(sources):
        within = [source.bundle.combination.weights or (1.0,) * len(source.bundle.members) for source in sources]
        return regime_weights(plan.weights, within), None
    return plan.weights, None


def _members(sources: Sequence[Source], weights: Sequence[float]) -> tuple[EnsembleMember, ...]:
    source_names = [source.folder.name for source in sources]
    if len(set(source_names)) < len(source_names) or not all(source_names):
        source_names = [source.bundle.id for source in sources]
    everyone = [
        (name, source.bundle.id, Path(entry.folder).name, member)
        for name, source in zip(source_names, sources, strict=True)
        for entry, member in zip(source.bundle.manifest.members, source.bundle.members, strict=True)
    ]
    shares = np.array(weights or np.ones(len(everyone)))
    return tuple(
        EnsembleMember(
            name=f"{name}/{folder}, seed {member.fit_record.seed}",
            kind=member.kind,
            seed=member.fit_record.seed,
            source=source,
            weight=share,
        )
        for (name, source, folder, member), share in zip(everyone, (shares / shares.sum()).tolist(), strict=True)
    )
