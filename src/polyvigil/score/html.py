"""Explained posts as one HTML page that needs nothing else: no script, nothing fetched, everything escaped."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import regex
from jinja2 import Environment, PackageLoader, StrictUndefined

from polyvigil.score.explained import ExplainedPost
from polyvigil.score.highlight import marked

# Control characters, lone surrogates, and what would turn round text beyond the post; LRM, RLM and joiners stay.
_HIDDEN = regex.compile(r"[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069--[\n\t]]", regex.V1)


def render_html(rows: Iterator[ExplainedPost], *, bundle: str) -> Iterator[bytes]:
    """The page in pieces, in UTF-8; memory does not grow with the number of ``rows``, which are drawn as it goes."""
    for piece in _environment().get_template("explained.html.j2").generate(rows=rows, bundle=bundle, marked=marked):
        yield piece.encode()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("polyvigil.score"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _visible(value: Any) -> Any:
    if type(value) is not str:
        return value
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", value.replace("\r\n", "\n").replace("\r", "\n"))
