"""What each path of the service does: a request's posts to the service, its results as JSON."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from polyvigil.serve import kserve, openapi, tei
from polyvigil.serve.bundle_facts import bundle_facts
from polyvigil.serve.exchange import Exchange
from polyvigil.serve.gate import RouteRules
from polyvigil.serve.metrics import CONTENT_TYPE
from polyvigil.serve.requests import PREVALENCE, PostError, RequestPost, Result, check_keys, read_posts, read_prevalence
from polyvigil.serve.service import EXPLAIN, Service
from polyvigil.web.asgi import Reply
from polyvigil.web.refusal import RefusalError

_STATIC = Path(__file__).with_name("static")
_STATIC_FILES = {  # path: file, type
    "/": ("try.html", b"text/html; charset=utf-8"),
    "/static/try.css": ("try.css", b"text/css; charset=utf-8"),
    "/static/try.js": ("try.js", b"text/javascript; charset=utf-8"),
}
_SECURITY = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; "
        b"base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


def json_reply(document: object) -> Reply:
    """A document as a response; lone surrogates as escapes."""
    return Reply(json.dumps(document, separators=(",", ":")).encode())


Handler = Callable[[Exchange], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A path, the method it is for, and what is done."""

    method: str
    path: str
    handler: Handler
    rules: RouteRules


class Handlers:
    """What is done for each path."""

    def __init__(self, service: Service) -> None:
        self._service, self._spec = service, service.spec
        self._document = json.dumps(openapi.document(service.spec), indent=1).encode()

    def routes(self) -> list[RouteSpec]:
        """All of them. Health and metrics are not counted; what needs no token shows nothing of the bundle."""
        health = RouteRules("health", counted=False, open=True)
        admission = self._service.check_admission
        model = f"/v2/models/{kserve.MODEL}"
        return [
            RouteSpec("POST", "/v1/score", self.score, RouteRules("/v1/score", admission=admission)),
            RouteSpec(
                "POST", "/v1/explain", self.explain, RouteRules("/v1/explain", admission=partial(admission, EXPLAIN))
            ),
            RouteSpec("POST", "/v1/reload", self.reload, RouteRules("/v1/reload")),
            RouteSpec("GET", "/v1/bundle", self.bundle, RouteRules("/v1/bundle")),
            RouteSpec("GET", "/livez", self.live, health),
            RouteSpec("GET", "/readyz", self.ready, health),
            RouteSpec("GET", "/metrics", self.metrics, RouteRules("/metrics", counted=False)),
            RouteSpec("GET", "/openapi.json", self.openapi, RouteRules("/openapi.json")),
            RouteSpec(
                "POST", "/predict", self.predict, RouteRules("/predict", error_body=tei.error_body, admission=admission)
            ),
            RouteSpec("GET", "/v2/health/live", self.live, health),
            RouteSpec("GET", "/v2/health/ready", self.ready, health),
            RouteSpec("GET", f"{model}/ready", self.ready, health),
            RouteSpec("GET", "/v2", self.kserve_server, RouteRules("/v2", error_body=kserve.error_body)),
            RouteSpec("GET", model, self.kserve_model, RouteRules("/v2", error_body=kserve.error_body)),
            RouteSpec(
                "POST",
                f"{model}/infer",
                self.infer,
                RouteRules("/v2/infer", error_body=kserve.error_body, admission=admission),
            ),
            *(
                RouteSpec("GET", path, _static(name, kind), RouteRules("static", open=True))
                for path, (name, kind) in _STATIC_FILES.items()
            ),
        ]

    async def score(self, exchange: Exchange) -> Reply:
        """POST /v1/score."""
        with self._service.admitted() as admit:
            document = await exchange.json(admit=admit)
            posts = read_posts(document, most=self._spec.max_posts, options=(PREVALENCE,))
            return self._results(posts, await self._scored(exchange, posts, read_prevalence(document)))

    async def explain(self, exchange: Exchange) -> Reply:
        """POST /v1/explain."""
        with self._service.admitted(EXPLAIN) as admit:
            posts = read_posts(await exchange.json(admit=admit), most=self._spec.max_explained)
            exchange.note(posts)
            results = await self._service.explain(posts, limit=exchange.limit, gone=exchange.gone)
            return self._results(posts, results)

    async def predict(self, exchange: Exchange) -> Reply:
        """POST /predict."""
        with self._service.admitted() as admit:
            posts, alone = tei.read_inputs(await exchange.json(admit=admit), most=self._spec.max_posts)
            return json_reply(tei.predictions(await self._scored(exchange, posts), alone=alone))

    async def infer(self, exchange: Exchange) -> Reply:
        """POST /v2/models/polyvigil/infer."""
        with self._service.admitted() as admit:
            document = await exchange.json(admit=admit)
            posts = kserve.read_infer(document, most=self._spec.max_posts)
            return json_reply(kserve.infer_response(document, await self._scored(exchange, posts)))

    async def reload(self, exchange: Exchange) -> Reply:
        """POST /v1/reload."""
        document = await exchange.json()
        if not isinstance(document, dict):
            raise RefusalError("usage", "the body is no object", hint="send {}", where="body")
        check_keys(document, known=(), required=(), where="")
        return json_reply({"ok": True, "data": await self._service.reload()})

    async def bundle(self, _: Exchange) -> Reply:
        """GET /v1/bundle."""
        serving = self._service.serving
        return json_reply({"ok": True, "data": bundle_facts(serving.bundle, serving.facts, self._service.folder)})

    async def live(self, _: Exchange) -> Reply:
        """GET /livez."""
        return json_reply({"ok": True})

    async def ready(self, _: Exchange) -> Reply:
        """GET /readyz."""
        if self._service.draining:
            raise RefusalError("draining", "the service is stopping", hint="send posts to another", retry_after=1)
        if not await self._service.is_ready():
            raise RefusalError("not_ready", "no post can be scored at the moment", hint="ask again", retry_after=1)
        return json_reply({"ok": True})

    async def metrics(self, _: Exchange) -> Reply:
        """GET /metrics."""
        self._service.metrics.bundles(self._service.bundle_states())
        headers = ((b"content-type", CONTENT_TYPE.encode()),)
        return Reply(self._service.metrics.exposition(), headers=headers)

    async def openapi(self, _: Exchange) -> Reply:
        """GET /openapi.json."""
        return Reply(self._document)

    async def kserve_server(self, _: Exchange) -> Reply:
        """GET /v2."""
        return json_reply(kserve.server_metadata())

    async def kserve_model(self, _: Exchange) -> Reply:
        """GET /v2/models/polyvigil."""
        serving = self._service.serving
        return json_reply(kserve.model_metadata(serving.bundle.id, serving.facts.columns))

    async def _scored(
        self, exchange: Exchange, posts: list[RequestPost], prevalence: Mapping[str, float] = MappingProxyType({})
    ) -> list[Result]:
        exchange.note(posts)
        return await self._service.score(posts, prevalence, limit=exchange.limit, gone=exchange.gone)

    def _results(self, posts: list[RequestPost], results: list[Result]) -> Reply:
        """The response of /v1: a record or an error for each post."""
        record = next((result for result in results if isinstance(result, bytes)), None)
        bundle = json.loads(record)["bundle"] if record else self._service.serving.bundle.id
        data = b",".join(map(_result, posts, results))
        return Reply(b'{"ok":true,"bundle":%b,"data":[%b]}' % (json.dumps(bundle).encode(), data))


def _result(post: RequestPost, result: Result) -> bytes:
    """The id of a post, then its record or its error."""
    if isinstance(result, PostError):
        document = {"id": post.id, "ok": False, "error": result.fields()}
        return json.dumps(document, separators=(",", ":")).encode()
    return b'{"id":%b,"ok":true,%b' % (json.dumps(post.id).encode(), result[1:])


def _static(name: str, kind: bytes) -> Handler:
    """Gives a file of the page at /."""
    reply = Reply((_STATIC / name).read_bytes(), headers=((b"content-type", kind), *_SECURITY))

    async def handler(_: Exchange) -> Reply:
        return reply

    return handler
