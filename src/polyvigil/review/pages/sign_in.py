"""Who is there: the cookie of a session, personal links, a trusted proxy's header; and where a request comes from."""

from __future__ import annotations

import hmac
import threading
import time
from collections import deque
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from polyvigil.config.review_server import ReviewServerSpec
from polyvigil.errors import ReviewError
from polyvigil.review.pages.visit import Visit, redirect
from polyvigil.review.people import Session
from polyvigil.review.store import Store
from polyvigil.web.asgi import Reply
from polyvigil.web.hosts import host_name, is_loopback

_TRIES, _SECONDS = 10, 60.0
_MOST_ADDRESSES = 10_000


class SignIn:
    """Sessions of one store's pages."""

    def __init__(self, store: Store, spec: ReviewServerSpec) -> None:
        self._store, self._spec = store, spec
        self._tries: dict[str, deque[float]] = {}
        self._lock = threading.Lock()
        # Two stores on two ports of one computer share its cookies, which know no ports.
        self.cookie = f"polyvigil_{store.id[:8]}"

    def session(self, visit: Visit) -> tuple[Session | None, bool]:
        """The session of a request, and whether it is new, so that the response must set its cookie."""
        jar = SimpleCookie()
        try:
            jar.load(visit.header("cookie"))
        except CookieError:
            jar = SimpleCookie()
        token = jar[self.cookie].value if self.cookie in jar else ""
        session = self._store.session(token) if token else None
        name = visit.header(self._spec.proxy_user) if self._spec.proxy_user else ""
        if not name or not (visit.client == "" or is_loopback(visit.client)):
            return session, False
        name = name.encode("latin-1", "replace").decode("utf-8", "replace")
        if session is not None and session.person.name == name:
            return session, False
        return self._store.sign_in_by_name(name), True

    def begin(self, visit: Visit) -> Reply:
        """POST /sign-in: the secret of a personal link, or the whole link, becomes a session. Raises ReviewError."""
        self._check_tries(visit.client)
        secret = visit.text("secret").strip().rpartition("#")[2]
        try:
            session = self._store.sign_in(secret)
        except ReviewError:
            with self._lock:
                self._tries.setdefault(visit.client, deque()).append(time.monotonic())
            raise
        return redirect("/", self.set_cookie(visit, session.token))

    def end(self, visit: Visit) -> Reply:
        """POST /sign-out: the session ends, and what the person holds goes to others."""
        assert visit.session
        self._store.sign_out(visit.session.token)
        self._store.release(visit.person.id)
        return redirect("/sign-in", self.set_cookie(visit, "", seconds=0))

    def set_cookie(self, visit: Visit, token: str, *, seconds: int | None = None) -> tuple[bytes, bytes]:
        """The header that gives a browser its session."""
        secure = "" if self._is_plain(visit) else "; Secure"
        age = "" if seconds is None else f"; Max-Age={seconds}"
        return (b"set-cookie", f"{self.cookie}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{age}".encode())

    def _is_plain(self, visit: Visit) -> bool:
        """Whether the browser speaks plain HTTP to us, so that it would not send a Secure cookie back."""
        if visit.is_tls:
            return False
        return is_loopback(host_name(visit.header("host"))) or self._spec.insecure_http

    def _check_tries(self, address: str) -> None:
        """Raise ReviewError where too many wrong secrets came from an address of late."""
        now = time.monotonic()
        with self._lock:
            if len(self._tries) > _MOST_ADDRESSES:
                self._tries.clear()
            tries = self._tries.get(address, deque())
            while tries and now - tries[0] > _SECONDS:
                tries.popleft()
            if len(tries) >= _TRIES:
                raise ReviewError("slow_down", "too many wrong links from here", hint="try again in a minute")


def check_same_site(visit: Visit) -> None:
    """Raise ReviewError for a request that another site makes. Where none says where it is from, the token decides."""
    site, sender = visit.header("sec-fetch-site"), visit.header("origin")
    if site:
        is_foreign = site not in ("same-origin", "none")
    else:
        is_foreign = sender not in ("", "null") and urlsplit(sender).netloc.lower() != visit.header("host").lower()
    if is_foreign:
        raise ReviewError("csrf", "this request comes from another site", hint="use the page of this store")


def check_csrf(visit: Visit) -> None:
    """Raise ReviewError unless the request carries the token of its session."""
    assert visit.session
    given = visit.header("x-csrf") if visit.is_json else visit.text("csrf")
    if not hmac.compare_digest(given.encode(), visit.session.csrf.encode()):
        raise ReviewError("csrf", "this page is out of date", hint="load it again")
