"""How a bundle is served over HTTP: options of ``polyvigil serve``, no section of a recipe."""

from __future__ import annotations

from pydantic import Field

from polyvigil.config.base import Spec


class ServeSpec(Spec):
    """Limits and manners of the scoring service. Times are seconds."""

    host: str = Field(default="127.0.0.1", min_length=1, description="the address that is listened on")
    port: int = Field(default=8000, ge=0, le=65535, description="the port; 0: a free one")
    allow_hosts: tuple[str, ...] = Field(
        default=(), description="names in the Host header that are answered, beside those of this computer itself"
    )
    insecure: bool = Field(default=False, description="listen on an address beyond this computer without a token")
    max_wait: float = Field(
        default=5.0, gt=0, le=3600, description="expected wait of a post beyond which requests are refused (429)"
    )
    drain: float = Field(default=30.0, ge=0, le=3600, description="time to answer what is queued, when stopping")
    max_body: int = Field(default=2 * 1024 * 1024, ge=1024, description="bytes of a body (413)")
    max_posts: int = Field(default=256, ge=1, le=10_000, description="posts of a request (422)")
    max_explained: int = Field(default=16, ge=1, le=1000, description="posts of a request to explain (422)")
    max_characters: int = Field(default=100_000, ge=100, description="characters of a post (an error of that post)")
    max_depth: int = Field(default=16, ge=4, le=100, description="nesting of a JSON body (400)")
    max_open: int = Field(default=1024, ge=1, description="requests that are answered at a time (429)")
    max_connections: int = Field(default=4096, ge=1, description="open connections; a further one is closed at once")
    body_time: float = Field(default=10.0, gt=0, description="time for headers, and then for a body, to arrive (408)")
    header_bytes: int = Field(default=16 * 1024, ge=1024, description="bytes of all headers (431)")
    keep_alive: float = Field(default=30.0, gt=0, description="time that an idle connection stays open")
    ready_age: float = Field(default=10.0, gt=0, description="a readiness check scores a post where none was so lately")
    endpoint_posts: int = Field(
        default=10_000, ge=0, description="posts that may be put to the bundle's chat endpoint, until it is restarted"
    )


class ReplicaSpec(Spec):
    """How many copies of the service run on a Ray cluster, and where it is."""

    address: str = Field(default="", description="of the cluster: auto, HOST:PORT; empty: one is started here")
    replicas: int = Field(default=1, ge=1, le=10_000, description="copies of the service, each with the bundle loaded")
    max_replicas: int = Field(
        default=0, ge=0, le=10_000, description="where load asks for it so many; 0: no more than replicas"
    )

    @property
    def most(self) -> int:
        """The largest number of replicas."""
        return max(self.replicas, self.max_replicas)
