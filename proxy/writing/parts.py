"""A batch in parts: while the source looks up some, others are read and planned; while it stores some, so are the next.

Looking up and storing are the source's work, reading and planning the proxy's; one after the other, each would wait for
the other. A source answers two look-ups at the same time sooner than one of both, but stores most together: each write
costs it a commit. So parts are as large as what is looked up at once (see `sizes`), and stored by TOGETHER.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from proxy.ahead import piecewise
from proxy.errors import CouchError
from proxy.writing.settle import Untold

T = TypeVar("T")

TOGETHER = 2
"""Parts that are stored at once."""
_STORED_AT_ONCE = 3


async def store_parts(
    parts: AsyncGenerator[Sequence[T], None],
    plan: Callable[[Sequence[T]], Awaitable[Sequence[T]]],
    store: Callable[[Sequence[T]], Awaitable[int]],
) -> int:
    """Plan each part, and store them; the greatest of the statuses that `store` gives. `plan` may be done with the
    first of a part, as in `piecewise`: then these are stored first.

    No part is stored before the one after it has been given. After an error nothing further is stored. Raises the first
    part's error, when all that was begun has ended; rather one that says that nobody knows what was stored.
    """
    storing: list[asyncio.Task[int]] = []
    pending: list[asyncio.Task[int]] = []
    failed: CouchError | None = None
    try:
        async with aclosing(_together(piecewise(parts, plan))) as batches:
            async for batch in batches:
                storing.append(asyncio.ensure_future(store(batch)))
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


async def _together(parts: AsyncGenerator[Sequence[T], None]) -> AsyncGenerator[Sequence[T], None]:
    """Parts that were planned, TOGETHER of them joined."""
    held: list[T] = []
    count = 0
    async with aclosing(parts):
        async for part in parts:
            held += part
            count += 1
            if count >= TOGETHER:
                yield held
                held, count = [], 0
    if held:
        yield held
