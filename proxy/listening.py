"""Sockets that listen, bound before anything is served."""

from __future__ import annotations

import errno
import socket
from typing import Any

BACKLOG = 1024
"""Connections that may wait to be accepted."""


def authority(host: str, port: int) -> str:
    """Host and port as they stand in a URL: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that are bound to all addresses of a host, as far as this machine has them. Raises OSError."""
    missing = None
    found: list[socket.socket] = []
    for family, kind, protocol, _, address in dict.fromkeys(
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    ):
        try:
            found.append(_bound(family, kind, protocol, address))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                for each in found:
                    each.close()
                raise
            missing = error
    if missing is not None and not found:
        raise missing
    return found


_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""As `localhost` has an address of IPv6 where the machine has none."""


def _bound(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound
