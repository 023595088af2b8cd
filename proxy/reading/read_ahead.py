"""Small attachments are read before it is their turn, some at a time: each is an exchange with the source, which would
wait for the client in between, and the client for it. Of documents of which nothing is hidden several are read in one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from proxy.resolve import Shown

_AT_ONCE = 8
"""Exchanges."""
_SMALL = 256 * 1024
"""Bytes of one that is read ahead alone."""
_TOGETHER = 512 * 1024
"""Bytes of those that are read in one exchange."""
_ROOM = 2 * _TOGETHER
"""Bytes of all that were asked for and are not handed over yet."""

Wanted = tuple[Shown, str]
"""An attachment: the revision that it belongs to, and its name."""
Read = Callable[[Shown, str], AsyncIterator[bytes]]
"""The body of an attachment as a stream."""
ReadSome = Callable[[Sequence[Wanted]], Awaitable[Sequence[bytes | None]]]
"""The bodies of attachments, in order; None for what cannot be had in this way."""


class _Part(NamedTuple):
    """What one exchange is for."""

    wanted: list[Wanted]
    size: int


class _Coming(NamedTuple):
    """What is left of a part, and of its bodies."""

    wanted: deque[Wanted]
    bodies: asyncio.Task[deque[bytes | None]]


class ReadAhead:
    """The bodies of the attachments that are `wanted`, in their order, by `read`. To be left when it is done with.

    `together`: reads those of documents that are shown with all of their attachments.
    """

    def __init__(self, read: Read, wanted: Iterable[Wanted], together: ReadSome | None = None) -> None:
        self._read = read
        self._together = together
        self._waiting = deque(_singly(wanted) if together is None else _parts(wanted))
        self._coming: deque[_Coming] = deque()
        self._held = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for coming in self._coming:
            coming.bodies.cancel()
        await asyncio.gather(*(coming.bodies for coming in self._coming), return_exceptions=True)

    async def of(self, shown: Shown, name: str) -> AsyncIterator[bytes]:
        """The body of the next one. Raises what `read` raises."""
        self._begin()
        next_one = self._coming[0].wanted if self._coming else self._waiting[0].wanted
        assert next_one[0] == (shown, name), "attachments are asked for in another order than was said"
        if self._coming:
            try:
                body = await self._next()
                if body is not None:
                    yield body
                    return
            finally:
                self._held -= _size(shown, name)
        else:
            self._waiting.popleft()
            self._begin()  # what follows a large one
        async for piece in self._read(shown, name):
            yield piece

    async def _next(self) -> bytes | None:
        """The next body of those that are coming; None if it has to be read alone."""
        wanted, bodies = self._coming[0]
        wanted.popleft()
        if not wanted:
            self._coming.popleft()
        return (await bodies).popleft()

    def _begin(self) -> None:
        while self._waiting and len(self._coming) < _AT_ONCE:
            wanted, size = self._waiting[0]
            if self._held + size > _ROOM or (len(wanted) == 1 and size > _SMALL):
                return
            self._waiting.popleft()
            self._held += size
            self._coming.append(_Coming(deque(wanted), asyncio.ensure_future(self._bodies(wanted))))

    async def _bodies(self, wanted: Sequence[Wanted]) -> deque[bytes | None]:
        if self._together is not None and len(wanted) > 1:
            bodies = deque(await self._together(wanted))
            if None in bodies:  # nor need the source be asked for others in this way
                self._waiting = deque(_singly(each for part in self._waiting for each in part.wanted))
            return bodies
        [each] = wanted
        return deque([b"".join([piece async for piece in self._read(*each)])])


def _singly(wanted: Iterable[Wanted]) -> Iterator[_Part]:
    return (_Part([each], _size(*each)) for each in wanted)


def _parts(wanted: Iterable[Wanted]) -> Iterator[_Part]:
    """Attachments of documents of which nothing is hidden, as many as are read together; the others singly."""
    some: list[Wanted] = []
    total = 0
    for each in wanted:
        size = _size(*each)
        fits = each[0].all_attachments and size <= _SMALL
        if some and not (fits and total + size <= _TOGETHER):
            yield _Part(some, total)
            some, total = [], 0
        if fits:
            some.append(each)
            total += size
        else:
            yield _Part([each], size)
    if some:
        yield _Part(some, total)


def _size(shown: Shown, name: str) -> int:
    """Bytes of an attachment, however it is read, as the source announces them."""
    entry = shown.doc["_attachments"][name]
    lengths = [entry.get("length"), entry.get("encoded_length", 0)]
    return max(length if isinstance(length, int) else _ROOM + 1 for length in lengths)
