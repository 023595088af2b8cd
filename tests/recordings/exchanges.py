"""Recorded traffic of CouchDB 3.5, one exchange on each line of a file in `data/`."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

DATA = Path(__file__).parent / "data"

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True)
class Exchange:
    """A request and its reply. Bodies are as sent on the wire, chunked framing removed."""

    n: int
    method: str
    target: str
    headers: Headers
    body: bytes
    status: int
    reply_headers: Headers
    reply_body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        return find(self.headers, name)

    def reply_header(self, name: str) -> str | None:
        return find(self.reply_headers, name)


def find(headers: Headers, name: str) -> str | None:
    """The first value of a header, whatever its case."""
    return next((value for key, value in headers if key.lower() == name.lower()), None)


@cache
def load(name: str) -> tuple[Exchange, ...]:
    """The exchanges of `data/<name>.jsonl` that were answered, in the order of their requests."""
    with (DATA / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return tuple(_exchange(entry) for entry in map(json.loads, lines) if entry["response"] is not None)


def names(pattern: str) -> list[str]:
    return sorted(path.stem for path in DATA.glob(f"{pattern}.jsonl"))


def _exchange(entry: dict[str, Any]) -> Exchange:
    request, response = entry["request"], entry["response"]
    return Exchange(
        n=entry["n"],
        method=request["method"],
        target=request["path"],
        headers=[(name, value) for name, value in request["headers"]],
        body=_body(request),
        status=response["status"],
        reply_headers=[(name, value) for name, value in response["headers"]],
        reply_body=_body(response),
    )


def _body(message: dict[str, Any]) -> bytes:
    if "body_b64" in message:
        return b64decode(message["body_b64"])
    return str(message.get("body") or "").encode()


def segments(path: str) -> tuple[str, ...]:
    """A path as CouchDB reads it: its pieces, empty ones dropped, decoded."""
    return tuple(unquote(piece) for piece in path.split("/") if piece)


DEFAULTS = {("style", "main_only"), ("since", "0"), ("feed", "normal")}


def query(target: str) -> tuple[tuple[str, str], ...]:
    """The query in an order of its own, values that are JSON in one spelling, without defaults of `_changes`."""
    pairs = parse_qsl(target.partition("?")[2], keep_blank_values=True)
    return tuple(sorted((key, _canonical(value)) for key, value in pairs if (key, value) not in DEFAULTS))


def canonical_body(body: bytes) -> bytes:
    """A JSON body in one spelling; any other body as it is."""
    try:
        return _canonical(body.decode()).encode()
    except UnicodeDecodeError:
        return body


def _canonical(text: str) -> str:
    try:
        return json.dumps(json.loads(text), sort_keys=True)
    except ValueError:
        return text
