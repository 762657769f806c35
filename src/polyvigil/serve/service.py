"""The state of one service: the bundle that serves, the queue, whether it takes requests, and its readiness.

Nothing here knows HTTP. A bundle is replaced whole: a request is scored by the one that served when it came, also where
another takes over meanwhile, and the old one is let go once none of its requests is open.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from polyvigil.bundle.store import Bundle, load
from polyvigil.config.serve import ServeSpec
from polyvigil.errors import BundleError, PolyvigilError
from polyvigil.judge.endpoint import EndpointPermission
from polyvigil.serve import collector
from polyvigil.serve.batching import ScoringQueue, Ticket, weight_of
from polyvigil.serve.lag import LoopLag
from polyvigil.serve.loaded import SMOKE_POSTS, LoadedBundle
from polyvigil.serve.metrics import Metrics
from polyvigil.serve.requests import IndexedPost, PostError, RequestPost, Result
from polyvigil.web.asgi import ClientGoneError
from polyvigil.web.refusal import RefusalError

LOG = logging.getLogger("polyvigil.serve")
_PROBE_TIME = 5.0  # seconds in which a readiness check must have its post scored
_LAG_SHARE = 0.1  # of the longest wait: more than a turn of the event loop may take before requests are refused
_GONE_AFTER = 1.0  # seconds after which nothing holds a bundle that was closed
_LEAST_LAG = 0.05  # seconds that a turn may take whatever the longest wait: some hundred requests at the same time
SCORE, EXPLAIN = 0, 1
"""Lanes of the queue: explanations wait behind scores, and what they cost says nothing of what those do."""


class Service:
    """A bundle behind a queue. Made anywhere; ``start`` and everything async belong to one event loop."""

    def __init__(
        self,
        bundle: Bundle | str | Path,
        spec: ServeSpec,
        *,
        device: str = "auto",
        ask_endpoint: bool = False,
    ) -> None:
        """``bundle``: a folder, which ``reload`` reads again, or a loaded bundle, which stays. Raises BundleError."""
        self.spec = spec
        self.metrics = Metrics()
        self.folder = None if isinstance(bundle, Bundle) else Path(bundle)
        """What ``reload`` reads again; None of a bundle that was given loaded."""
        self._device = device
        self._permission = EndpointPermission() if ask_endpoint else None
        self.serving = self._loaded(bundle)
        self._retiring: list[LoadedBundle] = []
        self.queue: ScoringQueue[IndexedPost, Result] = ScoringQueue(self.metrics.batch)
        self.draining = False
        self._reloading = False
        self._probe: asyncio.Task[bool] | None = None
        self._lag = LoopLag()
        self.open_requests = 0
        """Requests of posts that were admitted and have no end yet."""
        self.metrics.gauge(
            "queue_posts", "Weight of the posts that wait or are being scored", lambda: self.queue.waiting
        )
        self.metrics.gauge("expected_wait_seconds", "Wait of a post that came now", self.queue.expected_wait)
        self.metrics.gauge("loop_lag_seconds", "Time of a turn of the event loop under load", lambda: self._lag.seconds)
        self.metrics.gauge(
            "scoring_thread_deaths", "Times that the thread or process that scores has died", lambda: self.queue.deaths
        )
        self.metrics.gauge("draining", "1 while no new post is taken", lambda: self.draining)
        self.metrics.gauge("endpoint_posts", "Posts that were put to the chat endpoint", self._endpoint_posts)

    def _loaded(self, bundle: Bundle | str | Path) -> LoadedBundle:
        if isinstance(bundle, Bundle):
            return LoadedBundle(bundle, self.spec)
        folder = Path(bundle).resolve()  # a link may be of another bundle when a process loads it again
        return LoadedBundle(load(folder, device=self._device, permission=self._permission), self.spec, folder=folder)

    def _tried(self, folder: Path) -> LoadedBundle:
        loaded = self._loaded(folder)
        if loaded.bundle.id == self.serving.bundle.id:  # its bytes are those that score already
            return loaded
        try:
            loaded.smoke_score()
        except BundleError:
            loaded.close()
            raise
        return loaded

    def _endpoint_posts(self) -> int:
        usage = self.serving.bundle.usage
        return usage.posts if usage else 0

    def start(self) -> None:
        """Begin to score, in a thread of this process, or in a process that it starts: after any fork."""
        self.queue.start()

    def stop(self) -> None:
        """End thread and processes; what waits is refused."""
        self.draining = True
        self.queue.stop()
        for loaded in (self.serving, *self._retiring):
            loaded.close()

    def begin_draining(self) -> None:
        """Take no more posts; what is queued is answered."""
        self.draining = True

    # requests of posts

    @contextlib.contextmanager
    def admitted(self, lane: int = SCORE) -> Iterator[Callable[[], None]]:
        """Around a request of posts, from before its body is read. Gives what asks again once the body is there: others
        may have come meanwhile, and to parse what is then refused would take the time of those that are not.

        Raises RefusalError as ``check_admission``.
        """
        self.check_admission(lane)
        self.open_requests += 1
        try:
            yield functools.partial(self._check_wait, lane)
        finally:
            self.open_requests -= 1

    def check_admission(self, lane: int = SCORE) -> None:
        """Raise RefusalError where a request that came now would wait too long, too many are open, or the service is
        stopping."""
        if self.draining:
            raise RefusalError("draining", "the service is stopping", hint="send it to another", retry_after=1)
        self._lag.measure()
        self._check_wait(lane)
        if self.open_requests >= self.spec.max_open:
            message = f"{self.open_requests:,} requests are open; the limit is {self.spec.max_open:,}"
            raise RefusalError("busy", message, hint="send it again after Retry-After seconds", retry_after=1)

    def _check_wait(self, lane: int) -> None:
        wait, most = self.queue.expected_wait(lane), self.spec.max_wait
        if wait > most:
            message = f"a post would wait {wait:.1f} s; the limit is {most:g} s"
            raise RefusalError("busy", message, hint="send it again after Retry-After seconds", retry_after=wait)
        if self._lag.seconds > max(_LAG_SHARE * most, _LEAST_LAG):
            message = "more requests come than can be read"
            raise RefusalError("busy", message, hint="send it again after Retry-After seconds", retry_after=most)

    async def score(
        self,
        posts: Sequence[RequestPost],
        prevalence: Mapping[str, float],
        *,
        limit: float | None,
        gone: Callable[[], asyncio.Task[None]],
    ) -> list[Result]:
        """A record or an error for each post, in order. ``prevalence``: to which ``p_calibrated`` is re-based, by
        language (scoring.facts). ``limit``: seconds until they must be there; ``gone`` begins to watch for the client's
        leaving. Raises RefusalError."""
        loaded = self.serving
        loaded.check_prevalence(prevalence)
        results = await self._results(posts, loaded, loaded.score, SCORE, limit=limit, gone=gone)
        return loaded.rebased(results, prevalence)

    async def explain(
        self, posts: Sequence[RequestPost], *, limit: float | None, gone: Callable[[], asyncio.Task[None]]
    ) -> list[Result]:
        """As ``score``, with explanations; behind all posts that are to be scored alone."""
        return await self._results(posts, self.serving, self.serving.explain, EXPLAIN, limit=limit, gone=gone)

    async def _results(
        self,
        posts: Sequence[RequestPost],
        loaded: LoadedBundle,
        score: Callable[[Sequence[IndexedPost]], list[Result]],
        lane: int,
        *,
        limit: float | None,
        gone: Callable[[], asyncio.Task[None]],
    ) -> list[Result]:
        errors = loaded.errors(posts)
        good = [(index, post) for index, post in enumerate(posts) if index not in errors]
        scored: list[Result] = []
        if good:
            ticket = self._ticket(good, score, limit)
            with self._used(loaded, ticket):
                self.queue.add(ticket, lane=lane)
                scored = await _wait(ticket, limit=limit, gone=gone)
        results = iter(scored)
        every = [errors[index] if index in errors else next(results) for index in range(len(posts))]
        for result in every:
            if isinstance(result, PostError):
                self.metrics.post_error(result.code)
        return every

    @contextlib.contextmanager
    def _used(self, loaded: LoadedBundle, ticket: Ticket[IndexedPost, Result]) -> Iterator[None]:
        """Around a ticket's time in the queue: its bundle stays as long."""
        loaded.open_requests += 1
        try:
            yield
        finally:
            ticket.cancelled = True
            loaded.open_requests -= 1
            self._let_go()

    def _ticket(
        self,
        posts: Sequence[IndexedPost],
        score: Callable[[Sequence[IndexedPost]], list[Result]],
        limit: float | None,
    ) -> Ticket[IndexedPost, Result]:
        def failed(index: int) -> Result:
            message = "the model failed on this post"
            return PostError("scoring", message, "send it again, or leave it out", f"posts[{posts[index][0]}]")

        return Ticket(
            posts,
            [weight_of(post.text) for _, post in posts],
            score,
            failed,
            asyncio.get_running_loop().create_future(),
            deadline=float("inf") if limit is None else time.monotonic() + limit,
        )

    # readiness

    async def is_ready(self) -> bool:
        """Whether posts are taken and one was scored lately; if none was, one is scored now."""
        if self.draining:
            return False
        if self.serving.is_alive and time.monotonic() - self.queue.last_scored <= self.spec.ready_age:
            return True
        if self._probe is None or self._probe.done():  # checks that come together share one post
            self._probe = asyncio.create_task(self._scores_a_post())
        return await asyncio.shield(self._probe)

    async def _scores_a_post(self) -> bool:
        post = SMOKE_POSTS[0]
        ticket = self._ticket([(0, post)], self.serving.score_without_endpoint, _PROBE_TIME)
        with self._used(self.serving, ticket):
            self.queue.add(ticket, first=True)
            try:
                async with asyncio.timeout(_PROBE_TIME):
                    (result,) = await ticket.done
            except (TimeoutError, RefusalError):
                return False
        return not isinstance(result, PostError)

    # replacing the bundle

    async def reload(self) -> dict[str, str]:
        """Load the folder again, try it, and let it serve: the ids of the new bundle and of the one before. The same
        bundle goes on as it is.

        Raises RefusalError where it is not good, and the old one goes on.
        """
        if self.folder is None:
            raise RefusalError(
                "bundle",
                "the service was given a loaded bundle, no folder",
                hint="start it with a folder; replicas on Ray are replaced by SIGHUP to polyvigil serve",
            )
        if self._reloading:
            raise RefusalError("reloading", "a bundle is being loaded already", hint="wait for it", retry_after=1)
        self._reloading = True
        try:
            loaded = await asyncio.to_thread(self._tried, self.folder)
        except PolyvigilError as error:
            self.metrics.reload("refused")
            LOG.warning("reload refused, %s goes on: %s", self.serving.bundle.id, error.message)
            raise RefusalError("bundle", error.message, hint=error.hint or "the old bundle goes on") from error
        finally:
            self._reloading = False
        before = self.serving
        result = {"bundle": loaded.bundle.id, "before": before.bundle.id}
        if loaded.bundle.id == before.bundle.id:
            self.metrics.reload("same")
            if before.process and loaded.process:
                before.process.folder = loaded.process.folder
            return result
        self.metrics.reload("swapped")
        self._retiring.append(before)
        self.serving = loaded
        self._let_go()
        LOG.info("bundle %s serves in place of %s", loaded.bundle.id, before.bundle.id)
        return result

    def _let_go(self) -> None:
        loop = asyncio.get_running_loop()
        for loaded in [loaded for loaded in self._retiring if not loaded.open_requests]:
            self._retiring.remove(loaded)
            closed = loop.run_in_executor(None, loaded.close)
            closed.add_done_callback(lambda _: loop.call_later(_GONE_AFTER, collector.set_aside))

    def bundle_states(self) -> dict[tuple[str, str], int]:
        """Open requests by (bundle id, serving or retiring)."""
        states = {(loaded.bundle.id, "retiring"): loaded.open_requests for loaded in self._retiring}
        return states | {(self.serving.bundle.id, "serving"): self.serving.open_requests}


_WATCH_AFTER = 0.1  # seconds; most requests have ended by then, and a watcher costs as much as they do


async def _wait(
    ticket: Ticket[IndexedPost, Result], *, limit: float | None, gone: Callable[[], asyncio.Task[None]]
) -> list[Result]:
    """The results of a ticket. Raises RefusalError at its deadline, ClientGoneError when nobody waits for them."""
    loop = asyncio.get_running_loop()
    watchers: list[asyncio.Task[None]] = []

    def give_up(error: Exception) -> None:
        if not ticket.done.done():
            ticket.done.set_exception(error)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            give_up(ClientGoneError())

    def watch() -> None:
        watcher = gone()
        watcher.add_done_callback(ended)
        watchers.append(watcher)

    message = "not scored in the time that the request gave"
    timers = [loop.call_later(_WATCH_AFTER, watch)]
    if limit is not None:
        timers.append(loop.call_later(limit, give_up, RefusalError("deadline", message, hint="give it more time")))
    try:
        return await ticket.done
    finally:
        for timer in timers:
            timer.cancel()
        for watcher in watchers:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
