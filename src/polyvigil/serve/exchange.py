"""One request on its way through a route: its body within all limits, its deadline, whether its client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from polyvigil.config.serve import ServeSpec
from polyvigil.serve.gate import RequestEvent
from polyvigil.serve.requests import RequestPost, read_json
from polyvigil.web.asgi import Receive, Scope, read_body
from polyvigil.web.refusal import RefusalError

TIMEOUT_HEADER = "X-Request-Timeout"
_LONGEST_TIMEOUT = 3600.0


class Exchange:
    """A request; ``event`` is what the log will say of it."""

    def __init__(self, scope: Scope, receive: Receive, spec: ServeSpec) -> None:
        self._receive, self._spec = receive, spec
        self._headers: dict[bytes, bytes] = dict(scope["headers"])
        self.event: RequestEvent = scope["polyvigil.event"]

    def header(self, name: bytes) -> bytes:
        """The value of a header, whose name is in lower case; empty without it."""
        return self._headers.get(name, b"")

    def note(self, posts: Sequence[RequestPost]) -> None:
        """Count posts and characters for the log."""
        self.event.posts, self.event.characters = len(posts), sum(len(post.text) for post in posts)

    @property
    def limit(self) -> float | None:
        """Seconds that the client gives for an answer; None where it says nothing. Raises RefusalError."""
        value = self.header(TIMEOUT_HEADER.lower().encode())
        if not value:
            return None
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= _LONGEST_TIMEOUT:
            message = f"seconds between 0 and {_LONGEST_TIMEOUT:g} are expected"
            raise RefusalError("usage", message, hint="for example 2.5", where=TIMEOUT_HEADER)
        return seconds

    async def json(self, *, admit: Callable[[], None] = lambda: None) -> Any:
        """The document in the body. ``admit`` is asked once the body is there, before it is parsed, and may refuse it.

        Raises RefusalError for any other body; ClientGoneError.
        """
        kind = self.header(b"content-type").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise RefusalError(
                "encoding", "the body is not application/json", hint="send Content-Type: application/json"
            )
        body = await read_body(self._receive, self._headers, self._spec)
        admit()
        return read_json(body, max_depth=self._spec.max_depth)

    def gone(self) -> asyncio.Task[None]:
        """A task that ends when the client leaves; for use behind the body."""

        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass

        return asyncio.create_task(watch())
