"""A client of the scoring service: posts in, the decisions that the bundle would make here out.

    client = polyvigil.Client("http://127.0.0.1:8000")
    client.score(["these pills gave me such a headache"]).column("decision")

Large numbers of posts are sent in several requests at a time; a service that is busy or restarting is tried again after
the time it names (Retry-After), since scoring a post twice changes nothing. Only the standard library is used.
"""

from __future__ import annotations

import json
import os
import random
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from polyvigil.bundle.layout import Manifest
from polyvigil.config.data import DataSpec
from polyvigil.data.frames import Posts
from polyvigil.data.read import OnError
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.errors import BundleError, RecipeError, ServiceError
from polyvigil.scoring.facts import ALL, OutputFacts
from polyvigil.scoring.remote import RemoteBundle
from polyvigil.scoring.table import score_table
from polyvigil.scoring.wire import CALIBRATED, NOTHING, Decision
from polyvigil.serve.requests import PREVALENCE
from polyvigil.types import Post

TOKEN_VARIABLE = "POLYVIGIL_TOKEN"
_RETRIED = frozenset({408, 429, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_REQUEST_CHARACTERS = 150_000  # of a request; 2 MiB hold them in any script, escapes of JSON included
_DECISION_FIELDS = tuple(field.name for field in fields(Decision))


class Client:
    """Scores posts by a service at a URL. May be used by several threads at a time."""

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        timeout: float = 60.0,
        patience: float = 120.0,
        posts_per_request: int = 64,
        concurrency: int = 4,
    ) -> None:
        """``token``: else the environment variable POLYVIGIL_TOKEN. ``timeout``: seconds for one response;
        ``patience``: seconds in which a request that is refused for now is sent again. Raises RecipeError for no URL.
        """
        parts = urlsplit(url)
        try:
            self._port = parts.port
        except ValueError:
            self._port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or self._port == -1 or parts.query:
            raise RecipeError("is no URL of a service", where=url, hint="as http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._host, self._path = parts.hostname, parts.path.rstrip("/")
        self._class = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._token = token or os.environ.get(TOKEN_VARIABLE, "").strip()
        self._timeout, self._patience = timeout, patience
        self._posts_per_request, self._concurrency = posts_per_request, concurrency
        self._idle: list[HTTPConnection] = []
        self.close = weakref.finalize(self, _close_all, self._idle)
        """Closes the connections that are kept open for further requests; also done when nothing refers to it."""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def bundle(self) -> dict[str, Any]:
        """Which bundle serves: id, manifest, policy, card, metrics on its dev posts. Raises ServiceError."""
        facts: dict[str, Any] = self._request("GET", "/v1/bundle")["data"]
        return facts

    def remote_bundle(self) -> RemoteBundle:
        """The bundle as what files are scored by. It must go on to serve: BundleError where another one answers."""
        facts = self.bundle()
        try:
            manifest = Manifest.model_validate(facts["manifest"])
            policy = DecisionPolicy.model_validate_json(json.dumps(facts["policy"]))
            columns = DataSpec(trained_columns=facts.get("columns") or {}).trained_columns
            filled = OutputFacts(columns=tuple(facts["fields"]), prevalence=facts.get("prevalence") or {})
        except (KeyError, ValidationError) as error:
            raise self._unexpected() from error

        def decide(posts: Sequence[Post], detected: Sequence[bool]) -> list[Decision]:
            decisions = self.score_posts(posts, detected=detected)
            if any(decision.bundle != manifest.id for decision in decisions):
                raise BundleError("was replaced by another meanwhile", where=self.url, hint="score everything anew")
            return decisions

        return RemoteBundle(manifest, policy, decide, filled, columns)

    def score_posts(
        self,
        posts: Sequence[Post],
        *,
        detected: Sequence[bool] | None = None,
        prevalence: float | Mapping[str, float] | None = None,
    ) -> list[Decision]:
        """A decision for each post, in order, as ``polyvigil.score_posts``. A post without a language has it detected.

        ``detected``: whose language was detected by the caller. ``prevalence``: the share of ADEs among the posts, or
        among those of each language, to which the service re-bases ``p_calibrated``. Raises ServiceError for a service
        that is not reached, refuses, or cannot score one of the posts.
        """
        options: dict[str, object] = {}
        if prevalence is not None:
            options[PREVALENCE] = prevalence if isinstance(prevalence, int | float) else dict(prevalence)
        flags = [False] * len(posts) if detected is None else detected
        chunks = list(_chunks(list(zip(posts, flags, strict=True)), most=self._posts_per_request))
        score = partial(self._score_chunk, options=options)
        if len(chunks) == 1:
            return score(chunks[0])
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="polyvigil-client") as workers:
            return [decision for chunk in workers.map(score, chunks) for decision in chunk]

    def score(
        self,
        posts: Posts,
        languages: Iterable[object] | None = None,
        *,
        text: str = "",
        language: str = "",
        on_error: OnError = "fail",
        prevalence: float | Mapping[str, float] | None = None,
    ) -> Any:
        """A table of decisions, as ``polyvigil.score``, whose arguments these are. Raises DataError, ServiceError."""
        columns = {role: name for role, name in {"text": text, "language": language}.items() if name}
        bundle = self.remote_bundle()
        spec = DataSpec.model_validate({"columns": columns, "trained_columns": dict(bundle.trained_columns)})
        shares = {ALL: prevalence} if isinstance(prevalence, int | float) else prevalence
        return score_table(bundle, posts, languages=languages, spec=spec, on_error=on_error, prevalence=shares)

    def _score_chunk(self, chunk: Sequence[tuple[Post, bool]], *, options: Mapping[str, object]) -> list[Decision]:
        items = [
            {"id": str(index), "text": post.text, "language": post.language, "language_detected": was_detected}
            for index, (post, was_detected) in enumerate(chunk)
        ]
        document = self._request("POST", "/v1/score", {"posts": items, **options})
        records = document.get("data")
        if not isinstance(records, list) or [record.get("id") for record in records] != [item["id"] for item in items]:
            raise self._unexpected()
        for record, (post, _) in zip(records, chunk, strict=True):
            if not record.get("ok"):
                error = record["error"]
                message = f"the post with the id {post.id!r} is not scored: {error['message']}"
                raise ServiceError(message, where=self.url, hint=error["hint"])
        return [self._decision(record) for record in records]

    def _decision(self, record: dict[str, Any]) -> Decision:
        try:
            whole = {CALIBRATED: record["p"], **NOTHING, **record}
            values = {name: whole[name] for name in _DECISION_FIELDS}
        except KeyError as error:
            raise self._unexpected() from error
        return Decision(**values | {"flags": tuple(filter(None, values["flags"].split(";")))})

    def _request(self, method: str, path: str, document: object = None) -> dict[str, Any]:
        """The document of an answer; a service that is busy, stopping or not there is tried again for a while."""
        body = None if document is None else json.dumps(document).encode()
        end = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                status, retry_after, content = self._send(method, path, body)
            except (OSError, HTTPException) as error:
                failure = ServiceError(
                    f"cannot be reached ({type(error).__name__})", where=self.url, hint="is polyvigil serve running?"
                )
                failure.__cause__ = error
                retry_after = None
            else:
                if status == 200:
                    return self._parsed(content)
                failure = self._failure(status, content)
                if status not in _RETRIED and not _is_of_a_proxy(status, content):
                    raise failure
            # At least what the service names; apart from others that were refused at the same time.
            wait = max(retry_after or 0.0, pause) * random.uniform(1.0, 1.25)
            if time.monotonic() + wait > end:
                raise failure
            time.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _send(self, method: str, path: str, body: bytes | None) -> tuple[int, float | None, bytes]:
        """Status, Retry-After and body of one try, on a connection that nobody uses at the moment."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._class(self._host, self._port, timeout=self._timeout)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, self._path + path, body, headers)
            response: HTTPResponse = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException):
            connection.close()  # the next try begins with a new one
            raise
        self._idle.append(connection)
        retry_after = response.getheader("Retry-After") or ""
        return response.status, float(retry_after) if retry_after.isdigit() else None, content

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            document = json.loads(content)
        except ValueError as error:
            raise self._unexpected() from error
        if not isinstance(document, dict) or document.get("ok") is not True:
            raise self._unexpected()
        return document

    def _failure(self, status: int, content: bytes) -> ServiceError:
        try:
            error = json.loads(content)["error"]
            message, hint = f"{error['message']} ({status}, {error['code']})", error["hint"]
        except (ValueError, KeyError, TypeError):
            return ServiceError(f"answers with status {status}", where=self.url, hint="is this a polyvigil service?")
        if status == 401:
            hint = f"give the token in {TOKEN_VARIABLE}"
        return ServiceError(message, where=self.url, hint=hint)

    def _unexpected(self) -> ServiceError:
        return ServiceError(
            "answers with something else than this version reads", where=self.url, hint="compare polyvigil --version"
        )


def _close_all(connections: list[HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


def _is_of_a_proxy(status: int, content: bytes) -> bool:
    """Whether a failure is not the service's own, whose answers are JSON: a replica died, and another can answer."""
    return status == 500 and not content.lstrip().startswith(b"{")


def _chunks(items: Sequence[tuple[Post, bool]], *, most: int) -> Iterator[list[tuple[Post, bool]]]:
    """Posts of one request each: up to ``most``, and not too many characters."""
    chunk: list[tuple[Post, bool]] = []
    characters = 0
    for item in items:
        length = len(item[0].text)
        if chunk and (len(chunk) >= most or characters + length > _REQUEST_CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(item)
        characters += length
    if chunk:
        yield chunk
