"""A Ray cluster: one that stands at an address, or one that is started on this machine for a command."""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from polyvigil.errors import ScoringError, require

_LOCAL_STORE = 128 * 1024 * 1024  # bytes; only names and counts go through Ray


def import_ray(*, extra: str = "ray") -> Any:
    """The library, without its telemetry. Raises RecipeError where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    require("ray", extra=extra, needed_by="--engine ray")
    import ray

    return ray


def connect(ray: Any, address: str, *, cpus: int = 0) -> None:
    """Connect this process to the cluster at ``address``, or start one here where it is empty.

    ``cpus``: of the cluster that is started here; 0: those of the machine. Raises ScoringError.
    """
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    try:
        if address:
            _check_reached(address)
            ray.init(address=address, **quiet)
        else:
            given = {"num_cpus": cpus} if cpus else {}
            ray.init(include_dashboard=False, object_store_memory=_LOCAL_STORE, **given, **quiet)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise ScoringError(
            f"no Ray cluster can be reached or started ({type(error).__name__})",
            where=f"--address {address}" if address else "this machine",
            hint="start one with: ray start --head; or leave --address out for one on this machine",
        ) from error


def _check_reached(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT; Ray alone would try for minutes."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()
