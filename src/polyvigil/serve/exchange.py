"""One request on its way through a route: its body within all limits, its deadline, whether its client has left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from polyvigil.config.serve import ServeSpec
from polyvigil.serve.gate import Message, Receive, RequestEvent, Scope
from polyvigil.serve.refusal import RefusalError
from polyvigil.serve.requests import RequestPost, read_json
from polyvigil.serve.service import ClientGoneError

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

    async def json(self) -> Any:
        """The document in the body. Raises RefusalError for any other body; ClientGoneError."""
        kind = self.header(b"content-type").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise RefusalError(
                "encoding", "the body is not application/json", hint="send Content-Type: application/json"
            )
        return read_json(await self._body(), max_depth=self._spec.max_depth)

    async def _body(self) -> bytes:
        if self.header(b"content-encoding").lower() not in (b"", b"identity"):
            raise RefusalError("encoding", "a compressed body is not read", hint="send it without Content-Encoding")
        declared = self.header(b"content-length")
        if declared.isdigit() and int(declared) > self._spec.max_body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._spec.body_time):
                return await self._read()
        except TimeoutError:
            message = f"the body was not there in {self._spec.body_time:g} s"
            raise RefusalError("slow_body", message, hint="send it again, faster or in parts") from None

    async def _read(self) -> bytes:
        message = await self._next()
        if not message.get("more_body"):
            body: bytes = message.get("body", b"")
            if len(body) > self._spec.max_body:
                raise self._too_large()
            return body
        parts, size = [message.get("body", b"")], len(message.get("body", b""))
        while message.get("more_body"):
            message = await self._next()
            size += len(message.get("body", b""))
            if size > self._spec.max_body:
                raise self._too_large()
            parts.append(message.get("body", b""))
        return b"".join(parts)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        return message

    def _too_large(self) -> RefusalError:
        return RefusalError(
            "too_large", f"the body has more than {self._spec.max_body:,} bytes", hint="send several requests"
        )

    def gone(self) -> asyncio.Task[None]:
        """A task that ends when the client leaves; for use behind the body."""

        async def watch() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass

        return asyncio.create_task(watch())
