"""Explanations, the bundle's facts, metrics, the page, and the shapes of TEI and KServe."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import Running, serving, total

from polyvigil.bundle.layout import Manifest
from polyvigil.bundle.store import Bundle
from polyvigil.decide.policy import DecisionPolicy
from polyvigil.scoring.explain import as_record, explain_posts
from polyvigil.scoring.wire import score_posts
from polyvigil.text.mentions import lexicon
from polyvigil.types import LabelledPost, Post

MakePost = Callable[..., dict[str, Any]]


def test_explanations_are_those_of_python(running: Running, bundle: Bundle, corpus: tuple[LabelledPost, ...]) -> None:
    posts = [item.post for item in corpus[:200:20]]
    body = {"posts": [{"id": p.id, "text": p.text, "language": p.language, "type": p.type} for p in posts]}
    answered = running.request("POST", "/v1/explain", body)
    assert answered.status == 200
    for record, row in zip(answered.json["data"], explain_posts(bundle, posts, lexicon(())), strict=True):
        expected = as_record(row)
        del expected["mentions"]
        assert {name: record[name] for name in expected} == expected
        assert all(0 <= span["start"] < span["end"] <= len(row.post.text) for span in record["spans"])
        assert row.post.text not in json.dumps(record)


def test_more_posts_than_can_be_explained(running: Running, post: MakePost) -> None:
    answered = running.request("POST", "/v1/explain", {"posts": [post(str(n)) for n in range(17)]})
    assert (answered.status, answered.code) == (422, "too_many")


def test_facts_of_the_bundle(bundle_folder: Path, bundle: Bundle, running: Running) -> None:
    with serving(bundle_folder) as from_folder:
        data = from_folder.request("GET", "/v1/bundle").json["data"]
    assert data["bundle"] == bundle.id
    assert Manifest.model_validate(data["manifest"]) == bundle.manifest
    assert DecisionPolicy.model_validate(data["policy"]) == bundle.policy
    assert data["card"] == (bundle_folder / "README.md").read_text(encoding="utf-8")
    assert data["evaluation"]["bundle"]
    unknown_folder = running.request("GET", "/v1/bundle").json["data"]
    assert (unknown_folder["card"], unknown_folder["evaluation"]) == (None, None)


def test_metrics_count_requests_posts_and_batches(bundle: Bundle, post: MakePost) -> None:
    with serving(bundle) as running:
        before = running.metrics()
        running.score(post("a"), post("b"), post("b"))
        running.score({"id": "a"})
        running.request("GET", "/livez")
        after = running.metrics()
        assert total(after, "requests_received") == 2
        assert after['polyvigil_requests_answered_total{route="/v1/score"}'] == 1
        assert after['polyvigil_requests_refused_total{reason="usage",route="/v1/score"}'] == 1
        assert after["polyvigil_posts_scored_total"] - before["polyvigil_posts_scored_total"] == 2
        assert after['polyvigil_posts_failed_total{reason="duplicate_id"}'] == 1
        assert after[f'polyvigil_bundle_requests{{bundle="{bundle.id}",state="serving"}}'] == 0
        assert after["polyvigil_batch_posts_sum"] - before["polyvigil_batch_posts_sum"] == 2
        assert running.request("GET", "/metrics").headers["content-type"].startswith("text/plain")


def test_the_page_fetches_nothing_from_elsewhere(running: Running) -> None:
    page = running.request("GET", "/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    script, style = (running.request("GET", f"/static/try.{kind}") for kind in ("js", "css"))
    assert b"innerHTML" not in script.body
    assert (page.status, script.status, style.status) == (200, 200, 200)
    for part in (page, script, style):
        assert not re.search(rb"https?://", part.body)
    links = set(re.findall(r'(?:href|src)="([^"]+)"', page.body.decode()))
    assert {running.request("GET", link).status for link in links} == {200}


def test_health(running: Running) -> None:
    paths = ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2/models/polyvigil/ready")
    assert [running.request("GET", path).status for path in paths] == [200] * 5
    assert running.request("HEAD", "/livez").body == b""


def test_the_shape_of_text_embeddings_inference(running: Running, bundle: Bundle) -> None:
    texts = ["these pills gave me a headache and nausea", "a lovely morning"]
    posts = [Post("0", text, "en") for text in texts]
    decisions = score_posts(bundle, posts)
    answered = running.request("POST", "/predict", {"inputs": [[text] for text in texts]})
    for labels, decision in zip(answered.json, decisions, strict=True):
        assert labels[0]["label"] == ("ADE" if decision.decision else "noADE")
        assert {label["label"]: label["score"] for label in labels} == {"ADE": decision.p, "noADE": 1 - decision.p}
    alone = running.request("POST", "/predict", {"inputs": texts[0], "truncate": True, "raw_scores": False})
    assert alone.json == answered.json[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "the key 'inputs' is missing"),
        ({"inputs": 1}, "a text, or a list of lists of one text, is expected"),
        ({"inputs": [["a", "b"]]}, "a list of one text is expected"),
        ({"inputs": ["a", "b"]}, "a list of one text is expected"),
        ({"inputs": "a", "raw_scores": True}, "raw scores are not given"),
        ({"inputs": "a", "truncate": "yes"}, "boolean expected"),
        ({"inputs": [["a"]] * 257}, "257 posts; a request has at most 256"),
        ({"inputs": "a" * 100_001}, "too_long: 100,001 characters; a post has at most 100,000"),
    ],
)
def test_errors_in_the_shape_of_text_embeddings_inference(running: Running, body: Any, message: str) -> None:
    answered = running.request("POST", "/predict", body)
    assert (answered.status, answered.json) == (422, {"error": message, "error_type": "Validation"})


def _tensor(data: Any, name: str = "text", **changes: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": "BYTES", "data": data} | changes


def test_the_shape_of_kserve(running: Running, bundle: Bundle) -> None:
    texts, languages = ["these pills gave me a headache", "davon wurde mir schlecht"], ["en", "de"]
    decisions = score_posts(bundle, [Post("0", *pair) for pair in zip(texts, languages, strict=True)])
    body = {"id": "r", "inputs": [_tensor(texts), _tensor(languages, "language")]}
    document = running.request("POST", "/v2/models/polyvigil/infer", body).json
    outputs = {output["name"]: output["data"] for output in document["outputs"]}
    assert (document["id"], document["model_name"], document["model_version"]) == ("r", "polyvigil", bundle.id)
    assert outputs["p"] == [decision.p for decision in decisions]
    assert outputs["decision"] == [decision.decision for decision in decisions]
    assert outputs["language"] == languages
    body = {"inputs": [_tensor([[text] for text in texts], shape=[2, 1])], "outputs": [{"name": "p"}]}
    (only,) = running.request("POST", "/v2/models/polyvigil/infer", body).json["outputs"]
    assert (only["name"], only["datatype"], only["shape"]) == ("p", "FP64", [2])
    metadata = running.request("GET", "/v2/models/polyvigil").json
    assert [tensor["name"] for tensor in metadata["outputs"]] == list(outputs)
    assert running.request("GET", "/v2").json["name"] == "polyvigil"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "inputs"),
        ({"inputs": [], "more": 1}, "body"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [{"name": "text"}]}, "inputs[0].datatype"),
        ({"inputs": [_tensor(["a"], datatype="FP32")]}, "inputs[0].datatype"),
        ({"inputs": [_tensor(["a"], shape=[2])]}, "inputs[0].shape"),
        ({"inputs": [_tensor(["a"], shape=[True])]}, "inputs[0].shape"),
        ({"inputs": [_tensor([1])]}, "inputs[0].data"),
        ({"inputs": [_tensor(["a"]), _tensor(["a"])]}, "inputs[1].name"),
        ({"inputs": [_tensor(["a", "b"]), _tensor(["en"], "language")]}, "inputs"),
        ({"inputs": [_tensor(["a"], "image")]}, "inputs[0].name"),
        ({"inputs": [_tensor(["a"])], "outputs": [{"name": "image"}]}, "outputs"),
        ({"inputs": [_tensor(["a"])], "outputs": [{"name": []}]}, "outputs"),
        ({"inputs": [_tensor(["a"])], "id": 1}, "id"),
        ({"inputs": [_tensor(["a"]), _tensor(["Engl1sh"], "language")]}, "posts[0].language"),
    ],
)
def test_errors_in_the_shape_of_kserve(running: Running, body: Any, where: str) -> None:
    answered = running.request("POST", "/v2/models/polyvigil/infer", body)
    assert answered.status == 422
    assert answered.json["error"].startswith(f"{where}: ")
