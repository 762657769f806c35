"""What the service says no with: each refusal by its code, and the HTTP status it is sent with."""

from __future__ import annotations

import json
import math

STATUS = {
    "json": 400,
    "token": 401,
    "not_found": 404,
    "method": 405,
    "slow_body": 408,
    "bundle": 409,
    "reloading": 409,
    "too_large": 413,
    "encoding": 415,
    "host": 421,
    "too_many": 422,
    "usage": 422,
    "post": 422,
    "busy": 429,
    "headers": 431,
    "internal": 500,
    "draining": 503,
    "not_ready": 503,
    "scoring_stopped": 503,
    "deadline": 504,
}
FAILURES = frozenset({"internal", "scoring_stopped", "deadline", "client_gone"})
"""What happened to a request that had been taken on; every other code is a refusal."""


class RefusalError(Exception):
    """Ends a request with an error: a ``code`` of STATUS, what is wrong, and what to do."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        where: str = "",
        retry_after: float | None = None,
        allow: str = "",
    ) -> None:
        """``retry_after``: seconds until it is worth to try again. ``allow``: the method that the path is for."""
        super().__init__(message)
        self.code, self.message, self.hint, self.where = code, message, hint, where
        self.retry_after, self.allow = retry_after, allow

    @property
    def status(self) -> int:
        return STATUS[self.code]

    @property
    def closes(self) -> bool:
        """Whether the connection ends with it, since more of a body may follow or the service is about to stop."""
        return self.code in {"slow_body", "too_large", "draining", "encoding"}

    def fields(self) -> dict[str, str]:
        """As ``--json`` writes an error."""
        return error_fields(self.code, self.message, self.hint, self.where)

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the response says beside its body."""
        result: list[tuple[bytes, bytes]] = []
        if self.retry_after is not None:
            result.append((b"retry-after", str(max(math.ceil(self.retry_after), 1)).encode()))
        if self.allow:
            result.append((b"allow", self.allow.encode()))
        if self.code == "token":
            result.append((b"www-authenticate", b"Bearer"))
        if self.closes:
            result.append((b"connection", b"close"))
        return result


def error_fields(code: str, message: str, hint: str, where: str) -> dict[str, str]:
    """An error as data: of a request or of one post in it."""
    return {"code": code, "message": message, "hint": hint, "where": where}


def error_body(refusal: RefusalError) -> bytes:
    """The body of an error."""
    return json.dumps({"ok": False, "error": refusal.fields()}).encode()
