"""A translation as a row that says where it is from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polyvigil.augment.filters import Reason
from polyvigil.augment.translator import Translator
from polyvigil.data.atomic import write_whole
from polyvigil.data.translated import PREFIX
from polyvigil.data.write import COLUMNS, csv_text
from polyvigil.text.language import base_language, language_group
from polyvigil.types import LabelledPost

FURTHER = ("translated_from", "model")
"""The columns beside those of the shared task: ``LANGUAGE:ID`` of the source, and what translated it."""


@dataclass(frozen=True, slots=True)
class Translated:
    """A translated post, its source, and why it is not to be used (``""``: it is)."""

    item: LabelledPost
    source: LabelledPost
    model: str
    reason: Reason

    @property
    def translated_from(self) -> str:
        return f"{self.source.post.language}:{self.source.post.id}"


def translated(source: LabelledPost, text: str, translator: Translator, *, target: str, reason: Reason) -> Translated:
    """Label and type stay. The group is the source's, or its id, so that all its translations stay on one side of a
    split, and on the side of their source (data.translated)."""
    post = source.post
    identity = f"{post.id}__{target}"
    made = replace(
        post,
        id=identity,
        text=text,
        language=language_group(target, type=post.type, id=identity),
        origin=PREFIX + translator.name,
        split="train",
        group=post.group or post.id,
    )
    return Translated(LabelledPost(made, source.label), source, translator.identity, reason)


def write_translated(path: Path, rows: Sequence[Translated]) -> None:
    """Write the rows as UTF-8 CSV, in their order. The language column holds the code, ``de`` also for a CADEC row."""
    cells = []
    for row in rows:
        post = row.item.post
        values = (post.id, post.text, row.item.label, post.origin, post.type, base_language(post.language), post.split)
        cells.append((*values, post.group, row.translated_from, row.model))
    write_whole(path, csv_text([(*COLUMNS, *FURTHER), *cells]))


def reject_line(row: Translated) -> str:
    """A translation that is not used, as a line of JSON: what it was to be, why not, both texts."""
    post = row.item.post
    record = {
        "id": post.id,
        "translated_from": row.translated_from,
        "language": base_language(post.language),
        "model": row.model,
        "reason": row.reason,
        "source": row.source.post.text,
        "text": post.text,
    }
    return json.dumps(record) + "\n"
