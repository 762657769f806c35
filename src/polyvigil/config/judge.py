"""The chat endpoint that judges posts near a threshold: ``judge.toml``, no section of a recipe."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from polyvigil.config.base import Spec

_HERE = {"localhost", "127.0.0.1", "::1"}


class ChatSpec(Spec):
    """A chat endpoint of the OpenAI kind that judges single posts (docs/judge.md). A file of its own, no recipe."""

    base_url: str = Field(description="what stands before /chat/completions, as http://localhost:8000/v1")
    model: str = Field(min_length=1, description="as the endpoint calls it")
    key_variable: str = Field(
        default="", description="the environment variable that holds the key; empty: no key is sent"
    )
    prompt: Literal["1"] = Field(default="1", description="which of the shipped prompts is sent before the post")
    insecure_http: bool = Field(
        default=False, description="allow http:// to another machine: everybody on the way can read the posts"
    )
    timeout: float = Field(default=60.0, gt=0, le=3600, description="seconds until an answer must be there")
    attempts: int = Field(default=4, ge=1, le=20, description="for a post, where the endpoint is busy or out of reach")
    wait: float = Field(
        default=1.0, ge=0, le=600, description="seconds before the second attempt, doubled before each further one"
    )
    concurrency: int = Field(default=4, ge=1, le=64, description="posts that are asked about at once")
    most_characters: int = Field(default=4000, ge=100, description="a longer post is cut here, after it was masked")
    answer_tokens: int = Field(default=64, ge=8, le=16384, description="longest answer; reasoning models need more")
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="sent along, for endpoints that heed it")
    price_in: float | None = Field(default=None, ge=0, description="of a million tokens sent, in any currency")
    price_out: float | None = Field(default=None, ge=0, description="of a million tokens answered")

    @model_validator(mode="after")
    def _address(self) -> ChatSpec:
        url = urlsplit(self.base_url)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
            raise ValueError("base_url must be as https://host/v1 or http://localhost:8000/v1")
        if url.username or url.password:
            raise ValueError("base_url must hold no user or password; name the key's variable in key_variable")
        if url.scheme == "http" and url.hostname not in _HERE and not self.insecure_http:
            raise ValueError(
                "base_url is http:// to another machine, so everybody on the way can read the posts; use https://, or "
                "say insecure_http = true"
            )
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("give both price_in and price_out, or neither")
        return self
