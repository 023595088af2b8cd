"""A streamed JSON object with one big array member, split into the elements of that array.

How elements are found, fast and yet exactly:

  - A JSON array, object or string is never a prefix of a longer one. So if the bytes from the start of an
    element up to some comma parse, they are that element; and if they parse once `[` and `]` are put around
    them, they are a whole number of elements. A cut can thus be guessed: parsing, which has to be done
    anyway, proves it.
  - The guess is what stood between the first two elements: `},\\r\\n` in CouchDB's rows, `]},{"id":` in
    `_bulk_get`. Everything up to its last occurrence is parsed at once.
  - What comes first may be the whole object, if it ends like one; that is proven by parsing, too.
  - Where a guess fails, the elements are tried one by one, each up to the next few cuts. Where none of these
    is right, or there is no guess, a scan finds the end of the element. After some failures guessing ends.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from proxy.core import jsonio
from proxy.core.wire import WireError
from proxy.core.wire.cut import Cut
from proxy.core.wire.values import ValueScanner

DEFAULT_MAX_ITEM = 64 * 1024 * 1024

_WHITE = b" \t\r\n"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_MAX_TRIES = 4


class ArraySplitter:
    """Splits `{..., "rows": [element, element, ...], ...}` as it arrives; the whole is never held.

    `head` and `tail` hold the other members, before and after the array, decoded: `head` is complete when the
    first element is handed out, `tail` after `close`. An element is handed out at the latest when the comma
    or bracket after it has arrived.
    """

    def __init__(self, member: str | None, max_item: int = DEFAULT_MAX_ITEM) -> None:
        """`member`: the array's name ("results", "rows", "docs"), or None if the array itself is at the top.

        `max_item`: bytes of an element, or of another member's value; a larger one raises WireError.
        """
        self.head: dict[str, Any] = {}
        self.tail: dict[str, Any] = {}
        self._member = member
        self._max = max_item
        self._buffer = bytearray()
        self._scanner = ValueScanner()
        self._cut = Cut()
        self._seen = False
        self._key = ""
        self._decode = False
        self._out: list[Any] = []
        self._step: Callable[[ArraySplitter], bool] = ArraySplitter._start
        self._failure: WireError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The raw elements that `data` completes, each proven to be JSON. Raises WireError if malformed.

        Costs as much as decoding: whoever decodes the elements anyway takes `feed_decoded`.
        """
        self._decode = False
        return self._run(data)

    def feed_decoded(self, data: bytes) -> list[Any]:
        """As `feed`, decoded as jsonio.loads does."""
        self._decode = True
        begun = self._buffer or self._failure is not None or self._step is not ArraySplitter._start
        return self._run(data) if begun else self._run_first(data)

    def _run_first(self, data: bytes) -> list[Any]:
        """Takes the whole object at once, if that is what `data` is: with the array as its only member."""
        name = b'"%b"' % (self._member or "").encode()
        begins = b"".join(data[:32].split()).startswith(b"{%b:[" % name)
        if not begins or not b"".join(data[-8:].split()).endswith(b"]}") or len(data) > self._max:
            return self._run(data)
        if data.count(name) > 1 or b"\\u" in data:  # it may come twice, in whatever spelling
            return self._run(data)
        try:
            value = jsonio.loads(data)
        except ValueError:
            return self._run(data)
        if len(value) > 1 or type(value.get(self._member)) is not list:
            return self._run(data)
        self._seen, self._step = True, ArraySplitter._end
        found: list[Any] = value[self._member]
        return found

    def close(self) -> None:
        """Tells of the end. Raises WireError if the object is not complete or the array was missing."""
        if self._failure is not None:
            raise self._failure
        if self._step != ArraySplitter._end:
            raise WireError("the JSON ended before it was complete")
        if not self._seen:
            raise WireError(f'the JSON object has no "{self._member}"')

    def _run(self, data: bytes) -> list[Any]:
        if self._failure is not None:
            raise self._failure
        self._buffer += data
        self._out = []
        try:
            while self._step(self):
                pass
            if len(self._buffer) > self._max:
                raise self._too_large()
        except WireError as error:
            self._failure = error
            raise
        found, self._out = self._out, []
        return found

    # Steps: each consumes from the buffer, sets the next step, and says whether that one may be tried. They are kept as
    # functions: a bound method would refer to us, and all that was read would wait for a look for cycles.

    def _start(self) -> bool:
        char = self._next()
        if char == (b"[" if self._member is None else b"{"):
            return self._go(ArraySplitter._first_element if self._member is None else ArraySplitter._first_key)
        return self._unexpected(char, "the start")

    def _first_key(self) -> bool:
        if self._next(take=False) == b"}":
            return self._go(ArraySplitter._end, take=1)
        return self._go(ArraySplitter._name) if self._buffer else False

    def _name(self) -> bool:
        char = self._next(take=False)
        if char != b'"':
            return self._unexpected(char, "a member's name")
        name = self._value()
        if name is None:
            return False
        self._key = _parse(name)
        return self._go(ArraySplitter._colon)

    def _colon(self) -> bool:
        char = self._next()
        if char == b":":
            return self._go(ArraySplitter._member_value)
        return self._unexpected(char, "the colon after a name")

    def _member_value(self) -> bool:
        char = self._next(take=False)
        if not char:
            return False
        if self._key == self._member:
            if char != b"[" or self._seen:
                raise WireError(f'"{self._member}" is not one array')
            return self._go(ArraySplitter._first_element, take=1)
        value = self._value()
        if value is None:
            return False
        (self.tail if self._seen else self.head)[self._key] = _parse(value)
        return self._go(ArraySplitter._after_member)

    def _after_member(self) -> bool:
        char = self._next()
        if char == b",":
            return self._go(ArraySplitter._name)
        return self._go(ArraySplitter._end) if char == b"}" else self._unexpected(char, "what follows a member")

    def _first_element(self) -> bool:
        self._seen = True
        if self._next(take=False) == b"]":
            return self._end_of_array(take=1)
        return self._go(ArraySplitter._elements) if self._buffer else False

    def _elements(self) -> bool:
        if not self._next(take=False):
            return False
        self._guessed()
        if not self._next(take=False):
            return False
        raw = self._value(learn=True)
        if raw is None:
            return False
        self._out.append(_parse(raw) if self._decode else _proven(raw))
        return self._go(ArraySplitter._after_element)

    def _after_element(self) -> bool:
        char = self._next()
        if char == b",":
            return self._go(ArraySplitter._elements)
        return self._end_of_array() if char == b"]" else self._unexpected(char, "what follows an element")

    def _end(self) -> bool:
        char = self._next(take=False)
        return self._unexpected(char, "the end") if char else False

    # What the steps are made of.

    def _go(self, step: Callable[[ArraySplitter], bool], take: int = 0) -> bool:
        self._drop(take)
        self._step = step
        return True

    def _end_of_array(self, take: int = 0) -> bool:
        return self._go(ArraySplitter._end if self._member is None else ArraySplitter._after_member, take)

    def _next(self, *, take: bool = True) -> bytes:
        """The next character that is not white space, or none; what precedes it is dropped."""
        at = _SPACE.match(self._buffer).end()  # type: ignore[union-attr]  # matches empty
        char = bytes(self._buffer[at : at + 1])
        self._drop(at + take)
        return char

    def _unexpected(self, char: bytes, where: str) -> bool:
        if not char:
            return False
        raise WireError(f"malformed JSON: {char.decode('latin-1')!r} at {where}")

    def _value(self, *, learn: bool = False) -> bytes | None:
        """The value that the buffer begins with, taken from it; None if it is not complete."""
        end = self._scanner.end(self._buffer)
        if end < 0:
            return None
        if end > self._max:
            raise self._too_large()
        if learn:
            self._cut.learn(self._buffer, end)
        raw = bytes(self._buffer[:end])
        self._drop(end)
        return raw

    def _guessed(self) -> None:
        """Takes the elements up to the last guessed cut, as far as parsing proves them."""
        size = self._cut.last(self._buffer)
        if size < 0:
            return
        if self._decode and size <= self._max and self._cut.rarely_wrong:
            with memoryview(self._buffer) as view:
                text = b"".join((b"[", view[:size], b"]"))
            try:
                self._out += jsonio.loads(text)
                self._drop(size + self._cut.gap)
                return
            except ValueError:
                self._cut.failed()
        self._one_by_one(bytes(self._buffer[:size]))

    def _one_by_one(self, text: bytes) -> None:
        """Takes the elements of `text`, with which the buffer begins, until no cut within reach proves right."""
        parse = jsonio.loads if self._decode else orjson.loads
        start = tries = 0
        for end in self._cut.all(text):
            raw = text[start:end].lstrip(_WHITE)
            try:
                value = parse(raw)
            except ValueError:
                tries += 1
                if tries > _MAX_TRIES:
                    self._cut.gave_up()
                    break
            else:
                if len(raw) > self._max:
                    break
                self._out.append(value if self._decode else raw)
                start, tries = end + self._cut.gap, 0
        self._drop(start)

    def _drop(self, size: int) -> None:
        if size:
            del self._buffer[:size]
            self._scanner.reset()
            self._cut.moved(size)

    def _too_large(self) -> WireError:
        return WireError(f"a JSON value is larger than {self._max} bytes")


def _parse(raw: bytes) -> Any:
    try:
        return jsonio.loads(raw)
    except ValueError as error:
        raise WireError(f"malformed JSON: {error}") from None


def _proven(raw: bytes) -> bytes:
    try:
        orjson.loads(raw)
    except ValueError as error:
        raise WireError(f"malformed JSON: {error}") from None
    return raw
