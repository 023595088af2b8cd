"""Where a JSON value ends, in bytes that are still arriving.

Only strings and brackets are looked at: whether what lies between them is JSON is for a parser to say. The work
is linear in the bytes, however they are cut, for the scan goes on where it stopped.
"""

from __future__ import annotations

import re

# No possessive groups: Python before 3.11.5 (Debian 12 has 3.11.2) goes on where one failed, not where it began. So
# groups are written such that there is one way to match them, and repeated no more often than little is kept of it.
_PLAIN, _STRING = rb'[^"{}\[\]]', rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_INNERMOST = rb"[{\[]%b*(?:%b%b*)*[}\]]" % (_PLAIN, _STRING, _PLAIN)
_SKIP = re.compile(rb"(?:%b+|%b|%b){0,500}" % (_PLAIN, _STRING, _INNERMOST), re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\]}]*+")
_QUOTE, _BACKSLASH = b'"\\'
_OPENING = frozenset(b"{[")


class ValueScanner:
    """Finds the end of the value at the start of a buffer that grows; `reset` before the next value."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forgets the value: the next `end` starts at the beginning of its buffer."""
        self._at = 0
        self._depth = 0
        self._in_string = False

    def end(self, buffer: bytearray) -> int:
        """The length of the value that `buffer` begins with (no white space before it), or -1: more is needed.

        A number or word ends where something follows it. `buffer` may only have grown since the last call.
        """
        if not buffer:
            return -1
        if buffer[0] != _QUOTE and buffer[0] not in _OPENING:
            self._at = _SCALAR.match(buffer, self._at).end()  # type: ignore[union-attr]  # matches empty
            return self._at if self._at < len(buffer) else -1
        return self._closing(buffer)

    def _closing(self, buffer: bytearray) -> int:
        at, depth, size, skip = self._at, self._depth, len(buffer), _SKIP.match
        while True:
            if self._in_string:
                at = self._leave_string(buffer, at)
                if self._in_string:
                    break
                if not depth:
                    return at
            while depth and (skipped := skip(buffer, at).end()) > at:  # type: ignore[union-attr]  # matches empty
                at = skipped
            if at >= size:
                break
            char = buffer[at]
            at += 1
            if char == _QUOTE:
                self._in_string = True
            elif char in _OPENING:
                depth += 1
            elif depth == 1:
                return at
            else:
                depth -= 1
        self._at, self._depth = at, depth
        return -1

    def _leave_string(self, buffer: bytearray, at: int) -> int:
        """Where to go on: after the string's closing quote, or, still in the string, where more is needed.

        Strings may be long (attachments in base64), and finding a byte is much faster than matching a pattern.
        """
        quote = buffer.find(b'"', at)
        while quote >= 0:
            if not _escaped(buffer, at, quote):
                self._in_string = False
                return quote + 1
            at = quote + 1
            quote = buffer.find(b'"', at)
        return len(buffer) - _escaped(buffer, at, len(buffer))


def _escaped(buffer: bytearray, start: int, at: int) -> bool:
    """Whether an odd number of backslashes stands before `at`; `start` lies outside of an escape."""
    first = at
    while first > start and buffer[first - 1] == _BACKSLASH:
        first -= 1
    return (at - first) % 2 == 1
