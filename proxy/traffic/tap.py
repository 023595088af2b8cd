"""HTTP/1.1 passing by on one connection, taken apart into exchanges. Bytes go on as they came.

Only what is needed to tell messages apart is understood (RFC 9112, 6): heads, Content-Length, chunks. Requests may be
pipelined; interim replies (100 Continue) belong to nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from proxy.traffic import TrafficError
from proxy.traffic.exchange import Exchange, Headers, Reply, Request, header

MAX_HEAD = 256 * 1024
"""Bytes of a message's head, and of a line of chunked framing."""

Clock = Callable[[], int]


class Framing:
    """The body of one message: `feed` takes its bytes, and gives back those beyond its end."""

    def __init__(self, headers: Headers, clock: Clock, *, until_close: bool) -> None:
        """`until_close`: a body without a length ends with the connection (replies), not at once (requests)."""
        self._clock = clock
        self._pieces: list[bytes] = []
        self._buffer = b""
        self._in_trailer = False
        length = header(headers, "Content-Length")
        self.chunked = "chunked" in (header(headers, "Transfer-Encoding") or "").lower()
        self.until_close = until_close and not self.chunked and length is None
        self._left = 0 if self.chunked else _number(length or "0", 10)
        self.complete = not self.chunked and not self.until_close and self._left == 0
        self.chunks: list[int] = []
        self.times: list[int] = []

    @property
    def body(self) -> bytes:
        return b"".join(self._pieces)

    def feed(self, data: bytes) -> bytes:
        if self.until_close:
            self._pieces.append(data)
            return b""
        if not self.chunked:
            self._pieces.append(data[: self._left])
            rest = data[self._left :]
            self._left -= len(data) - len(rest)
            self.complete = self._left == 0
            return rest
        self._buffer += data
        while not self.complete and self._step():
            pass
        rest, self._buffer = (self._buffer, b"") if self.complete else (b"", self._buffer)
        return rest

    def _step(self) -> bool:
        """One element of chunked framing, if it is there: a size, a chunk with its line end, a line of the trailer."""
        if self._left:
            return self._chunk()
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            if len(line) > MAX_HEAD:
                raise TrafficError("a line of chunked framing does not end")
            return False
        self._buffer = rest
        if self._in_trailer:
            self.complete = not line
        else:
            self._left = _number(line.partition(b";")[0].decode("latin-1").strip(), 16)
            self._in_trailer = self._left == 0
        return True

    def _chunk(self) -> bool:
        if len(self._buffer) < self._left + 2:
            return False
        if self._buffer[self._left : self._left + 2] != b"\r\n":
            raise TrafficError("a chunk is not as long as it says")
        self._pieces.append(self._buffer[: self._left])
        self.chunks.append(self._left)
        self.times.append(self._clock())
        self._buffer = self._buffer[self._left + 2 :]
        self._left = 0
        return True


def _number(text: str, base: int) -> int:
    allowed = "0123456789abcdefABCDEF"[: 10 if base == 10 else None]
    if not text or text.strip(allowed):
        raise TrafficError(f"{text!r} is not a length")
    return int(text, base)


class Heads:
    """Collects the head of the next message: start line and headers."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> tuple[bytes, list[bytes], bytes] | None:
        """Start line, lines of headers, and the bytes beyond; None while it is not whole."""
        self._buffer += data
        if self._buffer.startswith(b"\r\n"):  # tolerated between messages
            self._buffer = self._buffer[2:]
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            if len(head) > MAX_HEAD:
                raise TrafficError("the head of a message does not end")
            return None
        self._buffer = b""
        start, *lines = head.split(b"\r\n")
        return start, lines, rest


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not name or name != name.strip():
        raise TrafficError("what passes is not HTTP: a header without a name")
    try:
        return name.decode("ascii"), value.strip().decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1"), value.strip().decode("latin-1")


class _Open:
    """An exchange under way."""

    def __init__(self, n: int, at: int, method: str, target: str, headers: list[tuple[str, str]]) -> None:
        self.n, self.at = n, at
        self.method, self.target, self.headers = method, target, headers
        self.sent: Framing | None = None
        self.status = 0
        self.reply_headers: list[tuple[str, str]] = []
        self.got: Framing | None = None

    def close(self, now: int, *, whole: bool) -> Exchange:
        assert self.sent is not None
        chunks = tuple(self.sent.chunks) if self.sent.chunked else None
        request = Request(self.method, self.target, self.headers, self.sent.body, chunks)
        reply = None if self.got is None else self._reply(self.got, now)
        return Exchange(self.n, self.at, request, reply if whole else None, None if whole else reply)

    def _reply(self, got: Framing, now: int) -> Reply:
        chunks = tuple(got.chunks) if got.chunked else None
        times = tuple(time - self.at for time in got.times) if got.chunked else None
        return Reply(self.status, self.reply_headers, got.body, now - self.at, chunks, times)


class Tap:
    """The two directions of one connection. What comes from the client is given back rewritten: its Host is that of the
    server, its target below the server's prefix.

    `clock`: milliseconds since the recording began. `number`: gives each exchange its number.
    """

    def __init__(self, clock: Clock, number: Callable[[], int], *, host: str = "", prefix: str = "") -> None:
        self._clock, self._number, self._host, self._prefix = clock, number, host, prefix
        self._waiting: deque[_Open] = deque()
        self._request_head, self._reply_head = Heads(), Heads()
        self._sending: _Open | None = None

    def from_client(self, data: bytes) -> bytes:
        """What to send to the server for `data`. Raises TrafficError if it is not HTTP."""
        out = []
        while data:
            if self._sending is None:
                found = self._request_head.feed(data)
                if found is None:
                    break
                start, lines, data = found
                out.append(self._begin(start, lines))
            assert self._sending is not None
            assert self._sending.sent is not None
            rest = self._sending.sent.feed(data) if not self._sending.sent.complete else data
            out.append(data[: len(data) - len(rest)])
            data = rest
            if self._sending.sent.complete:
                self._sending = None
        return b"".join(out)

    def _begin(self, start: bytes, lines: list[bytes]) -> bytes:
        method, target, version = [*start.decode("latin-1").split(" "), "", ""][:3]
        if not version.startswith("HTTP/1.") or not target.startswith("/"):
            raise TrafficError("what the client sends is not an HTTP/1 request to a server")
        headers = [_header(line) for line in lines]
        self._sending = _Open(self._number(), self._clock(), method, target, headers)
        self._sending.sent = Framing(headers, self._clock, until_close=False)
        self._waiting.append(self._sending)
        if self._host:
            host = f"Host: {self._host}".encode()
            lines = [host if line[:5].lower() == b"host:" else line for line in lines]
        first = f"{method} {self._prefix}{target} {version}".encode("latin-1")
        return b"\r\n".join([first, *lines, b"", b""])

    def from_server(self, data: bytes) -> list[Exchange]:
        """The exchanges that `data` completes. Raises TrafficError if it is not HTTP."""
        done = []
        while data:
            if not self._waiting:
                raise TrafficError("the server sends what nobody asked for")
            current = self._waiting[0]
            if current.got is None:
                found = self._reply_head.feed(data)
                if found is None:
                    break
                start, lines, data = found
                self._answer(current, start, [_header(line) for line in lines])
            if current.got is not None:
                data = data if current.got.complete else current.got.feed(data)
                if current.got.complete:
                    done.append(self._waiting.popleft().close(self._clock(), whole=True))
        return done

    def _answer(self, current: _Open, start: bytes, headers: list[tuple[str, str]]) -> None:
        version, _, rest = start.decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1."):
            raise TrafficError("what the server sends is not HTTP/1")
        status = _number(rest[:3], 10)
        if status == 101:
            raise TrafficError("the connection is switched to another protocol, which cannot be recorded")
        if status < 200:
            return
        current.status, current.reply_headers = status, headers
        bodiless = current.method == "HEAD" or status in (204, 304)
        current.got = Framing([] if bodiless else headers, self._clock, until_close=not bodiless)

    def end(self, *, by_server: bool) -> list[Exchange]:
        """What was under way when the connection ended. `by_server`: a reply without a length is complete then."""
        done = []
        for current in self._waiting:
            whole = by_server and current.got is not None and current.got.until_close
            done.append(current.close(self._clock(), whole=whole))
        self._waiting.clear()
        return done
