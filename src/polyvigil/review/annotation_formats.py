"""Rows of an export as Label Studio, doccano, Prodigy and Argilla read them; ``data.exports`` reads their files back.

Each writes the store and the task beside the text, by which labels find their way home.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from polyvigil.errors import RecipeError

ADE, NOT_ADE = "ADE", "not ADE"
LABEL_WORDS = {ADE: 1, NOT_ADE: 0}
"""What our labels mean in these tools."""
Cells = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Annotator:
    """Who has given a label in Label Studio: an e-mail address (empty: not known) and how long they took."""

    email: str
    seconds: float | None


_META = ("id", "language", "type", "purpose", "mode", "bundle", "task", "store")
LABEL_CONFIG = """<View>
  <Text name="text" value="$text"/>
  <Choices name="ade" toName="text" choice="single" showInLine="true">
    <Choice value="ADE" hotkey="a"/>
    <Choice value="not ADE" hotkey="x"/>
  </Choices>
</View>
"""
"""The labelling page of Label Studio, for its settings."""


def _word(row: Cells) -> str | None:
    return None if row["label"] is None else ADE if row["label"] == 1 else NOT_ADE


def _meta(row: Cells) -> dict[str, Any]:
    """What goes along; of a blind task nothing that says what the model thinks."""
    hidden = {"purpose", "bundle"} if row["mode"] == "blind" else set()
    return {name: row[name] for name in _META if name not in hidden}


def _choice(word: str) -> dict[str, Any]:
    return {"from_name": "ade", "to_name": "text", "type": "choices", "value": {"choices": [word]}}


def label_studio(row: Cells) -> dict[str, Any]:
    """A task of Label Studio, with a prediction unless it is blind, and an annotation of each of ``annotators``.

    Label Studio takes ``completed_by`` by the e-mail address of a member alone, so other names are left out.
    """
    word, predicted = _word(row), ADE if row["decision"] else NOT_ADE
    annotators: Sequence[Annotator] = row.get("annotators") or (Annotator("", None),)
    annotations = [_annotation(word, one) for one in annotators] if word else []
    prediction = {"model_version": row["bundle"], "score": row["p"], "result": [_choice(predicted)]}
    predictions = [] if row["mode"] == "blind" or row["p"] is None else [prediction]
    return {"data": {"text": row["text"], **_meta(row)}, "annotations": annotations, "predictions": predictions}


def _annotation(word: str, one: Annotator) -> dict[str, Any]:
    by = {"completed_by": {"email": one.email}} if "@" in one.email else {}
    time = {} if one.seconds is None else {"lead_time": one.seconds}
    return {"result": [_choice(word)], "was_cancelled": False, **by, **time}


def annotators(cells: Cells) -> list[Annotator]:
    """Who has labelled a row of a Label Studio export, in its order; empty for any other row."""
    given = cells.get("annotations") or cells.get("completions")
    listed = given if isinstance(given, list) else []
    return [_annotator(one) for one in listed if isinstance(one, Mapping) and not one.get("was_cancelled")]


def _annotator(annotation: Mapping[str, Any]) -> Annotator:
    by, time = annotation.get("completed_by"), annotation.get("lead_time")
    email = by.get("email") if isinstance(by, Mapping) else by
    seconds = float(time) if isinstance(time, int | float) and not isinstance(time, bool) else math.nan
    is_time = math.isfinite(seconds) and seconds >= 0
    return Annotator(email if isinstance(email, str) else "", seconds if is_time else None)


def doccano(row: Cells) -> dict[str, Any]:
    """A line of doccano's JSONL for text classification."""
    word = _word(row)
    return {"id": row["task"], "text": row["text"], "label": [word] if word else [], "meta": _meta(row)}


def prodigy(row: Cells) -> dict[str, Any]:
    """A line of Prodigy's JSONL for one label: accept says ADE, reject says not; without an answer it is a task."""
    answer = {} if row["label"] is None else {"answer": "accept" if row["label"] == 1 else "reject"}
    return {"text": row["text"], "label": ADE, **answer, "meta": _meta(row)}


def argilla(row: Cells) -> dict[str, Any]:
    """A record of Argilla with the question ``ade``."""
    word = _word(row)
    suggestion = {} if row["mode"] == "blind" else {"ade.suggestion": ADE if row["decision"] else NOT_ADE}
    status = "submitted" if word else "pending"
    responses = {"ade.responses": [word] if word else []}
    return {"text": row["text"], "status": status, **responses, **suggestion, "metadata": _meta(row)}


FORMATS: Mapping[str, Callable[[Cells], dict[str, Any]]] = {
    "label-studio": label_studio,
    "doccano": doccano,
    "prodigy": prodigy,
    "argilla": argilla,
}
"""By the name that ``--format`` takes."""


def document(kind: str, rows: Iterator[Cells]) -> Iterator[bytes]:
    """The bytes of a file of this kind, row by row: JSON Lines, of Label Studio one JSON array.

    Raises RecipeError for a row without text, which these tools cannot show.
    """
    write = FORMATS[kind]
    first = True
    for row in rows:
        if row["text"] is None:
            raise RecipeError(f"{kind} needs texts, and the store keeps none of some posts", where="--format")
        line = json.dumps(write(row), ensure_ascii=False)
        if kind == "label-studio":
            yield (("[\n" if first else ",\n") + line).encode()
        else:
            yield (line + "\n").encode()
        first = False
    if kind == "label-studio":
        yield b"[]\n" if first else b"\n]\n"
