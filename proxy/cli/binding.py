"""Addresses to listen on, and what to say if they cannot be had."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from proxy.cli.errors import RunError
from proxy.listening import authority, listen


def bind_all(until_end: ExitStack, address: tuple[str, int] | None) -> list[socket.socket]:
    """Sockets that listen on host and port until the end. Raises RunError."""
    if address is None:
        return []
    try:
        return [until_end.enter_context(each) for each in listen(*address)]
    except OSError as error:
        raise cannot_listen(address, error) from error


def cannot_listen(address: tuple[str, int], error: OSError) -> RunError:
    """That an address is taken, or not ours."""
    return RunError(f"cannot listen on {authority(*address)}: {error.strerror or error}")
