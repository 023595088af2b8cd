"""How a long reading gives way to requests.

What is read fast takes the processors, and the source, from whoever asks. Linux says of each process how long it worked
and for how long it was ready to and did not, because others had the processors. Where that is much for the processes
that serve, a reading rests for some times as long as its last piece took, in which the source worked for it, too. Its
own waiting says little: who always works is hardly ever kept waiting, those who come and go are. Where nobody asks, or
with processors to spare, it never rests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import NamedTuple

_BUSY = 0.05
"""The share of a processor that is wanted by who has something to do."""
_CROWDED = 0.1
"""The share of the time in which a process could have run that others had."""
_LONGEST = 6.0
"""The most that is rested, in times of what a piece took."""
_LONGEST_SECONDS = 5.0
"""The most that is rested at once: a source that was silent for long did not work for as long."""
_PROC = Path("/proc")


class Times(NamedTuple):
    """Seconds for which the first thread of a process, which has the event loop, worked and waited for a processor."""

    worked: float = 0.0
    waited: float = 0.0


def times(process: int) -> Times | None:
    """Those of a process, by its number; None if it has ended, and where the system does not say."""
    try:
        worked, waited, _ = (_PROC / str(process) / "schedstat").read_bytes().split()
        return Times(int(worked) / 1e9, int(waited) / 1e9)
    except (OSError, ValueError):
        return None


class Pace:
    """The pace of one reading. `serving`: the numbers of the processes that serve at present; `times`: of each;
    `clock`: seconds; `sleep` passes some.

    Pieces of work overlap, but not while there is reason to rest: nothing goes on in a rest, but for what had begun
    before there was reason. It begins with care, and gets faster while nobody is kept waiting.
    """

    def __init__(
        self,
        serving: Callable[[], Iterable[int]],
        times: Callable[[int], Times | None] = times,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._serving, self._times, self._clock, self._sleep = serving, times, clock, sleep
        self._factor = _LONGEST
        self._begun = self._ended = 0
        self._one_ended = asyncio.Event()
        self._look()

    @property
    def is_slow(self) -> bool:
        """Whether there is reason to rest."""
        return self._factor > 0

    async def begin(self) -> None:
        """Called before each piece of work, in their order: returns when it may begin."""
        before = self._begun
        self._begun += 1
        while self.is_slow and self._ended < before:
            self._one_ended.clear()
            await self._one_ended.wait()

    async def end(self) -> None:
        """Called after each piece of work, in the same order: rest, if there is reason to."""
        took = self._clock() - self._began
        if self._is_crowded(took):
            self._factor = _LONGEST
        else:
            self._factor = self._factor / 2 if self._factor > 0.5 else 0.0
        if self.is_slow:
            await self._sleep(min(self._factor * took, _LONGEST_SECONDS))
        self._ended += 1
        self._one_ended.set()
        self._look()

    def _look(self) -> None:
        self._began = self._clock()
        self._before = self._all_times()

    def _is_crowded(self, took: float) -> bool:
        worked = waited = 0.0
        for process, now in self._all_times().items():
            before = self._before.get(process, now)
            worked += now.worked - before.worked
            waited += now.waited - before.waited
        return waited > _CROWDED * (worked + waited) and worked + waited > _BUSY * took

    def _all_times(self) -> dict[int, Times]:
        return {process: found for process in self._serving() if (found := self._times(process)) is not None}
