"""The service as an ASGI application: ``create_app`` makes one from a bundle, with no state outside of it.

    app = create_app("demo/bundle")        # then: uvicorn module:app, or gunicorn -k uvicorn_worker.UvicornWorker

The thread that scores begins with the application's lifespan, in the process that serves: workers that are forked or
spawned each have their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.routing import Route, Router

from polyvigil.bundle.store import Bundle
from polyvigil.config.serve import ServeSpec
from polyvigil.serve import collector
from polyvigil.serve.exchange import Exchange
from polyvigil.serve.gate import Gate
from polyvigil.serve.routes import Handler, Handlers
from polyvigil.serve.service import Service
from polyvigil.serve.token import check_token
from polyvigil.web.asgi import Receive, Scope, Send, send_response
from polyvigil.web.hosts import allowed_hosts
from polyvigil.web.refusal import RefusalError
from polyvigil.web.server import EarlyRefusal


class ScoringApp:
    """The ASGI application, and the ``service`` behind it, for whoever runs it."""

    def __init__(self, service: Service, *, token: str) -> None:
        self.service = service
        specs = Handlers(service).routes()
        routes = [Route(one.path, _Endpoint(one.method, one.handler, service.spec)) for one in specs]
        self._gate = Gate(
            Router(routes, redirect_slashes=False, default=_no_such_path, lifespan=self._lifespan),
            {one.path: one.rules for one in specs},
            service.metrics,
            hosts=allowed_hosts(service.spec.host, service.spec.allow_hosts),
            token=token,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gate(scope, receive, send)

    @property
    def refuse_early(self) -> EarlyRefusal:
        """For a server that can refuse before it makes a request (web.server.server_config)."""
        return self._gate.refuse_early

    @asynccontextmanager
    async def _lifespan(self, _: object) -> AsyncIterator[None]:
        await asyncio.to_thread(self.service.serving.smoke_score)  # compiles and fills caches: no client waits for that
        self.service.start()
        await self.service.is_ready()
        collector.set_aside()
        try:
            yield
        finally:
            collector.take_back()
            self.service.stop()


def create_app(
    bundle: Bundle | str | Path,
    spec: ServeSpec | None = None,
    *,
    token: str = "",
    device: str = "auto",
    ask_endpoint: bool = False,
) -> ScoringApp:
    """An ASGI application that scores by ``bundle``: a folder, which a reload reads again, or a loaded bundle.

    ``token``: what clients send as ``Authorization: Bearer``; without one all are answered, so mind who can reach it.
    Raises BundleError, and RecipeError for a token that can be guessed.
    """
    if token:
        check_token(token, where="token")
    return ScoringApp(Service(bundle, spec or ServeSpec(), device=device, ask_endpoint=ask_endpoint), token=token)


class _Endpoint:
    """An ASGI application for one path: the method, then the handler."""

    def __init__(self, method: str, handler: Handler, spec: ServeSpec) -> None:
        self._method, self._handler, self._spec = method, handler, spec

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope["method"]
        if method != self._method and (method, self._method) != ("HEAD", "GET"):
            raise RefusalError(
                "method", f"{method} is not for this path", hint=f"use {self._method}", allow=self._method
            )
        reply = await self._handler(Exchange(scope, receive, self._spec))
        await send_response(send, reply.body, status=reply.status, headers=list(reply.headers))


async def _no_such_path(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - an ASGI application
    if scope["type"] == "http":
        raise RefusalError("not_found", "nothing is at this path", hint="see /openapi.json")
    await send({"type": "websocket.close", "code": 1008})
