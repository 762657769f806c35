"""Stopping, replacing the bundle, a thread that dies, a client that leaves, posts that the model fails on."""

from __future__ import annotations

import ctypes
import gc
import json
import shutil
import signal
import socket
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.scoring.conftest import wait_for
from tests.serve.conftest import Running, check_counts, process, serving, stopped

from polyvigil.bundle.store import Bundle
from polyvigil.config.serve import ServeSpec
from polyvigil.serve import loaded as loaded_module
from polyvigil.serve.loaded import LoadedBundle
from polyvigil.workflows.tune import Plan, recipe_of, tune_bundle

MakePost = Callable[..., dict[str, Any]]


@contextmanager
def slow(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[threading.Event]:
    """Scoring takes so long; the event is set while it does."""
    began = threading.Event()
    real = loaded_module.score_posts

    def slowly(*arguments: Any, **options: Any) -> Any:
        began.set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
        return real(*arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(loaded_module, "score_posts", slowly)
        yield began


@pytest.fixture(scope="session")
def other_folder(bundle_folder: Path, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session's bundle with other thresholds, and so with another id."""
    folder = tmp_path_factory.mktemp("tuned") / "bundle"
    decide = recipe_of(bundle_folder).decide.model_copy(update={"rule": "paper-grid"})
    tune_bundle(bundle_folder, bundle, Plan(decide, data="stored dev scores"), output=folder, log=lambda _: None)
    return folder


def load(running: Running, stop: threading.Event, counts: Counter[int], lock: threading.Lock) -> None:
    """One client that sends a post after the other, until it is told to stop or is not reached any more."""
    number = 0
    while not stop.is_set():
        number += 1
        id = f"{threading.get_ident()}-{number}"
        try:
            answered = running.score({"id": id, "text": "these pills gave me a headache"})
        except OSError:
            break  # nobody listens any more, or the connection was not taken
        with lock:
            counts[answered.status] += 1
        if answered.status == 200:
            assert answered.json["data"][0]["id"] == id


def test_sigterm_under_load_answers_all_that_was_taken(bundle_folder: Path) -> None:
    """benchmarks/serving.py does it 20 times."""
    stop, counts, lock = threading.Event(), Counter[int](), threading.Lock()
    with process(bundle_folder) as running, ThreadPoolExecutor(8) as clients:
        assert running.process
        tasks = [clients.submit(load, running, stop, counts, lock) for _ in range(8)]
        time.sleep(0.7)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0
        stop.set()
        for task in tasks:
            task.result()
    assert counts[200] > 50
    assert counts.keys() <= {200, 503}
    assert "every request that was taken has been answered" in "".join(running.output)


def test_while_it_drains_new_posts_are_refused_and_old_ones_answered(
    bundle: Bundle, post: MakePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(bundle) as running, slow(monkeypatch, 1.0) as began, ThreadPoolExecutor(1) as client:
        assert running.app
        taken = client.submit(running.score, post())
        assert began.wait(5)
        running.app.service.begin_draining()
        refused = running.score(post())
        assert (refused.status, refused.code, refused.headers["connection"]) == (503, "draining", "close")
        assert int(refused.headers["retry-after"]) >= 1
        assert (running.request("GET", "/readyz").status, running.request("GET", "/livez").status) == (503, 200)
        assert taken.result().status == 200
        check_counts(running)


def test_a_thread_that_dies_costs_its_batch_and_is_replaced(
    bundle: Bundle, post: MakePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(bundle) as running, ThreadPoolExecutor(2) as clients:
        assert running.app
        queue = running.app.service.queue
        with slow(monkeypatch, 3.0) as began:
            taken = clients.submit(running.score, post("a"))
            assert began.wait(5)
            waiting = clients.submit(running.score, post("b"))
            time.sleep(0.2)
            kill = ctypes.pythonapi.PyThreadState_SetAsyncExc
            assert kill(ctypes.c_ulong(queue.thread_id or 0), ctypes.py_object(SystemExit)) == 1
            died = taken.result()
            killed = time.monotonic()
            assert (died.status, died.code, died.headers["retry-after"]) == (503, "scoring_stopped", "1")
            assert queue.last_scored == float("-inf")  # what readiness looks at: nothing was scored since
        assert waiting.result().status == 200  # it was not in the batch
        while running.request("GET", "/readyz").status != 200:
            assert time.monotonic() - killed < 5
        assert running.score(post("c")).status == 200
        metrics = check_counts(running)
        assert metrics["polyvigil_scoring_thread_deaths"] == 1


def test_not_ready_while_nothing_can_be_scored(bundle: Bundle, post: MakePost, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> object:
        raise RuntimeError("the model is broken")

    with serving(bundle, ServeSpec(ready_age=0.01)) as running:
        time.sleep(0.05)
        with monkeypatch.context() as patched:
            patched.setattr(loaded_module, "score_posts", fails)
            answered = running.request("GET", "/readyz")
            assert (answered.status, answered.code) == (503, "not_ready")
            assert running.request("GET", "/livez").status == 200
            scored = running.score(post())
            assert scored.status == 200
            assert scored.json["data"][0]["error"]["code"] == "scoring"
        assert running.request("GET", "/readyz").status == 200
        check_counts(running)


def test_one_post_that_fails_fails_alone(bundle: Bundle, post: MakePost, monkeypatch: pytest.MonkeyPatch) -> None:
    real = loaded_module.score_posts

    def fails_on_poison(bundle: Bundle, posts: Any, **options: Any) -> Any:
        if any("poison" in post.text for post in posts):
            raise MemoryError
        return real(bundle, posts, **options)

    with serving(bundle) as running:
        alone = running.score(post("a"), post("c")).json["data"]
        monkeypatch.setattr(loaded_module, "score_posts", fails_on_poison)
        first, second, third = running.score(post("a"), post("b", "poison"), post("c")).json["data"]
        assert [first, third] == alone
        assert second["error"]["code"] == "scoring"
        assert second["error"]["where"] == "posts[1]"
        check_counts(running)


def test_a_deadline_ends_the_wait(bundle: Bundle, post: MakePost, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(bundle) as running, slow(monkeypatch, 0.6), ThreadPoolExecutor(2) as clients:
        scored = clients.submit(running.score, post())
        time.sleep(0.1)
        started = time.monotonic()
        late = running.score(post(), headers={"X-Request-Timeout": "0.2"})
        assert (late.status, late.code) == (504, "deadline")
        assert time.monotonic() - started < 0.5
        assert scored.result().status == 200
        metrics = check_counts(running)
        assert metrics['polyvigil_requests_failed_total{reason="deadline",route="/v1/score"}'] == 1


def test_posts_of_a_client_that_has_left_are_not_scored(
    bundle: Bundle, post: MakePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(bundle) as running, slow(monkeypatch, 0.8), ThreadPoolExecutor(1) as clients:
        before = running.metrics()["polyvigil_posts_scored_total"]
        first = clients.submit(running.score, post())
        time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            body = json.dumps({"posts": [post()]}).encode()
            head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.3)
        assert first.result().status == 200
        metrics = check_counts(running)
        assert metrics["polyvigil_posts_scored_total"] == before + 1
        assert metrics['polyvigil_requests_failed_total{reason="client_gone",route="/v1/score"}'] == 1


def test_a_bundle_is_replaced_under_load(bundle_folder: Path, other_folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "bundle"
    link.symlink_to(bundle_folder)
    with serving(link) as running, ThreadPoolExecutor(4) as clients:
        assert running.app
        service = running.app.service
        before = service.serving.bundle.id
        stop, counts, lock = threading.Event(), Counter[int](), threading.Lock()
        tasks = [clients.submit(load, running, stop, counts, lock) for _ in range(3)]
        link.unlink()
        link.symlink_to(other_folder)
        answered = running.request("POST", "/v1/reload", {}).json["data"]
        assert answered["before"] == before != answered["bundle"]
        (record,) = running.score({"id": "a", "text": "bad pills", "language": "en"}).json["data"]
        assert record["bundle"] == answered["bundle"]
        stop.set()
        for task in tasks:
            task.result()
        assert counts.keys() == {200}
        states = {name: value for name, value in check_counts(running).items() if "bundle_requests" in name}
        assert states == {f'polyvigil_bundle_requests{{bundle="{answered["bundle"]}",state="serving"}}': 0}


def test_a_request_is_scored_by_the_bundle_that_served_when_it_came(
    bundle_folder: Path, other_folder: Path, tmp_path: Path, post: MakePost
) -> None:
    link = tmp_path / "bundle"
    link.symlink_to(bundle_folder)
    with serving(link) as running, ThreadPoolExecutor(2) as clients:
        assert running.app
        service, before = running.app.service, running.app.service.serving.bundle.id
        with stopped(service) as pid:
            first = clients.submit(running.score, post("a"))
            second = clients.submit(running.score, post("b"))
            wait_for(lambda: service.serving.open_requests == 2)
            link.unlink()
            link.symlink_to(other_folder)
            after = running.request("POST", "/v1/reload", {}).json["data"]["bundle"]
            assert (before, "retiring") in service.bundle_states()
            assert service.bundle_states()[before, "retiring"] == 2
        assert {first.result().json["bundle"], second.result().json["bundle"]} == {before}
        assert running.score(post()).json["bundle"] == after
        assert service.bundle_states().keys() == {(after, "serving")}
        wait_for(lambda: not Path(f"/proc/{pid}").exists())  # with its last request its process has ended


class Cycle:
    """Holds itself, as parts of an encoder do."""

    def __init__(self) -> None:
        self.itself = self


def test_a_replaced_bundle_leaves_no_cycle_in_memory(bundle_folder: Path, other_folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "bundle"
    link.symlink_to(bundle_folder)
    with serving(link) as running:
        assert running.app
        assert gc.get_freeze_count() > 10_000  # no collection walks them while it serves
        cycle = Cycle()
        vars(running.app.service.serving)["cycle"] = cycle
        kept = weakref.ref(cycle)
        gc.freeze()  # as if it had been there from the beginning
        del cycle
        link.unlink()
        link.symlink_to(other_folder)
        running.request("POST", "/v1/reload", {})
        wait_for(lambda: kept() is None and gc.get_freeze_count() > 10_000)
    assert gc.get_freeze_count() == 0


def test_a_bad_bundle_changes_nothing(bundle_folder: Path, tmp_path: Path, post: MakePost) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_folder, folder)
    with serving(folder) as running:
        before = running.score(post()).json
        policy = folder / "policy.json"
        policy.write_text(policy.read_text(encoding="utf-8") + " ", encoding="utf-8")
        refused = running.request("POST", "/v1/reload", {})
        assert (refused.status, refused.code) == (409, "bundle")
        assert running.score(post()).json == before
        assert check_counts(running)['polyvigil_reloads_total{result="refused"}'] == 1


def test_a_bundle_that_cannot_score_is_not_swapped_in(
    bundle_folder: Path, other_folder: Path, tmp_path: Path, post: MakePost, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "bundle"
    link.symlink_to(bundle_folder)
    with serving(link) as running:
        link.unlink()
        link.symlink_to(other_folder)
        with monkeypatch.context() as patched:
            patched.setattr(LoadedBundle, "score_without_endpoint", lambda *_: 2 * [b'{"p":NaN}'])
            assert running.request("POST", "/v1/reload", {}).code == "bundle"
        assert running.score(post()).status == 200


def test_the_same_bundle_goes_on_and_is_loaded_from_where_it_stands_by_then(
    bundle_folder: Path, bundle: Bundle, tmp_path: Path, post: MakePost
) -> None:
    link, copy = tmp_path / "bundle", tmp_path / "copy"
    link.symlink_to(bundle_folder)
    shutil.copytree(bundle_folder, copy)
    with serving(link) as running:
        assert running.app
        before = running.app.service.serving
        assert before.process
        pid = before.process.pid
        link.unlink()
        link.symlink_to(copy)
        assert running.request("POST", "/v1/reload", {}).json["data"] == {"bundle": bundle.id, "before": bundle.id}
        assert running.app.service.serving is before
        assert (before.process.pid, before.process.folder) == (pid, copy)
        assert check_counts(running)['polyvigil_reloads_total{result="same"}'] == 1


def test_a_loaded_bundle_has_no_folder_to_read_again(running: Running) -> None:
    assert running.request("POST", "/v1/reload", {}).code == "bundle"
    assert running.request("POST", "/v1/reload", {"bundle": "/etc"}).code == "usage"
    assert running.request("POST", "/v1/reload", b"{}", {"Content-Type": "text/plain"}).code == "encoding"


def test_sighup_loads_the_folder_again_and_a_hanging_request_holds_no_stop(
    bundle_folder: Path, other_folder: Path, tmp_path: Path
) -> None:
    """A request whose body never comes is waited for as long as ``--drain`` says."""
    link = tmp_path / "bundle"
    link.symlink_to(bundle_folder)
    with process(link, "--drain", "0.5") as running:
        assert running.process
        before = running.request("GET", "/v1/bundle").json["data"]["bundle"]
        link.unlink()
        link.symlink_to(other_folder)
        running.process.send_signal(signal.SIGHUP)
        for _ in range(600):
            after = running.request("GET", "/v1/bundle").json["data"]["bundle"]
            if after != before:
                break
            time.sleep(0.1)
        assert after != before
        assert running.process.poll() is None
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            head = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            connection.sendall(head + b"Content-Length: 99\r\n\r\n{")
            time.sleep(0.3)
            started = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(10) == 0
            assert time.monotonic() - started < 5
    assert "stopped with 1 requests open" in "".join(running.output)
