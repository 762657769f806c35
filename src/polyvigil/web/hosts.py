"""Which names a server answers to, and which addresses are of this computer alone."""

from __future__ import annotations

import ipaddress

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE = {"0.0.0.0", "::"}


def host_name(value: str) -> str:
    """The name in a Host header: lower case, without port and brackets."""
    value = value.strip().lower()
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.rpartition(":")[0] if value.count(":") == 1 else value


def allowed_hosts(host: str, names: tuple[str, ...]) -> frozenset[str]:
    """The names that are answered: those of this computer itself, the address, and those that were given."""
    listened = () if host in _EVERYWHERE else (host,)
    return frozenset(host_name(name) for name in (*_LOOPBACK_NAMES, *listened, *names))


def is_loopback(host: str) -> bool:
    """Whether an address is of this computer alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
