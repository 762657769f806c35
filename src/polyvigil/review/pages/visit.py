"""One request of the review pages as data, its form or JSON read, and the person who makes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlencode

from polyvigil.config.review_keys import ReviewKeys
from polyvigil.errors import ReviewError
from polyvigil.review.people import Person, Session
from polyvigil.review.store import Store
from polyvigil.review.tasks import Filter
from polyvigil.text.mentions import Lexicon
from polyvigil.web.asgi import Reply

_LARGEST_INTEGER = 2**53
"""What JSON's readers in browsers keep whole."""
HTML = (b"content-type", b"text/html; charset=utf-8")


@dataclass(frozen=True, slots=True)
class DisplayOptions:
    """What the pages show and heed besides the store: single keys, and a user's drugs and reactions, to be marked."""

    keys: ReviewKeys = field(default_factory=ReviewKeys)
    terms: Lexicon | None = None


_DEFAULTS = DisplayOptions()


@dataclass(frozen=True)
class Visit:
    """A request. ``session`` is None of one who has not signed in. ``client`` is the address of the other end."""

    store: Store
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes
    client: str
    is_tls: bool
    options: DisplayOptions = _DEFAULTS
    session: Session | None = None
    task: int | None = None
    """Of a path that names one."""

    @property
    def person(self) -> Person:
        """Who has signed in. Raises ReviewError (``signed_out``)."""
        if self.session is None:
            raise ReviewError("signed_out", "you are not signed in", hint="open your personal link")
        return self.session.person

    def header(self, name: str) -> str:
        """The value of a header; empty without it."""
        return self.headers.get(name.lower().encode(), b"").decode("latin-1").strip()

    @cached_property
    def is_json(self) -> bool:
        """Whether the script asks, no form: the answer is JSON then."""
        return self._content_type == "application/json" or self.header("accept") == "application/json"

    @property
    def _content_type(self) -> str:
        return self.header("content-type").partition(";")[0].strip().lower()

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The fields of the body: of a JSON object, or of a form. Raises ReviewError (``usage``)."""
        if not self.body:
            return {}
        try:
            text = self.body.decode()
            if self._content_type == "application/json":
                document = json.loads(text)
                if not isinstance(document, dict):
                    raise ReviewError("usage", "the body is no object", where="body")
                return document
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100, errors="strict")
        except (ValueError, RecursionError):
            raise ReviewError("usage", "the body can not be read", where="body") from None
        form: dict[str, Any] = dict(pairs)
        if "criteria" in form:
            form["criteria"] = [value for name, value in pairs if name == "criteria"]
        return form

    def text(self, name: str, *, default: str = "") -> str:
        """A field that is text. Raises ReviewError."""
        value = self.fields.get(name, default)
        if not isinstance(value, str):
            raise ReviewError("usage", "text is expected", where=name)
        return value

    def number(self, name: str) -> int:
        """A field that is a whole number. Raises ReviewError."""
        return whole_number(self.fields.get(name), name)

    def numbers(self, name: str, *, most: int = 100) -> list[int]:
        """A field that is a list of whole numbers; empty without it. Raises ReviewError."""
        values = self.fields.get(name, [])
        if not isinstance(values, list) or len(values) > most:
            raise ReviewError("usage", f"a list of at most {most} numbers is expected", where=name)
        return [whole_number(value, name) for value in values]

    @cached_property
    def chosen(self) -> Filter:
        """Which posts the person has chosen to read: parameters of the URL, which hold no post text."""
        batch = self.query.get("batch", "")
        return Filter(
            language=self.query.get("language", "").strip()[:40],
            type=self.query.get("type", "").strip()[:100],
            purpose=self.query.get("purpose", "") if self.query.get("purpose") in ("queue", "learn") else "",
            batch=whole_number(batch, "batch") if batch else None,
        )

    @cached_property
    def chosen_query(self) -> str:
        """The same as the end of a URL: ``?language=de``, or nothing."""
        values = {name: getattr(self.chosen, name) for name in ("language", "type", "purpose", "batch")}
        pairs = {name: value for name, value in values.items() if value not in ("", None)}
        return f"?{urlencode(pairs)}" if pairs else ""


def whole_number(value: object, name: str) -> int:
    """A whole number that a request gives, as JSON or as text. Raises ReviewError."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if type(value) is not int or not 0 <= value <= _LARGEST_INTEGER:
        raise ReviewError("usage", "a whole number is expected", where=name)
    return value


def redirect(path: str, *headers: tuple[bytes, bytes]) -> Reply:
    """See another page (303)."""
    return Reply(b"", 303, (HTML, (b"location", path.encode("ascii", "ignore")), *headers))


def json_answer(data: object, *, status: int = 200) -> Reply:
    """``{"ok": true, "data": ...}``."""
    return Reply(json.dumps({"ok": True, "data": data}, separators=(",", ":")).encode(), status)


def html(text: str, *, status: int = 200) -> Reply:
    """A page."""
    return Reply(text.encode("utf-8", "replace"), status, (HTML,))
