"""Addresses to listen on, and what to say if they cannot be had."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack

from proxy.cli.errors import RunError
from proxy.cli.files import Blame
from proxy.listening import authority, listen

_MAY_PASS = (socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM)
"""Why a name is not found that may be there the next time."""


def bind_all(until_end: ExitStack, address: tuple[str, int] | None, blame: Blame) -> list[socket.socket]:
    """Sockets that listen on host and port until the end.

    Raises RunError, or what `blame` makes of a mistake: whatever is wrong with an address that will be wrong with it
    the next time as well. One that this machine does not have it may get, as when its network is up, or as a standby.
    """
    if address is None:
        return []
    try:
        return [until_end.enter_context(each) for each in listen(*address)]
    except OSError as error:
        mistake = _mistake(address, error)
        if mistake is not None:
            raise blame(mistake) from None
        raise RunError(f"cannot listen on {authority(*address)}: {error.strerror or error}") from error


def _mistake(address: tuple[str, int], error: OSError) -> str | None:
    """What is wrong with an address, and what to write; None if it can be right."""
    host, port = address
    instead = f'write one that it has, as "127.0.0.1:{port}"'
    if isinstance(error, socket.gaierror):
        if error.errno in _MAY_PASS:
            return None
        return f'"{host}" is the name of no address of this machine: {error.strerror}; {instead}'
    if error.errno == errno.EAFNOSUPPORT:
        return f"{authority(*address)} can be no address of this machine: {error.strerror}; {instead}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{authority(*address)} is not for this user to listen on: {error.strerror}; choose a port from 1024 on"
    return None
