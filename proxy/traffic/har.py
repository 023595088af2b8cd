"""HAR 1.2 files, as browsers save them, read as exchanges.

HAR keeps bodies decoded, so replies lose their content coding here; chunk boundaries are not in it. Entries of HTTP/2
have headers whose names begin with a colon, which say what is said elsewhere.
"""

from __future__ import annotations

from base64 import b64decode
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from proxy.core import jsonio
from proxy.traffic import TrafficError
from proxy.traffic.exchange import Exchange, Reply, Request


def read_har(data: bytes) -> list[Exchange]:
    """The exchanges in a file, in order of their requests. Raises TrafficError."""
    try:
        entries = jsonio.loads(data)["log"]["entries"]
        entries = sorted(entries, key=lambda entry: _milliseconds(entry["startedDateTime"]))
        first = _milliseconds(entries[0]["startedDateTime"]) if entries else 0
        return [_exchange(n, first, entry) for n, entry in enumerate(entries)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrafficError(f"not a HAR file: {_what(error)}") from None


def _what(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _exchange(n: int, first: int, entry: dict[str, Any]) -> Exchange:
    asked, answered = entry["request"], entry["response"]
    parts = urlsplit(asked["url"])
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    body = str((asked.get("postData") or {}).get("text") or "").encode()
    request = Request(asked["method"], target, _headers(asked), body)
    reply = None
    if answered["status"]:  # 0: the browser gave up, or was refused
        after = round(entry.get("time") or 0)
        headers = [pair for pair in _headers(answered) if pair[0].lower() != "content-encoding"]
        reply = Reply(answered["status"], headers, _content(answered.get("content") or {}), after)
    return Exchange(n, _milliseconds(entry["startedDateTime"]) - first, request, reply)


def _headers(message: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = [(str(each["name"]), str(each["value"])) for each in message["headers"]]
    return [pair for pair in pairs if not pair[0].startswith(":")]


def _content(content: dict[str, Any]) -> bytes:
    text = str(content.get("text") or "")
    return b64decode(text) if content.get("encoding") == "base64" else text.encode()
