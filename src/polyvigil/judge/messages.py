"""The user's message about each post: its masked text and, by prompt 2, the nearest examples and names of medicines.

One JSON object, so that nothing in a post, an example or a list can end the string that it stands in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field, ValidationError

from polyvigil.config.judge import ChatSpec
from polyvigil.detect.reading import unreadable
from polyvigil.judge.examples import Example
from polyvigil.judge.masking import masked
from polyvigil.text.mentions import Lexicon, Term, folded, lexicon, mentions
from polyvigil.types import Frozen, Post

if TYPE_CHECKING:
    from polyvigil.judge.nearest import NearestExamples

EXAMPLES_FILE = "examples.jsonl"
DRUGS_FILE = "drugs.jsonl"
R = TypeVar("R", bound=Frozen)
_MOST_MEDICINES = 20  # of one post


class _DrugRecord(Frozen):
    """One line of ``drugs.jsonl``."""

    term: str = Field(min_length=1)
    ingredient: str


@dataclass(frozen=True, slots=True)
class Context:
    """What an endpoint knows beside the post, from the user's files; a bundle keeps it with the endpoint."""

    examples: tuple[Example, ...] = ()
    drugs: tuple[Term, ...] = ()
    """Each with its ingredient as ``code``; empty where the name is the ingredient (data.terms.read_ingredients)."""

    def save(self, folder: Path) -> None:
        """Write what there is of it into an existing folder; ``read_context`` reads it back."""
        drugs = [_DrugRecord(term=term.text, ingredient=term.code) for term in self.drugs]
        for name, records in ((EXAMPLES_FILE, self.examples), (DRUGS_FILE, drugs)):
            lines = [json.dumps(record.model_dump(mode="json"), ensure_ascii=False) + "\n" for record in records]
            if lines:
                (folder / name).write_text("".join(lines), encoding="utf-8", newline="")


NO_CONTEXT = Context()


def read_context(folder: Path) -> Context:
    """What ``Context.save`` wrote; of a folder without such files nothing. Raises BundleError for a damaged one."""
    drugs = _records(folder / DRUGS_FILE, _DrugRecord)
    terms = tuple(Term(record.term, "drug", record.ingredient) for record in drugs)
    return Context(tuple(_records(folder / EXAMPLES_FILE, Example)), terms)


def _records(path: Path, record: type[R]) -> list[R]:
    if not path.exists():
        return []
    records: list[R] = []
    try:
        for line in path.read_bytes().removesuffix(b"\n").split(b"\n"):
            records.append(record.model_validate_json(line))
    except (OSError, ValidationError) as error:
        raise unreadable(path.parent, error, what=f"chat judge: {path.name}, line {len(records) + 1}") from None
    return records


@dataclass(frozen=True, slots=True)
class UserMessage:
    """``text`` is sent. ``key`` stands for it where answers are stored: under prompt 1, which knows nothing but the
    post, the masked post; else all of the text."""

    text: str
    key: str


@dataclass(frozen=True)
class MessageWriter:
    """Writes what is sent of posts that are read by a ``normalisation``."""

    spec: ChatSpec
    normalisation: str
    context: Context = field(default=NO_CONTEXT, repr=False)

    @cached_property
    def _nearest(self) -> NearestExamples:
        from polyvigil.judge.nearest import NearestExamples  # scipy.sparse, which nobody needs who sends no examples

        return NearestExamples(self.context.examples, self.spec)

    @cached_property
    def _lexicon(self) -> Lexicon:
        return lexicon(self.context.drugs)

    def messages(self, posts: Sequence[Post]) -> list[UserMessage]:
        """The message about each post, in their order; no other post changes it."""
        texts = [
            masked(post.text, most_characters=self.spec.most_characters, normalisation=self.normalisation)
            for post in posts
        ]
        nearest = self._nearest.of(posts, texts) if self.context.examples else [()] * len(texts)
        return [self._message(text, examples) for text, examples in zip(texts, nearest, strict=True)]

    def _message(self, masked_text: str, examples: Sequence[Example]) -> UserMessage:
        fields: dict[str, Any] = {}
        if examples:
            fields["examples"] = [{"post": example.post, "ade": example.ade} for example in examples]
        if medicines := medicine_notes(masked_text, self._lexicon):
            fields["medicines"] = medicines
        text = json.dumps(fields | {"post": masked_text}, ensure_ascii=False)
        return UserMessage(text, masked_text if self.spec.prompt == "1" else text)


def medicine_notes(text: str, drugs: Lexicon) -> list[str]:
    """``Lipitor (atorvastatin)`` for each name in the text that stands for an ingredient, in order, each once."""
    notes: dict[tuple[str, ...], str] = {}
    for mention in mentions(text, drugs):
        written, ingredient = text[mention.start : mention.end], mention.term.code
        if ingredient and folded(written) != folded(ingredient):
            notes.setdefault(folded(written), f"{written} ({ingredient})")
    return list(notes.values())[:_MOST_MEDICINES]
