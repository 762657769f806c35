"""``polyvigil review open`` as a process: its first link, its answer, what it refuses, and how it stops."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.review.pages.conftest import Client
from tests.review.pages.reading import fill_posts

from polyvigil.cli import main as program
from polyvigil.review.store import open_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with eight posts and nobody in it."""
    path = tmp_path / "review.db"
    with open_store(path, create=True) as opened:
        fill_posts(opened)
    return path


@contextlib.contextmanager
def _process(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The command, and the data that it prints when it is ready, or its error."""
    command = [sys.executable, "-m", "polyvigil", "review", "open", *map(str, arguments), "--port", "0", "--json"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert started.stdout
    assert started.stderr
    try:
        line = started.stdout.readline()
        yield started, (json.loads(line).get("data") or json.loads(line)) if line else {}
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()
        started.stdout.close()
        started.stderr.close()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of this computer's own making for 127.0.0.1, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl on this computer")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=review"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def test_pages_are_served_with_tls(store: Path, certificate: tuple[Path, Path]) -> None:
    """A client that trusts the certificate signs in, by a cookie that never goes without TLS; others get nothing."""
    with _process(store, "--tls-cert", certificate[0], "--tls-key", certificate[1]) as (_, document):
        assert document["url"].startswith("https://127.0.0.1:")
        port, secret = int(document["url"].rpartition(":")[2]), document["link"].partition("#")[2]
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting)) as tls:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            tls.request("POST", "/sign-in", f"secret={secret}", form)
            answer = tls.getresponse()
            answer.read()
            assert answer.status == 303
            assert "Secure" in answer.headers["Set-Cookie"]
            tls.request("GET", "/", headers={"Cookie": answer.headers["Set-Cookie"].partition(";")[0]})
            assert tls.getresponse().status == 200
        stranger = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=ssl.create_default_context())
        with contextlib.closing(stranger), pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", "/sign-in")
        plain = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with contextlib.closing(plain):
            plain.request("GET", "/sign-in")
            with pytest.raises((http.client.HTTPException, OSError)):
                plain.getresponse()


def _signed_in(document: dict[str, Any], secret: str) -> Client:
    client = Client(int(document["url"].rpartition(":")[2]))
    answer = client.form("/sign-in", secret=secret)
    assert answer.status == 303
    client.cookie = answer.headers["set-cookie"].partition(";")[0]
    client.csrf = client.get("/policy").body.partition('name="csrf" content="')[2].partition('"')[0]
    return client


def test_the_first_person_gets_a_link_and_sigterm_loses_nothing(store: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.md"
    policy.write_text("# Our rules\n\nzebrafinch counts", encoding="utf-8")
    keys, drugs = tmp_path / "keys.toml", tmp_path / "drugs.csv"
    keys.write_text('ade = "f"', encoding="utf-8")
    drugs.write_text("term,code\nSertraline,N06AB06\n", encoding="utf-8")
    with _process(store, "--policy", policy, "--keys", keys, "--drugs", drugs) as (started, document):
        link = document["link"]
        client = _signed_in(document, link)
        assert "lead" in client.get("/").body
        page = client.get("/post/1").body
        assert '<mark class="drug" title="drug N06AB06">sertraline</mark>' in page
        assert '<button name="verdict" value="ade"><kbd>f</kbd> ADE</button>' in page
        assert "zebrafinch counts" in client.get("/policy").body
        acknowledged = _decide_until_the_end(client, lambda: started.send_signal(signal.SIGTERM))
        assert started.wait(30) == 0
        assert started.stderr
        log = started.stderr.read()
    assert "every decision that was acknowledged is in the store" in log
    assert "POST /decide 200" in log
    for secret in ("zebrafinch", "sertraline", link.partition("#")[2], "language="):
        assert secret not in log
    with open_store(store) as opened:
        logged = [one.seq for one in opened.newest_events(kind="decide")]
        assert acknowledged
        assert set(acknowledged) <= set(logged)
    with _process(store, "--policy", policy) as (started, document):
        assert document["link"] is None
        with open_store(store) as opened:
            assert len(opened.newest_events(kind="policy")) == 1
        started.send_signal(signal.SIGINT)
        assert started.wait(30) == 0


def _decide_until_the_end(client: Client, stop: Callable[[], None]) -> list[int]:
    """Decide posts one after another, while the server is told to stop; the events that it acknowledged."""
    acknowledged: list[int] = []
    timer = threading.Timer(0.15, stop)
    timer.start()
    for number in range(1, 9):
        for attempt in range(400):
            try:
                answer = client.json("/decide?language=", task=number, verdict="ade", key=f"k-{number}")
            except (OSError, http.client.HTTPException):
                timer.join()
                return acknowledged
            if answer.status == 200:
                acknowledged.append(answer.json["data"]["seq"])
                break
            assert answer.code == "draining", (attempt, answer)
    timer.join()
    return acknowledged


def test_a_store_has_one_server(store: Path) -> None:
    with _process(store) as (_, document):
        assert document["url"]
        with _process(store) as (second, refused):
            assert second.wait(30) == 1
            assert refused["error"]["message"] == "another server has this store open"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--host", "0.0.0.0"], 2, "--tls-cert"),
        (["--tls-cert", "x.pem"], 2, "needed together"),
        (["--port", "70000"], 2, "--port"),
        (["--host", "no.such.host.invalid"], 2, "--host"),
        (["--policy", "absent.md"], 2, "absent.md"),
        (["--keys", "absent.toml"], 2, "absent.toml"),
        (["--drugs", "absent.csv"], 2, "absent.csv"),
    ],
)
def test_what_it_refuses(
    store: Path, options: list[str], code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program.run(["review", "open", str(store), *options]) == code
    assert message in capfd.readouterr().err


def test_a_store_that_is_not_there(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(["review", "open", str(tmp_path / "absent.db"), "--port", "0"]) == 4
    assert "polyvigil review add" in capfd.readouterr().err
