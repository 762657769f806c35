"""Several bundles become one: members copied, weights given or fitted, thresholds tuned on their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from polyvigil.bundle import layout, store
from polyvigil.bundle.dev import StoredDev, stored
from polyvigil.bundle.store import Bundle, Seen
from polyvigil.data.fingerprint import post_hashes
from polyvigil.decide.combine import Combination
from polyvigil.decide.rules import DevScores
from polyvigil.decide.weights import fitted_weights, regime_weights
from polyvigil.errors import RecipeError
from polyvigil.evaluation.evaluate import Evaluation, Gold, gold_of, stored_gold
from polyvigil.evaluation.member_ablation import MemberAblation, ablate_members
from polyvigil.evaluation.subsets import MemberSubset, member_subsets
from polyvigil.evaluation.weight_gain import WeightGain, weight_gain
from polyvigil.types import Frozen
from polyvigil.workflows.assemble import BundleDraft, assemble_bundle, decisions
from polyvigil.workflows.ensemble_plan import EnsemblePlan, Source, check, leaks
from polyvigil.workflows.sources import ensemble_sources
from polyvigil.workflows.tune import recipe_of

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
    overwrite: bool = False,
    log: Log = lambda _: None,
) -> EnsembleResult:
    """Save the members of all ``sources`` as one bundle at ``output``, in their order.

    Raises RecipeError for bundles or weights that do not go together or hold different dev posts, SplitError when half
    of the dev posts or more were trained on.
    """
    store.check_free(output, replace=overwrite)
    check(sources, plan)
    seen = np.unique(post_hashes(item.post for item in plan.dev)) if plan.dev else sources[0].bundle.seen.dev
    train = np.unique(np.concatenate([source.bundle.seen.train for source in sources]))
    notes = (*leaks(seen, train), *_cascades(sources))
    dev, gold = dev_of(sources, plan, log)
    weights, improvement = _weights(sources, plan, dev)
    members = _members(sources, weights)
    kept = [index for index, member in enumerate(members) if member.weight]
    dev = replace(dev, by_member=dev.by_member[kept])
    combination = Combination(weights=tuple(weights[index] for index in kept) if weights else ())
    scores = dev.scores(combination)
    languages = scores.languages.tolist()
    log(f"tuning thresholds on {len(languages):,} dev posts ({scores.labels.sum():,} positive)")
    decided = decisions(scores, gold, plan.decide)
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
    assembled = assemble_bundle(bundle_draft, output=output, replace=overwrite)
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
    dev = replace(blank, by_member=np.concatenate(parts))
    if plan.dev:
        return dev, gold_of(plan.dev)
    return dev, stored_gold(dev, fingerprint=first.policy.dev_fingerprint)


def _cascades(sources: Sequence[Source]) -> list[str]:
    return [
        f"{source.folder}: its cascade is left out; polyvigil tune OUT --cascade learns one for the new bundle"
        for source in sources
        if source.bundle.combination.cascade
    ]


def _weights(
    sources: Sequence[Source], plan: EnsemblePlan, dev: StoredDev
) -> tuple[tuple[float, ...], WeightGain | None]:
    """A weight for each member, none where all are the same, and what fitting gains."""
    if plan.fit:
        equal = DevScores(dev.by_member.mean(axis=0), dev.labels, dev.languages)
        improvement = weight_gain(dev.by_member, equal, groups=dev.group_names)
        return tuple(fitted_weights(dev.by_member, equal).tolist()), improvement
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
