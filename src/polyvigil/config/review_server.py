"""How a review store is opened for people: options of ``polyvigil review open``."""

from __future__ import annotations

from pydantic import Field

from polyvigil.config.web import WebSpec


class ReviewServerSpec(WebSpec):
    """Where the review pages listen, and whom they trust. Times are seconds."""

    port: int = Field(default=8010, ge=0, le=65535, description="the port; 0: a free one")
    max_body: int = Field(default=64 * 1024, ge=1024, description="bytes of a body (413)")
    proxy_user: str = Field(
        default="", description="the header in which a proxy on this computer names the person who has signed in there"
    )
    tls_cert: str = Field(default="", description="a file with the certificate, for an address beyond this computer")
    tls_key: str = Field(default="", description="the file with its key")
    insecure_http: bool = Field(default=False, description="listen beyond this computer without TLS")
