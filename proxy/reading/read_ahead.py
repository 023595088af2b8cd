"""Small attachments are read before it is their turn, some at a time: each is an exchange with the source, which would
wait for the client in between, and the client for it.

Several are read in one exchange where the source has a way to give documents with all of their attachments. That is for
documents of which all are wanted and none is hidden, and all together are small. So no body is asked for that is not
handed over, and none twice; but for what a source does not give in this way, which it is asked for again alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from proxy.fetch import attachments_of
from proxy.resolve import Shown

_AT_ONCE = 8
"""Exchanges."""
_SMALL = 256 * 1024
"""Bytes of one that is read ahead alone."""
_TINY = 48 * 1024
"""Bytes of an attachment, in the mean of a document: larger ones are given faster singly than within JSON."""
_TOGETHER = 512 * 1024
"""Bytes of all attachments of several documents that are read in one exchange."""
_ROOM = 1024 * 1024
"""Bytes of all that were asked for and are not handed over yet."""

Wanted = tuple[Shown, str]
"""An attachment: the revision that it belongs to, and its name."""
Named = tuple[Shown, Sequence[str]]
"""Attachments of one document."""
Read = Callable[[Shown, str], AsyncIterator[bytes]]
"""The body of an attachment as a stream."""
ReadSome = Callable[[Sequence[Wanted]], Awaitable[Sequence[bytes | None]]]
"""The bodies of all attachments of some documents, in order; None for what cannot be had in this way."""


class _Part(NamedTuple):
    """What one exchange is for."""

    wanted: list[Wanted]
    size: int


class _Coming(NamedTuple):
    """What is left of a part, and of its bodies."""

    wanted: deque[Wanted]
    bodies: asyncio.Task[deque[bytes | None]]


class ReadAhead:
    """The bodies of the named attachments of `documents`, in their order, by `read`. To be left when it is done with.

    `together`: reads those of whole documents, all of them.
    """

    def __init__(self, read: Read, documents: Iterable[Named], together: ReadSome | None = None) -> None:
        self._read = read
        self._together = together
        self._waiting = deque(_singly(documents) if together is None else _parts(documents))
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
                self._waiting = deque(_singly((shown, [name]) for part in self._waiting for shown, name in part.wanted))
            return bodies
        [each] = wanted
        return deque([b"".join([piece async for piece in self._read(*each)])])


def _parts(documents: Iterable[Named]) -> Iterator[_Part]:
    """Documents of which all attachments are wanted together, if these are small; the attachments of others singly."""
    some: list[Wanted] = []
    total = 0
    for shown, names in documents:
        size = sum(_size(shown, name) for name in names)
        all_of_them = shown.all_attachments and len(names) == len(attachments_of(shown.doc))
        whole = all_of_them and size <= min(_ROOM, _TINY * len(names))
        if some and not (whole and total + size <= _TOGETHER):
            yield _Part(some, total)
            some, total = [], 0
        if whole:
            some += [(shown, name) for name in names]
            total += size
        else:
            yield from _singly([(shown, names)])
    if some:
        yield _Part(some, total)


def _singly(documents: Iterable[Named]) -> Iterator[_Part]:
    return (_Part([(shown, name)], _size(shown, name)) for shown, names in documents for name in names)


def _size(shown: Shown, name: str) -> int:
    """Bytes of an attachment, however it is read, as the source announces them."""
    entry = shown.doc["_attachments"][name]
    lengths = [entry.get("length"), entry.get("encoded_length", 0)]
    return max(length if isinstance(length, int) else _ROOM + 1 for length in lengths)
