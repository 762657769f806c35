"""``POST /predict`` in the shape of Text Embeddings Inference, for clients that speak it.

``inputs`` is one text, or a list of lists of one text each. A result is a list of ``{label, score}``, whose first label
is the decision; ``score`` is P(ADE) of ADE and the rest of noADE. Thresholds are by language, so the first label need
not have the higher score. Long posts are read whole, so ``truncate`` changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from polyvigil.serve.requests import PostError, RequestPost, Result, check_count, check_keys
from polyvigil.web.refusal import RefusalError

LABELS = ("noADE", "ADE")
KEYS = {"inputs": "object", "raw_scores": "boolean", "truncate": "boolean", "truncation_direction": "string"}
_ERROR_TYPES = {"busy": "Overloaded", "draining": "Unhealthy", "not_ready": "Unhealthy", "internal": "Backend"}


def read_inputs(document: Any, *, most: int) -> tuple[list[RequestPost], bool]:
    """The posts of a request, and whether it is one text alone. Raises RefusalError."""
    if not isinstance(document, dict):
        raise RefusalError("usage", "the body is no object", hint='as {"inputs": "a post"}', where="body")
    check_keys(document, known=KEYS, required=("inputs",), where="")
    for name, kind in (("raw_scores", bool), ("truncate", bool), ("truncation_direction", str)):
        if name in document and document[name] is not None and type(document[name]) is not kind:
            raise RefusalError("usage", f"{KEYS[name]} expected", hint="leave it out", where=name)
    if document.get("raw_scores"):
        raise RefusalError(
            "usage", "raw scores are not given", hint="leave it out, or use /v1/score", where="raw_scores"
        )
    inputs = document["inputs"]
    if isinstance(inputs, str):
        return [RequestPost("0", inputs)], True
    if not isinstance(inputs, list):
        raise RefusalError("usage", "a text, or a list of lists of one text, is expected", where="inputs")
    check_count(len(inputs), most=most)
    for index, item in enumerate(inputs):
        if not isinstance(item, list) or len(item) != 1 or not isinstance(item[0], str):
            hint = 'as {"inputs": [["first post"], ["second post"]]}: pairs are not classified'
            raise RefusalError("usage", "a list of one text is expected", hint=hint, where=f"inputs[{index}]")
    return [RequestPost(str(index), item[0]) for index, item in enumerate(inputs)], False


def predictions(results: Sequence[Result], *, alone: bool) -> object:
    """The labels of each post. Raises RefusalError for the first post without a decision."""
    predicted = []
    for result in results:
        if isinstance(result, PostError):
            raise refusal_of(result)
        record = json.loads(result)
        p = record["p"]
        labels = [{"label": "ADE", "score": p}, {"label": "noADE", "score": 1 - p}]
        predicted.append(labels if record["decision"] else labels[::-1])
    return predicted[0] if alone else predicted


def refusal_of(error: PostError) -> RefusalError:
    """The error of one post as one of its request, where the shape has no errors of posts."""
    return RefusalError("post", f"{error.code}: {error.message}", hint=error.hint, where=error.where)


def error_body(refusal: RefusalError) -> bytes:
    """The body of an error."""
    kind = _ERROR_TYPES.get(refusal.code, "Validation")
    return json.dumps({"error": refusal.message, "error_type": kind}).encode()
