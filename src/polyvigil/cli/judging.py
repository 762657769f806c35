"""What commands that score say about a judge behind an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from polyvigil.cli.output import Output

if TYPE_CHECKING:
    from polyvigil.judge.endpoint import EndpointPermission, Usage

AskEndpoint = Annotated[
    bool,
    typer.Option("--ask-endpoint", help="Send the posts near a threshold, masked, to the bundle's chat endpoint."),
]

FromDisk = Annotated[
    bool, typer.Option("--offline", help="With --ask-endpoint: send nothing, use answers that are on disk.")
]


def endpoint_permission(ask_endpoint: bool, *, offline: bool = False) -> EndpointPermission | None:
    """What the user allows: nothing, answers on disk, or sending."""
    from polyvigil.judge.endpoint import EndpointPermission

    return EndpointPermission(offline=offline) if ask_endpoint else None


def report_judge_usage(out: Output, usage: Usage | None, *, endpoint_skipped: bool) -> None:
    """Say that a judge behind an endpoint was not asked, or what asking took and what failed."""

    if usage:
        out.log(usage_line(usage))
        warn_of_failures(out, usage)
    elif endpoint_skipped:
        out.note("the endpoint was not asked, so the first stage decided alone; --ask-endpoint asks it")


def warn_of_failures(out: Output, usage: Usage | None) -> None:
    """A warning where posts have no answer."""
    if usage and usage.failed:
        out.warn(
            f"{usage.failed:,} of {usage.posts:,} posts have no usable answer ({'; '.join(usage.reasons)}); the first "
            "stage decided them"
        )


def usage_line(usage: Usage) -> str:
    """What asking took."""
    cost = "" if usage.cost is None else f", cost {usage.cost:,.4f} by the prices given"
    return (
        f"endpoint: {usage.posts:,} posts asked about ({usage.cached:,} answered from disk, {usage.failed:,} without a "
        f"usable answer), {usage.tokens_in:,} tokens in, {usage.tokens_out:,} out{cost}"
    )
