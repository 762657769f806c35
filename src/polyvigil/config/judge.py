"""The chat endpoint that judges posts near a threshold: ``judge.toml``, no section of a recipe."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from polyvigil.config.base import Spec

_HERE = {"localhost", "127.0.0.1", "::1"}
_OF_EXAMPLES = frozenset({"examples", "example_characters", "kept_examples"})
"""Settings that change nothing under prompt 1, which knows no examples."""
_ANSWER_TOKENS = {"2": 256}  # a sentence of 25 words takes up to about 100 tokens in scripts that split badly


class ChatSpec(Spec):
    """A chat endpoint of the OpenAI kind that judges single posts (docs/judge.md). A file of its own, no recipe."""

    base_url: str = Field(description="what stands before /chat/completions, as http://localhost:8000/v1")
    model: str = Field(min_length=1, description="as the endpoint calls it")
    key_variable: str = Field(
        default="", description="the environment variable that holds the key; empty: no key is sent"
    )
    prompt: Literal["1", "2"] = Field(
        default="1",
        description="which of the shipped prompts is sent before the post; 2 wants a sentence of reasons before the "
        "answer, and knows examples and the ingredients of medicines",
    )
    examples: int = Field(
        default=4, ge=2, le=16, multiple_of=2, description="labelled posts that go along with each, half with an ADE"
    )
    example_characters: int = Field(default=500, ge=50, le=4000, description="a longer example is cut here")
    kept_examples: int = Field(
        default=2000, ge=2, le=20000, description="labelled posts that the bundle keeps to choose examples from"
    )
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
    answer_tokens: int = Field(
        default=64, ge=8, le=16384, description="longest answer; 256 with prompt 2; reasoning models need more"
    )
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="sent along, for endpoints that heed it")
    price_in: float | None = Field(default=None, ge=0, description="of a million tokens sent, in any currency")
    price_out: float | None = Field(default=None, ge=0, description="of a million tokens answered")

    @model_validator(mode="before")
    @classmethod
    def _room_for_reasons(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and (tokens := _ANSWER_TOKENS.get(str(fields.get("prompt")))):
            return {"answer_tokens": tokens} | fields
        return fields

    @model_validator(mode="after")
    def _examples_are_sent(self) -> ChatSpec:
        if self.prompt == "1" and (idle := sorted(_OF_EXAMPLES & self.model_fields_set)):
            raise ValueError(f'{idle[0]} changes nothing with prompt = "1"; set prompt = "2"')
        return self

    @model_serializer(mode="wrap")
    def _without_idle_settings(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = serialise(self)
        return {name: value for name, value in fields.items() if self.prompt != "1" or name not in _OF_EXAMPLES}

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
