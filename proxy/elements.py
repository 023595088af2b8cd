"""The elements of a reply of the source, as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from proxy.core.wire import WireError
from proxy.core.wire.rows import ArraySplitter
from proxy.reply import Reply

PIECE = 64 * 1024
"""Bytes that are decoded at once. What is made of them, and of the next ones, is all that is held of a reply; and it is
still in the processor's cache when it is judged and written."""


async def elements(
    reply: Reply, splitter: ArraySplitter, *, decoded: bool = True, most: int | None = None
) -> AsyncGenerator[list[Any], None]:
    """What each piece of the reply completes, never nothing. `decoded`: or as text. `most`: bytes that are read.

    Raises WireError if the reply is not what the splitter expects, or longer, and Unavailable if it breaks off.
    """
    split = splitter.feed_decoded if decoded else splitter.feed
    read = 0
    async for chunk in reply.chunks(gathered=True):
        read += len(chunk)
        if most is not None and read > most:
            raise WireError(f"the reply has more than {most} bytes")
        for at in range(0, len(chunk), PIECE):
            found = split(chunk[at : at + PIECE])
            if found:
                yield found
    splitter.close()
