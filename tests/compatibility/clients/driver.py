"""A client in a process of its own, driven by JSON lines. The other end is lines.js or python/lines.py of clients."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import IO, Any

from tests.support.devices import CLIENTS

PYTHON = CLIENTS / ".venv" / "bin" / "python"
"""The interpreter of the clients from PyPI, which have an environment of their own."""


class ClientError(Exception):
    """What the client itself raised. `status` is its HTTP status, where it gave one; `name` that of the exception."""

    def __init__(self, op: str, error: dict[str, Any]) -> None:
        super().__init__(f"{op}: {error.get('stack') or error}")
        self.name = error.get("name")
        self.status = error.get("status") or error.get("statusCode")


class Driver:
    """A command whose operations are the attributes: `driver.put({...})`."""

    def __init__(self, *command: str, directory: Path = CLIENTS) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=directory,
        )

    def call(self, op: str, *args: Any, **kwargs: Any) -> Any:
        """The operation's answer. Raises ClientError. Only clients in Python have arguments with names."""
        stdin = _pipe(self._process.stdin)
        stdin.write(json.dumps({"op": op, "args": args, "kwargs": kwargs}).encode() + b"\n")
        stdin.flush()
        line = _pipe(self._process.stdout).readline()
        assert line, f"the process of the client has ended during {op}"
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(op, answer["error"])
        return answer["ok"]

    def __getattr__(self, op: str) -> Any:
        return lambda *args, **kwargs: self.call(op, *args, **kwargs)

    def close(self) -> None:
        """End the process, however busy it is."""
        _pipe(self._process.stdin).close()
        self._process.kill()
        self._process.wait()
        _pipe(self._process.stdout).close()


def node(script: str, *arguments: str) -> Driver:
    """`node SCRIPT ARGUMENTS` in tests/clients."""
    return Driver("node", script, *arguments)


def python(module: str) -> Driver:
    """`python -m tests.clients.python.MODULE`, with the packages of tests/clients/.venv."""
    return Driver(str(PYTHON), "-m", f"tests.clients.python.{module}", directory=CLIENTS.parents[1])


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
