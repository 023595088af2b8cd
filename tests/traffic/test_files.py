"""Recordings that other tools made."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.traffic import TrafficError
from proxy.traffic.har import read_har
from proxy.traffic.mitm import read_mitm


def entry(started: str, **response: Any) -> dict[str, Any]:
    return {
        "startedDateTime": started,
        "time": 12.4,
        "request": {
            "method": "POST",
            "url": "https://couch.example/clinic/_revs_diff?x=1#f",
            "headers": [{"name": ":method", "value": "POST"}, {"name": "Content-Type", "value": "application/json"}],
            "postData": {"mimeType": "application/json", "text": '{"ü":1}'},
        },
        "response": {"status": 200, "headers": [{"name": "Content-Encoding", "value": "gzip"}], **response},
    }


def har(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"log": {"version": "1.2", "entries": entries}}).encode()


def test_har() -> None:
    later = entry("2026-11-22T19:36:31.250Z", content={"text": "AP8=", "encoding": "base64"})
    first = entry("2026-11-22T20:36:31.000+01:00", content={"text": "{}"})
    one, two = read_har(har(later, first))
    assert (one.n, one.at_ms, two.n, two.at_ms) == (0, 0, 1, 250)
    assert (one.request.method, one.request.target) == ("POST", "/clinic/_revs_diff?x=1")
    assert one.request.headers == [("Content-Type", "application/json")]
    assert one.request.body == '{"ü":1}'.encode()
    assert one.reply is not None
    assert (one.reply.body, one.reply.after_ms, one.reply.headers) == (b"{}", 12, [])
    assert two.reply is not None
    assert two.reply.body == b"\x00\xff"


def test_har_without_a_reply() -> None:
    (one,) = read_har(har(entry("2026-11-22T19:36:31Z", status=0)))
    assert one.reply is None


@pytest.mark.parametrize("data", [b"{}", b'{"log": {"entries": [{}]}}', b"[]", b"x", b'{"log": 1}'])
def test_what_is_no_har(data: bytes) -> None:
    with pytest.raises(TrafficError, match="not a HAR file"):
        read_har(data)


def tnet(value: Any) -> bytes:
    """A value as mitmproxy writes it."""
    match value:
        case None:
            payload, kind = b"", b"~"
        case bool():
            payload, kind = (b"true" if value else b"false"), b"!"
        case int():
            payload, kind = str(value).encode(), b"#"
        case float():
            payload, kind = repr(value).encode(), b"^"
        case str():
            payload, kind = value.encode(), b";"
        case bytes():
            payload, kind = value, b","
        case dict():
            payload, kind = b"".join(tnet(key) + tnet(item) for key, item in value.items()), b"}"
        case _:
            payload, kind = b"".join(map(tnet, value)), b"]"
    return b"%d:%s%s" % (len(payload), payload, kind)


def flow(start: float, **other: Any) -> dict[str, Any]:
    request = {
        "method": b"PUT",
        "path": b"/a?b",
        "headers": [[b"A", b"\xc3\xbc"]],
        "content": b"\xff",
        "timestamp_start": start,
        "timestamp_end": start,
        "trailers": None,
    }
    response = {
        "status_code": 201,
        "headers": [[b"B", b"c"]],
        "content": b"ok",
        "timestamp_start": start,
        "timestamp_end": start + 0.25,
    }
    return {"type": "http", "version": 21, "request": request, "response": response, "marked": "", "x": True, **other}


def test_mitmproxy() -> None:
    data = tnet(flow(8.5)) + tnet({"type": "tcp"}) + tnet(flow(8.0, response=None))
    one, two = read_mitm(data)
    assert (one.n, one.at_ms, one.reply) == (0, 0, None)
    assert (two.n, two.at_ms, two.request.method, two.request.target) == (1, 500, "PUT", "/a?b")
    assert (two.request.headers, two.request.body) == ([("A", "ü")], b"\xff")
    assert two.reply is not None
    assert (two.reply.status, two.reply.headers, two.reply.body, two.reply.after_ms) == (201, [("B", "c")], b"ok", 250)


@pytest.mark.parametrize(
    "data",
    [
        tnet(flow(1.0))[:-1],
        b"nonsense",
        b"3:abc?",
        b"9999999999:",
        b"2:xy#",
        b"5:hello!",
        tnet({"type": "http"}),
        tnet(flow(1.0, request={"timestamp_start": 1.0})),
        tnet({"a": 1})[:2] + b"0:,}",
    ],
)
def test_what_is_no_dump_of_mitmproxy(data: bytes) -> None:
    with pytest.raises(TrafficError):
        read_mitm(data)


def test_nesting_without_end_is_refused() -> None:
    data = b""
    for _ in range(200):
        data = b"%d:%s]" % (len(data), data)
    with pytest.raises(TrafficError):
        read_mitm(data)
