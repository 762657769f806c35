"""The review pages as an ASGI application: what every request passes, the routes, and errors as pages or as JSON.

In: an ASGI request. It passes the Host list, its body's limits, the session, its origin and token, and the role that
its route is for; then a handler, on a thread of its own, as the store waits for the disk. Out: a page, JSON, or an
error, always with headers that keep a browser from running, framing or storing anything. The log has time, route,
status and milliseconds: nothing that a person or a post said.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from starlette.routing import Route, Router

from polyvigil.config.review_server import ReviewServerSpec
from polyvigil.errors import PolyvigilError, ReviewError, StoreAwayError
from polyvigil.review.pages import actions, templates, views
from polyvigil.review.pages.looks import DailyLook
from polyvigil.review.pages.sign_in import SignIn, check_csrf, check_same_site
from polyvigil.review.pages.visit import DisplayOptions, Visit, html, json_answer, redirect
from polyvigil.review.store import Store
from polyvigil.web.asgi import ClientGoneError, Receive, Reply, Scope, Send, read_body, send_response
from polyvigil.web.hosts import allowed_hosts, host_name
from polyvigil.web.refusal import RefusalError

ACCESS = logging.getLogger("polyvigil.review.access")
LOG = logging.getLogger("polyvigil.review")
_THREADS = 16
_READY_SECONDS = 10.0
_SECURITY = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
        b"base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_NO_STORE = (b"cache-control", b"no-store")
STATUS = {
    "signed_out": 401,
    "csrf": 403,
    "role": 403,
    "no_task": 404,
    "decided": 409,
    "not_yours": 409,
    "undo_blocked": 409,
    "usage": 422,
    "slow_down": 429,
    "store_away": 503,
}
"""What a refusal of the store or of these pages is sent with; those of web.refusal have theirs."""
ALL = ("reviewer", "lead", "auditor")
DECIDING = ("reviewer", "lead")
READING = ("lead", "auditor")
Handler = Callable[[Visit], Reply]


@dataclass(frozen=True, slots=True)
class ReviewRoute:
    """A path, the method it is for, the roles that may use it (none: everybody, signed in or not), and what is done."""

    method: str
    path: str
    handler: Handler
    roles: tuple[str, ...] = ()


class ReviewApp:
    """The ASGI application of one open store, which it does not close."""

    def __init__(self, store: Store, spec: ReviewServerSpec, options: DisplayOptions) -> None:
        self.store, self.spec, self.options = store, spec, options
        self.draining = False
        self.open_requests = 0
        self._sign_in = SignIn(store, spec)
        self._hosts = allowed_hosts(spec.host, spec.allow_hosts)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="review-page")
        self._look = DailyLook(store)
        self._alive_at = float("-inf")
        by_path: dict[str, list[ReviewRoute]] = {}
        for one in self._routes():
            by_path.setdefault(one.path, []).append(one)
        routes = [Route(path, _Endpoint(self, at_path)) for path, at_path in by_path.items()]
        self._router = Router(routes, redirect_slashes=False, default=_Endpoint(self, []))

    def begin_draining(self) -> None:
        """Take nothing new; what is open is answered."""
        self.draining = True

    def _routes(self) -> list[ReviewRoute]:
        return [
            ReviewRoute("GET", "/livez", lambda _: Reply(b'{"ok": true}')),
            ReviewRoute("GET", "/readyz", self._ready),
            *(ReviewRoute("GET", path, _static(content, kind)) for path, (content, kind) in templates.STATIC.items()),
            ReviewRoute("GET", "/sign-in", views.sign_in),
            ReviewRoute("POST", "/sign-in", self._sign_in.begin),
            ReviewRoute("POST", "/sign-out", self._sign_in.end, ALL),
            ReviewRoute("GET", "/", views.queue, ALL),
            ReviewRoute("GET", "/post", views.post, DECIDING),
            ReviewRoute("GET", "/post/{task:int}", views.post, DECIDING),
            ReviewRoute("GET", "/next", actions.next_cards, DECIDING),
            ReviewRoute("GET", "/history", views.history, DECIDING),
            ReviewRoute("GET", "/audit", views.audit, ALL),
            ReviewRoute("GET", "/policy", views.policy, ALL),
            ReviewRoute("POST", "/policy", actions.set_policy, ("lead",)),
            ReviewRoute("GET", "/conflicts", views.conflicts, ("lead",)),
            ReviewRoute("POST", "/adjudicate", actions.adjudicate, ("lead",)),
            ReviewRoute("GET", "/metrics", self._metrics_page, READING),
            ReviewRoute("GET", "/metrics.json", self._metrics_json, READING),
            ReviewRoute("GET", "/log", views.log, READING),
            ReviewRoute("GET", "/log.json", views.log_json, READING),
            ReviewRoute("GET", "/verify", views.verify, READING),
            ReviewRoute("POST", "/decide", actions.decide, DECIDING),
            ReviewRoute("POST", "/undo", actions.undo, DECIDING),
            ReviewRoute("POST", "/later", actions.later, DECIDING),
            ReviewRoute("POST", "/note", actions.note, DECIDING),
            ReviewRoute("POST", "/language", actions.language, DECIDING),
        ]

    def _ready(self, _: Visit) -> Reply:
        """GET /readyz: the store was written to in the last seconds, or can be now."""
        if self.draining:
            raise RefusalError("draining", "the review pages are stopping", retry_after=1)
        if time.monotonic() - self._alive_at > _READY_SECONDS:
            self.store.is_alive()
            self._alive_at = time.monotonic()
        return Reply(b'{"ok": true}')

    def _metrics_page(self, visit: Visit) -> Reply:
        """GET /metrics."""
        return views.metrics(visit, *self._look.get())

    def _metrics_json(self, _: Visit) -> Reply:
        """GET /metrics.json."""
        result, looks = self._look.get()
        return json_answer(result.model_dump(mode="json") | {"looks": looks})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            await self._router(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send, routes: list[ReviewRoute]) -> None:
        """Answer a request for a path with these routes, whatever happens."""
        started, name = time.perf_counter(), routes[0].path if routes else "other"
        self.open_requests += 1
        try:
            reply = await self._reply(scope, receive, routes)
            headers = [*reply.headers, *_SECURITY]
            if not any(header == b"cache-control" for header, _ in headers):
                headers.append(_NO_STORE)
            body = b"" if scope["method"] == "HEAD" else reply.body
            await send_response(send, body, status=reply.status, headers=headers)
            milliseconds = 1000 * (time.perf_counter() - started)
            ACCESS.info("%s %s %d %.1f ms", scope["method"][:8], name, reply.status, milliseconds)
        except ClientGoneError:
            pass
        finally:
            self.open_requests -= 1

    async def _reply(self, scope: Scope, receive: Receive, routes: list[ReviewRoute]) -> Reply:
        visit = _visit(self.store, self.options, scope)
        try:
            if host_name(visit.header("host")) not in self._hosts:
                raise RefusalError("host", "this Host is not served here", hint="open the store with --allow-host NAME")
            route = _route_of(visit.method, routes)
            if route.method == "POST":
                if self.draining:
                    hint = "nothing is lost: your page sends it again"
                    raise RefusalError("draining", "the review pages are stopping", hint=hint, retry_after=2)
                visit = replace(visit, body=await read_body(receive, visit.headers, self.spec))
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._respond, route, visit)
        except RefusalError as refusal:
            return _error_reply(visit, refusal.status, refusal.fields(), tuple(refusal.headers()))
        except ClientGoneError:
            raise
        except Exception as error:
            # Without the message, which may hold a post.
            where = "; ".join(f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__))
            LOG.error("a request failed: %s at %s", type(error).__name__, where)
            fields = {"code": "internal", "message": "the server failed on this request", "hint": "see its log"}
            return _error_reply(visit, 500, fields)

    def _respond(self, route: ReviewRoute, visit: Visit) -> Reply:
        """The response of a route to a request that is whole, on a thread."""
        cookie: tuple[tuple[bytes, bytes], ...] = ()
        try:
            if route.roles:
                session, is_new = self._sign_in.session(visit)
                visit = replace(visit, session=session)
                if session is None and visit.method == "GET" and not visit.is_json:
                    return redirect("/sign-in")
                if is_new and session is not None:
                    cookie = (self._sign_in.set_cookie(visit, session.token),)
                if visit.person.role not in route.roles:
                    who = " or a ".join(route.roles)
                    raise ReviewError("role", f"this is for a {who}", hint=f"you are {visit.person.role} in this store")
            if route.method == "POST":
                check_same_site(visit)
                if route.roles:
                    check_csrf(visit)
            reply = route.handler(visit)
        except (ReviewError, StoreAwayError) as refusal:
            reply = self._refused(visit, refusal)
        return replace(reply, headers=(*reply.headers, *cookie))

    def _refused(self, visit: Visit, refusal: PolyvigilError) -> Reply:
        fields = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
        if isinstance(refusal, ReviewError):
            return _error_reply(visit, STATUS[refusal.code], fields | {"where": refusal.where})
        fields["message"] = "the store cannot be used now; nothing was saved"  # the location is not for every reader
        LOG.error("the store cannot be used: %s", refusal)
        return _error_reply(visit, STATUS[refusal.code], fields)


class _Endpoint:
    """An ASGI application for one path."""

    def __init__(self, app: ReviewApp, routes: list[ReviewRoute]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app.answer(scope, receive, send, self._routes)


async def _live(receive: Receive, send: Send) -> None:
    """Nothing begins or ends with the application: the store is opened before and closed behind it."""
    for _ in range(2):
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


def _visit(store: Store, options: DisplayOptions, scope: Scope) -> Visit:
    query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    client = scope.get("client")
    return Visit(
        store=store,
        options=options,
        method="GET" if scope["method"] == "HEAD" else scope["method"],
        path=scope["path"],
        query=dict(query),
        headers=dict(scope["headers"]),
        body=b"",
        client=client[0] if client else "",
        is_tls=scope.get("scheme") == "https",
        task=scope.get("path_params", {}).get("task"),
    )


def _route_of(method: str, routes: list[ReviewRoute]) -> ReviewRoute:
    for one in routes:
        if one.method == method:
            return one
    if not routes:
        raise RefusalError("not_found", "nothing is at this path", hint="begin at /")
    allow = ", ".join(one.method for one in routes)
    raise RefusalError("method", f"this path is not for {method[:10]}", hint=f"use {allow}", allow=allow)


def _error_reply(
    visit: Visit, status: int, fields: dict[str, str], headers: tuple[tuple[bytes, bytes], ...] = ()
) -> Reply:
    """An error as JSON for the script, as a page for a person."""
    if visit.is_json or visit.path.endswith((".json", "z")):
        reply = Reply(json.dumps({"ok": False, "error": fields}).encode(), status)
    else:
        reply = html(
            templates.page("error.html.j2", visit, title="Not done", error={"where": "", "hint": ""} | fields),
            status=status,
        )
    return replace(reply, headers=(*reply.headers, *headers))


def _static(content: bytes, kind: bytes) -> Handler:
    """Gives a file whose name says its content, so that browsers may keep it."""
    reply = Reply(
        content, headers=((b"content-type", kind), (b"cache-control", b"public, max-age=31536000, immutable"))
    )
    return lambda _: reply


def create_app(store: Store, spec: ReviewServerSpec | None = None, options: DisplayOptions | None = None) -> ReviewApp:
    """The application of an open store; one process at a time may serve a store (``open_store(server=True)``)."""
    return ReviewApp(store, spec or ReviewServerSpec(), options or DisplayOptions())
