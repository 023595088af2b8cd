"""Work on the next while the last is being sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def one_by_one(items: AsyncGenerator[T, None], work: Callable[[T], Awaitable[R]]) -> AsyncGenerator[R, None]:
    """`work(item)` for each item, in order: the next item is asked for when the consumer wants more."""
    async with aclosing(items):
        async for item in items:
            yield await work(item)


async def ahead(items: AsyncGenerator[T, None], work: Callable[[T], Awaitable[R]]) -> AsyncGenerator[R, None]:
    """`work(item)` for each item, in order, begun one item ahead of what the consumer has taken.

    At most two items are held. The source and the proxy thereby work at the same time instead of in turn.
    """
    begun: asyncio.Future[R] | None = None
    try:
        async with aclosing(items):
            async for item in items:
                following = asyncio.ensure_future(work(item))
                previous, begun = begun, following
                if previous is not None:
                    yield await previous
            if begun is not None:
                last, begun = begun, None
                yield await last
    finally:
        if begun is not None:
            begun.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await begun
