"""A server in a process of its own, on a port that it keeps over restarts, its output at hand when a test fails."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

STARTUP = 30
"""Seconds that a server may take until it answers, on a busy machine."""
GRACE = 10
"""Seconds between asking a server to end and ending it."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


RUNNING: list[ServerProcess] = []
"""All that are running now, for the report of a test that fails."""


@atexit.register
def _end_all() -> None:
    """Nothing outlives the tests, not even what a failing fixture left behind."""
    for process in list(RUNNING):
        process.kill()


class ServerProcess:
    """`command` listens on `port` and answers GET `ready` with 200 once it can serve."""

    def __init__(
        self, command: Sequence[str], port: int, log: Path, *, ready: str = "/", env: Mapping[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self.port = port
        self.log = log
        self._ready = ready
        self.env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._mark = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Returns when the server answers. Fails with its output if it ends before that."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=self.env
            )
        RUNNING.append(self)
        end = time.monotonic() + STARTUP
        while not self._answers():
            if not self.running or time.monotonic() > end:
                self.kill()
                raise AssertionError(f"{self.command} did not start:\n{self.output()}")
            time.sleep(0.03)

    def wait(self) -> int:
        """The exit status of a server that ends by itself."""
        assert self._process is not None
        return self._process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
            self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
            RUNNING.remove(self)

    def restart(self) -> None:
        self.stop()
        self.start()

    def mark(self) -> None:
        """Remember how much it has printed."""
        self._mark = self.log.stat().st_size if self.log.exists() else 0

    def output(self, *, since_mark: bool = False) -> str:
        """What it has printed so far, over all its starts, or since the mark."""
        printed = self.log.read_bytes() if self.log.exists() else b""
        return printed[self._mark if since_mark else 0 :].decode(errors="replace")

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self._ready)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
