"""Bundles with a cascade or a second stage serve as they score; an endpoint is asked if allowed, up to a budget."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest
from tests.judge.chat_server import Said, chat_server
from tests.serve.conftest import check_counts, serving

from polyvigil.bundle.store import Bundle, load
from polyvigil.config.judge import ChatSpec
from polyvigil.config.serve import ServeSpec
from polyvigil.judge.endpoint import EndpointPermission, open_endpoint
from polyvigil.scoring.wire import JUDGED, SKIPPED, judging_in, score_posts
from polyvigil.serve.client import Client
from polyvigil.types import LabelledPost, Post

BUNDLES = Path(__file__).parents[1] / "golden" / "bundles"


@pytest.fixture(scope="module")
def posts(corpus: tuple[LabelledPost, ...]) -> list[Post]:
    return [item.post for item in corpus if item.post.language in {"en", "de"}][:120]


@pytest.mark.parametrize("kind", ["cascade", "judged", "encoder"])
def test_stages_are_those_of_python(kind: str, posts: list[Post]) -> None:
    """Through batches of other sizes, an encoder's P may differ in the last digits."""
    if kind != "judged" and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    bundle = load(BUNDLES / kind, device="cpu")
    with serving(bundle) as running:
        decisions = Client(running.url, posts_per_request=37).score_posts(posts)
        check_counts(running)
    for decision, expected in zip(decisions, score_posts(bundle, posts), strict=True):
        assert decision.p == pytest.approx(expected.p, abs=1e-6)
        assert dataclasses.replace(decision, p=0, p_calibrated=0, spread=0) == dataclasses.replace(
            expected, p=0, p_calibrated=0, spread=0
        )


def _with_endpoint(url: str) -> Bundle:
    """A stored bundle whose second stage is the endpoint at ``url``, which may be asked."""
    bundle = load(BUNDLES / "judged-chat")
    assert bundle.second_stage
    spec = ChatSpec(base_url=url, model="m", wait=0.01, attempts=1, concurrency=1)
    source = open_endpoint(spec, permission=EndpointPermission())
    return dataclasses.replace(bundle, second_stage=dataclasses.replace(bundle.second_stage, source=source))


def test_an_endpoint_has_a_budget_and_is_no_part_of_health(
    posts: list[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with chat_server(lambda _post, _number: Said()) as server:
        bundle = _with_endpoint(server.url)
        spec = ServeSpec(endpoint_posts=3, ready_age=0.001)
        with serving(bundle, spec) as running:
            assert running.request("GET", "/readyz").status == 200
            assert len(server.posts) == 0
            client = Client(running.url, posts_per_request=1, concurrency=1)
            judging = [judging_in(decision.flags) for decision in client.score_posts(posts)]
            assert judging.count(JUDGED) == 3
            assert judging.count(SKIPPED) > 0
            assert judging.index(SKIPPED) > judging.index(JUDGED)
            explained = running.request("POST", "/v1/explain", {"posts": [{"id": "a", "text": posts[0].text}]})
            assert explained.status == 200
            assert check_counts(running)["polyvigil_endpoint_posts"] == 3
        assert len(server.posts) == 3


def test_without_permission_an_endpoint_is_not_asked(posts: list[Post]) -> None:
    with serving(BUNDLES / "judged-chat") as running:
        judging = {judging_in(decision.flags) for decision in Client(running.url).score_posts(posts)}
    assert judging == {SKIPPED, ""}
