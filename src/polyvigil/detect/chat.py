"""A judge behind a chat endpoint of the OpenAI kind: asked about single posts, masked, and only where a user said so.

A post without a usable answer has NaN: whoever combines members leaves it to the others. Nothing is ever guessed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import ConfigDict

from polyvigil.config.judge import ChatSpec
from polyvigil.data.fingerprint import fingerprint
from polyvigil.detect.base import Evidence, FitRecord
from polyvigil.detect.chat_answers import Answers, answers_path
from polyvigil.detect.chat_client import Endpoint, Failure, Reply
from polyvigil.detect.chat_prompt import Prompt, masked, post_message, read_answer, read_prompt
from polyvigil.detect.reading import read_config
from polyvigil.errors import BundleError, RecipeError
from polyvigil.text.normalise import NORMALISATION
from polyvigil.types import Frozen, Post, Probabilities

CONFIG_FILE = "config.json"
_GIVEN_UP = 8
"""So many posts without a reply in a row, and the endpoint is not asked again."""


class ChatConfig(Frozen):
    """All of a chat member. Neither the key nor any answer is in it."""

    kind: Literal["chat"] = "chat"
    normalisation: str = NORMALISATION
    spec: ChatSpec
    prompt_sha256: str
    fit_record: FitRecord


class Usage(Frozen):
    """What asking took so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    posts: int = 0
    """Posts that were put to it, those answered from disk included."""
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
    """A user's word that posts may be put to the endpoint. ``offline``: only answers on disk are used."""

    offline: bool = False


class EndpointSession:
    """An open line to an endpoint: what it said before, what it says now, and what that took."""

    def __init__(self, spec: ChatSpec, prompt: Prompt, permission: EndpointPermission) -> None:
        """Raises RecipeError where the key's environment variable is empty."""
        self.usage = Usage(cost=price(spec, 0, 0))
        self._spec = spec
        self._prompt = prompt
        self._answers = Answers(answers_path(), model=spec.model, prompt=prompt.sha256)
        self._endpoint = None if permission.offline else Endpoint(spec, key=_key(spec))
        self._row = 0  # failures in a row
        self._given_up = ""

    def request(self, posts: Sequence[Post]) -> Probabilities:
        """P(ADE) of each post, (n_posts,), NaN without a usable answer. The same masked text is asked about once."""
        texts = [masked(post.text, most_characters=self._spec.most_characters) for post in posts]
        by_text = {text: self._answers.get(text) for text in texts}
        cached = sum(by_text[text] is not None for text in texts)
        by_text |= self._fresh([text for text, answer in by_text.items() if answer is None])
        answers = [by_text[text] for text in texts]
        self._count(posts=len(posts), cached=cached, failed=answers.count(None))
        return np.array([np.nan if answer is None else answer for answer in answers], dtype=np.float64)

    def _fresh(self, texts: Sequence[str]) -> dict[str, float | None]:
        """Asked now, several at once; each answer is on disk before the next is looked at."""
        by_text: dict[str, float | None] = dict.fromkeys(texts)
        endpoint = self._endpoint
        if endpoint is None:
            self._count(reasons=("offline, and not answered before",) if texts else ())
            return by_text
        workers = ThreadPoolExecutor(self._spec.concurrency, thread_name_prefix="ask")
        try:
            waiting = {workers.submit(self._send, endpoint, text): text for text in texts}
            for future in as_completed(waiting):
                text = waiting[future]
                if (answer := self._heard(future.result())) is not None:
                    self._answers.add(text, answer)
                    by_text[text] = answer
        finally:  # Ctrl-C too: nothing more is sent
            if not all(future.done() for future in waiting):
                endpoint.stop.set()
            workers.shutdown(wait=True, cancel_futures=True)
        return by_text

    def _send(self, endpoint: Endpoint, text: str) -> Reply | Failure:
        if self._given_up:
            return Failure(self._given_up)
        return endpoint.request(self._prompt.text, post_message(text))

    def _heard(self, reply: Reply | Failure) -> float | None:
        """The answer in what came back, and the books kept."""
        if isinstance(reply, Failure):
            self._row += 1
            if not self._given_up and (reply.final or self._row >= _GIVEN_UP):
                self._given_up = reply.reason
            self._count(reasons=(reply.reason,))
            return None
        self._row = 0
        self._count(tokens_in=reply.tokens_in, tokens_out=reply.tokens_out)
        answer = read_answer(reply.content)
        if answer is None:
            self._count(reasons=("an answer that is not the JSON asked for",))
        return answer

    def _count(
        self,
        *,
        posts: int = 0,
        cached: int = 0,
        failed: int = 0,
        tokens_in: int = 0,
        tokens_out: int = 0,
        reasons: Sequence[str] = (),
    ) -> None:
        usage = self.usage
        self.usage = Usage(
            posts=usage.posts + posts,
            cached=usage.cached + cached,
            failed=usage.failed + failed,
            tokens_in=usage.tokens_in + tokens_in,
            tokens_out=usage.tokens_out + tokens_out,
            cost=price(self._spec, usage.tokens_in + tokens_in, usage.tokens_out + tokens_out),
            reasons=tuple(dict.fromkeys((*usage.reasons, *reasons))),
        )


def price(spec: ChatSpec, tokens_in: int, tokens_out: int) -> float | None:
    """What so many tokens cost by the configuration; None where it names no prices."""
    if spec.price_in is None or spec.price_out is None:
        return None
    return (tokens_in * spec.price_in + tokens_out * spec.price_out) / 1e6


@dataclass(frozen=True, slots=True)
class ChatDetector:
    """Asks over its ``line``; without one nothing is sent and every post has NaN."""

    config: ChatConfig
    session: EndpointSession | None = None

    kind: ClassVar[str] = "chat"

    @property
    def fit_record(self) -> FitRecord:
        return self.config.fit_record

    @property
    def log(self) -> None:
        """None: nothing is trained."""
        return

    def probabilities(self, posts: Sequence[Post]) -> Probabilities:
        """See detect.base.Detector; NaN for a post without a usable answer."""
        return self.session.request(posts) if self.session else np.full(len(posts), np.nan)

    def lengths(self, posts: Sequence[Post]) -> None:  # noqa: ARG002 - the endpoint's tokenizer is not known
        """None: nobody here can count its tokens."""
        return

    def evidence(self, posts: Sequence[Post]) -> list[Evidence]:
        """None at all: leaving parts out would send each post 33 times (see bundle.explain)."""
        raise NotImplementedError("a chat endpoint is not asked for evidence")

    def save(self, folder: Path) -> None:
        """Write the configuration."""
        (folder / CONFIG_FILE).write_text(self.config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def chat_detector(spec: ChatSpec, *, permission: EndpointPermission | None) -> ChatDetector:
    """A detector of a configuration. Raises RecipeError where posts are to be sent and the key is missing."""
    prompt = read_prompt(spec.prompt)
    nothing = FitRecord(seed=spec.seed, posts=0, positives=0, languages=(), train_fingerprint=fingerprint([]))
    config = ChatConfig(spec=spec, prompt_sha256=prompt.sha256, fit_record=nothing)
    return ChatDetector(config, EndpointSession(spec, prompt, permission) if permission else None)


def load(folder: Path, *, permission: EndpointPermission | None = None) -> ChatDetector:
    """Read what ``save`` wrote; nothing is sent before ``asking`` is given and a post is scored. Raises BundleError."""
    config = read_config(folder / CONFIG_FILE, ChatConfig, what="chat judge")
    prompt = read_prompt(config.spec.prompt)
    if prompt.sha256 != config.prompt_sha256:
        raise BundleError(
            f"was judged with another wording of prompt {prompt.version}",
            where=str(folder / CONFIG_FILE),
            hint="run polyvigil judge again",
        )
    return ChatDetector(config, EndpointSession(config.spec, prompt, permission) if permission else None)


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
