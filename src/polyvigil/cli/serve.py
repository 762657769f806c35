"""``polyvigil serve``."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from polyvigil.cli.command import command
from polyvigil.cli.judging import AskEndpoint
from polyvigil.cli.options import Address, Device, EngineOption, OrOnHub
from polyvigil.cli.output import Answer, Output
from polyvigil.config.serve import ReplicaSpec, ServeSpec
from polyvigil.errors import RecipeError, require

_DEFAULTS = ServeSpec()


ServedBundle = Annotated[
    str,
    typer.Argument(help="The bundle's folder, which SIGHUP or POST /v1/reload reads again; or hf://ORG/NAME@REVISION."),
    OrOnHub,
]


@command(
    heartbeat=False,
    examples=(
        "polyvigil serve BUNDLE",
        "polyvigil serve BUNDLE --host 0.0.0.0 --allow-host scoring.example.org --token-file token.txt",
    ),
)
def serve(
    out: Output,
    bundle: ServedBundle,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option("--port", help="The port; 0 is a free one.")] = _DEFAULTS.port,
    token_file: Annotated[
        str, typer.Option("--token-file", help="A file with the token that clients send; else POLYVIGIL_TOKEN.")
    ] = "",
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A name that clients reach it by. Repeatable.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let everybody who can reach the address have posts scored.")
    ] = False,
    max_wait: Annotated[
        float, typer.Option("--max-wait", help="Refuse posts that would wait longer, in seconds.")
    ] = _DEFAULTS.max_wait,
    drain: Annotated[
        float, typer.Option("--drain", help="When stopping, answer what is queued for so many seconds.")
    ] = _DEFAULTS.drain,
    device: Device = "auto",
    ask_endpoint: AskEndpoint = False,
    endpoint_posts: Annotated[
        int, typer.Option("--endpoint-posts", help="With --ask-endpoint: send at most so many posts.")
    ] = _DEFAULTS.endpoint_posts,
    engine: Annotated[
        EngineOption, typer.Option("--engine", help="One process on this machine, or replicas on a Ray cluster.")
    ] = EngineOption.local,
    replicas: Annotated[
        int | None, typer.Option("--replicas", help="With --engine ray: copies of the service. Default: 1.")
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option("--max-replicas", help="With --engine ray: up to so many under load.")
    ] = None,
    address: Address = "",
) -> Answer:
    """Score posts over HTTP: the decisions of the command line, with limits, metrics and a page to try it."""
    require("starlette", "uvicorn", "httptools", "prometheus_client", extra="serve", needed_by="polyvigil serve")
    from polyvigil.serve.token import check_exposed, read_token

    given = {"address": address, "replicas": replicas, "max_replicas": max_replicas}
    fleet = _spec(ReplicaSpec, **{name: value for name, value in given.items() if value})
    if engine is EngineOption.local and fleet != ReplicaSpec():
        raise RecipeError("replicas are of a Ray cluster", where="--replicas", hint="add --engine ray")
    spec = _spec(
        ServeSpec,
        host=host,
        port=port,
        allow_hosts=tuple(allow_host or ()),
        insecure=insecure,
        max_wait=max_wait,
        drain=drain,
        endpoint_posts=endpoint_posts,
    )
    token = read_token(token_file)
    check_exposed(spec, token)
    if engine is EngineOption.ray:
        return _serve_replicas(out, bundle, spec, fleet, token=token, device=device, ask_endpoint=ask_endpoint)
    return _serve(out, bundle, spec, token=token, device=device, ask_endpoint=ask_endpoint)


def _serve(out: Output, bundle: str, spec: ServeSpec, *, token: str, device: str, ask_endpoint: bool) -> Answer:
    """Serve until a signal; the answer is given when the service is ready."""
    from polyvigil.serve.app import create_app
    from polyvigil.web.server import listening_socket, logging_to, run_server, server_config, url_of

    with closing(listening_socket(spec)) as listener, logging_to(out.log, quiet=out.quiet):
        app = create_app(bundle, spec, token=token, device=device, ask_endpoint=ask_endpoint)
        app.service.serving.smoke_score()
        url, bundle_id = url_of(listener), app.service.serving.bundle.id

        def on_ready() -> None:
            _announce(out, url, bundle_id, spec, token=token)

        left_open = run_server(
            server_config(app, spec, refuse_early=app.refuse_early),
            app.service,
            listener,
            drain=spec.drain,
            on_ready=on_ready,
            reload=app.service.reload,
        )
    if left_open:
        out.warn(f"stopped with {left_open:,} requests open; a longer --drain gives them more time")
    else:
        out.log("stopped: every request that was taken has been answered")
    return Answer({})


def _serve_replicas(
    out: Output, bundle: str, spec: ServeSpec, fleet: ReplicaSpec, *, token: str, device: str, ask_endpoint: bool
) -> Answer:
    """Serve from a Ray cluster until a signal; the answer is given when the service is ready."""
    from polyvigil.serve.ray_serve import run_replicas
    from polyvigil.web.server import logging_to

    if ask_endpoint:
        raise RecipeError(
            "one process asks the endpoint, so that its budget is one", where="--ask-endpoint", hint="no --engine ray"
        )

    def on_ready(url: str, bundle_id: str) -> None:
        _announce(out, url, bundle_id, spec, token=token)

    with logging_to(out.log, quiet=out.quiet):
        run_replicas(bundle, spec, fleet, token=token, device=device, on_ready=on_ready)
    out.log("stopped")
    return Answer({})


def _announce(out: Output, url: str, bundle_id: str, spec: ServeSpec, *, token: str) -> None:
    for text in _ready_lines(url, bundle_id, spec, token=token):
        out.log(text)
    if spec.insecure and not token:
        out.warn("no token is needed: everybody who can reach this address can have posts scored", red=True)
    out.give("serve", Answer({"url": url, "bundle": bundle_id}))


Model = TypeVar("Model", bound=BaseModel)


def _spec(model: type[Model], **values: object) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).removesuffix("s" if first["loc"][0] == "allow_hosts" else "")
        where = "--" + name.replace("_", "-")
        raise RecipeError(f"{first['input']}: {first['msg'].lower()}", where=where) from error


def _ready_lines(url: str, bundle: str, spec: ServeSpec, *, token: str) -> list[str]:
    """Where it listens, what it refuses, how it is stopped."""
    who = "requests without the token" if token else "hosts other than this computer" if not spec.insecure else "nobody"
    return [
        f"bundle {bundle} is served at {url} (try a post there; /openapi.json describes it)",
        f"refused are {who}, bodies over {spec.max_body / 2**20:g} MiB, more than {spec.max_posts} posts a request, "
        f"and posts that would wait over {spec.max_wait:g} s",
        "stop it with Ctrl-C or SIGTERM; SIGHUP loads the folder again",
    ]
