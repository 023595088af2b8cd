"""A batch in parts: while some are being stored, the next are looked up and planned.

Storing is the source's work and planning the proxy's; one after the other, each would wait for the other. The first
part is small, so that the source has something to do soon; parts are few, since each costs the source a commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TypeVar

from proxy.ahead import ahead
from proxy.errors import CouchError
from proxy.writing.settle import Untold

T = TypeVar("T")

_FIRST = 100
LARGEST = 400
_STORED_AT_ONCE = 3


def cut(batch: Sequence[T]) -> Iterator[Sequence[T]]:
    """The parts of a batch, each twice as large as the one before, up to LARGEST."""
    start, size = 0, _FIRST
    while start < len(batch):
        yield batch[start : start + size]
        start, size = start + size, min(2 * size, LARGEST)


async def store_parts(
    parts: AsyncGenerator[T, None], plan: Callable[[T], Awaitable[T]], store: Callable[[T], Awaitable[int]]
) -> int:
    """Plan each part and store it; the greatest of the statuses that `store` gives.

    No part is stored before the one after it has been given. After an error no further part is begun. Raises the first
    part's error, when all that were begun have ended; rather one that says that nobody knows what was stored.
    """
    storing: list[asyncio.Task[int]] = []
    pending: list[asyncio.Task[int]] = []
    failed: CouchError | None = None
    try:
        async with aclosing(ahead(parts, plan, most=1)) as planned:
            async for part in planned:
                storing.append(asyncio.ensure_future(store(part)))
                while len(pending := [task for task in storing if not task.done()]) >= _STORED_AT_ONCE:
                    await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                if any(task.done() and task.exception() is not None for task in storing):
                    break
    except CouchError as error:
        failed = error
    finally:
        results = await asyncio.gather(*storing, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    untold = [error for error in errors if isinstance(error, Untold)]
    try:
        for first in (*untold, *errors, failed):
            if first is not None:
                raise first
        return max((result for result in results if isinstance(result, int)), default=201)
    finally:
        # an error refers to this frame: it must not refer to the error
        del storing, results, errors, untold, failed, first, pending
