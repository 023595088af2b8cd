"""The event loop, what its connections take, and what a process that runs one for long does about memory."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_GC_THRESHOLD = 20_000
"""Objects made before cycles are looked for: at Python's 700, every dozen requests pay for a look."""


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on the fastest loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where the platform has it."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Write to a connection. Raises ConnectionResetError where it is gone, which its reader may not know of yet.

    What is written to a transport of uvloop that is closed is a RuntimeError; asyncio's own takes it in silence.
    """
    if writer.is_closing():
        raise ConnectionResetError("the connection is gone")
    writer.write(data)


def tune() -> None:
    """What is there now stays; what requests make is freed by its last reference, so cycles can wait."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)
