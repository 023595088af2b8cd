"""A body as a value that can be compared: JSON, JSON lines, event streams, the parts of a multipart body."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.header import boundary_of, parse_header
from proxy.core.wire.multipart import MultipartDecoder, PartBegin, PartData
from proxy.traffic.exchange import Headers, header


@dataclass(frozen=True, slots=True)
class Json:
    value: Any


@dataclass(frozen=True, slots=True)
class Lines:
    """JSON values, one on each line or in each event. Heartbeats are left out."""

    values: list[Any]


@dataclass(frozen=True, slots=True)
class Part:
    headers: dict[str, str]
    """By lower-case name."""
    content: Content


@dataclass(frozen=True, slots=True)
class Parts:
    parts: list[Part]


@dataclass(frozen=True, slots=True)
class Plain:
    data: bytes


Content = Json | Lines | Parts | Plain


def content(headers: Headers, body: bytes) -> Content:
    """What a message says. What is not what its Content-Type promises is Plain: bytes. A gzip coding is undone."""
    if (header(headers, "Content-Encoding") or "").lower() == "gzip":
        body = _unzipped(body)
    return typed(header(headers, "Content-Type") or "", body)


def typed(content_type: str, body: bytes) -> Content:
    """As `content`, for a body without content coding."""
    try:
        if content_type.startswith("multipart/") and body:
            return Parts(_parts(content_type, body))
        if content_type.startswith("text/event-stream"):
            return Lines(_events(body))
    except ValueError:
        return Plain(body)
    if not body.strip() or body.lstrip()[:1] not in b'{["tfn0123456789-':
        return Plain(body)
    if content_type.startswith(("application/json", "text/plain")):
        return _json(body)
    return Plain(body)


def _json(body: bytes) -> Content:
    try:
        return Json(jsonio.loads(body))
    except ValueError:
        pass
    try:
        return Lines([jsonio.loads(line) for line in body.splitlines() if line.strip()])
    except ValueError:
        return Plain(body)


def _events(body: bytes) -> list[Any]:
    data = [line.removeprefix(b"data:").strip() for line in body.splitlines() if line.startswith(b"data:")]
    return [jsonio.loads(item) for item in data if item]


def _parts(content_type: str, body: bytes) -> list[Part]:
    decoder = MultipartDecoder(boundary_of(content_type))
    parts: list[tuple[dict[str, str], list[bytes]]] = []
    for event in decoder.feed(body):
        if isinstance(event, PartBegin):
            parts.append((dict(event.headers), []))
        elif isinstance(event, PartData):
            parts[-1][1].append(event.data)
    decoder.close()
    return [Part(headers, content(list(headers.items()), b"".join(pieces))) for headers, pieces in parts]


def _unzipped(body: bytes) -> bytes:
    """The body without its coding; as it is if it has none after all, as replies to HEAD."""
    try:
        return zlib.decompress(body, wbits=31)
    except zlib.error:
        return body


def kind(content_type: str) -> str:
    """A Content-Type without the boundary, which is made up each time."""
    try:
        value, params = parse_header(content_type)
    except WireError:
        return content_type
    return "; ".join([value, *sorted(f"{name}={text}" for name, text in params.items() if name != "boundary")])
