"""Incremental decoder for multipart/related, /mixed and /form-data bodies (RFC 2046, 5.1).

A line ends with CRLF, as CouchDB demands, unless the first delimiter's line ends with a bare LF: then all do. That a
body uses both is not taken into account, so nothing within a part is mistaken for a delimiter that CouchDB would not
see there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.core.wire import WireError


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins. `headers` by lower-case name; of duplicates the last wins, as in CouchDB."""

    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """A piece of the part's body: never empty; how it is cut says nothing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is complete."""


@dataclass(frozen=True, slots=True)
class End:
    """The closing delimiter was seen: the body is complete, whatever follows is ignored."""


MultipartEvent = PartBegin | PartData | PartEnd | End


class MultipartDecoder:
    """Turns a multipart body into events: (PartBegin PartData* PartEnd)* End.

    A part that is itself multipart is fed to a decoder of its own, with the boundary in the part's Content-Type.
    """

    def __init__(self, boundary: bytes, *, max_header: int = 16 * 1024, max_parts: int = 10_000) -> None:
        """`boundary`: see header.boundary_of. `max_header`: bytes of one part's header."""
        self._dashes = b"--" + boundary
        self._max_header = max_header
        self._parts_left = max_parts
        self._eol = b""
        self._buffer = bytearray(b"\n")  # the first delimiter needs no line end before it
        self._events: list[MultipartEvent] = []
        self._step: Callable[[MultipartDecoder], bool] = MultipartDecoder._preamble
        self._empty = True
        self._failure: WireError | None = None

    def feed(self, data: bytes) -> list[MultipartEvent]:
        """The events that `data` completes. Raises WireError if malformed or beyond a limit."""
        if self._failure is not None:
            raise self._failure
        self._empty = self._empty and not data
        self._buffer += data
        self._events = []
        try:
            while self._step(self):
                pass
        except WireError as error:
            self._failure = error
            raise
        return self._events

    def close(self) -> None:
        """Tells of the end. Raises WireError unless the closing delimiter was seen.

        A body without a single byte is complete: it is CouchDB's answer to a `_bulk_get` of nothing.
        """
        if self._failure is not None:
            raise self._failure
        if self._step != MultipartDecoder._epilogue and not self._empty:
            raise WireError("the multipart body ended before its closing delimiter")

    # Steps: each consumes from the buffer, sets the next step, and says whether that one may be tried.

    def _preamble(self) -> bool:
        pattern = b"\n" + self._dashes
        at = self._buffer.find(pattern)
        if at < 0:
            del self._buffer[: max(0, len(self._buffer) - len(pattern) + 1)]
            return False
        return self._go(MultipartDecoder._after_delimiter, at + len(pattern))

    def _after_delimiter(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer.startswith(b"--"):
            self._events.append(End())
            return self._go(MultipartDecoder._epilogue, 0)
        end = self._buffer.find(b"\n")
        padding = bytes(self._buffer[: end + 1 if end >= 0 else None])
        if padding.strip(b" \t\r\n" if end >= 0 else b" \t\r") or len(padding) > self._max_header:
            raise WireError("a multipart delimiter is followed by something other than a line end")
        if end < 0:
            return False
        self._eol = self._eol or (b"\r\n" if padding.endswith(b"\r\n") else b"\n")
        if not padding.endswith(self._eol):
            raise WireError("a multipart delimiter is followed by something other than a line end")
        return self._go(MultipartDecoder._header, end + 1)

    def _header(self) -> bool:
        if self._eol.startswith(bytes(self._buffer[: len(self._eol)])) and len(self._buffer) < len(self._eol):
            return False
        if self._buffer.startswith(self._eol):
            return self._begin_part(b"", len(self._eol))
        end = self._buffer.find(self._eol * 2, 0, self._max_header + 2 * len(self._eol))
        if end < 0:
            if len(self._buffer) >= self._max_header + 2 * len(self._eol):
                raise WireError(f"the header of a part is larger than {self._max_header} bytes")
            return False
        return self._begin_part(bytes(self._buffer[:end]), end + 2 * len(self._eol))

    def _begin_part(self, header: bytes, size: int) -> bool:
        self._parts_left -= 1
        if self._parts_left < 0:
            raise WireError("the multipart body has too many parts")
        self._events.append(PartBegin(_parse_header(header, self._eol)))
        return self._go(MultipartDecoder._body, size)

    def _body(self) -> bool:
        delimiter = self._eol + self._dashes
        at = self._buffer.find(delimiter)
        size = at if at >= 0 else len(self._buffer) - _overlap(self._buffer, delimiter)
        if size:
            with memoryview(self._buffer) as view:
                self._events.append(PartData(bytes(view[:size])))
        if at < 0:
            del self._buffer[:size]
            return False
        self._events.append(PartEnd())
        return self._go(MultipartDecoder._after_delimiter, at + len(delimiter))

    def _epilogue(self) -> bool:
        self._buffer.clear()
        return False

    def _go(self, step: Callable[[MultipartDecoder], bool], take: int) -> bool:
        del self._buffer[:take]
        self._step = step
        return True


def _overlap(buffer: bytearray, delimiter: bytes) -> int:
    """How many bytes at the end of `buffer` could be the beginning of `delimiter`."""
    at = buffer.find(delimiter[:1], max(0, len(buffer) - len(delimiter) + 1))
    while at >= 0:
        if delimiter.startswith(bytes(buffer[at:])):
            return len(buffer) - at
        at = buffer.find(delimiter[:1], at + 1)
    return 0


def _parse_header(header: bytes, eol: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in header.split(eol) if header else []:
        name, colon, value = _text(line).partition(":")
        name = name.strip(" \t").lower()
        if not colon or not name or any(char in line for char in b"\r\n\0"):
            raise WireError(f"bad part header {_text(line)!r}")
        headers[name] = value.strip(" \t")
    return headers


def _text(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")
