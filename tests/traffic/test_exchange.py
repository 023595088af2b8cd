"""The file format: what is written is read again, and files of before are read too."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.traffic import TrafficError
from proxy.traffic.exchange import Exchange, Reply, Request, dump, header, load
from tests.traffic.samples import RECORDINGS, recording

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
headers = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
bodies = st.binary(max_size=30) | texts.map(str.encode)
chunks = st.none() | st.lists(st.integers(0, 99), max_size=3).map(tuple)
requests = st.builds(Request, texts, texts, headers, bodies, chunks)
replies = st.builds(Reply, st.integers(100, 599), headers, bodies, st.integers(0, 9999), chunks, chunks)
exchanges = st.builds(
    Exchange, st.integers(0, 99), st.integers(0, 99), requests, st.none() | replies, st.none() | replies
)


@settings(deadline=None)
@given(st.lists(exchanges, max_size=3))
def test_round_trip(written: list[Exchange]) -> None:
    assert list(load(b"".join(map(dump, written)).split(b"\n"))) == written


def test_a_line_is_what_the_format_says() -> None:
    request = Request("GET", "/a?b", [("Accept", "*/*")])
    line = dump(Exchange(3, 40, request, Reply(200, [], b"\xff\xfe", 7, (1, 1), (5, 7))))
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "n": 3,
        "at_ms": 40,
        "request": {"method": "GET", "path": "/a?b", "headers": [["Accept", "*/*"]], "body": ""},
        "response": {
            "status": 200,
            "after_ms": 7,
            "headers": [],
            "body_b64": "//4=",
            "chunks": [1, 1],
            "chunks_ms": [5, 7],
        },
    }


HUNG_UP = {"pouchdb9-live": [35]}
"""The feeds that the client left before the reply was complete."""


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDINGS.glob("*.jsonl")))
def test_recordings_without_chunks_are_read(name: str) -> None:
    exchanges = recording(name)
    assert exchanges
    assert all(each.request.chunks is None for each in exchanges)
    assert [each.n for each in exchanges if each.reply is None] == HUNG_UP.get(name, [])


def test_a_reply_that_never_was_complete_is_partial() -> None:
    request = {"method": "GET", "path": "/", "headers": []}
    line = json.dumps({"n": 0, "request": request, "response": {"status": 200, "headers": [], "after_ms": None}})
    (read,) = load([line.encode(), b"  "])
    assert (read.reply, read.partial) == (None, Reply(200, ()))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2 is not an exchange: unexpected end"),
        (b"{}", "line 2 is not an exchange: it has no 'request'"),
        (b'{"n": 0, "request": {"method": "GET"}, "response": null}', "line 2 is not an exchange: it has no 'path'"),
        (b"[]", "line 2 is not an exchange: "),
    ],
)
def test_mistakes_are_told_with_their_line(line: bytes, message: str) -> None:
    with pytest.raises(TrafficError) as failure:
        list(load([b"", line]))
    assert str(failure.value).startswith(message)


def test_headers_are_found_in_any_case() -> None:
    assert header([("Content-TYPE", "a"), ("content-type", "b")], "Content-Type") == "a"
    assert header([], "X") is None
