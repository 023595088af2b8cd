"""Work on the next while the last is being sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def one_by_one(items: AsyncGenerator[T, None], work: Callable[[T], Awaitable[R]]) -> AsyncGenerator[R, None]:
    """`work(item)` for each item, in order: the next item is asked for when the consumer wants more."""
    async with aclosing(items):
        async for item in items:
            yield await work(item)


async def ahead(
    items: AsyncGenerator[T, None], work: Callable[[T], Awaitable[R]], most: int = 1
) -> AsyncGenerator[R, None]:
    """`work(item)` for each item, in order, begun up to `most` items ahead of what the consumer has taken.

    No more than those and the one that is taken are held. The source and the proxy thereby work at the same time
    instead of in turn.
    """
    begun: deque[asyncio.Future[R]] = deque()
    try:
        async with aclosing(items):
            async for item in items:
                begun.append(asyncio.ensure_future(work(item)))
                if len(begun) > most:
                    await asyncio.sleep(0)  # what was begun comes as far as asking, however long the consumer works now
                    yield await begun.popleft()
            while begun:
                yield await begun.popleft()
    finally:
        for future in begun:
            future.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
