"""``polyvigil review open``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from polyvigil.cli.command import command
from polyvigil.cli.output import Answer, Output
from polyvigil.config.review_server import ReviewServerSpec
from polyvigil.errors import RecipeError, require

if TYPE_CHECKING:
    from polyvigil.review.pages.visit import DisplayOptions
    from polyvigil.review.store import Store

_DEFAULTS = ReviewServerSpec()


@command(
    group="review",
    heartbeat=False,
    examples=(
        "polyvigil review open review.db --drugs drugs.csv --keys keys.toml",
        "polyvigil review open review.db --allow-host review.example.org --proxy-user X-Remote-User",
    ),
)
def open(
    out: Output,
    store: Annotated[str, typer.Argument(help="The review store: a file, or postgresql://user@host/name.")],
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option("--port", help="The port; 0 is a free one.")] = _DEFAULTS.port,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="A name that people reach it by. Repeatable.")
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", help="A Markdown file with your labelling policy, shown beside every post.")
    ] = "",
    keys: Annotated[
        str, typer.Option("--keys", help='A TOML file of single keys, with lines such as ade = "f"; others stay.')
    ] = "",
    drugs: Annotated[
        str, typer.Option("--drugs", help="Your list of drugs, marked in posts: a column term, and maybe code.")
    ] = "",
    reactions: Annotated[str, typer.Option("--reactions", help="Your list of reactions: the same.")] = "",
    proxy_user: Annotated[
        str,
        typer.Option("--proxy-user", help="A header in which a proxy on this computer names who has signed in there."),
    ] = "",
    tls_cert: Annotated[str, typer.Option("--tls-cert", help="A certificate, for --host beyond this computer.")] = "",
    tls_key: Annotated[str, typer.Option("--tls-key", help="The key of --tls-cert.")] = "",
    insecure_http: Annotated[
        bool, typer.Option("--insecure-http", help="Listen beyond this computer without TLS: others can read along.")
    ] = False,
    drain: Annotated[
        float, typer.Option("--drain", help="When stopping, answer what is open for so many seconds.")
    ] = _DEFAULTS.drain,
) -> Answer:
    """Open a review store for people: pages to read posts and decide by keyboard, until Ctrl-C.

    In a store without people the first one, a lead named after the login, is made, and their link printed.
    """
    require("starlette", "uvicorn", "httptools", extra="review", needed_by="polyvigil review open")
    require("sqlalchemy", "alembic", "markdown_it", extra="review", needed_by="polyvigil review open")
    spec = _spec(
        host=host,
        port=port,
        allow_hosts=tuple(allow_host or ()),
        proxy_user=proxy_user,
        tls_cert=tls_cert,
        tls_key=tls_key,
        insecure_http=insecure_http,
        drain=drain,
    )
    _check_exposed(spec)
    options = _display_options(keys=keys, drugs=drugs, reactions=reactions)
    return _open(out, store, spec, options, policy=_read_policy(policy))


def _display_options(*, keys: str, drugs: str, reactions: str) -> DisplayOptions:
    """Keys and lists of the user's files. Raises RecipeError and DataError for what cannot be used in them."""
    from polyvigil.config.review_keys import ReviewKeys, read_review_keys
    from polyvigil.review.pages.visit import DisplayOptions
    from polyvigil.scoring.explain import terms_of
    from polyvigil.text.mentions import lexicon

    terms = terms_of(drugs=drugs, reactions=reactions)
    return DisplayOptions(
        keys=read_review_keys(keys) if keys else ReviewKeys(), terms=lexicon(terms) if terms else None
    )


def _open(out: Output, location: str, spec: ReviewServerSpec, options: DisplayOptions, *, policy: str) -> Answer:
    """Serve the store until a signal; the answer is given when the pages are there."""
    from polyvigil.review.pages.app import create_app
    from polyvigil.review.store import open_store
    from polyvigil.web.server import listening_socket, logging_to, run_server, server_config, url_of

    with (
        closing(listening_socket(spec)) as listener,
        open_store(location, server=True) as opened,
        logging_to(out.log, quiet=out.quiet),
    ):
        app = create_app(opened, spec, options)
        _set_policy(opened, policy)
        url = url_of(listener).replace("http:", "https:" if spec.tls_cert else "http:")
        link = _first_link(opened, url)

        def on_ready() -> None:
            out.log(f"the review pages of {opened.location} are at {url}; stop them with Ctrl-C or SIGTERM")
            if spec.insecure_http:
                out.warn("without TLS, everybody on the way can read posts and take over sessions")
            lines = [f"your personal link, shown once: {link}"] if link else []
            if not link:
                out.log("a new link for somebody: polyvigil review person STORE NAME")
            out.give("review open", Answer({"url": url, "store_id": opened.id, "link": link}, lines))

        config = server_config(app, spec, ssl_certfile=spec.tls_cert or None, ssl_keyfile=spec.tls_key or None)
        left_open = run_server(config, app, listener, drain=spec.drain, on_ready=on_ready)
    if left_open:
        out.warn(f"stopped with {left_open:,} requests open; a longer --drain gives them more time")
    else:
        out.log("stopped: every decision that was acknowledged is in the store")
    return Answer({})


def _first_link(store: Store, url: str) -> str | None:
    """The link of the first person of a store that has none yet; None where there are people."""
    from polyvigil.review.people import login_name

    if store.people():
        return None
    _, secret = store.add_person(login_name(), role="lead")
    return f"{url}/sign-in#{secret}"


def _set_policy(store: Store, policy: str) -> None:
    """Set the policy of a file, unless it is the store's already."""
    from polyvigil.review.event_log import COMMAND, new_key

    if policy and policy.strip() != store.policy():
        store.set_policy(COMMAND, policy, key=new_key())


def _read_policy(path: str) -> str:
    if not path:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        hint = "give a Markdown file in UTF-8"
        raise RecipeError(f"unreadable ({type(error).__name__})", where=path, hint=hint) from error
    if not text.strip():
        raise RecipeError("is empty", where=path, hint="give a Markdown file with the rules of labelling")
    return text


def _check_exposed(spec: ReviewServerSpec) -> None:
    """Raise RecipeError where sessions would go over the network in the clear, and nobody said they may."""
    from polyvigil.web.hosts import is_loopback

    if bool(spec.tls_cert) != bool(spec.tls_key):
        raise RecipeError("a certificate and its key are needed together", where="--tls-cert, --tls-key")
    if not is_loopback(spec.host) and not spec.tls_cert and not spec.insecure_http:
        raise RecipeError(
            f"without TLS, others on the way to {spec.host} could read posts and take over sessions",
            where="--host",
            hint="give --tls-cert and --tls-key, or stay on 127.0.0.1 behind a proxy with TLS and --allow-host NAME; "
            "or say --insecure-http",
        )


def _spec(**values: object) -> ReviewServerSpec:
    try:
        return ReviewServerSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + str(first["loc"][0]).replace("_", "-").replace("allow-hosts", "allow-host")
        raise RecipeError(f"{first['input']}: {first['msg'].lower()}", where=option) from error
