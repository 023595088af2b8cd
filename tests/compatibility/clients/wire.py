"""A wire between a client and the proxy that keeps what comes over it."""

from __future__ import annotations

import contextlib
import socket
from base64 import b64encode

from tests.support.tap import Tap

_PIECE = 65536


class Wire(Tap):
    """Forwards to the proxy. Remembers the requests, and every byte that comes back."""

    def __init__(self, target: int) -> None:
        self._received = bytearray()
        super().__init__(target)

    def carried(self, *values: str | bytes) -> list[str | bytes]:
        """Which of these came back, as they are or in base64. Bytes are told by their first 30."""
        return [value for value in values if any(form in self._received for form in _forms(value))]

    def forget(self) -> None:
        self.requests.clear()
        self._received.clear()

    def paths(self, part: str) -> list[str]:
        """The targets of the requests so far that contain `part`, in order."""
        return [target for _, target in self.requests if part in target]

    def _inward(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := far.recv(_PIECE):
                self._received += piece
                near.sendall(piece)
        self._drop(near, far)


def _forms(value: str | bytes) -> list[bytes]:
    if isinstance(value, str):
        return [value.encode()]
    start = value[:30]
    return [start, b64encode(start)]
