"""Who waits for what: a client's feed sleeps here until one of its keys finds something new.

That costs an entry in a table for each of its keys. A change that concerns very many feeds wakes them some at a time:
requests that arrive meanwhile are served between them, and those woken later find kept what the first ones had to ask
for.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

Keys = frozenset[int] | None
"""The keys that a client holds; None: all there are."""

_AT_ONCE = 20
"""Feeds that are woken in one turn of the event loop; each works for 0.1 ms or so."""


class Waiting:
    """Feeds that wait."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()
        self._by_key: dict[int, set[asyncio.Future[None]]] = {}
        self._for_all: set[asyncio.Future[None]] = set()
        self._due: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._next: asyncio.Handle | None = None

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._waiters)

    async def wait(self, keys: Keys) -> None:
        """Wait until a holder of the keys finds something new. Raises what `fail` was told."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        places = [self._waiters]
        places += [self._for_all] if keys is None else [self._by_key.setdefault(key, set()) for key in keys]
        for place in places:
            place.add(waiter)
        try:
            await waiter
        finally:
            for place in places:
                place.discard(waiter)
            for key in keys or ():
                if not self._by_key.get(key, True):
                    del self._by_key[key]

    def wake(self, keys: Keys) -> None:
        """Holders of these keys (None: of any) find something new, and so does whoever holds all."""
        found = dict.fromkeys(self._for_all)
        for key in list(self._by_key) if keys is None else keys:
            found.update(dict.fromkeys(self._by_key.get(key, ())))
        if len(found) <= _AT_ONCE:  # few need not queue behind many
            for waiter in found:
                _wake(waiter)
            return
        self._due.update(found)
        if self._next is None:
            self._wake_some()

    def fail(self, error: Exception) -> None:
        """Let nobody wait any longer."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)

    def _wake_some(self) -> None:
        self._next = None
        for _ in range(min(_AT_ONCE, len(self._due))):
            _wake(self._due.popitem(last=False)[0])
        if self._due:
            self._next = asyncio.get_running_loop().call_soon(self._wake_some)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
