"""What every request passes first: its Host, its token, its place in the counts, and its end as a response or an error.

In: an ASGI request. Out: the response of the routes behind, a refusal as JSON, or 500 where the program failed. Each
response names its request (``X-Request-Id``); a log entry has time, route, status, posts, characters and milliseconds,
and nothing that a client wrote.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import random
import re
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from polyvigil.serve.metrics import Metrics
from polyvigil.web.asgi import JSON, Application, ClientGoneError, Message, Receive, Reply, Scope, Send, send_response
from polyvigil.web.hosts import host_name
from polyvigil.web.refusal import RefusalError, error_body

ErrorBody = Callable[[RefusalError], bytes]

ACCESS = logging.getLogger("polyvigil.serve.access")
LOG = logging.getLogger("polyvigil.serve")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class RequestEvent:
    """What is said about one request in the log; handlers add the posts."""

    id: bytes
    posts: int = 0
    characters: int = 0
    status: int = 0


@dataclass(frozen=True, slots=True)
class RouteRules:
    """What the gate does with a route."""

    name: str
    """In metrics and log."""
    counted: bool = True
    open: bool = False
    """Whether it needs no token."""
    error_body: ErrorBody = error_body
    admission: Callable[[], None] | None = None
    """Of a route of posts: raises RefusalError where none is taken now."""


class Gate:
    """An ASGI application around the routes."""

    def __init__(
        self, app: Application, routes: dict[str, RouteRules], metrics: Metrics, *, hosts: frozenset[str], token: str
    ) -> None:
        """``routes``: rules by path; others are ``other``. ``token``: empty where none is needed."""
        self._app, self._routes, self._metrics, self._hosts = app, routes, metrics, hosts
        self._token = hashlib.sha256(token.encode()).digest() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rules = self._routes.get(scope["path"], _OTHER)
        headers = dict(scope["headers"])
        event = RequestEvent(_request_id(headers))
        scope["polyvigil.event"] = event

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                event.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", event.id)]
            await send(message)

        started = time.perf_counter()
        if rules.counted:
            self._metrics.received(rules.name)
        code = "internal"
        try:
            code = await self._answer(scope, receive, send_named, rules, headers)
        finally:
            if rules.counted:
                self._ended(rules, event, code, started)

    def refuse_early(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Reply | None:
        """The refusal of a request of posts for which there is no time now, by its head alone: most requests that come
        in vain cost no more. None of any other, which then comes as an ASGI request."""
        rules = self._routes.get(path)
        if rules is None or rules.admission is None or method != "POST":
            return None
        started = time.perf_counter()
        try:
            rules.admission()
        except RefusalError as error:
            refusal = error
        else:
            return None
        try:
            self._check_rights(rules, headers)
        except RefusalError:
            return None
        if refusal.closes:
            return None
        event = RequestEvent(_request_id(headers), status=refusal.status)
        self._metrics.received(rules.name)
        self._ended(rules, event, refusal.code, started)
        return Reply(rules.error_body(refusal), refusal.status, (JSON, *refusal.headers(), (b"x-request-id", event.id)))

    def _ended(self, rules: RouteRules, event: RequestEvent, code: str, started: float) -> None:
        self._metrics.ended(rules.name, code)
        milliseconds = 1000 * (time.perf_counter() - started)
        ACCESS.info(
            "%s %s %d %s %d posts %d characters %.1f ms",
            event.id.decode(), rules.name, event.status, code or "ok", event.posts, event.characters, milliseconds,
        )  # fmt: skip

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, rules: RouteRules, headers: dict[bytes, bytes]
    ) -> str:
        """The code of what became of a request; empty for an answer."""
        event: RequestEvent = scope["polyvigil.event"]
        try:
            self._check_rights(rules, headers)
            await self._app(scope, receive, send)
        except RefusalError as refusal:
            await _send_refusal(send, refusal, rules.error_body)
            return refusal.code
        except ClientGoneError:
            return "client_gone"
        except Exception as error:
            # Without the message, which may hold a post.
            where = "; ".join(f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__))
            LOG.error("request %s failed: %s at %s", event.id.decode(), type(error).__name__, where)
            if not event.status:
                failure = RefusalError(
                    "internal", "the service failed on this request", hint="see its log", where=event.id.decode()
                )
                await _send_refusal(send, failure, rules.error_body)
            return "internal"
        return ""

    def _check_rights(self, rules: RouteRules, headers: Mapping[bytes, bytes]) -> None:
        self._check_host(headers.get(b"host", b""))
        if self._token and not rules.open:
            self._check_token(headers.get(b"authorization", b""))

    def _check_host(self, value: bytes) -> None:
        name = host_name(value.decode("latin-1"))
        if name not in self._hosts:
            raise RefusalError("host", "this Host is not served here", hint="start the service with --allow-host NAME")

    def _check_token(self, value: bytes) -> None:
        scheme, _, token = value.partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(hashlib.sha256(token.strip()).digest(), self._token):
            what = "the token is wrong" if value else "a token is needed"
            raise RefusalError("token", what, hint="send the header Authorization: Bearer TOKEN")


_OTHER = RouteRules("other")


def _request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """That of the client, or one at random: not secret, so not from the system, whose answer takes longer."""
    given = headers.get(b"x-request-id", b"")
    return given if _REQUEST_ID.fullmatch(given) else b"%016x" % random.getrandbits(64)


async def _send_refusal(send: Send, refusal: RefusalError, body_of: ErrorBody) -> None:
    await send_response(send, body_of(refusal), status=refusal.status, headers=[JSON, *refusal.headers()])
