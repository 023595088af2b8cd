"""Recordings for tests: those of CouchDB 3.5, and exchanges made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from proxy.traffic.exchange import Exchange, Reply, Request, load

RECORDINGS = Path(__file__).parents[1] / "recordings" / "data"
JSON = ("Content-Type", "application/json")


def recording(name: str) -> list[Exchange]:
    with (RECORDINGS / f"{name}.jsonl").open("rb") as lines:
        return list(load(lines))


def asked(method: str, target: str, body: Any = None, *headers: tuple[str, str]) -> Request:
    """`body` is bytes, or becomes JSON."""
    if isinstance(body, bytes) or body is None:
        return Request(method, target, headers, body or b"")
    return Request(method, target, [JSON, *headers], json.dumps(body).encode())


def said(status: int, body: Any = None, *headers: tuple[str, str]) -> Reply:
    if isinstance(body, bytes) or body is None:
        return Reply(status, headers, body or b"")
    return Reply(status, [JSON, *headers], json.dumps(body).encode())


def exchange(request: Request, reply: Reply | None, n: int = 0) -> Exchange:
    return Exchange(n, n * 10, request, reply)
