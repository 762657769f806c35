"""What a judge is to be, and whether it can be; the endpoint's configuration; what asking would take."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from pydantic import ValidationError

from polyvigil.bundle.store import Bundle
from polyvigil.config.judge import ChatSpec
from polyvigil.decide.fit_judge import candidates
from polyvigil.decide.rules import DevScores
from polyvigil.detect.chat import price
from polyvigil.detect.chat_prompt import estimated_tokens, masked, post_message, read_prompt
from polyvigil.errors import RecipeError
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Frozen, LabelledPost, Post
from polyvigil.workflows.ensemble_plan import Source

SYNTHETIC = Post(
    "synthetic", "@Anna Muster three days on the new pills and I cannot sleep, mail me: anna@example.org", "en"
)
_ANSWER = '{"ade": 0.25}'


@dataclass(frozen=True, slots=True)
class JudgePlan:
    """``at_most``: the largest share of a language's posts that is asked about, in (0, 1]. Without ``dev`` posts the
    bundles must hold scores of the same ones."""

    at_most: float
    dev: tuple[LabelledPost, ...] = ()
    data: str = "stored dev scores"


class EndpointEstimate(Frozen):
    """What asking about some posts would take, before any is sent. Tokens are rough (chat_prompt.estimated_tokens)."""

    posts: int
    tokens_in: int
    tokens_out: int
    cost: float | None
    example: str
    """The two messages as they would be sent, of a synthetic post."""


def read_chat_spec(path: Path) -> ChatSpec:
    """The configuration of an endpoint, a TOML file. Raises RecipeError with all faults; values of unknown keys, which
    may be secrets, are not repeated."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot be read as UTF-8 text ({type(error).__name__})", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}", where=str(path)) from error
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


def check(first: Source, second: Source | None, plan: JudgePlan) -> None:
    """Raises RecipeError for what cannot be a first or second stage, or a share that is none."""
    if not 0 < plan.at_most <= 1:
        raise RecipeError(
            f"{plan.at_most:g} is no share of posts above 0 and at most 1", where="--ask-at-most", hint="as 0.1"
        )
    for source in (first, second):
        if source is None:
            continue
        if source.bundle.combination.judge:
            raise RecipeError(
                "has a judge already", where=str(source.folder), hint="name the bundle of its first stage"
            )
        if (theirs := source.bundle.manifest.normalisation) != NORMALISATION:
            raise RecipeError(
                f"its members read posts normalised by {theirs}, a judged bundle by {NORMALISATION}",
                where=str(source.folder),
                hint="train it again",
            )
    if second and second.bundle.id == first.bundle.id:
        raise RecipeError("a bundle cannot judge itself", where=str(second.folder), hint="name another with --with")


def estimate(spec: ChatSpec, posts: Sequence[Post]) -> EndpointEstimate:
    """What asking about these posts would take."""
    prompt = read_prompt(spec.prompt).text
    each = [post_message(masked(post.text, most_characters=spec.most_characters)) for post in posts]
    sent = len(each) * estimated_tokens(prompt) + sum(map(estimated_tokens, each))
    answered = len(each) * estimated_tokens(_ANSWER)
    shown = post_message(masked(SYNTHETIC.text, most_characters=spec.most_characters))
    return EndpointEstimate(
        posts=len(each),
        tokens_in=sent,
        tokens_out=answered,
        cost=price(spec, sent, answered),
        example=f"system:\n{prompt}\n\nuser:\n{shown}",
    )


def near(bundle: Bundle, dev: Sequence[LabelledPost], *, at_most: float) -> list[Post]:
    """The dev posts that a judge would be asked about, by the bundle's own scores."""
    check(Source(Path(), bundle), None, JudgePlan(at_most))
    posts = [item.post for item in dev]
    scores = bundle.combination.of_all.mean(bundle.member_probabilities(posts))
    labels = np.array([item.label for item in dev], dtype=np.int8)
    dev_scores = DevScores(scores, labels, np.array([post.language for post in posts], dtype=np.str_))
    return [posts[index] for index in np.flatnonzero(candidates(dev_scores, bundle.policy, at_most=at_most))]


def stages(first: Bundle, second: Bundle | None) -> tuple[float, ...]:
    """The weights of the members of both stages; none where all are the same. A chat judge is one member."""
    further = second.combination.weights if second else ()
    if not first.combination.weights and not further:
        return ()
    one = first.combination.weights or (1.0,) * len(first.members)
    two = further or (1.0,) * (len(second.members) if second else 1)
    return (*one, *two)


def _message(problem: Any) -> str:
    path = ".".join(map(str, problem["loc"])) or "base_url"
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(path, ChatSpec.model_fields, n=1, cutoff=0.5)
        return f"{path}: there is no such setting" + (f"; did you mean {close[0]}?" if close else "")
    return f"{path}: {str(problem['msg']).removeprefix('Value error, ')}"
