"""Safe by default: this computer alone, else a token; Host names; no CORS; no text of posts in logs and metrics."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.serve.conftest import Running, check_counts, process, serving

from polyvigil.bundle.store import Bundle
from polyvigil.config.serve import ServeSpec
from polyvigil.errors import RecipeError, ServiceError
from polyvigil.serve.app import create_app
from polyvigil.serve.token import VARIABLE, check_exposed, read_token
from polyvigil.web.hosts import allowed_hosts, host_name, is_loopback
from polyvigil.web.server import listening_socket, logging_to

MakePost = Callable[..., dict[str, Any]]
TOKEN = "a-token-of-the-tests-0123456789-abcdef"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("localhost", "localhost"),
        ("LocalHost:8000", "localhost"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("a.example:x:1", "a.example:x:1"),
        ("", ""),
    ],
)
def test_host_name(value: str, name: str) -> None:
    assert host_name(value) == name


def test_hosts_that_are_answered() -> None:
    assert allowed_hosts("0.0.0.0", ("Scoring.Example.org",)) == {
        "localhost",
        "127.0.0.1",
        "::1",
        "scoring.example.org",
    }
    assert "10.0.0.7" in allowed_hosts("10.0.0.7", ())


def test_loopback() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.3.2.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.7", "example.org", "localhost.example.org")))


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "", "a" * 300, "[::2]"]
)
@pytest.mark.parametrize("path", ["/v1/score", "/livez", "/metrics", "/"])
def test_another_host_is_refused_everywhere(running: Running, host: str, path: str) -> None:
    answered = running.request("GET", path, headers={"Host": host})
    assert (answered.status, answered.code) == (421, "host")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"])
def test_this_computer_s_names_are_answered(running: Running, host: str) -> None:
    assert running.request("GET", "/livez", headers={"Host": host}).status == 200


def test_no_header_lets_other_sites_in(running: Running, post: MakePost) -> None:
    answered = running.score(post(), headers={"Origin": "https://evil.example"})
    assert not [name for name in answered.headers if name.startswith("access-control")]
    assert running.request("OPTIONS", "/v1/score", headers={"Origin": "https://evil.example"}).status == 405


def test_a_token_is_needed_and_compared_whole(bundle: Bundle, post: MakePost) -> None:
    with serving(bundle, token=TOKEN) as running:
        for value in (
            "",
            "Bearer",
            f"Basic {TOKEN}",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {TOKEN.upper()}",
        ):
            answered = running.score(post(), headers={"Authorization": value} if value else {})
            assert (answered.status, answered.code) == (401, "token")
            assert answered.headers["www-authenticate"] == "Bearer"
        given = {"Authorization": f"bearer {TOKEN}"}
        assert running.score(post(), headers=given).status == 200
        for path in ("/v1/bundle", "/metrics", "/openapi.json", "/v2", "/v2/models/polyvigil"):
            assert running.request("GET", path).status == 401
            assert running.request("GET", path, headers=given).status == 200
        for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/"):
            assert running.request("GET", path).status == 200
        check_counts(running, given)


@pytest.mark.parametrize("token", ["short", "x" * 31, "with a space " * 4, "ü" * 40, "x" * 40 + "\n"])
def test_a_token_that_can_be_guessed_is_no_token(bundle: Bundle, token: str) -> None:
    with pytest.raises(RecipeError, match="at least 32 printable ASCII"):
        create_app(bundle, token=token)


def test_where_a_token_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert read_token("") == ""
    monkeypatch.setenv(VARIABLE, TOKEN)
    assert read_token("") == TOKEN
    (tmp_path / "token.txt").write_text("another" + TOKEN + "\n", encoding="utf-8")
    assert read_token(str(tmp_path / "token.txt")) == "another" + TOKEN
    with pytest.raises(RecipeError, match="unreadable"):
        read_token(str(tmp_path / "nothing.txt"))
    (tmp_path / "token.txt").write_text("", encoding="utf-8")
    with pytest.raises(RecipeError, match="at least 32"):  # an empty file is a mistake, and opens nothing
        read_token(str(tmp_path / "token.txt"))


def test_an_open_address_needs_a_token_or_a_word() -> None:
    with pytest.raises(RecipeError, match="everybody who can reach"):
        check_exposed(ServeSpec(host="0.0.0.0"), "")
    check_exposed(ServeSpec(host="0.0.0.0"), TOKEN)
    check_exposed(ServeSpec(host="0.0.0.0", insecure=True), "")
    check_exposed(ServeSpec(), "")


def test_a_port_that_is_taken(running: Running) -> None:
    with pytest.raises(ServiceError, match="cannot be listened on"):
        listening_socket(ServeSpec(port=running.port))
    with pytest.raises(ServiceError, match="cannot be listened on"):
        listening_socket(ServeSpec(host="256.1.1.1"))


def test_log_and_metrics_hold_nothing_that_a_client_wrote(running: Running) -> None:
    secret = "canary7"
    lines: list[str] = []
    with logging_to(lines.append, quiet=False):
        running.score(
            {"id": secret, "text": f"{secret} pills", "language": secret, "type": secret},
            headers={"X-Api": secret, "User-Agent": secret},
        )
        running.request("GET", f"/{secret}?{secret}={secret}")
        running.request("POST", "/v1/score", {"posts": [{secret: 1}]})
    assert len(lines) == 3
    assert all(" posts " in line and line.endswith(" ms") for line in lines)
    assert secret not in "".join(lines)
    assert secret not in running.request("GET", "/metrics").body.decode()


def test_an_error_of_the_program_is_logged_without_its_message(
    bundle: Bundle, post: MakePost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> object:
        raise ValueError("secret text of a post")

    with serving(bundle) as running, caplog.at_level(logging.INFO):
        monkeypatch.setattr("polyvigil.serve.routes.read_posts", fails)
        answered = running.score(post(), headers={"X-Request-Id": "r-1"})
        assert (answered.status, answered.code, answered.json["error"]["where"]) == (500, "internal", "r-1")
        assert "request r-1 failed: ValueError at" in caplog.text
        assert "secret" not in caplog.text
        assert check_counts(running)['polyvigil_requests_failed_total{reason="internal",route="/v1/score"}'] == 1


def test_the_command_refuses_an_open_address(bundle_folder: Path, ran: Callable[..., tuple[int, str, str]]) -> None:
    code, _, err = ran("serve", bundle_folder, "--host", "0.0.0.0")
    assert code == 2
    assert "--host: everybody who can reach 0.0.0.0 could have posts scored" in err
    code, _, err = ran("serve", bundle_folder, "--port", "99999")
    assert (code, "--port" in err) == (2, True)
    code, _, err = ran("serve", bundle_folder / "nothing", "--port", "0")
    assert code == 4
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = ran("serve", bundle_folder, "--port", taken.getsockname()[1])
        assert (code, "choose another --port" in err) == (1, True)


def test_the_command_says_where_it_listens_and_ends_with_0(bundle_folder: Path, tmp_path: Path, post: MakePost) -> None:
    (tmp_path / "token.txt").write_text(TOKEN, encoding="utf-8")
    with process(bundle_folder, "--json", "--token-file", str(tmp_path / "token.txt")) as running:
        assert running.process
        assert running.score(post()).code == "token"
        assert running.score(post(), headers={"Authorization": f"Bearer {TOKEN}"}).status == 200
        assert "refused are requests without the token" in "".join(running.output)
        running.process.terminate()
        assert running.process.wait(20) == 0
        assert running.process.stdout
        (document,) = running.process.stdout.read().splitlines()
        assert f'"url": "http://127.0.0.1:{running.port}"' in document
