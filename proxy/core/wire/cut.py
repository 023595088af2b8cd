"""A guess at what stands between two elements of a streamed array. What becomes of it is told in `rows`."""

from __future__ import annotations

import re

_BETWEEN = re.compile(rb'([}\]]?\})([ \t\r\n]*,[ \t\r\n]*+)(?=.)(\{"[^"\\]{1,24}":)?')
_MAX_FAILURES = 8


class Cut:
    """The guess: bytes that end an element, then a gap with the comma, then bytes that begin the next one."""

    def __init__(self) -> None:
        self._left = self._between = self._right = b""
        self._searched = 0
        self._failures = 0
        self._surrenders = 0

    @property
    def rarely_wrong(self) -> bool:
        """Whether it pays to parse many elements at once."""
        return self._failures <= _MAX_FAILURES

    @property
    def gap(self) -> int:
        return len(self._between)

    def learn(self, buffer: bytearray, end: int) -> None:
        """Takes note of how the element that ends at `end` is told from the next, and guesses what both
        share.
        """
        if self._surrenders > _MAX_FAILURES:
            return
        found = _BETWEEN.match(buffer, max(0, end - 2)) or _BETWEEN.match(buffer, end - 1)
        if found is None or found.end(1) != end:
            return
        left, between, right = found.groups(b"")
        if b"\n" in between:  # never within a string
            left, right = left[-1:], b""
        elif not right:
            return
        if not self._between:
            self._left, self._between, self._right = left, between, right
        elif between == self._between and not (left.endswith(self._left) and right.startswith(self._right)):
            self._left = _common(left[::-1], self._left[::-1])[::-1]
            self._right = _common(right, self._right)
            self._searched = 0

    def last(self, buffer: bytearray) -> int:
        """Where the last element before a guessed cut ends; -1 if there is none."""
        if not self._between or self._surrenders > _MAX_FAILURES:
            return -1
        pattern = self._left + self._between + self._right
        at = buffer.rfind(pattern, max(0, self._searched - len(pattern)))
        self._searched = len(buffer)
        return at + len(self._left) if at >= 0 else -1

    def all(self, text: bytes) -> list[int]:
        """Where the elements of `text` end, by the guess; its own end is the last."""
        pattern = re.escape(self._left + self._between + self._right)
        return [*(found.start() + len(self._left) for found in re.finditer(pattern, text)), len(text)]

    def moved(self, size: int) -> None:
        """`size` bytes were taken from the front of the buffer."""
        self._searched = max(0, self._searched - size)

    def failed(self) -> None:
        """The last cut of the buffer was none."""
        self._failures += 1

    def gave_up(self) -> None:
        """No cut within reach was one: what follows may be guessed again, but not for ever."""
        self._surrenders += 1
        self._searched = 0


def _common(one: bytes, other: bytes) -> bytes:
    """The longest common prefix."""
    size = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:size]
