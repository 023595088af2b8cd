"""A wire between the proxy and its source that a test can listen to and cut."""

from __future__ import annotations

import contextlib
import re
import socket
import threading

_REQUEST = re.compile(rb"^(GET|HEAD|POST|PUT|DELETE|COPY) (\S+) HTTP/1\.1\r$", re.MULTILINE)
_PIECE = 65536


class Tap:
    """Forwards TCP connections to `target` on loopback. `cut` breaks them and refuses new ones until `mend`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._left: int | None = None
        self._severed = False
        self.requests: list[tuple[str, str]] = []
        """Method and target of each request that the proxy sent."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def severed(self) -> bool:
        return self._severed

    def cut(self, after: int = 0) -> None:
        """Break all connections once the source has sent `after` more bytes; at once for 0."""
        with self._lock:
            self._left = after
        if after == 0:
            self._sever()

    def mend(self) -> None:
        """Forward again."""
        with self._lock:
            self._left = None
            self._severed = False

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._sever()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._severed:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._outward, args=(near, far), daemon=True).start()
            threading.Thread(target=self._inward, args=(far, near), daemon=True).start()

    def _outward(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := near.recv(_PIECE):
                self.requests += [(m[1].decode(), m[2].decode()) for m in _REQUEST.finditer(piece)]
                far.sendall(piece)
        self._drop(near, far)

    def _inward(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := far.recv(_PIECE):
                allowed = self._allow(len(piece))
                near.sendall(piece[:allowed])
                if allowed < len(piece):
                    self._sever()
                    break
        self._drop(near, far)

    def _allow(self, size: int) -> int:
        with self._lock:
            if self._left is None:
                return size
            allowed = min(size, self._left)
            self._left -= allowed
            return allowed

    def _sever(self) -> None:
        self._severed = True
        with self._lock:
            left = list(self._open)
        self._drop(*left)

    def _drop(self, *sockets: socket.socket) -> None:
        for one in sockets:
            with self._lock:
                self._open.discard(one)
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
