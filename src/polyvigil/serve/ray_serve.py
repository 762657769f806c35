"""The same application on Ray Serve: replicas of it on a cluster, each with the bundle loaded, behind Ray's proxies.

Every replica is the application of ``serve.app`` with its own queue, limits and admission; Ray spreads the requests,
starts a replica again that died or no longer scores, and adds and removes replicas where a range was asked for. What
one process does before a request is there (slow headers, many connections) is left to Ray's proxy.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any

from polyvigil.bundle.verify import verify
from polyvigil.config.serve import ReplicaSpec, ServeSpec
from polyvigil.errors import PolyvigilError, ServiceError, require
from polyvigil.scoring.pool import load_as
from polyvigil.scoring.ray_cluster import connect, import_ray
from polyvigil.serve.app import ScoringApp, create_app
from polyvigil.serve.loaded import LoadedBundle
from polyvigil.web.server import listening_socket, url_of

LOG = logging.getLogger("polyvigil.serve")
_NAME = "polyvigil"
_BUSY = 16  # open requests a replica above which Ray adds one
_HEALTH_PERIOD, _HEALTH_TIME = 5.0, 10.0  # seconds between looks at a replica, and until one has failed


class Replica:
    """One replica: the application, made where it runs. Its health is its readiness: a post is scored."""

    def __init__(self, folder: str, bundle_id: str, spec: ServeSpec, token: str, device: str) -> None:
        """Raises BundleError where ``folder`` on this machine does not hold the bundle of this id."""
        bundle = load_as(folder, bundle_id, device=device)
        self._app = create_app(bundle, spec, token=token)

    def __serve_build_asgi_app__(self) -> ScoringApp:
        return self._app

    async def check_health(self) -> None:
        """Raises ServiceError where no post can be scored; Ray then replaces this replica."""
        if not await self._app.service.is_ready():
            raise ServiceError("no post can be scored")


def run_replicas(
    folder: str,
    spec: ServeSpec,
    replicas: ReplicaSpec,
    *,
    token: str,
    device: str,
    on_ready: Callable[[str, str], None],
) -> None:
    """Serve from a cluster until a signal; ``on_ready`` is told the URL and the bundle's id when a replica answers.

    SIGHUP loads the folder again: replicas are replaced one after the other, and a bundle that is no good changes
    nothing. Raises ServiceError for a port that is taken or a cluster without room, ScoringError without a cluster,
    BundleError.
    """
    ray = import_ray(extra="ray-serve")
    require("ray.serve", extra="ray-serve", needed_by="--engine ray")
    folder = str(Path(folder).resolve())
    bundle_id = _tried(folder, spec, device=device)
    with closing(listening_socket(spec)) as listener:  # a port that is taken is told before anything is started
        spec, url = spec.model_copy(update={"port": listener.getsockname()[1]}), url_of(listener)
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))  # stdout is for data, and Ray speaks there
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        if not ray.is_initialized():
            connect(ray, replicas.address, cpus=replicas.most)
            stack.callback(ray.shutdown)
        received = stack.enter_context(_signals())
        deploy = partial(_deploy, ray, folder, spec, replicas, token=token, device=device)
        stack.callback(_stop)
        deploy(bundle_id)
        on_ready(url, bundle_id)
        while received.get() == signal.SIGHUP:
            _redeploy(partial(_tried, folder, spec, device=device), deploy)


def _redeploy(tried: Callable[[], str], deploy: Callable[[str], None]) -> None:
    """Replace the replicas by those of the bundle that stands in the folder by now; what fails is logged."""
    try:
        bundle_id = tried()
    except PolyvigilError as error:
        LOG.warning("SIGHUP changed nothing: %s", error.message)
        return
    try:
        deploy(bundle_id)
    except ServiceError as error:
        LOG.warning("not all replicas could be replaced: %s; send SIGHUP again when the bundle is whole", error.message)
    else:
        LOG.info("bundle %s serves", bundle_id)


def _tried(folder: str, spec: ServeSpec, *, device: str) -> str:
    """The id of the bundle, which is whole and scores a post. Raises BundleError."""
    bundle_id = verify(folder).id
    LoadedBundle(load_as(folder, bundle_id, device=device), spec).smoke_score()
    return bundle_id


def _deploy(
    ray: Any, folder: str, spec: ServeSpec, replicas: ReplicaSpec, bundle_id: str, *, token: str, device: str
) -> None:
    """Start the replicas, or replace those of another bundle one after the other; returns when they answer."""
    from ray import serve

    gpu = device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
    scale: dict[str, Any] = {"num_replicas": replicas.replicas}
    if replicas.most > replicas.replicas:
        limits = {"min_replicas": replicas.replicas, "max_replicas": replicas.most, "target_ongoing_requests": _BUSY}
        scale = {"autoscaling_config": limits}
    quiet = {"log_level": "ERROR", "enable_access_log": False}
    deployment: Any = serve.deployment(
        serve.ingress()(Replica),
        name=_NAME,
        max_ongoing_requests=spec.max_open,
        max_queued_requests=spec.max_open,
        graceful_shutdown_timeout_s=spec.drain,
        health_check_period_s=_HEALTH_PERIOD,
        health_check_timeout_s=_HEALTH_TIME,
        ray_actor_options={"num_cpus": 1, "num_gpus": int(gpu)},
        logging_config=quiet,
        **scale,
    )
    serve.start(
        http_options={"host": spec.host, "port": spec.port, "keep_alive_timeout_s": int(spec.keep_alive) or 1},
        logging_config=quiet,
    )
    try:
        serve.run(deployment.bind(folder, bundle_id, spec, token, device), name=_NAME, route_prefix="/")
    except (RuntimeError, TimeoutError) as error:
        raise ServiceError(
            "the replicas did not start",
            where=replicas.address or "this machine",
            hint="every machine of the cluster needs the same polyvigil, the bundle's folder and a free core a replica",
        ) from error


def _stop() -> None:
    """Answer what is open, at most ``drain`` seconds, and end the replicas; proxies of the cluster stay."""
    from ray import serve

    serve.delete(_NAME)


@contextmanager
def _signals() -> Iterator[SimpleQueue[int]]:
    """Inside, SIGTERM, SIGINT and SIGHUP are put into the queue and do nothing else."""
    received: SimpleQueue[int] = SimpleQueue()

    def record(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
        received.put(number)

    before = {number: signal.signal(number, record) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
