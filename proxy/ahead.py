"""Work on the next while the last is being sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

_TURNS = 8
"""Of the event loop: one starts a task, the next one the task that it starts, and uvloop writes at the end of one.

More than it takes cost next to nothing, too few the time that the source could have worked meanwhile.
"""


async def under_way() -> None:
    """Let what was just begun come as far as having sent its question, before the caller works for long."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


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
                    await under_way()
                    yield await begun.popleft()
            while begun:
                yield await begun.popleft()
    finally:
        for future in begun:
            future.cancel()
        await asyncio.gather(*begun, return_exceptions=True)


async def piecewise(
    batches: AsyncGenerator[Sequence[T], None],
    work: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
    *,
    begin: bool = True,
) -> AsyncGenerator[Sequence[R], None]:
    """`work(batch)` for each batch, in order, `begin`: begun one batch ahead.

    The work may be done with the first elements of a batch only, if all of it would be too much to be held at once: the
    rest follows when what came of these has been taken.
    """

    async def begun(batch: Sequence[T]) -> tuple[Sequence[T], Sequence[R]]:
        return batch, await work(batch)

    async with aclosing((ahead if begin else one_by_one)(batches, begun)) as results:
        async for batch, done in results:
            yield done
            while len(done) < len(batch):
                batch = batch[len(done) :]
                done = await work(batch)
                yield done
