"""A chat endpoint of the OpenAI kind as a second stage: what it is, the permission to ask it, and an open session.

In come the posts near a threshold, each masked before it is sent; out come probabilities, NaN for a post without a
usable answer, and what the requests took. Nothing is sent without a permission, nothing is ever guessed, and an answer
that was paid for once stays on disk, as a hash and a number without text.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from polyvigil.config.judge import ChatSpec
from polyvigil.data.append_log import append_entries, read_entries
from polyvigil.data.fingerprint import fingerprint
from polyvigil.detect.base import FitRecord
from polyvigil.detect.reading import read_config
from polyvigil.errors import BundleError, RecipeError
from polyvigil.judge.client import ChatClient, Failure, Prompt, Reply, read_answer, read_last_answer, read_prompt
from polyvigil.judge.messages import NO_CONTEXT, Context, MessageWriter, UserMessage, read_context
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Frozen, Post, Probabilities

CONFIG_FILE = "config.json"
KIND: Literal["chat"] = "chat"
_GIVE_UP_AFTER = 8
"""After so many posts in a row without a reply the endpoint is not asked again."""


class EndpointConfig(Frozen):
    """``config.json`` of an endpoint in a bundle. Neither the key nor any answer is in it."""

    kind: Literal["chat"] = KIND
    normalisation: str = NORMALISATION
    """That of the bundle; of its steps, HTML is undone before a post is masked."""
    spec: ChatSpec
    prompt_sha256: str
    fit_record: FitRecord
    """Of no posts: an endpoint is not fitted here."""


class Usage(Frozen):
    """What requests took."""

    posts: int = 0
    """Posts that were given to the endpoint, those answered from disk included."""
    cached: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    """As the endpoint counts them; answers from disk cost none."""
    cost: float | None = None
    """By the configuration's prices; None where it names none."""
    reasons: tuple[str, ...] = ()
    """Why posts failed, each once."""


@dataclass(frozen=True, slots=True)
class EndpointPermission:
    """A user's word that posts may be sent to the endpoint. ``offline``: only answers on disk are used."""

    offline: bool = False


@dataclass(frozen=True, slots=True)
class EndpointResult:
    """``probabilities`` (n_posts,), NaN for a post without a usable answer; what these posts took."""

    probabilities: Probabilities
    usage: Usage | None
    """None where nothing may be asked."""


class EndpointSession:
    """An open session with one endpoint. ``usage`` adds up all requests since it was opened."""

    def __init__(
        self, config: EndpointConfig, prompt: Prompt, permission: EndpointPermission, *, context: Context = NO_CONTEXT
    ) -> None:
        """Raises RecipeError where the key's environment variable is empty."""
        self._spec = spec = config.spec
        self.usage = total_usage(spec, ())
        self._writer = MessageWriter(spec, config.normalisation, context)
        self._prompt = prompt
        self._answers = AnswerLog(answers_path(), model=spec.model, prompt=prompt.sha256)
        self._client = None if permission.offline else ChatClient(spec, key=_key(spec))
        self._counting = threading.Lock()
        self._failures_in_a_row = 0
        self._given_up = ""

    def request(self, posts: Sequence[Post]) -> EndpointResult:
        """P(ADE) of each post, in their order. The same message is sent once."""
        messages = self._writer.messages(posts)
        by_key = {message.key: self._answers.get(message.key) for message in messages}
        cached = sum(by_key[message.key] is not None for message in messages)
        unknown = list({message.key: message for message in messages if by_key[message.key] is None}.values())
        usages = [Usage(posts=len(posts), cached=cached)]
        if unknown and self._client is None:
            usages.append(Usage(reasons=("offline, and not answered before",)))
        elif unknown and self._client is not None:
            by_key |= self._send_all(self._client, unknown, usages)
        answers = [by_key[message.key] for message in messages]
        usages.append(Usage(failed=answers.count(None)))
        usage = total_usage(self._spec, usages)
        self.usage = total_usage(self._spec, (self.usage, usage))
        filled = [np.nan if answer is None else answer for answer in answers]
        return EndpointResult(np.array(filled, dtype=np.float64), usage)

    def _send_all(
        self, client: ChatClient, messages: Sequence[UserMessage], usages: list[Usage]
    ) -> dict[str, float | None]:
        """Send several at once; each answer is on disk before the next is looked at. What each took goes to
        ``usages``."""
        by_key: dict[str, float | None] = {message.key: None for message in messages}
        workers = ThreadPoolExecutor(self._spec.concurrency, thread_name_prefix="endpoint")
        try:
            waiting = {workers.submit(self._send, client, message.text): message.key for message in messages}
            for future in as_completed(waiting):
                key = waiting[future]
                answer, usage = self._read(future.result())
                usages.append(usage)
                if answer is not None:
                    self._answers.add(key, answer)
                    by_key[key] = answer
        finally:  # Ctrl-C too: nothing more is sent
            if not all(future.done() for future in waiting):
                client.stop.set()
            workers.shutdown(wait=True, cancel_futures=True)
        return by_key

    def _send(self, client: ChatClient, text: str) -> Reply | Failure:
        """Ask once, unless the endpoint was given up; the thread that asked counts the failure, so that it asks a
        refusing endpoint no second time."""
        if self._given_up:
            return Failure(self._given_up)
        reply = client.request(self._prompt.text, text)
        with self._counting:
            if not isinstance(reply, Failure):
                self._failures_in_a_row = 0
                return reply
            self._failures_in_a_row += 1
            if not self._given_up and (reply.final or self._failures_in_a_row >= _GIVE_UP_AFTER):
                self._given_up = reply.reason
        return reply

    def _read(self, reply: Reply | Failure) -> tuple[float | None, Usage]:
        """The answer in what came back, if there is one, and what it took."""
        if isinstance(reply, Failure):
            return None, Usage(reasons=(reply.reason,))
        answer = read_answer(reply.content) if self._prompt.version == "1" else read_last_answer(reply)
        reason = "an answer that is not the JSON asked for"
        if reply.truncated:
            reason = f"an answer that ends after answer_tokens = {self._spec.answer_tokens}; set it higher"
        reasons = () if answer is not None else (reason,)
        return answer, Usage(tokens_in=reply.tokens_in, tokens_out=reply.tokens_out, reasons=reasons)


def total_usage(spec: ChatSpec, usages: Iterable[Usage]) -> Usage:
    """The sum of several, its cost by the prices of ``spec``."""
    each = tuple(usages)
    tokens_in, tokens_out = sum(usage.tokens_in for usage in each), sum(usage.tokens_out for usage in each)
    return Usage(
        posts=sum(usage.posts for usage in each),
        cached=sum(usage.cached for usage in each),
        failed=sum(usage.failed for usage in each),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost=price(spec, tokens_in, tokens_out),
        reasons=tuple(dict.fromkeys(reason for usage in each for reason in usage.reasons)),
    )


def price(spec: ChatSpec, tokens_in: int, tokens_out: int) -> float | None:
    """What so many tokens cost by the configuration; None where it names no prices."""
    if spec.price_in is None or spec.price_out is None:
        return None
    return (tokens_in * spec.price_in + tokens_out * spec.price_out) / 1e6


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A configured endpoint; without a ``session`` nothing is sent and no post has an answer."""

    config: EndpointConfig
    session: EndpointSession | None = None
    context: Context = field(default=NO_CONTEXT, repr=False)

    kind: ClassVar[str] = KIND

    @property
    def fit_record(self) -> FitRecord:
        return self.config.fit_record

    @property
    def normalisation(self) -> str:
        return self.config.normalisation

    @property
    def log(self) -> None:
        """None: nothing is trained."""
        return

    def request(self, posts: Sequence[Post]) -> EndpointResult:
        """P(ADE) of each post, in their order; NaN for all without a session."""
        if self.session is None:
            return EndpointResult(np.full(len(posts), np.nan), None)
        return self.session.request(posts)

    def save(self, folder: Path) -> None:
        """Write configuration and context into an existing folder; ``load_endpoint`` reads them back."""
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        self.context.save(folder)


def open_endpoint(
    spec: ChatSpec,
    *,
    permission: EndpointPermission | None,
    normalisation: str = NORMALISATION,
    context: Context = NO_CONTEXT,
) -> Endpoint:
    """The endpoint of a configuration, for a bundle with this normalisation; ``context`` goes along with posts.

    Raises RecipeError where posts are to be sent and the key is missing, and for a context under prompt 1.
    """
    if context != NO_CONTEXT:
        check_takes_context(spec, where=spec.base_url)
    prompt = read_prompt(spec.prompt)
    nothing = FitRecord(seed=spec.seed, posts=0, positives=0, languages=(), train_fingerprint=fingerprint([]))
    config = EndpointConfig(normalisation=normalisation, spec=spec, prompt_sha256=prompt.sha256, fit_record=nothing)
    session = EndpointSession(config, prompt, permission, context=context) if permission else None
    return Endpoint(config, session, context)


def check_takes_context(spec: ChatSpec, *, where: str) -> None:
    """Raises RecipeError where examples or ingredients cannot go along with a post."""
    if spec.prompt == "1":
        raise RecipeError(
            "its prompt 1 knows no examples and no ingredients", where=where, hint='write prompt = "2" into it'
        )


def load_endpoint(folder: Path, *, permission: EndpointPermission | None = None) -> Endpoint:
    """Read what ``Endpoint.save`` wrote; nothing is sent before ``permission`` is given and a post is scored.

    Raises BundleError where it is damaged, or was made with another wording of its prompt.
    """
    config = read_config(folder / CONFIG_FILE, EndpointConfig, what="chat judge")
    prompt = read_prompt(config.spec.prompt)
    if prompt.sha256 != config.prompt_sha256:
        raise BundleError(
            f"was judged with another wording of prompt {prompt.version}",
            where=str(folder / CONFIG_FILE),
            hint="run polyvigil judge again",
        )
    context = read_context(folder)
    session = EndpointSession(config, prompt, permission, context=context) if permission else None
    return Endpoint(config, session, context)


def _key(spec: ChatSpec) -> str:
    if not spec.key_variable:
        return ""
    key = os.environ.get(spec.key_variable, "").strip()
    if not key.isascii() or not key.isprintable() or not key:
        raise RecipeError(
            "this environment variable holds no key for the endpoint",
            where=spec.key_variable,
            hint=f"set it before the command: export {spec.key_variable}=...",
        )
    return key


def answers_path() -> Path:
    """Where answers are kept: ``polyvigil/answers.jsonl`` in $XDG_CACHE_HOME, by default ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polyvigil" / "answers.jsonl"


class AnswerLog:
    """The answers of one model to one prompt: hashes and numbers in a file that only grows (data.append_log); each by
    the ``key`` of its message (judge.messages).

    A line that cannot be read, such as one that a kill tore, is passed over: its post is sent again.
    """

    def __init__(self, path: Path, *, model: str, prompt: str) -> None:
        """``prompt``: the hash of its text."""
        self._path = path
        self._identity = f"{model}\0{prompt}"
        self._known: dict[str, float] = {}
        for _, entry in read_entries(path):
            key, value = (entry.get("key"), entry.get("ade")) if entry else (None, None)
            if isinstance(key, str) and isinstance(value, int | float) and 0 <= value <= 1:
                self._known[key] = float(value)

    def get(self, key: str) -> float | None:
        """The answer to a message, or None."""
        return self._known.get(self._hash(key))

    def add(self, key: str, answer: float) -> None:
        """Keep an answer, on disk when it returns."""
        hashed = self._hash(key)
        self._known[hashed] = answer
        append_entries(self._path, [{"key": hashed, "ade": answer}], mode=0o600)

    def _hash(self, key: str) -> str:
        keyed = f"{self._identity}\0{key}"
        return hashlib.blake2b(keyed.encode(errors="surrogatepass"), digest_size=16).hexdigest()
