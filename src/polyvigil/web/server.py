"""Runs the application: one process, uvicorn with httptools, until a signal; and guards what comes before a request.

SIGTERM or Ctrl-C: nothing new is taken (503), what is open is answered, at most ``drain`` seconds, then exit 0; a
second one ends at once. SIGHUP: the application loads again what it serves. uvicorn alone would close its socket at the
first signal and end with 143.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from types import FrameType
from typing import Any, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from polyvigil.config.web import WebSpec
from polyvigil.errors import ServiceError
from polyvigil.web.asgi import JSON, Application, Reply
from polyvigil.web.refusal import RefusalError, error_body

LOG = logging.getLogger("polyvigil.web")
_POLL = 0.05  # seconds between looks at what is still open, while draining
_BACKLOG = 2048
_SKIPPED_BODY = 2**16  # bytes: up to these are read to no use, so that the connection stays
_LOGGERS = ("polyvigil.serve", "polyvigil.review", "polyvigil.web", "uvicorn.error")


EarlyRefusal = Callable[[str, str, Mapping[bytes, bytes]], Reply | None]
"""Given method, path and headers of a request: what it is refused with at once, or None for one to be looked at."""


def listening_socket(spec: WebSpec) -> socket.socket:
    """A socket that listens, so that a port that is taken is known before anything is loaded. Raises ServiceError."""
    family = socket.AF_INET6 if ":" in spec.host else socket.AF_INET
    # With its protocol named: asyncio sets TCP_NODELAY on such sockets alone, and without it an answer takes 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((spec.host, spec.port))
    except (OSError, UnicodeError) as error:
        listener.close()
        message = f"cannot be listened on ({getattr(error, 'strerror', None) or type(error).__name__})"
        raise ServiceError(
            message, where=f"{spec.host}:{spec.port}", hint="choose another --port; 0 is a free one"
        ) from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Drainable(Protocol):
    """What a server stops by: it takes no more once it drains, and knows how many requests are open still."""

    draining: bool
    open_requests: int

    def begin_draining(self) -> None:
        """Take no more; what is open is answered."""


def run_server(
    config: uvicorn.Config,
    service: Drainable,
    listener: socket.socket,
    *,
    drain: float,
    on_ready: Callable[[], None],
    reload: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Serve until a signal; how many requests were open when the time to drain was over.

    ``on_ready`` is run when requests are answered; ``reload`` at SIGHUP. Raises ServiceError where it cannot start.
    """
    server = DrainingServer(config, service, drain=drain, on_ready=on_ready, reload=reload)
    try:
        server.run(sockets=[listener])
    except SystemExit as error:
        raise ServiceError("could not start", where=url_of(listener), hint="see the messages above") from error
    return server.left_open


def server_config(
    app: Application, spec: WebSpec, *, refuse_early: EarlyRefusal | None = None, **tls: str | None
) -> uvicorn.Config:
    """uvicorn's settings for an application. ``tls``: ``ssl_certfile`` and ``ssl_keyfile``."""
    return uvicorn.Config(
        app,
        ssl_certfile=tls.get("ssl_certfile"),
        ssl_keyfile=tls.get("ssl_keyfile"),
        http=_protocol(spec, refuse_early),
        ws="none",
        lifespan="on",
        loop="asyncio",
        backlog=_BACKLOG,
        timeout_keep_alive=int(spec.keep_alive) or 1,
        timeout_graceful_shutdown=1,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
    )


class DrainingServer(uvicorn.Server):
    """uvicorn's server with our way to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        service: Drainable,
        *,
        drain: float,
        on_ready: Callable[[], None],
        reload: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        super().__init__(config)
        self._service, self._drain_seconds, self._on_ready, self._on_reload = service, drain, on_ready, reload
        self._tasks: set[asyncio.Task[Any]] = set()
        self.left_open = 0
        """Requests that were open when the time to drain was over."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, then say so."""
        await super().startup(sockets)
        if self._on_reload:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # not in the main thread; Windows
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._reload)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """The first signal drains, the next one ends at once."""
        if self._service.draining:
            self.left_open = self._service.open_requests
            self.should_exit = self.force_exit = True
            return
        self._service.begin_draining()
        asyncio.get_running_loop().call_soon_threadsafe(self._in_background, self._drain)

    async def _drain(self) -> None:
        LOG.info("stopping: %d requests are open", self._service.open_requests)
        end = time.monotonic() + self._drain_seconds
        while self._service.open_requests and time.monotonic() < end:
            await asyncio.sleep(_POLL)
        self.left_open = self._service.open_requests
        self.should_exit = True

    def _reload(self) -> None:
        self._in_background(self._reload_logged)

    async def _reload_logged(self) -> None:
        assert self._on_reload
        try:
            await self._on_reload()
        except RefusalError as refusal:
            LOG.warning("SIGHUP changed nothing: %s", refusal.message)

    def _in_background(self, work: Callable[[], Any]) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _BufferedTransport:
    """A transport that sends what is written in one turn of the event loop as one: uvicorn writes head and body apart,
    and each send lets other threads in, which under load costs a millisecond."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send these bytes soon."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Send what is left, then close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def _protocol(spec: WebSpec, refuse_early: EarlyRefusal | None) -> type[HttpToolsProtocol]:
    """uvicorn's protocol with limits of what comes before a request: time and bytes of headers, open connections.

    A request with a small body that ``refuse_early`` refuses never becomes one: its body is skipped.
    """

    class GuardedProtocol(HttpToolsProtocol):
        _header_bytes = 0
        _in_headers = False
        _refused = False
        _skips_body = False
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(_BufferedTransport(transport, self.loop))  # type: ignore[arg-type]
            if len(self.connections) > spec.max_connections:
                self._refused = True
                transport.abort()
                return
            self._expect_headers()
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            super().data_received(data)
            if self._in_headers:
                self._header_bytes += len(data)
                self._check_size(self._header_bytes)
            if (self._in_headers or self._skips_body) and not self._timer:  # most requests come whole and need none
                self._start_timer()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if not self._in_headers:
                self._expect_headers()

        def on_headers_complete(self) -> None:
            self._in_headers = False
            self._stop_timer()
            self._check_size(len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers))
            if not self._refused and not self._refuse_early():
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if not self._refused and not self._skips_body:
                super().on_body(body)

        def on_message_complete(self) -> None:
            if self._skips_body:
                self._skips_body = False
                self._stop_timer()
                self.on_response_complete()
            elif not self._refused:
                super().on_message_complete()

        def _refuse_early(self) -> bool:
            """Answer a request by its head, where it is refused now; the connection stays for the next one."""
            if refuse_early is None or self.flow.write_paused or (self.cycle and not self.cycle.response_complete):
                return False
            headers = dict(self.headers)
            length = headers.get(b"content-length", b"")
            skips = length.isdigit() and int(length) <= _SKIPPED_BODY and not self.expect_100_continue
            if not skips or self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
                return False
            reply = refuse_early(self.parser.get_method().decode(), self.url.decode("latin-1"), headers)
            if reply is None:
                return False
            self._skips_body = True
            self._write(reply)
            return True

        def _expect_headers(self) -> None:
            self._in_headers, self._header_bytes = True, 0

        def _start_timer(self) -> None:
            self._timer = self.loop.call_later(spec.body_time, self._time_is_over)

        def _time_is_over(self) -> None:
            if self._skips_body:  # it has its answer
                self.transport.close()
            else:
                self._refuse("slow_body", f"the headers were not there in {spec.body_time:g} s")

        def _check_size(self, size: int) -> None:
            if size > spec.header_bytes:
                self._refuse("headers", f"the headers have more than {spec.header_bytes:,} bytes")

        def _stop_timer(self) -> None:
            if self._timer:
                self._timer.cancel()
                self._timer = None

        def _refuse(self, code: str, message: str) -> None:
            """Answer before there is a request, and close."""
            self._refused = True
            if self.transport.is_closing():
                return
            refusal = RefusalError(code, message)
            self._write(Reply(error_body(refusal), refusal.status, (JSON, (b"connection", b"close"))))
            self.transport.close()

        def _write(self, reply: Reply) -> None:
            """Send a response without an ASGI request."""
            length = (b"content-length", b"%d" % len(reply.body))
            headers = (*self.server_state.default_headers, *reply.headers, length)
            start = b"HTTP/1.1 %d %s\r\n" % (reply.status, HTTPStatus(reply.status).phrase.encode())
            self.transport.write(start + b"".join(b"%b: %b\r\n" % header for header in headers) + b"\r\n" + reply.body)

    return GuardedProtocol


@contextlib.contextmanager
def logging_to(write: Callable[[str], None], *, quiet: bool) -> Iterator[None]:
    """Inside, what a server logs goes to ``write``, a time before it; with ``quiet`` warnings alone."""

    class Writer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            write(self.format(record))

    handler = Writer()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    loggers = [
        logging.getLogger(name) for name in ("polyvigil.serve", "polyvigil.review", "polyvigil.web", "uvicorn.error")
    ]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.WARNING if quiet or logger.name == "uvicorn.error" else logging.INFO)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
