"""``/openapi.json``: the paths, bodies and errors of the service, made from the tables that the program itself uses."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from polyvigil.config.serve import ServeSpec
from polyvigil.scoring.wire import CALIBRATED, COLUMNS, SEVERAL_MEMBERS, TOKENS
from polyvigil.serve import kserve, tei
from polyvigil.serve.exchange import TIMEOUT_HEADER
from polyvigil.serve.requests import POST_FIELDS, PREVALENCE, TYPE_NAMES
from polyvigil.web.refusal import STATUS

Json = dict[str, Any]

_ALWAYS = ("token", "host", "headers", "internal")
_BODY = ("json", "slow_body", "too_large", "encoding", "usage")
_POSTS = (*_BODY, "too_many", "busy", "draining", "scoring_stopped", "deadline")
_RECORD_TYPES: dict[str, Json] = {
    "p": {"type": "number", "minimum": 0, "maximum": 1},
    "p_calibrated": {"type": "number", "minimum": 0, "maximum": 1},
    "decision": {"type": "integer", "enum": [0, 1]},
    "threshold": {"type": "number"},
    "spread": {"type": "number"},
    "n_tokens": {"type": ["integer", "null"]},
    "truncated": {"type": "boolean"},
}
"""Of the columns of scored files; the others are strings."""
_NOT_ALWAYS = frozenset({CALIBRATED, *SEVERAL_MEMBERS, *TOKENS})
"""Left out by a bundle that can say nothing in them."""
_EXPLAINED: Json = {
    "sentence_start": {"type": ["integer", "null"]},
    "sentence_end": {"type": ["integer", "null"]},
    "sentence_score": {"type": ["number", "null"]},
    "spans": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"start": {"type": "integer"}, "end": {"type": "integer"}, "score": {"type": "number"}},
            "required": ["start", "end", "score"],
        },
    },
    "method": {"type": "string"},
}


_SHARE: Json = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}
_PREVALENCE: Json = {
    "description": "The share of ADEs among the posts, to which p_calibrated is re-based; or one for each language by "
    "its code, under an empty name that of the others. Without it p_calibrated holds where /v1/bundle says.",
    "oneOf": [_SHARE, {"type": "object", "additionalProperties": _SHARE}],
}


def document(spec: ServeSpec) -> Json:
    """The OpenAPI 3.1 document of a service with these limits."""
    model = f"/v2/models/{kserve.MODEL}"
    health = _operation("Whether it is so", {"type": "object"}, errors=("draining", "not_ready"))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "polyvigil",
            "version": version("polyvigil"),
            "description": "Finds adverse drug events in posts: a triage aid, never a medical decision.",
        },
        "paths": {
            "/v1/score": {"post": _posts("Score posts", "ScoreRequest", "ScoreResponse")},
            "/v1/explain": {"post": _posts("Score and explain posts", "ExplainRequest", "ExplainResponse")},
            "/v1/reload": {"post": _reload()},
            "/v1/bundle": {"get": _operation("The bundle that serves", {"type": "object"}, errors=_ALWAYS)},
            "/livez": {"get": _operation("The process lives", {"type": "object"})},
            "/readyz": {"get": health},
            "/metrics": {"get": _text_operation("Metrics for Prometheus")},
            "/openapi.json": {"get": _operation("This document", {"type": "object"}, errors=_ALWAYS)},
            "/predict": {
                "post": _posts("Score, as Text Embeddings Inference", "TeiRequest", "TeiResponse", "TeiError")
            },
            "/v2": {"get": _operation("The server, as KServe v2", {"type": "object"}, _ALWAYS, "KserveError")},
            "/v2/health/live": {"get": _operation("The process lives", {"type": "object"})},
            "/v2/health/ready": {"get": health},
            f"{model}/ready": {"get": health},
            model: {"get": _operation("The model, as KServe v2", {"type": "object"}, _ALWAYS, "KserveError")},
            f"{model}/infer": {"post": _posts("Score, as KServe v2", "InferRequest", "InferResponse", "KserveError")},
        },
        "components": {
            "schemas": _schemas(spec),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(summary: str, schema: Json, errors: tuple[str, ...] = (), error: str = "Error") -> Json:
    """An operation whose answer is 200 with JSON, and whose errors are those of the codes ``errors`` and of all."""
    statuses: dict[int, list[str]] = {}
    for code in dict.fromkeys((*errors, "host", "headers", "slow_body", "method")):
        statuses.setdefault(STATUS[code], []).append(code)
    responses: Json = {
        "200": {"description": "Done", "content": {"application/json": {"schema": schema}}},
    }
    for status, codes in sorted(statuses.items()):
        content = {"application/json": {"schema": _reference(error)}}
        responses[str(status)] = {"description": ", ".join(codes), "content": content}
    return {"summary": summary, "responses": responses}


def _text_operation(summary: str) -> Json:
    operation = _operation(summary, {"type": "string"}, errors=_ALWAYS)
    operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return operation


def _posts(summary: str, request: str, response: str, error: str = "Error") -> Json:
    further = () if error == "Error" else ("post",)
    timeout = {
        "name": TIMEOUT_HEADER,
        "in": "header",
        "required": False,
        "description": "Seconds until the answer must be there",
        "schema": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
    }
    return {
        **_operation(summary, _reference(response), (*_ALWAYS, *_POSTS, *further), error),
        "parameters": [timeout],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _reference(request)}}},
    }


def _reload() -> Json:
    schema = _object({"ok": {"type": "boolean"}, "data": _object({"bundle": _STRING, "before": _STRING})})
    body = {"type": "object", "additionalProperties": False}
    return {
        **_operation("Load the bundle's folder again", schema, (*_ALWAYS, *_BODY, "bundle", "reloading")),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
    }


_STRING: Json = {"type": "string"}


def _object(properties: Json, required: tuple[str, ...] | None = None, *, closed: bool = False) -> Json:
    needed = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": needed} | (
        {"additionalProperties": False} if closed else {}
    )


def _schemas(spec: ServeSpec) -> Json:
    record = {name: _RECORD_TYPES.get(name, _STRING) for name in COLUMNS}
    post = _object(
        {
            name: {"type": TYPE_NAMES[field.type], "description": field.description}
            for name, field in POST_FIELDS.items()
        },
        tuple(name for name, field in POST_FIELDS.items() if field.required),
        closed=True,
    )
    error = _object({"code": {"type": "string"}, "message": _STRING, "hint": _STRING, "where": _STRING})
    failed = _object({"id": _STRING, "ok": {"const": False}, "error": error})

    def request(most: int, **options: Json) -> Json:
        posts = {"type": "array", "items": _reference("Post"), "minItems": 1, "maxItems": most}
        return _object({"posts": posts, **options}, ("posts",), closed=True)

    def response(fields: Json) -> Json:
        known = {"id": _STRING, "ok": {"const": True}, **fields}
        good = _object(known, tuple(name for name in known if name not in _NOT_ALWAYS))
        return _object({"ok": {"const": True}, "bundle": _STRING, "data": _list({"oneOf": [good, failed]})})

    return {
        "Post": post,
        "ScoreRequest": request(spec.max_posts, **{PREVALENCE: _PREVALENCE}),
        "ScoreResponse": response(record),
        "ExplainRequest": request(spec.max_explained),
        "ExplainResponse": response(record | _EXPLAINED),
        "Error": _object({"ok": {"const": False}, "error": error}),
        **_tei_schemas(spec),
        **_kserve_schemas(spec),
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _tei_schemas(spec: ServeSpec) -> Json:
    text = {"type": "array", "items": _STRING, "minItems": 1, "maxItems": 1}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": spec.max_posts}
    labels = _list(_object({"label": {"enum": list(tei.LABELS)}, "score": {"type": "number"}}))
    properties: Json = {name: {"type": [kind, "null"]} for name, kind in tei.KEYS.items()}
    properties["inputs"] = {"oneOf": [_STRING, texts]}
    properties["raw_scores"] = {"enum": [False, None]}
    return {
        "TeiRequest": _object(properties, ("inputs",), closed=True),
        "TeiResponse": {"oneOf": [labels, _list(labels)]},
        "TeiError": _object({"error": _STRING, "error_type": _STRING}),
    }


def _kserve_schemas(spec: ServeSpec) -> Json:
    tensor = _object(
        {
            "name": {"enum": list(kserve.INPUTS)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": 2},
            "datatype": {"const": "BYTES"},
            "data": {"type": "array", "items": _STRING, "minItems": 1, "maxItems": spec.max_posts},
            "parameters": {"type": "object"},
        },
        ("name", "shape", "datatype", "data"),
        closed=True,
    )
    output_name = _object({"name": {"enum": list(kserve.OUTPUTS)}}, ("name",))
    output = _object(
        {"name": _STRING, "datatype": _STRING, "shape": _list({"type": "integer"}), "data": {"type": "array"}}
    )
    request = {
        "id": _STRING,
        "parameters": {"type": "object"},
        "inputs": {"type": "array", "items": tensor, "minItems": 1, "maxItems": 2},
        "outputs": _list(output_name),
    }
    return {
        "InferRequest": _object(request, ("inputs",), closed=True),
        "InferResponse": _object({"model_name": _STRING, "model_version": _STRING, "outputs": _list(output)}),
        "KserveError": _object({"error": _STRING}),
    }
