"""A client in a Node process of its own, driven by JSON lines. The other end is tests/clients/lines.js."""

from __future__ import annotations

import json
import subprocess
from typing import IO, Any

from tests.support.devices import CLIENTS


class ClientError(Exception):
    """What the client itself raised. `status` is its HTTP status, where it gave one."""

    def __init__(self, op: str, error: dict[str, Any]) -> None:
        super().__init__(f"{op}: {error.get('stack') or error}")
        self.status = error.get("status") or error.get("statusCode")


class Driver:
    """`node SCRIPT ARGUMENTS` in tests/clients. Attributes are its operations: `driver.put({...})`."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["node", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=CLIENTS,
        )

    def call(self, op: str, *args: Any) -> Any:
        """The operation's answer. Raises ClientError."""
        stdin = _pipe(self._process.stdin)
        stdin.write(json.dumps({"op": op, "args": args}).encode() + b"\n")
        stdin.flush()
        line = _pipe(self._process.stdout).readline()
        assert line, f"the process of the client has ended during {op}"
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(op, answer["error"])
        return answer["ok"]

    def __getattr__(self, op: str) -> Any:
        return lambda *args: self.call(op, *args)

    def close(self) -> None:
        """End the process, however busy it is."""
        _pipe(self._process.stdin).close()
        self._process.kill()
        self._process.wait()
        _pipe(self._process.stdout).close()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe
