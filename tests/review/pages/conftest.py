"""The review pages as they are served: a real server in a thread, and the installed Chromium."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.axe import axe_path

pytest.importorskip("sqlalchemy", reason="pip install 'polyvigil[review]'")
pytest.importorskip("starlette", reason="pip install 'polyvigil[review]'")

from polyvigil.config.review_server import ReviewServerSpec
from polyvigil.review.pages.app import ReviewApp, create_app
from polyvigil.review.pages.visit import DisplayOptions
from polyvigil.review.store import Store, open_store
from polyvigil.web.server import DrainingServer, listening_socket, server_config

REQUIRED = os.environ.get("POLYVIGIL_REQUIRE", "").split(",")


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        code: str = self.json["error"]["code"]
        return code


@dataclass
class Client:
    """One who has a session with the pages, or none, and speaks HTTP without a browser."""

    port: int
    cookie: str = ""
    csrf: str = ""

    def send(
        self, method: str, path: str, body: bytes | str | None = None, headers: dict[str, str] | None = None
    ) -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            given = ({"Cookie": self.cookie} if self.cookie else {}) | (headers or {})
            connection.request(method, path, body, given)
            response = connection.getresponse()
            fields = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, fields, response.read().decode())

    def get(self, path: str, **headers: str) -> Response:
        return self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def form(self, path: str, headers: dict[str, str] | None = None, **fields: object) -> Response:
        """A form as a browser sends it."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, urlencode({"csrf": self.csrf} | fields, doseq=True), kind | (headers or {}))

    def json(self, path: str, headers: dict[str, str] | None = None, **fields: object) -> Response:
        """A request as the script sends it."""
        kind = {"Content-Type": "application/json", "Accept": "application/json", "X-CSRF": self.csrf}
        return self.send("POST", path, json.dumps(fields), kind | (headers or {}))


@dataclass
class Served:
    """The pages of a store on a port of 127.0.0.1."""

    store: Store
    app: ReviewApp
    port: int
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def link(self, name: str, role: str = "reviewer") -> str:
        """The personal link of a person, who is added once."""
        if name not in self.secrets:
            _, self.secrets[name] = self.store.add_person(name, role=role)  # type: ignore[arg-type]
        return f"{self.url}/sign-in#{self.secrets[name]}"

    def client(self, name: str = "", role: str = "reviewer") -> Client:
        """A client of a person; without a name of nobody."""
        client = Client(self.port)
        if name:
            answer = client.form("/sign-in", secret=self.link(name, role))
            assert answer.status == 303, answer
            client.cookie = answer.headers["set-cookie"].partition(";")[0]
            found = re.search(r'name="csrf" content="([^"]+)"', client.get("/").body)
            assert found
            client.csrf = found[1]
        return client


@contextlib.contextmanager
def served(store: Store, *, port: int = 0, options: DisplayOptions | None = None, **settings: Any) -> Iterator[Served]:
    """The pages of a store, served by a thread."""
    spec = ReviewServerSpec(port=port, **settings)
    app = create_app(store, spec, options)
    listener = listening_socket(spec)
    ready = threading.Event()
    server = DrainingServer(server_config(app, spec), app, drain=spec.drain, on_ready=ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield Served(store, app, listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.fixture
def make_served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serves new stores; all end with the test."""
    with contextlib.ExitStack() as stack:

        def make(fill: Callable[[Store], None], **settings: Any) -> Served:
            count = len(list(tmp_path.glob("*.db")))
            store = stack.enter_context(open_store(tmp_path / f"review-{count}.db", create=True))
            fill(store)
            return stack.enter_context(served(store, **settings))

        yield make


def absent(what: str, reason: str) -> None:
    """Skip, or fail where POLYVIGIL_REQUIRE names what is absent."""
    if what in REQUIRED:
        pytest.fail(f"POLYVIGIL_REQUIRE has {what}: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium, driven by playwright."""
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        absent("browser", "no chromium, chromium-browser or google-chrome on this computer")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        absent("browser", "playwright is not installed: pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    if path := axe_path():
        return path.read_text(encoding="utf-8")
    absent("axe", "no axe-core: pip install axe-playwright-python, or set POLYVIGIL_AXE to its axe.min.js")
    raise AssertionError
