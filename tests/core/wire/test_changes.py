"""The `_changes` encoders write what CouchDB wrote."""

from __future__ import annotations

import pytest

from proxy.core import jsonio
from proxy.core.wire.changes import ChangesEncoder, changes_encoder
from proxy.core.wire.rows import ArraySplitter
from tests.core.wire.recordings import REPLIES

NORMAL = [137, 138, 139, 140, 141, 142, 143, 144, 145, 150, 153, 155, 161, 162]


def encode(encoder: ChangesEncoder, rows: list[bytes], last_seq: object, pending: int | None) -> bytes:
    out = encoder.head()
    for row in rows:
        out += encoder.row(row, jsonio.dumps(jsonio.loads(row)["seq"]))
    return out + encoder.tail(jsonio.dumps(last_seq), pending)


@pytest.mark.parametrize("number", NORMAL)
@pytest.mark.parametrize("feed", ["normal", "longpoll"])
def test_normal_feeds_as_couchdb_writes_them(number: int, feed: str) -> None:
    body = REPLIES[number].body
    splitter = ArraySplitter("results")
    rows = splitter.feed(body)
    splitter.close()
    assert encode(changes_encoder(feed), rows, splitter.tail["last_seq"], splitter.tail["pending"]) == body


@pytest.mark.parametrize("feed", ["continuous", "live"])
def test_the_continuous_feed_as_couchdb_writes_it(feed: str) -> None:
    body = REPLIES[156].body
    *rows, tail, _, _ = body.split(b"\n")
    last = jsonio.loads(tail)
    assert encode(changes_encoder(feed), rows, last["last_seq"], last["pending"]) == body


def test_a_longpoll_that_waited() -> None:
    encoder = changes_encoder("longpoll")
    last_seq = jsonio.dumps(jsonio.loads(REPLIES[154].body)["last_seq"])
    assert encoder.head() + encoder.heartbeat() + encoder.tail(last_seq, 0) == REPLIES[154].body


def test_a_continuous_feed_that_waited() -> None:
    encoder = changes_encoder("continuous")
    last_seq = jsonio.dumps(jsonio.loads(REPLIES[157].body)["last_seq"])
    assert encoder.head() + encoder.heartbeat() + encoder.tail(last_seq, 0) == REPLIES[157].body


def test_the_event_stream_as_couchdb_writes_it() -> None:
    body = REPLIES[160].body
    rows = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert encode(changes_encoder("eventsource"), rows, "unused", 0) == body


def test_heartbeats() -> None:
    for feed in ("normal", "longpoll"):
        encoder = changes_encoder(feed)
        out = encoder.head() + encoder.heartbeat() + encoder.row(b'{"seq":1}', b"1")
        out += encoder.heartbeat() + encoder.row(b'{"seq":2}', b"2") + encoder.tail(b"2", None)
        assert jsonio.loads(out) == {"results": [{"seq": 1}, {"seq": 2}], "last_seq": 2, "pending": None}
    encoder = changes_encoder("eventsource")
    assert encoder.heartbeat() == b"event: heartbeat\ndata: \n\n"
    assert encoder.content_type == "text/event-stream"


@pytest.mark.parametrize("feed", ["normal", "longpoll", "continuous", "eventsource"])
def test_rows_in_pieces_are_as_whole_ones(feed: str) -> None:
    whole, pieces = changes_encoder(feed), changes_encoder(feed)
    for seq in (b"1", b"2"):
        assert pieces.begin_row() + b'{"seq":1}' + pieces.end_row(seq) == whole.row(b'{"seq":1}', seq)


def test_unknown_feeds() -> None:
    with pytest.raises(KeyError):
        changes_encoder("bogus")
