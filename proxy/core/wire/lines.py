"""Continuous feeds (one JSON object per line, blank lines are heartbeats) and event streams."""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.core.wire import WireError

DEFAULT_MAX_LINE = 64 * 1024 * 1024


class LineSplitter:
    """Splits a continuous feed into its lines."""

    def __init__(self, max_line: int = DEFAULT_MAX_LINE) -> None:
        """`max_line`: bytes; a longer line raises WireError."""
        self._max = max_line
        self._rest: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes, without their line ends; a heartbeat is an empty line."""
        first, *more = data.split(b"\n")
        self._hold(first)
        if not more:
            return []
        lines = [b"".join(self._rest), *more[:-1]]
        self._rest.clear()
        self._held = 0
        self._hold(more[-1])
        if len(data) > self._max and max(map(len, lines)) > self._max:
            raise self._too_long()
        return [line[:-1] if line.endswith(b"\r") else line for line in lines]

    def close(self) -> None:
        """Tells of the end. Raises WireError if the last line is not complete."""
        if self._held:
            raise WireError("the feed ended in the middle of a line")

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > self._max:
            raise self._too_long()
        if part:
            self._rest.append(part)

    def _too_long(self) -> WireError:
        return WireError(f"a line of the feed is longer than {self._max} bytes")


class Event(NamedTuple):
    """One event of a stream: `event` is "message" unless named; `id` is the last one seen, "" before the
    first.
    """

    event: str
    data: bytes
    id: str


_END = re.compile(rb"\r\n|\r|\n")


class EventStreamDecoder:
    """Decodes `text/event-stream` by the rules of the WHATWG (server-sent events, 9.2.6)."""

    def __init__(self, max_event: int = DEFAULT_MAX_LINE) -> None:
        """`max_event`: bytes of one event; a larger one raises WireError."""
        self._max = max_event
        self._buffer = bytearray()
        self._at_start = True
        self._after_cr = False  # a line feed that follows belongs to it
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id = ""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. An event without a data field is none (CouchDB's heartbeat has
        one).
        """
        if self._after_cr and data:
            data = data.removeprefix(b"\n")
            self._after_cr = False
        searched = len(self._buffer)
        self._buffer += data
        events: list[Event] = []
        begin = 0
        for end in _END.finditer(self._buffer, searched):
            self._line(bytes(self._buffer[begin : end.start()]), events)
            begin = end.end()
        self._after_cr = self._after_cr or (begin == len(self._buffer) and data.endswith(b"\r"))
        del self._buffer[:begin]
        self._check(len(self._buffer))
        return events

    def close(self) -> None:
        """Tells of the end. Raises WireError if the last event is not complete."""
        if self._buffer or self._data or self._event:
            raise WireError("the event stream ended in the middle of an event")

    def _line(self, line: bytes, events: list[Event]) -> None:
        if self._at_start:
            line = line.removeprefix(b"\xef\xbb\xbf")
            self._at_start = False
        if not line:
            self._dispatch(events)
            return
        self._check(len(line))
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            events.append(Event(self._event or "message", b"\n".join(self._data), self._id))
        self._data, self._size, self._event = [], 0, ""

    def _check(self, more: int) -> None:
        if self._size + more > self._max:
            raise WireError(f"an event of the stream is larger than {self._max} bytes")
