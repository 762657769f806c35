"""The shapes of ASGI, a whole response at once, and a request's body within all limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from polyvigil.config.web import WebSpec
from polyvigil.web.refusal import RefusalError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = (b"content-type", b"application/json")


class ClientGoneError(Exception):
    """The client has closed its connection: nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as data."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = (JSON,)


async def send_response(
    send: Send, body: bytes, *, status: int = 200, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """A whole response at once; JSON unless ``headers`` say otherwise."""
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status, "headers": [*(headers or [JSON]), length]}
    await send(start)
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], spec: WebSpec) -> bytes:
    """The body of a request. Raises RefusalError for one that is compressed, too large or late; ClientGoneError."""
    if headers.get(b"content-encoding", b"").lower() not in (b"", b"identity"):
        raise RefusalError("encoding", "a compressed body is not read", hint="send it without Content-Encoding")
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > spec.max_body:
        raise _too_large(spec)
    try:
        async with asyncio.timeout(spec.body_time):
            return await _read(receive, spec)
    except TimeoutError:
        message = f"the body was not there in {spec.body_time:g} s"
        raise RefusalError("slow_body", message, hint="send it again, faster or in parts") from None


async def _read(receive: Receive, spec: WebSpec) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > spec.max_body:
            raise _too_large(spec)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(spec: WebSpec) -> RefusalError:
    return RefusalError("too_large", f"the body has more than {spec.max_body:,} bytes", hint="send several requests")
