"""Continuous feeds and event streams."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.lines import Event, EventStreamDecoder, LineSplitter
from tests.core.wire.cuts import cuts, decode, decode_every_way, fails_every_way
from tests.core.wire.recordings import REPLIES


@pytest.mark.parametrize("number", [156, 157])
def test_continuous_feeds_of_couchdb(number: int) -> None:
    body = REPLIES[number].body
    lines = decode_every_way(LineSplitter, body)
    assert b"\n".join(lines) + b"\n" == body
    assert "last_seq" in jsonio.loads([line for line in lines if line][-1])


def test_heartbeats_are_empty_lines() -> None:
    assert decode_every_way(LineSplitter, b'\n{"seq":1}\n\n\r\n{"seq":2}\r\n') == [
        b"",
        b'{"seq":1}',
        b"",
        b"",
        b'{"seq":2}',
    ]


def test_a_cut_line_is_not_taken_for_whole() -> None:
    fails_every_way(LineSplitter, b'{"seq":1}\n{"seq":2}', WireError)


def test_lines_are_limited() -> None:
    assert decode_every_way(lambda: LineSplitter(10), b"x" * 10 + b"\n" + b"y" * 10 + b"\n") == [b"x" * 10, b"y" * 10]
    for body in (b"x" * 11, b"x" * 11 + b"\n", b"a\n" + b"x" * 11 + b"\nb\n", b"a\nb\n" + b"x" * 11):
        fails_every_way(lambda: LineSplitter(10), body, WireError)


@settings(max_examples=100, deadline=None)
@given(lines=st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))))
def test_any_lines(lines: list[bytes]) -> None:
    body = b"".join(line + b"\n" for line in lines)
    for pieces in cuts(body):
        assert decode(LineSplitter(), pieces) == lines


def test_the_event_stream_of_couchdb() -> None:
    events = decode_every_way(EventStreamDecoder, REPLIES[160].body)
    assert events
    for event in events:
        assert event.event == "message"
        assert jsonio.loads(event.data)["seq"] == json.loads(event.id)


def test_heartbeat_events() -> None:
    body = b'\nevent: heartbeat\ndata: \n\ndata: {"seq":1}\nid: "1"\n\nevent: heartbeat\ndata: \n\n'
    assert decode_every_way(EventStreamDecoder, body) == [
        Event("heartbeat", b"", ""),
        Event("message", b'{"seq":1}', '"1"'),
        Event("heartbeat", b"", '"1"'),
    ]


@pytest.mark.parametrize("eol", [b"\n", b"\r\n", b"\r"])
def test_fields_and_line_ends(eol: bytes) -> None:
    lines = [
        b"\xef\xbb\xbf: a comment",
        b"data:one",
        b"data:  two",
        b"data",
        b"retry: 7",
        b"unknown: x",
        b"id:\xc3\xbc",
        b"",
        b"id: bad\x00",
        b"event: only",
        b"",
        b"data: three: x",
        b"",
        b"",
    ]
    assert decode_every_way(EventStreamDecoder, eol.join(lines)) == [
        Event("message", b"one\n two\n", "ü"),
        Event("message", b"three: x", "ü"),
    ]


@pytest.mark.parametrize(
    "body", [b"data: x", b"data: x\n", b"data: x\r", b"event: y\n", b"dat", b"data: x\n\ndata: y\n"]
)
def test_a_cut_event_is_not_taken_for_whole(body: bytes) -> None:
    fails_every_way(EventStreamDecoder, body, WireError)


def test_events_are_limited() -> None:
    fails_every_way(lambda: EventStreamDecoder(20), b"data: 123456789\n" * 3 + b"\n", WireError)
    fails_every_way(lambda: EventStreamDecoder(20), b": " + b"x" * 30 + b"\n\n", WireError)
    assert len(decode_every_way(lambda: EventStreamDecoder(20), b"data: 12345\n\n" * 9)) == 9


@settings(max_examples=150, deadline=None)
@given(
    body=st.lists(st.sampled_from([b"data: x", b"id: 1", b"\r", b"\n", b"\r\n", b":", b"event: e"])).map(b"".join),
    seed=st.integers(0, 99),
)
def test_events_are_the_same_however_cut(body: bytes, seed: int) -> None:
    body += b"\n\n"
    results = [decode(EventStreamDecoder(), pieces) for pieces in cuts(body, seed=seed)]
    assert all(result == results[0] for result in results)
