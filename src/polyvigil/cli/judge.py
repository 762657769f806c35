"""``polyvigil judge``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.command import command
from polyvigil.cli.options import DEFAULT_POSTS, Device, LabelledPosts, OrOnHub, PostsInput, Replace
from polyvigil.cli.output import Answer, Output

if TYPE_CHECKING:
    from polyvigil.bundle.store import Bundle
    from polyvigil.config.judge import ChatSpec
    from polyvigil.data.read import Reading
    from polyvigil.judge.endpoint import Endpoint
    from polyvigil.judge.messages import Context
    from polyvigil.types import LabelledPost
    from polyvigil.workflows.ensemble import Source
    from polyvigil.workflows.judge import EndpointEstimate, Judged, JudgePlan

_MOST_SHOWN = 20
Examples = Annotated[
    str,
    typer.Option(
        "--examples",
        help="Labelled posts, no dev posts: the nearest go along with each post, masked. The bundle keeps them.",
    ),
]
Drugs = Annotated[
    str, typer.Option("--drugs", help="Your drugs, columns term and ingredient: what names in a post stand for.")
]


@command(
    examples=(
        "polyvigil judge BUNDLE --with OTHER --dev dev.csv -o JUDGED --ask-at-most 0.1",
        "polyvigil judge BUNDLE --endpoint judge.toml --dev dev.csv --dry-run",
    ),
)
def judge(
    out: Output,
    bundle: Annotated[
        str, typer.Argument(help="The first stage: it decides all posts but those near a threshold."), OrOnHub
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the judged bundle goes.")] = None,
    with_: Annotated[str, typer.Option("--with", help="The second stage: a bundle, asked here."), OrOnHub] = "",
    endpoint: Annotated[
        Path | None,
        typer.Option(help="The second stage: a chat endpoint (TOML). Dev posts near the threshold are sent, masked."),
    ] = None,
    dev: Annotated[
        str,
        typer.Option("--dev", help="Posts to find the bands on, best other ones than the thresholds were tuned on."),
    ] = "",
    at_most: Annotated[
        float, typer.Option("--ask-at-most", help="Largest share of a language's posts to be asked about.")
    ] = 0.1,
    offline: Annotated[bool, typer.Option("--offline", help="Send nothing: use the answers that are on disk.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing: say what would be asked, its cost, and the prompt.")
    ] = False,
    show_masked: Annotated[
        int, typer.Option("--show-masked", min=0, max=_MOST_SHOWN, help="With --dry-run: so many posts as masked.")
    ] = 0,
    examples: Examples = "",
    drugs: Drugs = "",
    posts: LabelledPosts = DEFAULT_POSTS,
    replace: Replace = False,
    device: Device = "auto",
) -> Answer:
    """Give a bundle a second stage, which decides the posts near the threshold: another bundle or a chat endpoint.

    Scoring with an endpoint sends nothing unless that very command says --ask-endpoint. --examples and --drugs are for
    an endpoint whose file says prompt = "2".
    """
    from polyvigil.bundle.outputs import BUNDLE, check_output
    from polyvigil.bundle.store import load
    from polyvigil.workflows.ensemble import Source

    _check_options(with_, endpoint, dev, output, dry_run=dry_run)
    spec = _chat_spec(endpoint, examples=examples, drugs=drugs)
    if output and not dry_run:
        check_output(output, BUNDLE, replace=replace, inputs=[bundle, with_, endpoint, dev, examples, drugs])
    loaded = load(bundle, device=device)
    plan = _plan(out, bundle, dev, posts, at_most)
    if not spec:
        second: Source | Endpoint = Source(Path(with_), load(with_, device=device))
    else:
        teaching = posts.read_labelled(examples, bundle=bundle) if examples else None
        context = _context(out, loaded, spec, teaching, drugs, plan.dev)
        if dry_run:
            return _dry_run(loaded, spec, context, plan.dev, at_most, show_masked)
        second = _endpoint(loaded, spec, context, offline=offline)
    return _judge(out, Source(Path(bundle), loaded), second, plan, output=output or Path(bundle), replace=replace)


def _check_options(other: str, endpoint: Path | None, dev: str, output: Path | None, *, dry_run: bool) -> None:
    """Raises a usage error for options that do not go together."""
    if (not other) == (endpoint is None):
        raise typer.BadParameter("name the second stage by one of the two", param_hint="--with, --endpoint")
    if endpoint and not dev:
        raise typer.BadParameter("an endpoint is asked about posts; name them", param_hint="--dev")
    if dry_run and not endpoint:
        raise typer.BadParameter("it says what an endpoint would be sent", param_hint="--dry-run")
    if output is None and not dry_run:
        raise typer.BadParameter("say where the judged bundle goes", param_hint="-o")


def _chat_spec(endpoint: Path | None, *, examples: str, drugs: str) -> ChatSpec | None:
    """The configuration of an endpoint, if one is named. Raises a usage error for examples or drugs without it, and
    RecipeError where its prompt does not know them."""
    from polyvigil.judge.endpoint import check_takes_context
    from polyvigil.workflows.judge import read_chat_spec

    given = [option for option, value in (("--examples", examples), ("--drugs", drugs)) if value]
    if not endpoint:
        if given:
            raise typer.BadParameter("goes along with posts to an endpoint: --endpoint", param_hint=given[0])
        return None
    spec = read_chat_spec(endpoint)
    if given:
        check_takes_context(spec, where=str(endpoint))
    return spec


def _plan(out: Output, bundle: str | Path, dev: str, posts: PostsInput, at_most: float) -> JudgePlan:
    """On which posts the bands are found: those of a file, else those whose scores the bundle holds."""
    from polyvigil.data.selection import refuse_selected
    from polyvigil.data.translated import refuse_translated
    from polyvigil.workflows.judge import JudgePlan

    if not dev:
        return JudgePlan(at_most)
    reading = posts.read_labelled(dev, bundle=bundle)
    out.notes(reading.notes)
    refuse_translated(reading.posts, part="dev", where=reading.name)
    refuse_selected(reading.selection, part="dev", where=reading.name)
    return JudgePlan(at_most, dev=reading.posts, data=Path(reading.name).name)


def _context(
    out: Output, first: Bundle, spec: ChatSpec, examples: Reading | None, drugs: str, dev: Sequence[LabelledPost]
) -> Context:
    """What goes along with posts; what of it the bundle keeps is said, even with -q where it is texts of posts."""
    from polyvigil.workflows.judge_context import endpoint_context

    out.notes(examples.notes if examples else ())
    result = endpoint_context(first, spec, examples=examples, drugs=drugs, dev=dev)
    out.notes(result.notes)
    if result.kept_posts:
        out.warn(result.kept_posts)
    return result.context


def _endpoint(first: Bundle, spec: ChatSpec, context: Context, *, offline: bool) -> Endpoint:
    """The endpoint of ``spec``, which reads posts as ``first`` does."""
    from polyvigil.judge.endpoint import EndpointPermission, open_endpoint

    permission = EndpointPermission(offline=offline)
    return open_endpoint(spec, permission=permission, normalisation=first.normalisation, context=context)


def _judge(
    out: Output, first: Source, second: Source | Endpoint, plan: JudgePlan, *, output: Path, replace: bool
) -> Answer:
    from polyvigil.workflows.judge import judge as run

    started = time.monotonic()
    made = run(
        first,
        second,
        plan,
        output=output,
        replace=replace,
        log=out.log,
        progress=lambda done, all_: out.progress("asking", started, done, 0, done / all_),
    )
    out.end_progress()
    return _answer(out, made, output)


def _dry_run(
    bundle: Bundle, spec: ChatSpec, context: Context, dev: Sequence[LabelledPost], at_most: float, show: int
) -> Answer:
    from polyvigil.judge.messages import MessageWriter
    from polyvigil.workflows.judge import estimate, near

    posts = near(bundle, dev, at_most=at_most)
    expected = estimate(spec, posts, normalisation=bundle.normalisation, context=context)
    writer = MessageWriter(spec, bundle.normalisation, context)
    shown = [message.key for message in writer.messages(posts[:show])]
    lines = [*estimate_lines(expected, spec, dev=len(dev), at_most=at_most)]
    lines += [f"masked: {text}" for text in shown]
    return Answer(expected.model_dump(mode="json") | {"masked": shown}, lines)


def _answer(out: Output, made: Judged, output: Path) -> Answer:
    from polyvigil.cli.judging import usage_line, warn_of_failures
    from polyvigil.cli.views.bundle import judge_lines
    from polyvigil.cli.views.evaluation import evaluation_lines

    for note in made.notes:
        out.note(note)
    assert made.bundle.second_stage is not None
    judge = made.bundle.second_stage.judge
    f1_difference = made.paired.pooled.f1
    if not any((*judge.bands.values(), judge.other)):
        out.warn("the judge is asked about no post: on these dev posts it betters nothing")
    elif f1_difference.low <= 0:
        out.warn(
            f"the judge is not shown to help: F1 {f1_difference.difference:+.3f} "
            f"({f1_difference.low:+.3f} to {f1_difference.high:+.3f}) against "
            "the first stage alone"
        )
    warn_of_failures(out, made.usage)
    data = {
        "bundle": made.bundle.id,
        "folder": str(output),
        "judge": judge.model_dump(mode="json"),
        "asked": made.in_bands,
        "posts": made.posts,
        "usage": made.usage and made.usage.model_dump(mode="json"),
        "paired": made.paired.model_dump(mode="json"),
        "dev": made.evaluation.model_dump(mode="json"),
    }
    needed = " --ask-endpoint" if made.bundle.has_endpoint else ""
    lines = [
        f"bundle {made.bundle.id} -> {output}",
        "",
        *judge_lines(judge, made.paired),
        *([usage_line(made.usage), ""] if made.usage else ()),
        *evaluation_lines(made.evaluation),
        "",
        f"next: polyvigil score {output} POSTS.csv -o scored.csv{needed}",
    ]
    return Answer(data, lines)


def estimate_lines(estimate: EndpointEstimate, spec: ChatSpec, *, dev: int, at_most: float) -> list[str]:
    """What would be asked, and the messages as they would be sent."""
    cost = "the configuration names no price" if estimate.cost is None else f"cost about {estimate.cost:,.4f}"
    return [
        f"would ask {spec.model} at {spec.base_url} about {estimate.posts:,} of {dev:,} dev posts, once; later about"
        f" {at_most:.1%} of the posts that are scored, or fewer",
        f"about {estimate.tokens_in:,} tokens in and {estimate.tokens_out:,} out, at most"
        f" {estimate.posts * spec.answer_tokens:,} (answer_tokens = {spec.answer_tokens}); {cost}",
        "",
        "as it would be sent, with a synthetic post in place of a real one:",
        "",
        *estimate.example.splitlines(),
    ]
