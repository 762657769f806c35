"""A real HTTP server on this machine that speaks the protocol of chat endpoints, and does what a test says."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """What the server says to one request. ``content`` is the model's answer; ``raw`` the whole body instead."""

    content: object = '{"ade": 0.9}'
    status: int = 200
    raw: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    finish: str = "stop"


@dataclass
class Server:
    """``requests``: every body received, with the post in it under ``_post`` and the key under ``_key``.

    ``bodies``: the same as they came.
    """

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def posts(self) -> list[str]:
        return [request["_post"] for request in self.requests]


@contextmanager
def chat_server(answer: Callable[[str, int], Said]) -> Iterator[Server]:
    """``answer`` is given the post and how many requests came before."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(received)
            post = json.loads(body["messages"][1]["content"])["post"]
            with lock:
                number = len(server.requests)
                server.bodies.append(received)
                server.requests.append(
                    body | {"_post": post, "_key": self.headers.get("Authorization", ""), "_path": self.path}
                )
            said = answer(post, number)
            time.sleep(said.delay)
            told = {
                "choices": [{"message": {"role": "assistant", "content": said.content}, "finish_reason": said.finish}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 7},
            }
            raw = json.dumps(told).encode() if said.raw is None else said.raw
            try:
                self.send_response(said.status)
                for name, value in said.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)
            except OSError:  # the client has gone
                pass

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        server = Server(f"http://127.0.0.1:{http.server_port}/v1")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
