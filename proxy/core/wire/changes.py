"""The `_changes` feeds, byte for byte as CouchDB writes them.

TouchDB on Android reads the normal feed line by line (exact first line, exact `],`, `"last_seq"` at the
start of its line), so the layout is part of the protocol. A feed is `head()`, any number of `row` and
`heartbeat`, and `tail`. A row that is written in pieces stands between `begin_row` and `end_row`.
"""

from __future__ import annotations

from typing import Protocol


class ChangesEncoder(Protocol):
    """One feed being written. Every method returns the bytes to send, possibly none."""

    content_type: str

    def head(self) -> bytes:
        """What opens the feed: send it at once, clients take it for the sign that the feed is up."""

    def row(self, row: bytes, seq: bytes) -> bytes:
        """One change: the row as JSON on one line, and its `seq` as JSON once more (event streams repeat
        it).
        """

    def begin_row(self) -> bytes:
        """What precedes a row that is written in pieces."""

    def end_row(self, seq: bytes) -> bytes:
        """What follows it; `seq` as in `row`."""

    def heartbeat(self) -> bytes:
        """A sign of life, allowed between any two rows and before the first."""

    def tail(self, last_seq: bytes, pending: int | None) -> bytes:
        """What ends the feed: `last_seq` as JSON, `pending` the number of rows left (None is written as
        null).
        """


class NormalFeed:
    """`feed=normal` and `feed=longpoll`: one JSON object with `results`."""

    content_type = "application/json"

    def __init__(self) -> None:
        self._separator = b""

    def head(self) -> bytes:
        return b'{"results":[\n'

    def row(self, row: bytes, seq: bytes) -> bytes:
        return self.begin_row() + row

    def begin_row(self) -> bytes:
        separator, self._separator = self._separator, b",\r\n"
        return separator

    def end_row(self, seq: bytes) -> bytes:
        return b""

    def heartbeat(self) -> bytes:
        return b"\n"

    def tail(self, last_seq: bytes, pending: int | None) -> bytes:
        return b'\n],\n"last_seq":%b,"pending":%b}\n\n' % (last_seq, _json(pending))


class ContinuousFeed:
    """`feed=continuous` and its alias `live`: one JSON object per line, blank lines as heartbeats."""

    content_type = "application/json"

    def head(self) -> bytes:
        return b""

    def row(self, row: bytes, seq: bytes) -> bytes:
        return row + b"\n"

    def begin_row(self) -> bytes:
        return b""

    def end_row(self, seq: bytes) -> bytes:
        return b"\n"

    def heartbeat(self) -> bytes:
        return b"\n"

    def tail(self, last_seq: bytes, pending: int | None) -> bytes:
        return b'{"last_seq":%b,"pending":%b}\n\n' % (last_seq, _json(pending))


class EventSourceFeed:
    """`feed=eventsource`: an event per row, whose id is what comes back in Last-Event-ID. It has no closing
    row.
    """

    content_type = "text/event-stream"

    def head(self) -> bytes:
        return b""

    def row(self, row: bytes, seq: bytes) -> bytes:
        return b"data: %b\nid: %b\n\n" % (row, seq)

    def begin_row(self) -> bytes:
        return b"data: "

    def end_row(self, seq: bytes) -> bytes:
        return b"\nid: %b\n\n" % seq

    def heartbeat(self) -> bytes:
        return b"event: heartbeat\ndata: \n\n"

    def tail(self, last_seq: bytes, pending: int | None) -> bytes:
        return b""


def changes_encoder(feed: str) -> ChangesEncoder:
    """A new encoder for the value of `feed=`. Raises KeyError for a feed that CouchDB does not know."""
    return _FEEDS[feed]()


def _json(pending: int | None) -> bytes:
    return b"null" if pending is None else b"%d" % pending


_FEEDS: dict[str, type[NormalFeed | ContinuousFeed | EventSourceFeed]] = {
    "normal": NormalFeed,
    "longpoll": NormalFeed,
    "continuous": ContinuousFeed,
    "live": ContinuousFeed,
    "eventsource": EventSourceFeed,
}
