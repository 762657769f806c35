"""A second stage for a bundle: another bundle or a chat endpoint decides the posts near the threshold."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray
from pydantic import ValidationError

from polyvigil.bundle import layout, store
from polyvigil.bundle.dev import StoredDev
from polyvigil.bundle.layout import Sources
from polyvigil.bundle.outputs import BUNDLE, check_output
from polyvigil.bundle.store import Bundle, Seen, UnsavedSecondStage
from polyvigil.config.judge import ChatSpec
from polyvigil.data.fingerprint import post_hashes
from polyvigil.data.packed_posts import labels_of, posts_of
from polyvigil.decide.combine import Combination
from polyvigil.decide.fit_calibration import fit
from polyvigil.decide.fit_judge import candidates, cross_fitted, fit_judge
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.decide.rules import DevScores
from polyvigil.errors import EndpointError, RecipeError
from polyvigil.evaluation.evaluate import Evaluation
from polyvigil.evaluation.paired import Paired, System, compare_systems
from polyvigil.judge.client import estimated_tokens, read_prompt
from polyvigil.judge.endpoint import Endpoint, EndpointResult, Usage, price, total_usage
from polyvigil.judge.examples import Example
from polyvigil.judge.messages import NO_CONTEXT, Context, MessageWriter
from polyvigil.text.mentions import Term
from polyvigil.types import Frozen, LabelledPost, Post, Probabilities
from polyvigil.workflows.assemble import BundleDraft, Decisions, assemble_bundle
from polyvigil.workflows.ensemble import EnsemblePlan, Source, check_read_alike, dev_of, ensemble_sources, leaks
from polyvigil.workflows.tune import recipe_of

Log = Callable[[str], None]
_BATCH_POSTS = 64
_ENDPOINT = "endpoint"  # in sources.json, instead of a bundle's id
SYNTHETIC = Post(
    "synthetic", "@Anna Muster three days on the new pills and I cannot sleep, mail me: anna@example.org", "en"
)
_SYNTHETIC_2 = dataclasses.replace(SYNTHETIC, text=SYNTHETIC.text.replace("the new pills", "Examplan"))
_SYNTHETIC_CONTEXT = Context(
    (
        Example(post="Examplan did nothing for my back, sadly.", ade=0, language="en", hash="0" * 16),
        Example(post="two weeks of Examplan and my hands shake", ade=1, language="en", hash="1" * 16),
    ),
    (Term("Examplan", "drug", "examplamide"),),
)
_ANSWER = '{"ade": 0.25}'
_REASON = (  # as long as prompt 2 allows
    "The author took the medicine for three days, could not sleep on any of them, and holds the pills to be the"
    " cause, not stress.\n"
)


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """``at_most``: the largest share of a language's posts that the second stage decides, in (0, 1]. Without ``dev``
    posts the bundles must hold scores of the same ones."""

    at_most: float
    dev: Sequence[LabelledPost] = ()
    data: str = "stored dev scores"


class EndpointEstimate(Frozen):
    """What sending some posts to an endpoint would take, before any is sent. Tokens are rough (judge.client)."""

    posts: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    example: str
    """The two messages as they would be sent, of a synthetic post; two synthetic examples stand for all."""


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
    second: Source | Endpoint,
    plan: JudgePlan,
    *,
    output: Path,
    replace: bool = False,
    log: Log = lambda _: None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Judged:
    """Save both stages as one bundle at ``output``. ``progress`` gets the posts sent so far, and how many there are.

    An endpoint is sent those dev posts alone that a band may hold. Raises RecipeError for stages that do not go
    together, SplitError when half of the dev posts were trained on, EndpointError when no answer can be used.
    """
    check_output(output, BUNDLE, replace=replace)
    other = second if isinstance(second, Source) else None
    check(first, second, plan)
    sources = [first, *([other] if other else [])]
    dev, gold = dev_of(sources, EnsemblePlan(first.bundle.policy.spec, dev=plan.dev, data=plan.data), log)
    fresh = np.unique(post_hashes(posts_of(plan.dev))) if plan.dev else first.bundle.seen.dev
    train = np.unique(np.concatenate([source.bundle.seen.train for source in sources]))
    notes = (*leaks(fresh, train), *_cascades(sources))
    policy, languages = first.bundle.policy, dev.languages.tolist()
    dev = dev.split_stages(len(other.bundle.members) if other else 0)
    combination = first.bundle.combination.of_all
    posts = dev.scores(combination)
    usage = None
    if isinstance(second, Endpoint):
        chosen = candidates(posts, policy, at_most=plan.at_most)
        log(f"asking about {chosen.sum():,} of {len(chosen):,} dev posts")
        result = _endpoint_scores(second, [plan.dev[index].post for index in np.flatnonzero(chosen).tolist()], progress)
        dev, usage = _with_second_stage(dev, chosen, result.probabilities), result.usage
    log(f"finding the bands on {len(languages):,} dev posts ({dev.labels.sum():,} positive)")
    stage, both = _fit_stage(posts, dev, second, policy, at_most=plan.at_most, groups=gold.groups)
    calibration = fit(policy.spec.calibration, both, dev.labels, languages)
    log(f"writing {output}")
    bundle_draft = BundleDraft(
        store.copied(first.folder, first.bundle),
        combination,
        Decisions(policy, calibration),
        dev,
        gold,
        data=plan.data,
        seen=Seen(np.union1d(train, _example_hashes(second)), np.union1d(first.bundle.seen.dev, fresh)),
        recipe=recipe_of(first.folder),
        documents={layout.SOURCES: _stage_sources(sources, second).model_dump_json(indent=2) + "\n"},
        second_stage=stage,
        scores=both,
    )
    assembled = assemble_bundle(bundle_draft, output=output, replace=replace)
    return Judged(
        assembled.bundle,
        assembled.evaluation,
        _stage_comparison(posts, both, assembled.bundle),
        in_bands=int(stage.judge.inside(posts.probabilities, policy.post_thresholds(languages), languages).sum()),
        posts=len(languages),
        usage=usage,
        notes=notes,
    )


def _endpoint_scores(endpoint: Endpoint, posts: Sequence[Post], progress: Callable[[int, int], None]) -> EndpointResult:
    """The endpoint's answers about these posts, and what they took. Raises EndpointError where none can be used."""
    results = [endpoint.request(())]
    done = 0
    for start in range(0, len(posts), _BATCH_POSTS):
        results.append(endpoint.request(posts[start : start + _BATCH_POSTS]))
        done += len(results[-1].probabilities)
        progress(done, len(posts))
    answers = np.concatenate([result.probabilities for result in results])
    usages = [result.usage for result in results if result.usage]
    usage = total_usage(endpoint.config.spec, usages) if usages else None
    if len(posts) and np.isnan(answers).all():
        reasons = usage.reasons if usage else ()
        raise EndpointError(
            f"none of {len(posts):,} posts has an answer that can be used ({'; '.join(reasons)})",
            where=endpoint.config.spec.base_url,
            hint="check its address, the model's name and the key, then run the same command again",
        )
    return EndpointResult(answers, usage)


def _example_hashes(second: Source | Endpoint) -> NDArray[np.uint64]:
    """Hashes of the texts that an endpoint learns from, sent along with posts."""
    examples = second.context.examples if isinstance(second, Endpoint) else ()
    return np.array([int(example.hash, 16) for example in examples], dtype=np.uint64)


def _with_second_stage(dev: StoredDev, chosen: NDArray[np.bool_], answers: Probabilities) -> StoredDev:
    """The dev scores with the endpoint's ``answers`` about the ``chosen`` posts, NaN elsewhere."""
    row = np.full(len(chosen), np.nan)
    row[chosen] = answers
    return dataclasses.replace(dev, second_stage=row[None])


def _fit_stage(
    posts: DevScores,
    dev: StoredDev,
    second: Source | Endpoint,
    policy: DecisionPolicy,
    *,
    at_most: float,
    groups: Sequence[str],
) -> tuple[UnsavedSecondStage, Probabilities]:
    """The second stage with its bands found on all dev posts; and P of both stages, (n_posts,), each post by bands that
    were found without it. ``posts`` hold the first stage's P."""
    weights = () if isinstance(second, Endpoint) else second.bundle.combination.weights
    assert dev.second_stage is not None
    opinion = Combination(weights=weights).mean(dev.second_stage)
    fitted = fit_judge(posts, opinion, policy, at_most=at_most, members=len(dev.second_stage))
    both = cross_fitted(posts, opinion, policy, at_most=at_most, groups=groups)
    members = (second,) if isinstance(second, Endpoint) else store.copied(second.folder, second.bundle)
    return UnsavedSecondStage(fitted, members, weights), both


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


def _stage_sources(sources: Sequence[Source], second: Source | Endpoint) -> Sources:
    recorded = ensemble_sources(sources, range(sum(len(source.bundle.members) for source in sources)))
    if isinstance(second, Source):
        return recorded
    recipes = recorded.recipes | {_ENDPOINT: chat_toml(second.config.spec)}
    return Sources(members=(*recorded.members, _ENDPOINT), recipes=recipes)


def read_chat_spec(path: Path) -> ChatSpec:
    """The configuration of an endpoint, a TOML file. Raises RecipeError with all faults; values of unknown keys, which
    may be secrets, are not repeated."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot be read as UTF-8 text ({type(error).__name__})", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}", where=str(path)) from error
    except (ValueError, RecursionError) as error:
        raise RecipeError("not TOML: a value too long or too deep to be read", where=str(path)) from error
    try:
        return ChatSpec.model_validate(tree)
    except ValidationError as error:
        problems = [_message(problem) for problem in error.errors()]
        noun = "fault" if len(problems) == 1 else "faults"
        raise RecipeError(
            f"{len(problems)} {noun}\n" + "\n".join(f"  {problem}" for problem in problems), where=str(path)
        ) from error


def chat_toml(spec: ChatSpec) -> str:
    """The configuration as TOML; ``read_chat_spec`` reads it back."""
    return tomli_w.dumps(spec.model_dump(exclude_none=True))


def check(first: Source, second: Source | Endpoint | None, plan: JudgePlan) -> None:
    """Raises RecipeError for what cannot be a first or second stage, or a share that is none."""
    if not 0 < plan.at_most <= 1:
        raise RecipeError(
            f"{plan.at_most:g} is no share of posts above 0 and at most 1", where="--ask-at-most", hint="as 0.1"
        )
    sources = [source for source in (first, second) if isinstance(source, Source)]
    for source in sources:
        if source.bundle.second_stage:
            raise RecipeError(
                "has a judge already", where=str(source.folder), hint="name the bundle of its first stage"
            )
    check_read_alike(sources)
    if isinstance(second, Source) and second.bundle.id == first.bundle.id:
        raise RecipeError("a bundle cannot judge itself", where=str(second.folder), hint="name another with --with")
    if isinstance(second, Endpoint) and second.normalisation != first.bundle.normalisation:
        raise RecipeError(
            f"is opened for posts read by {second.normalisation}, those of the bundle are by"
            f" {first.bundle.normalisation}",
            where=second.config.spec.base_url,
            hint="open_endpoint(spec, permission=..., normalisation=bundle.normalisation)",
        )


def estimate(
    spec: ChatSpec, posts: Sequence[Post], *, normalisation: str, context: Context = NO_CONTEXT
) -> EndpointEstimate:
    """What sending these posts to an endpoint would take, each different message once, with the examples, reasons and
    ingredients that go along; ``normalisation`` is that of the first stage."""
    prompt = read_prompt(spec.prompt).text
    messages = MessageWriter(spec, normalisation, context).messages(posts)
    texts = {message.key: message.text for message in messages}.values()
    sent = len(texts) * estimated_tokens(prompt) + sum(map(estimated_tokens, texts))
    answered = len(texts) * estimated_tokens(_ANSWER if spec.prompt == "1" else _REASON + _ANSWER)
    return EndpointEstimate(
        posts=len(posts),
        tokens_in=sent,
        tokens_out=answered,
        cost=price(spec, sent, answered),
        example=f"system:\n{prompt}\n\nuser:\n{_synthetic_message(spec, normalisation, context)}",
    )


def _synthetic_message(spec: ChatSpec, normalisation: str, context: Context) -> str:
    """The user's message about a synthetic post, with what ``context`` would add to a real one's."""
    shown = Context(
        _SYNTHETIC_CONTEXT.examples if context.examples else (), _SYNTHETIC_CONTEXT.drugs if context.drugs else ()
    )
    post = SYNTHETIC if spec.prompt == "1" else _SYNTHETIC_2
    return MessageWriter(spec, normalisation, shown).messages([post])[0].text


def near(bundle: Bundle, dev: Sequence[LabelledPost], *, at_most: float) -> list[Post]:
    """The dev posts that a judge would be asked about, by the bundle's own scores."""
    check(Source(Path(), bundle), None, JudgePlan(at_most))
    posts = posts_of(dev)
    combination = bundle.combination.of_all
    languages = [post.language for post in posts]
    scores = combination.mean(combination.counted(bundle.member_probabilities(posts), languages))
    labels = labels_of(dev)
    dev_scores = DevScores(scores, labels, np.array(languages, dtype=np.str_))
    return [posts[index] for index in np.flatnonzero(candidates(dev_scores, bundle.policy, at_most=at_most)).tolist()]


def _message(problem: Any) -> str:
    path = ".".join(map(str, problem["loc"])) or "base_url"
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path, ChatSpec.model_fields, n=1, cutoff=0.5)
        return f"{path}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")
    return f"{path}: {str(problem['msg']).removeprefix('Value error, ')}"
