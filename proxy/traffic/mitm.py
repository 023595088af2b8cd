"""mitmproxy's dump files (`mitmdump -w`) read as exchanges: flows in tnetstrings, one after the other.

A tnetstring is `LENGTH:PAYLOAD` and a letter for its type: `,` bytes, `;` text, `#` integer, `^` float, `!` boolean,
`~` null, `]` list, `}` dictionary. Bodies are as sent; chunk boundaries are not in it.
"""

from __future__ import annotations

from typing import Any

from proxy.traffic import TrafficError
from proxy.traffic.exchange import Exchange, Reply, Request

_MAX_DEPTH = 50


def read_mitm(data: bytes) -> list[Exchange]:
    """The HTTP flows in a file, in order of their requests. Raises TrafficError."""
    flows, at = [], 0
    while at < len(data):
        flow, at = _parse(data, at, 0)
        if isinstance(flow, dict) and flow.get("type") == "http":
            flows.append(flow)
    try:
        flows.sort(key=lambda flow: flow["request"]["timestamp_start"])
        first = flows[0]["request"]["timestamp_start"] if flows else 0.0
        return [_exchange(n, first, flow) for n, flow in enumerate(flows)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise TrafficError(f"a flow of mitmproxy that is not as those of its version 10 and later: {error!r}") from None


def _exchange(n: int, first: float, flow: dict[str, Any]) -> Exchange:
    asked, answered = flow["request"], flow.get("response")
    start = asked["timestamp_start"]
    request = Request(_text(asked["method"]), _text(asked["path"]), _headers(asked), asked.get("content") or b"")
    reply = None
    if answered is not None and answered.get("timestamp_end") is not None:
        after = round((answered["timestamp_end"] - start) * 1000)
        reply = Reply(answered["status_code"], _headers(answered), answered.get("content") or b"", after)
    return Exchange(n, round((start - first) * 1000), request, reply)


def _headers(message: dict[str, Any]) -> list[tuple[str, str]]:
    return [(_text(name), _text(value)) for name, value in message["headers"]]


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _parse(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """The value at a place, and where the next one begins."""
    colon = data.find(b":", at, at + 12)
    if colon < 0 or not data[at:colon].isdigit() or depth > _MAX_DEPTH:
        raise TrafficError(f"not a dump of mitmproxy: no length at byte {at}")
    end = colon + 1 + int(data[at:colon])
    if end >= len(data):
        raise TrafficError("the dump ends in the middle of a flow")
    return _value(data[colon + 1 : end], data[end : end + 1], depth, at), end + 1


def _value(payload: bytes, kind: bytes, depth: int, at: int) -> Any:
    try:
        if kind == b"]":
            return _items(payload, depth)
        if kind == b"}":
            items = _items(payload, depth)
            return dict(zip(map(_text, items[::2]), items[1::2], strict=True))
        return _SCALARS[kind](payload)
    except (ValueError, KeyError, AttributeError):
        raise TrafficError(f"not a dump of mitmproxy: no value of type {kind!r} at byte {at}") from None


def _items(payload: bytes, depth: int) -> list[Any]:
    items, at = [], 0
    while at < len(payload):
        item, at = _parse(payload, at, depth + 1)
        items.append(item)
    return items


_SCALARS: dict[bytes, Any] = {
    b",": bytes,
    b";": bytes.decode,
    b"#": int,
    b"^": float,
    b"!": lambda payload: {b"true": True, b"false": False}[payload],
    b"~": lambda payload: None,
}
