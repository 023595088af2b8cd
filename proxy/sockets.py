"""What the kernel knows of a connection, which asyncio does not say."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCOUTQ

_AT_ONCE = struct.pack("ii", 1, 0)


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the other side is still to take: those that wait to be written, and those that the kernel holds."""
    waiting = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if connection is None:
        return waiting
    try:
        held = ioctl(connection.fileno(), TIOCOUTQ, bytes(4))
    except OSError:  # it has just been closed, or this system cannot say
        return waiting
    return waiting + int.from_bytes(held, sys.byteorder)


def untaken(transport: asyncio.Transport) -> int:
    """Bytes that the other side is still to take, once there are more than the kernel holds for it; otherwise 0.

    What the kernel holds counts as well: it asks for more only after megabytes, for which a slow client takes minutes.
    """
    return unsent(transport) if transport.get_write_buffer_size() else 0


def reset(transport: asyncio.Transport) -> None:
    """Break a connection off, so that the other side cannot take that for an end."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
