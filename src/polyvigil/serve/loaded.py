"""A bundle that serves: loaded, tried on a few posts, and the functions that a batch is scored by."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic_core import to_json

from polyvigil.bundle.store import Bundle
from polyvigil.config.serve import ServeSpec
from polyvigil.errors import BundleError, RecipeError
from polyvigil.judge.endpoint import Endpoint
from polyvigil.scoring.explain import explain_posts, explanation_fields
from polyvigil.scoring.facts import output_facts, rebased
from polyvigil.scoring.wire import CALIBRATED, Decision, as_cells, flags_text, score_posts
from polyvigil.serve.batching import ScoringStoppedError
from polyvigil.serve.requests import (
    PREVALENCE,
    IndexedPost,
    PostError,
    PostReader,
    ReadPost,
    Record,
    RequestPost,
    Result,
)
from polyvigil.serve.scoring_process import ScoringProcess
from polyvigil.text.mentions import lexicon
from polyvigil.web.refusal import RefusalError

SMOKE_POSTS = (  # one without a language, so that what detects it is loaded too
    RequestPost("smoke-1", "These tablets gave me a terrible headache, I had to stop taking them.", "en"),
    RequestPost("smoke-2", "The train was late again this morning."),
)


def columns_of(decision: Decision, columns: Sequence[str]) -> dict[str, object]:
    """A decision by the names of the files, of which these are filled; its flags as one text."""
    return as_cells(decision, columns) | {"flags": flags_text(decision.flags)}


def record_of(columns: dict[str, object]) -> Record:
    """As JSON, by what takes a tenth of the standard library's time; floats are read back as they are."""
    return to_json(columns)


class LoadedBundle:
    """A bundle with what is needed to serve it; ``open_requests`` of it are on their way.

    Encoders let other threads run while they score; n-grams are read under Python's lock, so a process of its own does.
    """

    def __init__(self, bundle: Bundle, spec: ServeSpec, *, folder: Path | None = None) -> None:
        """``folder``: where a process may load it again; without one it is scored by this process."""
        self.bundle = bundle
        self.process = ScoringProcess(folder, bundle.id) if folder and bundle.reads_ngrams_alone else None
        self.facts = output_facts(bundle)
        self.open_requests = 0
        self._closed = without_endpoint(bundle)
        self._endpoint_budget = spec.endpoint_posts
        self._reader = PostReader(max_characters=spec.max_characters)
        self._terms = lexicon(())

    def smoke_score(self) -> None:
        """Warm up, then score two posts, without a chat endpoint. Raises BundleError where that fails or gives no
        probability."""
        try:
            if not self.process:
                self.bundle.warm_up()
            results = self.score_without_endpoint(list(enumerate(SMOKE_POSTS)))
        except Exception as error:
            reason = error if isinstance(error, ScoringStoppedError) else type(error).__name__
            message = f"a first post could not be scored ({reason})"
            raise BundleError(message, where=self.bundle.id, hint="train it again") from error
        for result in results:
            p = None if isinstance(result, PostError) else json.loads(result)["p"]
            if not isinstance(p, float) or not 0 <= p <= 1:
                raise BundleError("a first post has no probability", where=self.bundle.id, hint="train it again")

    @property
    def is_alive(self) -> bool:
        """Whether what scores is there; a process may have ended."""
        return self.process is None or self.process.is_alive

    def close(self) -> None:
        """End its process, if it has one."""
        if self.process:
            self.process.close()

    def errors(self, posts: Sequence[RequestPost]) -> dict[int, PostError]:
        """See PostReader.errors."""
        return self._reader.errors(posts)

    def score(self, posts: Sequence[IndexedPost]) -> list[Result]:
        """The record of each post, in order; posts near a threshold go to the chat endpoint while its budget lasts."""
        if self.process:
            return self.process.results("score", posts)
        usage = self.bundle.usage
        spent = usage is not None and usage.posts >= self._endpoint_budget
        return self._decided(self._closed if spent else self.bundle, posts)

    def score_without_endpoint(self, posts: Sequence[IndexedPost]) -> list[Result]:
        """The same, and no chat endpoint is asked."""
        if self.process:
            return self.process.results("score_without_endpoint", posts)
        return self._decided(self._closed, posts)

    def check_prevalence(self, prevalence: Mapping[str, float]) -> None:
        """Raise RefusalError where this bundle has no ``p_calibrated`` to be re-based."""
        try:
            self.facts.at(prevalence)
        except RecipeError as error:
            raise RefusalError("usage", error.message, hint=error.hint, where=PREVALENCE) from error

    def rebased(self, results: list[Result], prevalence: Mapping[str, float]) -> list[Result]:
        """The results with ``p_calibrated`` at this prevalence, as in files: from the digits that are written."""
        if not prevalence:
            return results
        documents = {index: json.loads(result) for index, result in enumerate(results) if isinstance(result, bytes)}
        columns = {name: [one[name] for one in documents.values()] for name in ("language", CALIBRATED)}
        values = rebased(columns, self.facts, prevalence)[CALIBRATED]
        records = dict(zip(documents, values, strict=True))
        return [
            record_of(documents[index] | {CALIBRATED: records[index]}) if index in records else result
            for index, result in enumerate(results)
        ]

    def explain(self, posts: Sequence[IndexedPost]) -> list[Result]:
        """The record of each post with the columns that ``polyvigil explain`` writes; no endpoint is asked."""
        if self.process:
            return self.process.results("explain", posts)

        def explained(good: Sequence[ReadPost]) -> list[Record]:
            rows = explain_posts(
                self._closed,
                [item.post for item in good],
                self._terms,
                detected=[item.language_detected for item in good],
            )
            return [
                record_of(columns_of(row.decision, self.facts.columns) | explanation_fields(row.explanation))
                for row in rows
            ]

        return self._of_good(posts, explained)

    def _decided(self, bundle: Bundle, posts: Sequence[IndexedPost]) -> list[Result]:
        def decided(good: Sequence[ReadPost]) -> list[Record]:
            detected = [item.language_detected for item in good]
            decisions = score_posts(bundle, [item.post for item in good], detected=detected)
            return [record_of(columns_of(decision, self.facts.columns)) for decision in decisions]

        return self._of_good(posts, decided)

    def _of_good(
        self, posts: Sequence[IndexedPost], decide: Callable[[Sequence[ReadPost]], list[Record]]
    ) -> list[Result]:
        """``decide`` of the posts that can be read; in the order of all, with the errors of the others."""
        read = [self._reader.read(post, index) for index, post in posts]
        records = iter(decide([item for item in read if isinstance(item, ReadPost)]))
        return [item if isinstance(item, PostError) else next(records) for item in read]


def without_endpoint(bundle: Bundle) -> Bundle:
    """The same bundle, whose chat endpoint, if it has one, is closed."""
    second = bundle.second_stage
    if second is None or not isinstance(second.source, Endpoint) or second.source.session is None:
        return bundle
    source = dataclasses.replace(second.source, session=None)
    return dataclasses.replace(bundle, second_stage=dataclasses.replace(second, source=source))
