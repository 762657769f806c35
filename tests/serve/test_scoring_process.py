"""The process that scores for the service: the results of this one, its death, its end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.conftest import children, wait_for
from tests.serve.conftest import Running, check_counts, process, serving, stopped

from polyvigil.bundle.store import Bundle, load
from polyvigil.config.serve import ServeSpec
from polyvigil.errors import BundleError
from polyvigil.serve.batching import ScoringStoppedError
from polyvigil.serve.loaded import LoadedBundle
from polyvigil.serve.requests import RequestPost
from polyvigil.serve.scoring_process import PostsFailedError, ScoringProcess
from polyvigil.types import LabelledPost

MakePost = Callable[..., dict[str, Any]]
CHILD = b"polyvigil.serve.scoring_child"
READY = 60.0  # seconds; 5 on a machine that does nothing else (benchmarks/serving.py measures it)


@pytest.fixture(scope="module")
def running(bundle_folder: Path) -> Iterator[Running]:
    with serving(bundle_folder, ServeSpec(max_characters=200_000)) as one:
        yield one
        check_counts(one)


@pytest.fixture
def scoring(running: Running) -> ScoringProcess:
    assert running.app
    scoring = running.app.service.serving.process
    assert scoring
    return scoring


def test_its_results_are_those_of_this_process(
    scoring: ScoringProcess, bundle: Bundle, corpus: tuple[LabelledPost, ...]
) -> None:
    odd = [
        RequestPost("lone", "bad \ud800 pills", "en"),
        RequestPost("lines", 'a "quoted"\nheadache\u2028', "en"),
        RequestPost("long", "these pills gave me a headache " * 6000, "de"),
        RequestPost("nothing", ""),
        RequestPost("error", "bad pills", 'Klingon"\n'),
        RequestPost("sender", "bad pills", "und", language_detected=True),
    ]
    posts = [RequestPost(item.post.id, item.post.text, item.post.language, item.post.type) for item in corpus[::50]]
    here = LoadedBundle(bundle, ServeSpec())
    indexed = list(enumerate(odd + posts))
    assert scoring.results("score", indexed) == here.score(indexed)
    assert scoring.results("score_without_endpoint", indexed[:9]) == here.score_without_endpoint(indexed[:9])
    assert scoring.results("explain", indexed[:2] + indexed[4:9]) == here.explain(indexed[:2] + indexed[4:9])


def test_one_that_is_killed_costs_its_batch_and_is_replaced(running: Running, post: MakePost) -> None:
    assert running.app
    service = running.app.service
    deaths = service.queue.deaths
    before = running.score(post()).json
    with stopped(service) as pid, ThreadPoolExecutor(1) as client:
        taken = client.submit(running.score, post("a"))
        wait_for(lambda: service.queue.waiting)
        time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        died = taken.result()
    killed = time.monotonic()
    assert (died.status, died.code, died.headers["retry-after"]) == (503, "scoring_stopped", "1")
    assert not service.serving.is_alive  # what readiness looks at, before a post was scored
    assert running.request("GET", "/livez").status == 200
    while running.request("GET", "/readyz").status != 200:
        assert time.monotonic() - killed < READY
    assert service.serving.is_alive
    assert running.score(post()).json == before
    metrics = check_counts(running)
    assert metrics["polyvigil_scoring_thread_deaths"] == deaths + 1
    assert metrics['polyvigil_requests_failed_total{reason="scoring_stopped",route="/v1/score"}'] == 1


def test_one_that_is_killed_while_idle_is_missed_by_readiness(running: Running, post: MakePost) -> None:
    assert running.app
    service = running.app.service
    assert running.request("GET", "/readyz").status == 200
    assert service.serving.process
    assert service.serving.process.pid
    os.kill(service.serving.process.pid, signal.SIGKILL)
    wait_for(lambda: not service.serving.is_alive)
    assert running.request("GET", "/readyz").code == "not_ready"
    killed = time.monotonic()
    while running.request("GET", "/readyz").status != 200:
        assert time.monotonic() - killed < READY
    assert running.score(post()).status == 200


def test_signals_of_the_terminal_and_of_the_service_do_not_reach_it(scoring: ScoringProcess, running: Running) -> None:
    assert scoring.pid
    assert os.getpgid(scoring.pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(scoring.pid, number)
    time.sleep(0.2)
    assert scoring.is_alive
    assert running.request("GET", "/readyz").status == 200
    words = Path(f"/proc/{scoring.pid}/cmdline").read_bytes().split(b"\0")
    assert words[2:4] == [b"-m", CHILD]


def test_what_raises_there_fails_alone(scoring: ScoringProcess, caplog: pytest.LogCaptureFixture) -> None:
    post = (0, RequestPost("a", "bad pills", "en"))
    with pytest.raises(PostsFailedError):
        scoring.results("no_such_method", [post])
    assert "raised KeyError" in caplog.text
    assert "bad pills" not in caplog.text
    assert len(scoring.results("score", [post])) == 1


def test_it_begins_with_the_bundle_of_its_id_alone(bundle_folder: Path, bundle: Bundle) -> None:
    scoring = ScoringProcess(bundle_folder, "0" * 16)
    with pytest.raises(ScoringStoppedError, match="was replaced by another"):
        scoring.results("score", [(0, RequestPost("a", "bad pills", "en"))])
    assert scoring.pid is None
    loaded = LoadedBundle(bundle, ServeSpec(), folder=bundle_folder)
    loaded.process = scoring
    with pytest.raises(BundleError, match=r"a first post could not be scored \(was replaced by another"):
        loaded.smoke_score()
    scoring.close()
    with pytest.raises(PostsFailedError):
        scoring.results("score", [(0, RequestPost("a", "bad pills", "en"))])


def test_it_outlives_no_service(bundle_folder: Path) -> None:
    with process(bundle_folder) as running:
        assert running.process
        (child,) = children(running.process.pid, title=CHILD)
        running.process.kill()
        wait_for(lambda: not Path(f"/proc/{child}").exists(), seconds=20)


def test_encoders_and_loaded_bundles_are_scored_here(bundle: Bundle) -> None:
    folder = Path(__file__).parents[1] / "golden" / "bundles" / "judged"
    assert LoadedBundle(bundle, ServeSpec()).process is None
    assert LoadedBundle(load(folder), ServeSpec(), folder=folder).process is None
