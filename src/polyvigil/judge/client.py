"""What a chat model is sent, one request over HTTP, and how its answer is read.

A message (judge.messages) goes out behind a shipped prompt; one number in [0, 1] comes back, or nothing. Prompts are
files that never change: a new wording is a new version. The standard library's client follows no redirect and uses no
proxy, so the post and the key go where the configuration says or nowhere. Errors name what happened in the project's
own words; nothing of an answer's text is kept or repeated, reasons included.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import ssl
import threading
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from polyvigil.config.judge import ChatSpec
from polyvigil.judge.deadline import Deadline

_FENCE = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL)
_LONGEST_ANSWER = 4_000_000  # bytes
_LONGEST_WAIT = 60.0  # seconds, whatever Retry-After says
_BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}


@dataclass(frozen=True, slots=True)
class Reply:
    """``content``: what the model said, not yet looked at."""

    content: object
    tokens_in: int
    tokens_out: int
    truncated: bool = False
    """Whether the endpoint says that the answer ended because it had its most tokens."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no reply. ``final``: the next post would fare no better."""

    reason: str
    final: bool = False
    wait: float = 0.0
    """Seconds that the endpoint asks to be left alone; 0 where it says nothing."""
    again: bool = False
    """Whether another attempt may do better."""


class ChatClient:
    """Sends requests to one endpoint (POST /chat/completions). ``stop`` ends all waiting. Safe to use from several
    threads at once."""

    def __init__(self, spec: ChatSpec, *, key: str) -> None:
        self._spec = spec
        self._url = urlsplit(spec.base_url)
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        self._headers |= {"Authorization": f"Bearer {key}"} if key else {}
        self._json_mode = spec.prompt == "1"  # which allows an answer no sentence before its object
        self.stop = threading.Event()

    def request(self, system: str, user: str) -> Reply | Failure:
        """Ask until there is a reply, at most ``spec.attempts`` times, the waits between them doubling."""
        failure = Failure("was stopped")
        for attempt in range(self._spec.attempts):
            if attempt and self.stop.wait(max(self._spec.wait * 2 ** (attempt - 1), min(failure.wait, _LONGEST_WAIT))):
                return failure
            json_mode = self._json_mode
            outcome = self._attempt(system, user, json_mode=json_mode)
            if isinstance(outcome, Failure) and outcome.reason == "HTTP 400" and json_mode:
                outcome = self._attempt(system, user, json_mode=False)
                if isinstance(outcome, Reply):
                    self._json_mode = False  # an older server, which knows no response_format
            if isinstance(outcome, Reply) or not outcome.again:
                return outcome
            failure = outcome
        return failure

    def _attempt(self, system: str, user: str, *, json_mode: bool) -> Reply | Failure:
        body: dict[str, Any] = {
            "model": self._spec.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
            "temperature": 0,
            "seed": self._spec.seed,
            "max_tokens": self._spec.answer_tokens,
        }
        if json_mode:
            body["response_format"] = {"type": "json_object"}
        with Deadline(self._spec.timeout) as deadline:
            return self._send(body, deadline)

    def _send(self, body: dict[str, Any], deadline: Deadline) -> Reply | Failure:
        """One request and what comes of it; nothing of it, the connection included, goes on after ``deadline``."""
        connection = self._connection(deadline)
        late = Failure("no answer in time", again=True)
        try:
            path = f"{self._url.path.rstrip('/')}/chat/completions"
            connection.request("POST", path, json.dumps(body).encode(), self._headers)
            response = connection.getresponse()
            if response.status != 200:
                return late if deadline.passed else _refusal(response)
            held = bytearray()
            while chunk := response.read1(65536):
                held += chunk
                if len(held) > _LONGEST_ANSWER:
                    return Failure("an answer of over 4 MB")
                if deadline.passed:
                    break
            return late if deadline.passed else _reply(bytes(held))
        except TimeoutError:
            return late
        except ssl.SSLCertVerificationError:
            return Failure("its certificate cannot be verified", final=True)
        except (OSError, http.client.HTTPException) as error:
            return late if deadline.passed else Failure(f"out of reach ({type(error).__name__})", again=True)
        finally:
            connection.close()

    def _connection(self, deadline: Deadline) -> http.client.HTTPConnection:
        host, port, timeout = self._url.hostname or "", self._url.port, self._spec.timeout
        if self._url.scheme == "http":
            connection = http.client.HTTPConnection(host, port, timeout=timeout)
        else:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
        connection._create_connection = deadline.connect  # type: ignore[attr-defined] # where http.client lets one in
        return connection


def _refusal(response: http.client.HTTPResponse) -> Failure:
    status = response.status
    try:
        wait = float(response.getheader("Retry-After") or 0)
    except ValueError:  # a date
        wait = 0.0
    busy = status in _BUSY
    return Failure(f"HTTP {status}", final=not busy and status != 413, wait=max(wait, 0.0), again=busy)


def _reply(raw: bytes) -> Reply | Failure:
    try:
        payload = json.loads(raw)
        choice = payload["choices"][0]
        content = choice["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return Failure("an answer that is no chat completion")
    usage = payload.get("usage")
    counts = [usage.get(name) if isinstance(usage, dict) else 0 for name in ("prompt_tokens", "completion_tokens")]
    tokens = [count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0 for count in counts]
    return Reply(content, tokens[0], tokens[1], truncated=choice.get("finish_reason") == "length")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A shipped prompt. ``text`` is the system's message; the user's is JSON (judge.messages)."""

    version: str
    text: str

    @property
    def sha256(self) -> str:
        """Of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_prompt(version: str) -> Prompt:
    """The prompt of a version (specs.ChatSpec.prompt)."""
    path = files("polyvigil.judge") / "prompts" / f"{version}.txt"
    return Prompt(version, path.read_text(encoding="utf-8").strip())


def read_answer(content: object) -> float | None:
    """The P(ADE) of an answer such as ``{"ade": 0.3}``, in [0, 1]; None for anything else.

    One object with that one key, once; a code fence around it is allowed. Text before or after it is not.
    """
    if not isinstance(content, str):
        return None
    inside = _FENCE.fullmatch(content.strip())
    try:
        parsed = json.loads(
            inside[1] if inside else content, object_pairs_hook=_KeyValues, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, _KeyValues) or [key for key, _ in parsed] != ["ade"]:
        return None
    value = parsed[0][1]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        return None
    return float(value)


def read_last_answer(reply: Reply) -> float | None:
    """The P(ADE) of a reply that ends in such an object, whatever sentence stands before it; None for anything else.

    A reply that had its most tokens is none: its last object may be one that it was quoting.
    """
    if not isinstance(reply.content, str) or reply.truncated:
        return None
    ending = reply.content.rstrip().removesuffix("```").rstrip()
    start = ending.rfind("{")
    return None if start < 0 else read_answer(ending[start:])


class _KeyValues(list[tuple[str, Any]]):
    """The pairs of a JSON object, doubled keys included."""


def _reject_constant(constant: str) -> float:
    raise ValueError(constant)


def estimated_tokens(text: str) -> int:
    """A rough count, before any is known: four ASCII characters or one other make a token."""
    plain = sum(character.isascii() for character in text)
    return -(-plain // 4) + len(text) - plain
