"""The end of a server, or of what a feed is about: requests get their time, but for those that would wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Closing:
    """Ends what has no end of its own, once the server is to end."""

    def __init__(self) -> None:
        self._begun = False
        self._waits: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """What is done within is left, wherever it waits, when the end begins. That is no error."""
        limit = asyncio.timeout(0 if self._begun else None)
        self._waits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            self._waits.discard(limit)

    def begin(self) -> None:
        """End all that waits, and what will."""
        self._begun = True
        now = asyncio.get_running_loop().time()
        for limit in list(self._waits):
            limit.reschedule(now)
