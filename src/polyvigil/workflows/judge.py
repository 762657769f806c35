"""A second stage for a bundle: another bundle or a chat endpoint decides the posts near the threshold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyvigil.bundle import layout, store
from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.layout import Sources
from polyvigil.bundle.store import Bundle, Member, Seen
from polyvigil.data.fingerprint import post_hashes
from polyvigil.decide.combine import Combination
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.fit_judge import candidates, cross_fitted, fit_judge
from polyvigil.decide.rules import DevScores
from polyvigil.detect.chat import ChatDetector, Usage
from polyvigil.errors import EndpointError
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.paired import Paired, System, compare_systems
from polyvigil.types import Post, Probabilities
from polyvigil.workflows.assemble import BundleDraft, Decisions, assemble_bundle
from polyvigil.workflows.ensemble import EnsemblePlan, Source, dev_of, ensemble_sources, leaks
from polyvigil.workflows.judge_plan import JudgePlan, chat_toml, check, stages
from polyvigil.workflows.tune import recipe_of

Log = Callable[[str], None]
_BATCH_POSTS = 64
_ENDPOINT = "endpoint"  # in sources.json, for the bundle that a chat member was not trained in


@dataclass(frozen=True, slots=True)
class Judged:
    """The new bundle. ``evaluation`` and ``paired`` are of dev posts judged by bands that were found without them."""

    bundle: Bundle
    evaluation: Evaluation
    paired: Paired
    """Both stages (first) against the first stage alone (second)."""
    in_bands: int
    """Dev posts in a band, of ``posts``."""
    posts: int
    usage: Usage | None
    """Of the endpoint, where there is one."""
    notes: tuple[str, ...]


def judge(
    first: Source,
    second: Source | ChatDetector,
    plan: JudgePlan,
    *,
    output: Path,
    overwrite: bool = False,
    log: Log = lambda _: None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Judged:
    """Save the members of both stages as one bundle at ``output``. ``progress`` is told posts asked about, and of how
    many.

    An endpoint is asked about those dev posts alone that a band may hold. Raises RecipeError for stages that do not go
    together, SplitError when half of the dev posts were trained on, EndpointError when no answer can be used.
    """
    store.check_free(output, replace=overwrite)
    other = second if isinstance(second, Source) else None
    check(first, other, plan)
    sources = [first, *([other] if other else [])]
    dev, gold = dev_of(sources, EnsemblePlan(first.bundle.policy.spec, dev=plan.dev, data=plan.data), log)
    fresh = np.unique(post_hashes(item.post for item in plan.dev)) if plan.dev else first.bundle.seen.dev
    train = np.unique(np.concatenate([source.bundle.seen.train for source in sources]))
    notes = (*leaks(fresh, train), *_cascades(sources))
    policy, size = first.bundle.policy, len(first.bundle.members)
    languages = dev.languages.tolist()
    alone = first.bundle.combination.of_all.mean(dev.by_member[:size])
    posts = DevScores(alone, dev.labels, dev.languages)
    if isinstance(second, ChatDetector):
        chosen = candidates(posts, policy, at_most=plan.at_most)
        log(f"asking about {chosen.sum():,} of {len(chosen):,} dev posts")
        dev = _with_endpoint_scores(
            dev, second, [plan.dev[index].post for index in np.flatnonzero(chosen)], chosen, progress
        )
    weights = stages(first.bundle, other.bundle if other else None)
    unjudged = Combination(weights=weights)
    opinion = unjudged.of(range(size, len(dev.by_member))).mean(dev.by_member[size:])
    log(f"finding the bands on {len(languages):,} dev posts ({dev.labels.sum():,} positive)")
    fitted = fit_judge(posts, opinion, policy, at_most=plan.at_most, members=len(dev.by_member) - size)
    both = cross_fitted(posts, opinion, policy, at_most=plan.at_most, groups=gold.groups)
    combination = unjudged.model_copy(update={"judge": fitted})
    copies = [copy for source in sources for copy in store.copied(source.folder, source.bundle)]
    members: list[Member] = [*copies, *([second] if isinstance(second, ChatDetector) else [])]
    calibration = fit(policy.spec.calibration, both, dev.labels, languages)
    log(f"writing {output}")
    bundle_draft = BundleDraft(
        members,
        combination,
        Decisions(policy, calibration),
        dev,
        gold,
        data=plan.data,
        seen=Seen(train, np.union1d(first.bundle.seen.dev, fresh)),
        recipe=recipe_of(first.folder),
        documents={layout.SOURCES: _stage_sources(sources, second).model_dump_json(indent=2) + "\n"},
        scores=both,
    )
    assembled = assemble_bundle(bundle_draft, output=output, replace=overwrite)
    return Judged(
        assembled.bundle,
        assembled.evaluation,
        _stage_comparison(posts, both, assembled.bundle),
        in_bands=int(fitted.inside(alone, policy.post_thresholds(languages), languages).sum()),
        posts=len(languages),
        usage=second.session.usage if isinstance(second, ChatDetector) and second.session else None,
        notes=notes,
    )


def _with_endpoint_scores(
    dev: StoredDev, judge: ChatDetector, posts: Sequence[Post], chosen: np.ndarray, progress: Callable[[int, int], None]
) -> StoredDev:
    """The dev scores with one row more: the endpoint's answers about the ``chosen`` posts, NaN elsewhere."""
    chunks = [np.empty(0)]
    for start in range(0, len(posts), _BATCH_POSTS):
        chunks.append(judge.probabilities(posts[start : start + _BATCH_POSTS]))
        progress(start + len(chunks[-1]), len(posts))
    answers = np.concatenate(chunks)
    if len(posts) and np.isnan(answers).all():
        reasons = judge.session.usage.reasons if judge.session else ()
        raise EndpointError(
            f"none of {len(posts):,} posts has an answer that can be used ({'; '.join(reasons)})",
            where=judge.config.spec.base_url,
            hint="check its address, the model's name and the key, then run the same command again",
        )
    row = np.full(len(chosen), np.nan)
    row[chosen] = answers
    return dataclasses.replace(dev, by_member=np.concatenate([dev.by_member, row[None]]))


def _stage_comparison(posts: DevScores, both: Probabilities, bundle: Bundle) -> Paired:
    languages = posts.languages.tolist()
    flags = [bundle.policy.flags(scores, languages) for scores in (both, posts.probabilities)]
    return compare_systems(posts.labels, languages, System(flags[0]), System(flags[1]))


def _cascades(sources: Sequence[Source]) -> list[str]:
    return [
        f"{source.folder}: its cascade is left out; all its members are asked in its stage"
        for source in sources
        if source.bundle.combination.cascade
    ]


def _stage_sources(sources: Sequence[Source], second: Source | ChatDetector) -> Sources:
    recorded = ensemble_sources(sources, range(sum(len(source.bundle.members) for source in sources)))
    if isinstance(second, Source):
        return recorded
    recipes = recorded.recipes | {_ENDPOINT: chat_toml(second.config.spec)}
    return Sources(members=(*recorded.members, _ENDPOINT), recipes=recipes)
