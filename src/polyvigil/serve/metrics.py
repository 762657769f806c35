"""The numbers of a service for Prometheus. No label holds anything that a client sent.

Always, of all routes but those of health and metrics: received = answered + refused + failed + in flight.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from polyvigil.serve.batching import BatchEvent
from polyvigil.web.refusal import FAILURES

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_POSTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, description: str, *labels: str) -> Counter:
            return Counter(f"polyvigil_{name}", description, labels, registry=self.registry)

        self._received = counter("requests_received", "Requests that arrived, health and metrics apart", "route")
        self._answered = counter("requests_answered", "Requests that were answered with 2xx", "route")
        self._refused = counter("requests_refused", "Requests that were refused, by reason", "route", "reason")
        self._failed = counter("requests_failed", "Requests that were taken on and failed", "route", "reason")
        self._in_flight = Gauge("polyvigil_requests_in_flight", "Requests that have no end yet", registry=self.registry)
        self._posts = counter("posts_scored", "Posts that have a result")
        self._post_errors = counter(
            "posts_failed", "Posts of answered requests that have an error of their own", "reason"
        )
        self._batch = Histogram("polyvigil_batch_posts", "Posts of a batch", buckets=_POSTS, registry=self.registry)
        self._scoring = Histogram(
            "polyvigil_scoring_seconds", "Time that a batch took", buckets=_SECONDS, registry=self.registry
        )
        self._wait = Histogram(
            "polyvigil_wait_seconds", "Time until the first post of a request is scored", buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._bundle = Gauge(
            "polyvigil_bundle_requests", "Open requests of each bundle", ("bundle", "state"), registry=self.registry
        )
        self._reloads = counter("reloads", "Bundles that were loaded in place of another, or refused", "result")

    def received(self, route: str) -> None:
        """A request has arrived."""
        self._received.labels(route).inc()
        self._in_flight.inc()

    def ended(self, route: str, code: str) -> None:
        """It has ended: ``code`` is empty for an answer, else that of the refusal."""
        self._in_flight.dec()
        if not code:
            self._answered.labels(route).inc()
        elif code in FAILURES:
            self._failed.labels(route, code).inc()
        else:
            self._refused.labels(route, code).inc()

    def batch(self, event: BatchEvent) -> None:
        """A batch was scored."""
        self._posts.inc(event.posts)
        self._batch.observe(event.posts)
        self._scoring.observe(event.seconds)
        for seconds in event.waits:
            self._wait.observe(seconds)

    def post_error(self, code: str) -> None:
        """A post of an answered request has an error."""
        self._post_errors.labels(code).inc()

    def reload(self, result: str) -> None:
        """A reload ended: ``swapped``, ``same`` or ``refused``."""
        self._reloads.labels(result).inc()

    def bundles(self, states: dict[tuple[str, str], int]) -> None:
        """Open requests by (bundle id, serving or retiring)."""
        self._bundle.clear()
        for labels, number in states.items():
            self._bundle.labels(*labels).set(number)

    def gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """A number that is looked up whenever it is asked for."""
        Gauge(f"polyvigil_{name}", description, registry=self.registry).set_function(value)

    def exposition(self) -> bytes:
        """All of it in the text format."""
        return generate_latest(self.registry)
