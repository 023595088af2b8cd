"""A request and its reply, and how they are written: one JSON object on each line, in order of the requests.

    {"n": 0, "at_ms": since the first request,
     "request":  {"method", "path" (with query), "headers": [[name, value], ...], "body" | "body_b64", "chunks"},
     "response": {"status", "after_ms" (until complete), "headers", "body" | "body_b64", "chunks", "chunks_ms"} or null,
     "partial":  as response, of a reply that was cut short (then response is null)}

Bodies are as sent on the wire, with content codings and without chunked framing; `body_b64` where they are not UTF-8.
`chunks` are the lengths of the chunks of a chunked body, `chunks_ms` when each was complete, since the request. Times
are in milliseconds. What a reader does not know, it leaves alone.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.core import jsonio
from proxy.traffic import TrafficError

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Request:
    """`target` is path and query as sent. `chunks`: see the module; None if the body was not chunked."""

    method: str
    target: str
    headers: Headers
    body: bytes = b""
    chunks: tuple[int, ...] | None = None

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, slots=True)
class Reply:
    """`after_ms`: from the request until the reply was complete."""

    status: int
    headers: Headers
    body: bytes = b""
    after_ms: int = 0
    chunks: tuple[int, ...] | None = None
    chunks_ms: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """`reply` is None if there was none, or if `partial` is all that came of it."""

    n: int
    at_ms: int
    request: Request
    reply: Reply | None
    partial: Reply | None = None


def header(headers: Headers, name: str) -> str | None:
    """The first value of a header, whatever its case."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


def dump(exchange: Exchange) -> bytes:
    """The line of an exchange, with its line feed."""
    entry: dict[str, Any] = {
        "n": exchange.n,
        "at_ms": exchange.at_ms,
        "request": _request_entry(exchange.request),
        "response": None if exchange.reply is None else _reply_entry(exchange.reply),
    }
    if exchange.partial is not None:
        entry["partial"] = _reply_entry(exchange.partial)
    return jsonio.dumps(entry) + b"\n"


def _request_entry(request: Request) -> dict[str, Any]:
    entry: dict[str, Any] = {"method": request.method, "path": request.target, "headers": _pairs(request.headers)}
    return entry | _body_entry(request.body) | _chunks_entry("chunks", request.chunks)


def _reply_entry(reply: Reply) -> dict[str, Any]:
    entry: dict[str, Any] = {"status": reply.status, "after_ms": reply.after_ms, "headers": _pairs(reply.headers)}
    times = _chunks_entry("chunks_ms", reply.chunks_ms)
    return entry | _body_entry(reply.body) | _chunks_entry("chunks", reply.chunks) | times


def _pairs(headers: Headers) -> list[list[str]]:
    return [[name, value] for name, value in headers]


def _body_entry(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_b64": b64encode(body).decode()}


def _chunks_entry(name: str, values: tuple[int, ...] | None) -> dict[str, list[int]]:
    return {} if values is None else {name: list(values)}


def load(lines: Iterable[bytes]) -> Iterator[Exchange]:
    """The exchanges in the lines of a recording; empty lines are passed over.

    Raises TrafficError with the number of the line.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _exchange(jsonio.loads(line))
            except TrafficError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise TrafficError(f"line {number} is not an exchange: {_what(error)}") from None


def _what(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def _exchange(entry: dict[str, Any]) -> Exchange:
    request, reply, partial = entry["request"], entry["response"], entry.get("partial")
    if reply is not None and reply.get("after_ms", 0) is None:  # it never was complete
        reply, partial = None, reply
    return Exchange(
        int(entry["n"]),
        int(entry.get("at_ms", 0)),
        Request(str(request["method"]), str(request["path"]), _headers(request), _body(request), _chunks(request)),
        None if reply is None else _reply(reply),
        None if partial is None else _reply(partial),
    )


def _reply(entry: dict[str, Any]) -> Reply:
    status, after = int(entry["status"]), int(entry.get("after_ms") or 0)
    return Reply(status, _headers(entry), _body(entry), after, _chunks(entry), _chunks(entry, "chunks_ms"))


def _headers(entry: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name), str(value)) for name, value in entry["headers"])


def _body(entry: dict[str, Any]) -> bytes:
    if "body_b64" in entry:
        return b64decode(entry["body_b64"], validate=True)
    return str(entry.get("body") or "").encode()


def _chunks(entry: dict[str, Any], name: str = "chunks") -> tuple[int, ...] | None:
    return tuple(int(value) for value in entry[name]) if entry.get(name) is not None else None
