"""The other end of tests/compatibility/clients/driver.py for clients in Python, as lines.js is for those in Node.

    → {"op": "put", "args": [{"_id": "a"}], "kwargs": {}}
    ← {"ok": …}   or   {"error": {"name", "status", "stack"}}

Operations may be coroutines; all of them run in one loop. Ends when stdin ends.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import queue
import sys
import threading
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = dict[str, Any]

PATIENCE = 30
"""Seconds after which waiting for something that does not come fails the test."""


def serve(*operations: Callable[..., Any]) -> None:
    """Answer for these functions, by their names."""
    by_name = {each.__name__: each for each in operations}
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                value = by_name[asked["op"]](*asked["args"], **asked["kwargs"])
                answer = {"ok": plain(runner.run(value) if inspect.iscoroutine(value) else value)}
            except Exception as error:  # the test decides what it makes of it
                answer = {"error": {"name": type(error).__name__, "status": _status(error), "stack": _stack()}}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def plain(value: Any) -> Any:
    """What JSON can say of a value: bytes in base64, every iterable as a list."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value


class Rows:
    """The rows of a feed that never ends, read in a thread."""

    def __init__(self, feed: Iterable[Any]) -> None:
        self._feed = feed
        self._read: queue.SimpleQueue[Row] = queue.SimpleQueue()
        self._so_far: list[Row] = []
        threading.Thread(target=self._run, daemon=True).start()

    def until(self, doc_id: str, name: str) -> list[Row]:
        """All rows so far, once there is one with a document of this id and name."""
        while not any(row["id"] == doc_id and row.get("doc", {}).get("name") == name for row in self._so_far):
            self._so_far.append(self._read.get(timeout=PATIENCE))
        return self._so_far

    def _run(self) -> None:
        for row in self._feed:
            if row:  # some libraries give heartbeats
                self._read.put(plain(row))


def _status(error: Exception) -> int | None:
    """The HTTP status in an exception; each library has it elsewhere."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code", "code"):
            found = getattr(holder, name, None)
            if isinstance(found, int):
                return found
    return None


def _stack() -> str:
    return traceback.format_exc(limit=-3)
