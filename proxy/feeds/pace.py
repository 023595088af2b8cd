"""How a long reading gives way to what else the machine has to do.

Linux says for how long a process was ready to run while others had the processors. Where that is much, beside the time
that it ran, its work is at the cost of somebody's requests, and so is what the source does for it: it rests for some
times as long as the work took, the longer the more often that is seen. On a machine with room it never does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

_CROWDED = 0.2
"""The share of the time in which a process could have run that others had."""
_LONGEST = 4.0
"""The most that is rested, in times of what the work took."""
_SCHEDSTAT = Path("/proc/self/schedstat")


def kept_waiting() -> float:
    """Seconds for which this process was ready to run and did not; 0 where the system does not say."""
    try:
        return int(_SCHEDSTAT.read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


class Pace:
    """The pace of one reading. `worked`, `waited`: seconds so far of the process; `clock`: of anybody; `sleep` passes
    some.
    """

    def __init__(
        self,
        worked: Callable[[], float] = time.process_time,
        waited: Callable[[], float] = kept_waiting,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._worked, self._waited, self._clock, self._sleep = worked, waited, clock, sleep
        self._factor = 0.0
        self._last = worked(), waited()
        self._began = clock()

    async def keep(self) -> None:
        """Rest, if there is reason to: called after each piece of work."""
        before, self._last = self._last, (self._worked(), self._waited())
        worked, waited = self._last[0] - before[0], self._last[1] - before[1]
        if waited > _CROWDED * (worked + waited):
            self._factor = min(2 * self._factor or 0.5, _LONGEST)
        else:
            self._factor = self._factor / 2 if self._factor > 0.5 else 0.0
        if self._factor:
            await self._sleep(self._factor * (self._clock() - self._began))
        self._began = self._clock()
