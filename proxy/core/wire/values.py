"""Where a JSON value ends, in bytes that are still arriving.

Only strings and brackets are looked at: whether what lies between them is JSON is for a parser to say. The
work is linear in the bytes, however they are cut, for the scan goes on where it stopped.
"""

from __future__ import annotations

import re

_FLAT = rb'[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+"'
_SKIP = re.compile(rb"(?:%b|[{\[](?:%b)*+[}\]])*+" % (_FLAT, _FLAT), re.DOTALL)  # and whole innermost values
_STRING = re.compile(rb"(?:[^\"\\]++|\\.)*+", re.DOTALL)
_SCALAR = re.compile(rb"[^\s,\]}]*+")
_QUOTE, _OPENING, _CLOSING = ord('"'), frozenset(b"{["), frozenset(b"}]")


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
        """The length of the value that `buffer` begins with (no white space before it), or -1: more is
        needed.

        A number or word ends where something follows it. `buffer` may only have grown since the last call.
        """
        while self._at < len(buffer):
            if self._in_string:
                self._at = _STRING.match(buffer, self._at).end()  # type: ignore[union-attr]  # matches empty
                if self._at == len(buffer) or buffer[self._at] != _QUOTE:
                    return -1
                self._in_string = False
            elif self._depth:
                self._at = _SKIP.match(buffer, self._at).end()  # type: ignore[union-attr]  # matches empty
                if self._at == len(buffer):
                    return -1
                self._bracket_or_quote(buffer[self._at])
            elif buffer[0] == _QUOTE or buffer[0] in _OPENING:
                self._bracket_or_quote(buffer[0])
            else:
                self._at = _SCALAR.match(buffer, self._at).end()  # type: ignore[union-attr]  # matches empty
                return self._at if self._at < len(buffer) else -1
            self._at += 1
            if not self._depth and not self._in_string:
                return self._at
        return -1

    def _bracket_or_quote(self, char: int) -> None:
        if char == _QUOTE:
            self._in_string = True
        else:
            self._depth += 1 if char in _OPENING else -1
