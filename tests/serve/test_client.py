"""The client: decisions as here, patience with a service that is busy or away, errors in words."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import pytest
from tests.serve.conftest import Running, check_counts, serving

import polyvigil
from polyvigil.bundle.store import Bundle
from polyvigil.data.write import write_posts
from polyvigil.errors import BundleError, RecipeError, ServiceError
from polyvigil.scoring.wire import score_posts
from polyvigil.serve.client import TOKEN_VARIABLE, Client
from polyvigil.types import LabelledPost, Post

Ran = Callable[..., tuple[int, str, str]]
TOKEN = "a-token-of-the-tests-0123456789-abcdef"


@pytest.fixture(scope="module")
def client(running: Running) -> Client:
    return Client(running.url)


def test_decisions_are_those_of_python(client: Client, bundle: Bundle, corpus: tuple[LabelledPost, ...]) -> None:
    posts = [item.post for item in corpus[:700]]
    assert client.score_posts(posts) == score_posts(bundle, posts)
    assert client.score_posts([]) == []
    long = [Post(str(index), "word " * 19_000, "en") for index in range(5)]
    assert client.score_posts(long) == score_posts(bundle, long)


def test_a_language_that_could_not_be_detected_stays_so(client: Client, bundle: Bundle) -> None:
    posts = [Post("a", "Von den Tabletten wurde mir schlecht", "und")]
    assert client.score_posts(posts, detected=[True]) == score_posts(bundle, posts, detected=[True])
    (without,) = client.score_posts(posts)
    assert (without.language, "language_detected" in without.flags) == ("de", True)


def test_a_frame_is_decided_as_by_the_bundle(client: Client, bundle: Bundle) -> None:
    frame = pd.DataFrame({"text": ["these pills gave me a headache", "davon wurde mir schlecht", ""]}, index=[3, 1, 2])
    pd.testing.assert_frame_equal(client.score(frame), polyvigil.score(bundle, frame))
    texts = ["these pills gave me a headache"]
    assert client.score(texts, ["en"]).equals(polyvigil.score(bundle, texts, ["en"]))


@pytest.mark.parametrize("prevalence", [0.02, {"de": 0.3}, MappingProxyType({"de": 0.3, "": 0.5})])
def test_decisions_are_re_based_as_by_the_bundle(
    client: Client, bundle: Bundle, prevalence: float | Mapping[str, float]
) -> None:
    posts = [Post("a", "these pills gave me a headache", "en"), Post("b", "davon wurde mir schlecht", "de")]
    frame = pd.DataFrame({"text": [post.text for post in posts], "language": [post.language for post in posts]})
    expected = polyvigil.score(bundle, frame, prevalence=prevalence)
    pd.testing.assert_frame_equal(client.score(frame, prevalence=prevalence), expected)
    decisions = client.score_posts(posts, prevalence=prevalence)
    assert [decision.p_calibrated for decision in decisions] == expected["p_calibrated"].tolist()
    assert [decision.p_calibrated for decision in client.score_posts(posts)] != expected["p_calibrated"].tolist()
    with pytest.raises(ServiceError, match=r"a prevalence is between 0 and 1 \(422, usage\)"):
        client.score_posts(posts, prevalence=2)
    with pytest.raises(RecipeError, match="a prevalence is between 0 and 1"):
        client.score(frame, prevalence=2)


def test_files_come_out_byte_by_byte(
    running: Running, bundle_folder: Path, corpus: tuple[LabelledPost, ...], tmp_path: Path, ran: Ran
) -> None:
    source = tmp_path / "posts.csv"
    write_posts(source, corpus[:500])
    frame = pd.read_csv(source).drop(columns="language")
    frame.loc[7, "text"] = ""
    frame.to_csv(source, index=False)
    options = ("--dedup", "near", "--part-posts", "200")
    assert ran("score", bundle_folder, source, "-o", tmp_path / "here.csv", *options)[0] == 0
    code, out, err = ran("score", "--server", running.url, source, "-o", tmp_path / "there.csv", *options)
    assert code == 0, err
    assert "500 posts scored" in out
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    here, there = (json.loads((tmp_path / f"{name}.csv.manifest.json").read_text()) for name in ("here", "there"))
    assert here["languages"] == there["languages"]


def test_options_of_a_bundle_here_are_refused(running: Running, tmp_path: Path, ran: Ran) -> None:
    for option in (["--evidence"], ["--processes", "2"], ["--engine", "ray"], ["--ask-endpoint"]):
        code, _, err = ran("score", "--server", running.url, tmp_path / "a.csv", "-o", tmp_path / "b.csv", *option)
        assert (code, f"{option[0]}" in err, "for a bundle here" in err) == (2, True, True)
    code, _, err = ran("score", tmp_path, "-o", tmp_path / "b.csv")
    assert (code, "name a file" in err) == (2, True)


def test_a_bundle_that_is_replaced_meanwhile_is_said(
    bundle_folder: Path, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(running.url)
    remote = client.remote_bundle()
    (decision,) = client.score_posts([Post("a", "bad pills", "en")])
    monkeypatch.setattr(
        client,
        "score_posts",
        lambda *_, **__: [polyvigil.Decision(*(getattr(decision, name) for name in names[:-1]), "0" * 16)],
    )
    names = decision.__slots__
    with pytest.raises(BundleError, match="was replaced by another"):
        remote.decide([Post("a", "bad pills", "en")], [False])


@contextmanager
def scripted(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[str, list[float]]]:
    """A server that gives these answers in turn, and the times at which it was asked."""
    times: list[float] = []
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            times.append(time.monotonic())
            status, headers, body = left.pop(0)
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", times
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


BUSY = json.dumps({"ok": False, "error": {"code": "busy", "message": "a post would wait", "hint": "later"}}).encode()
DONE = json.dumps({"ok": True, "data": {"bundle": "b"}}).encode()


def test_a_service_that_is_busy_is_tried_again_when_it_says() -> None:
    with scripted((429, {"Retry-After": "1"}, BUSY), (0, {}, b""), (503, {}, BUSY), (200, {}, DONE)) as (url, times):
        assert Client(url).bundle() == {"bundle": "b"}
    assert len(times) == 4
    assert times[1] - times[0] >= 1
    assert all(after - before >= 0.2 for before, after in pairwise(times[1:]))


def test_patience_ends() -> None:
    with scripted((429, {"Retry-After": "60"}, BUSY)) as (url, times):
        with pytest.raises(ServiceError, match=r"a post would wait \(429, busy\)"):
            Client(url, patience=5).bundle()
        assert len(times) == 1
    with pytest.raises(ServiceError, match="cannot be reached"):
        Client(url, patience=0).bundle()


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"<html>", "something else than this version reads"),
        (200, b"[]", "something else than this version reads"),
        (404, b"<html>", "answers with status 404"),
        (404, b"[]", "answers with status 404"),
        (400, json.dumps({"error": {"code": "json", "message": "bad", "hint": ""}}).encode(), r"bad \(400, json\)"),
    ],
)
def test_what_is_no_service(status: int, body: bytes, message: str) -> None:
    with scripted((status, {}, body)) as (url, _), pytest.raises(ServiceError, match=message):
        Client(url).bundle()
    with scripted((200, {}, DONE)) as (url, _), pytest.raises(ServiceError, match="something else"):
        Client(url).remote_bundle()


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://a", "http://", "http://a:b", "http://a?b=c", ""])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(RecipeError, match="is no URL of a service"):
        Client(url)


def test_a_token_is_sent(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(bundle, token=TOKEN) as running:
        with pytest.raises(ServiceError, match=r"a token is needed \(401, token\); give the token in POLYVIGIL_TOKEN"):
            Client(running.url).bundle()
        assert Client(running.url, token=TOKEN).bundle()["bundle"] == bundle.id
        monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
        assert Client(running.url + "/").bundle()["bundle"] == bundle.id
        check_counts(running, {"Authorization": f"Bearer {TOKEN}"})


def test_a_post_that_cannot_be_scored_is_named(client: Client) -> None:
    with pytest.raises(ServiceError, match="the post with the id 'b' is not scored: 100,001 characters"):
        client.score_posts([Post("a", "fine", "en"), Post("b", "x" * 100_001, "en")])


def test_files_are_read_by_the_columns_that_the_bundle_was_trained_with(
    ran: Ran, bundle_folder: Path, tmp_path: Path
) -> None:
    """Here and there: ``text`` is a column of something else in files of this kind."""
    folder, source = tmp_path / "bundle", tmp_path / "posts.csv"
    assert ran("tune", bundle_folder, "-o", folder, "-q", "--set", "data.columns.text=words")[0] == 0
    source.write_text("id,text,words,language\na,none,these pills gave me a terrible headache,en\n", encoding="utf-8")
    assert ran("score", folder, source, "-o", tmp_path / "here.csv")[0] == 0
    with serving(folder) as running:
        assert ran("score", "--server", running.url, source, "-o", tmp_path / "there.csv")[0] == 0
        row = {"text": ["none"], "words": ["these pills gave me a terrible headache"], "language": ["en"]}
        (p,) = Client(running.url).score(pd.DataFrame(row))["p"]
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert f"{p:.6g}" in (tmp_path / "here.csv").read_text(encoding="utf-8")
