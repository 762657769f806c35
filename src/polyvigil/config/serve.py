"""How a bundle is served over HTTP: options of ``polyvigil serve``, no section of a recipe."""

from __future__ import annotations

from pydantic import Field

from polyvigil.config.base import Spec
from polyvigil.config.web import WebSpec


class ServeSpec(WebSpec):
    """Limits and manners of the scoring service. Times are seconds."""

    insecure: bool = Field(default=False, description="listen on an address beyond this computer without a token")
    max_wait: float = Field(
        default=5.0, gt=0, le=3600, description="expected wait of a post beyond which requests are refused (429)"
    )
    max_posts: int = Field(default=256, ge=1, le=10_000, description="posts of a request (422)")
    max_explained: int = Field(default=16, ge=1, le=1000, description="posts of a request to explain (422)")
    max_characters: int = Field(default=100_000, ge=100, description="characters of a post (an error of that post)")
    max_depth: int = Field(default=16, ge=4, le=100, description="nesting of a JSON body (400)")
    max_open: int = Field(default=1024, ge=1, description="requests that are answered at a time (429)")
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
