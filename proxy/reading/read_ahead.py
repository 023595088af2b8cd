"""Small attachments are read before it is their turn, some at a time: each is an exchange with the source, which would
wait for the client in between, and the client for it. Of documents of which nothing is hidden several are read in one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from proxy.resolve import Shown

_AT_ONCE = 8
"""Single ones."""
_SMALL = 256 * 1024
_TOGETHER = 512 * 1024
"""Bytes of those that are read in one exchange."""
_ROOM = 2 * _TOGETHER
"""Bytes of all that are held."""

Wanted = tuple[Shown, str]
"""An attachment: the revision that it belongs to, and its name."""
Read = Callable[[Shown, str], AsyncIterator[bytes]]
"""The body of an attachment as a stream."""
ReadSome = Callable[[Sequence[Wanted]], Awaitable[Sequence[bytes | None]]]
"""The bodies of attachments, in order; None for what cannot be had in this way."""


class _Coming(NamedTuple):
    wanted: Wanted
    size: int
    body: asyncio.Task[bytes]


class ReadAhead:
    """The bodies of the attachments that are `wanted`, in their order, by `read`. To be left when it is done with.

    `together`: reads those of documents that are shown with all of their attachments.
    """

    def __init__(self, read: Read, wanted: Iterable[Wanted], together: ReadSome | None = None) -> None:
        self._read = read
        self._together = together
        self._wanted = deque((each, _size(*each)) for each in wanted)
        self._coming: deque[_Coming] = deque()
        self._groups: list[asyncio.Task[Sequence[bytes | None]]] = []
        self._held = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        begun: list[asyncio.Task[Any]] = [*self._groups, *(each.body for each in self._coming)]
        for task in begun:
            task.cancel()
        await asyncio.gather(*begun, return_exceptions=True)

    async def of(self, shown: Shown, name: str) -> AsyncIterator[bytes]:
        """The body of the next one. Raises what `read` raises."""
        self._begin()
        if not self._coming:
            wanted, _ = self._wanted.popleft()
            self._begin()  # what follows a large one
            self._check(wanted, shown, name)
            async for piece in self._read(shown, name):
                yield piece
            return
        coming = self._coming.popleft()
        self._check(coming.wanted, shown, name)
        try:
            body = await coming.body
        finally:
            coming.body.cancel()
            self._held -= coming.size
        self._begin()
        yield body

    def _check(self, wanted: Wanted, shown: Shown, name: str) -> None:
        assert wanted == (shown, name), "attachments are asked for in another order than was said"

    def _begin(self) -> None:
        while self._wanted:
            (wanted, size), together = self._wanted[0], self._next_together()
            if len(together) > 1:
                self._begin_together(together)
            elif size <= _SMALL and self._held + size <= _ROOM and len(self._coming) < _AT_ONCE:
                self._take(self._whole(*wanted))
            else:
                return

    def _begin_together(self, wanted: list[Wanted]) -> None:
        assert self._together is not None
        group = asyncio.ensure_future(self._together(wanted))
        self._groups.append(group)
        for place, each in enumerate(wanted):
            self._take(self._out_of(group, place, *each))

    def _take(self, body: Coroutine[Any, Any, bytes]) -> None:
        """The next one is coming."""
        wanted, size = self._wanted.popleft()
        self._held += size
        self._coming.append(_Coming(wanted, size, asyncio.ensure_future(body)))

    def _next_together(self) -> list[Wanted]:
        """The next ones that are read in one exchange; none if there is no room for as many as that could be."""
        found: list[Wanted] = []
        if self._together is None or self._held + _TOGETHER > _ROOM:
            return found
        left = _TOGETHER
        for wanted, size in self._wanted:
            left -= size
            if not wanted[0].all_attachments or size > _SMALL or left < 0:
                break
            found.append(wanted)
        return found

    async def _out_of(self, group: asyncio.Task[Sequence[bytes | None]], place: int, shown: Shown, name: str) -> bytes:
        body = (await asyncio.shield(group))[place]
        return await self._whole(shown, name) if body is None else body

    async def _whole(self, shown: Shown, name: str) -> bytes:
        return b"".join([piece async for piece in self._read(shown, name)])


def _size(shown: Shown, name: str) -> int:
    """Bytes of an attachment, however it is read, as the source announces them."""
    entry = shown.doc["_attachments"][name]
    lengths = [entry.get("length"), entry.get("encoded_length", 0)]
    return max(length if isinstance(length, int) else _SMALL + 1 for length in lengths)
