"""How a program of ours listens: what scoring over HTTP and the review pages have in common."""

from __future__ import annotations

from pydantic import Field

from polyvigil.config.base import Spec


class WebSpec(Spec):
    """Where a server listens, whom it answers, and the limits of a request. Times are seconds."""

    host: str = Field(default="127.0.0.1", min_length=1, description="the address that is listened on")
    port: int = Field(default=8000, ge=0, le=65535, description="the port; 0: a free one")
    allow_hosts: tuple[str, ...] = Field(
        default=(), description="names in the Host header that are answered, beside those of this computer itself"
    )
    drain: float = Field(default=30.0, ge=0, le=3600, description="time to answer what is open, when stopping")
    max_body: int = Field(default=2 * 1024 * 1024, ge=1024, description="bytes of a body (413)")
    max_connections: int = Field(default=4096, ge=1, description="open connections; a further one is closed at once")
    body_time: float = Field(default=10.0, gt=0, description="time for headers, and then for a body, to arrive (408)")
    header_bytes: int = Field(default=16 * 1024, ge=1024, description="bytes of all headers (431)")
    keep_alive: float = Field(default=30.0, gt=0, description="time that an idle connection stays open")
