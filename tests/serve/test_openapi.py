"""The OpenAPI document is true: requests made from it, and from its opposite, get what it says and never a 5xx."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.serve.conftest import Running, check_counts, serving

from polyvigil.config.serve import ServeSpec
from polyvigil.serve.exchange import TIMEOUT_HEADER
from polyvigil.serve.openapi import document
from polyvigil.serve.requests import POST_FIELDS
from polyvigil.web.refusal import STATUS

EXAMPLES = 50
CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
# A short time for bodies: some are made whose length is another than they say. Few posts: so the document is small.
SPEC = ServeSpec(body_time=0.5, max_posts=3, max_explained=3)
DOCUMENT = document(SPEC)
OPERATIONS = [f"{method.upper()} {path}" for path, item in DOCUMENT["paths"].items() for method in item]


@pytest.fixture(scope="module")
def fuzzed(bundle_folder: Path) -> Iterator[Running]:
    with serving(bundle_folder, SPEC) as one:
        yield one
        check_counts(one)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_does_what_the_document_says(fuzzed: Running, operation: str) -> None:
    method, path = operation.split(" ")
    assert fuzzed.request("GET", "/openapi.json").json == DOCUMENT
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=fuzzed.url)
    modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
    strategies = [schema[path][method.lower()].as_strategy(generation_mode=mode) for mode in modes]
    statuses: set[int] = set()

    @given(case=strategies[0] | strategies[1])
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def check(case: Any) -> None:
        response = case.call(base_url=fuzzed.url)
        statuses.add(response.status_code)
        too_little_time = response.status_code == 504 and TIMEOUT_HEADER in case.headers
        assert response.status_code < 500 or too_little_time
        case.validate_response(response, checks=CHECKS)

    check()
    assert 200 in statuses
    if method == "POST":
        assert statuses & {400, 415, 422}


def test_the_document_names_what_the_program_knows() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["Post"]["properties"].keys() == POST_FIELDS.keys()
    assert schemas["Post"]["required"] == ["id", "text"]
    assert schemas["ScoreRequest"]["properties"]["posts"]["maxItems"] == SPEC.max_posts
    statuses = {int(status) for status in DOCUMENT["paths"]["/v1/score"]["post"]["responses"]}
    assert {200, *STATUS.values()} - statuses == {404, 409}
    json.dumps(DOCUMENT)
