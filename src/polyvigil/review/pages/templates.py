"""The templates of the review pages, and their static files under names that hold their hash."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from polyvigil.review.pages.shown import VERDICT_WORDS
from polyvigil.review.pages.visit import Visit
from polyvigil.text.visible import visible

_FOLDER = Path(__file__).with_name("static")
_KINDS = {".css": b"text/css; charset=utf-8", ".js": b"text/javascript; charset=utf-8"}
_LINKS = (
    # name, path, roles
    ("Queue", "/", ("reviewer", "lead", "auditor")),
    ("Post", "/post", ("reviewer", "lead")),
    ("Conflicts", "/conflicts", ("lead",)),
    ("Audit", "/audit", ("reviewer", "lead", "auditor")),
    ("Metrics", "/metrics", ("lead", "auditor")),
    ("Log", "/log", ("lead", "auditor")),
    ("Policy", "/policy", ("reviewer", "lead", "auditor")),
)


def _hashed(name: str) -> tuple[str, bytes]:
    content = (_FOLDER / name).read_bytes()
    stem, _, ending = name.rpartition(".")
    return f"/static/{stem}-{hashlib.sha256(content).hexdigest()[:12]}.{ending}", content


STYLE, SCRIPT = _hashed("review.css"), _hashed("review.js")
STATIC = {path: (content, _KINDS[Path(path).suffix]) for path, content in (STYLE, SCRIPT)}
"""Of each path the content and its type."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("polyvigil.review.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    environment.globals.update(style=STYLE[0], script=SCRIPT[0], verdict_words=VERDICT_WORDS)
    return environment


def page(name: str, visit: Visit, *, title: str, **values: Any) -> str:
    """A page by its template, for the person of a request. No title holds anything of a post."""
    session = visit.session
    role = session.person.role if session else ""
    return (
        _environment()
        .get_template(name)
        .render(
            title=title,
            path=visit.path,
            session=session,
            links=[(text, path) for text, path, roles in _LINKS if role in roles],
            store_id=visit.store.id,
            hotkeys=visit.options.keys,
            hotkey_actions=json.dumps(visit.options.keys.actions()),
            marks_terms=visit.options.terms is not None,
            **values,
        )
    )
