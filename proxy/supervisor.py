"""Keeps processes running: starts them, starts another one where one ended, and ends all of them together.

Each child has a socket, its *control*: it writes READY there when it can do its work, answers each line with a line of
samples (`metrics`), and ends when the other end is closed, so that nothing outlives the supervisor, however that dies.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from proxy.core import jsonio
from proxy.loop import send
from proxy.metrics import Sample, of_process

log = logging.getLogger("couch_tailor.supervisor")

READY = b"ready\n"
CHANGED = 3
"""The exit status of a child that has found another configuration than the others have."""

_PAUSES = (0.0, 0.5, 2.0, 5.0, 10.0)
"""Seconds before a child is started again; the next one each time that it ends soon."""
_LAST_WORDS_SECONDS = 1.0
"""How long what a process said before its end may take to arrive: it can be that it was ready."""
_SOON_SECONDS = 30.0
_PATIENCE_SECONDS = 2.0
"""How long a child may take to say what it counts."""
_MOST_TOLD = 16 * 1024 * 1024
_GRACE_SECONDS = 10.0
"""How long children may take to end when they are asked to."""


class Failed(Exception):
    """The processes cannot do their work. The message is for people."""


@dataclass(frozen=True)
class Child:
    """A process that is to run. `command` gets the number of its control's descriptor as its last argument."""

    name: str
    command: Sequence[str]
    descriptors: Sequence[int] = ()
    """Those that it inherits, by the same numbers."""
    serves: bool = True
    """Whether clients can be served without it only by others that do."""


class _Keeper:
    """Keeps one child running. `others_serve` tells whether the service can do without it."""

    def __init__(self, child: Child, others_serve: Callable[[], bool]) -> None:
        self.child = child
        self.changed = False
        """Whether it cannot be started, because the configuration is another one by now."""
        self.ready = asyncio.Event()
        self._others_serve = others_serve
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._asked: deque[asyncio.Future[bytes]] = deque()
        self._starts = 0
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until it is stopped. Raises Failed if the first process ends before it is ready, or nobody is left."""
        soon = 0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                status = await self._run_once()
                how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            except OSError as error:
                status, how = None, f"cannot be started ({error})"
            if self._stop.is_set():
                return
            if not self.ready.is_set():
                raise Failed(f"the {self.child.name} {how} before it was ready")
            self.changed = status == CHANGED
            if self.changed and not self._others_serve():
                raise Failed("the configuration has changed, so couch-tailor has to be started anew")
            pause = _PAUSES[min(soon, len(_PAUSES) - 1)]
            soon = soon + 1 if time.monotonic() - began < _SOON_SECONDS else 1
            log.error("the %s %s and is started again%s", self.child.name, how, f" in {pause:g} s" if pause else "")
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stop.wait()

    async def _run_once(self) -> int:
        """Run a process to its end; its exit status."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = self._process = await asyncio.create_subprocess_exec(
                    *self.child.command,
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), *self.child.descriptors),
                )
            self._starts += 1
            if self._stop.is_set():
                self.stop()
            listening = asyncio.ensure_future(self._listen(ours))
            try:
                status = await process.wait()
                await asyncio.wait([listening], timeout=_LAST_WORDS_SECONDS)
                return status
            finally:
                self._process = None
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, control: socket.socket) -> None:
        reader, self._writer = await asyncio.open_unix_connection(sock=control, limit=_MOST_TOLD)
        try:
            while line := await reader.readline():
                if line == READY:
                    self.changed = False
                    self.ready.set()
                elif self._asked:
                    asked = self._asked.popleft()
                    if not asked.done():
                        asked.set_result(line)
        finally:
            self._writer.close()
            self._writer = None
            for asked in self._asked:
                asked.cancel()
            self._asked.clear()

    async def samples(self) -> list[Sample]:
        """What the process counts; nothing if it does not answer."""
        found = [Sample("couch_tailor_process_starts_total", {}, self._starts)]
        if self._writer is None:
            return found
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        try:
            send(self._writer, b"metrics\n")
        except ConnectionError:
            return found
        self._asked.append(answer)
        await asyncio.wait([answer], timeout=_PATIENCE_SECONDS)
        if not answer.done() or answer.cancelled():
            answer.cancel()
            return found
        return [*found, *(Sample(*sample) for sample in jsonio.loads(answer.result()))]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end, or make it."""
        self._stop.set()
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


class Supervisor:
    """Keeps children running, and asks them what they count."""

    def __init__(self, children: Sequence[Child]) -> None:
        self._keepers = [_Keeper(child, self._others_serve) for child in children]

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Until `stop`; then end them all. `ready` is called once all of them are. Raises Failed, and what
        `ready` raises.
        """
        running = [asyncio.ensure_future(keeper.run()) for keeper in self._keepers]
        stopping = asyncio.ensure_future(stop.wait())
        telling = asyncio.ensure_future(self._tell(ready))
        try:
            await asyncio.wait([stopping, telling, *running], return_when=asyncio.FIRST_COMPLETED)
            if telling.done() and telling.exception() is None:
                await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            telling.cancel()
            for keeper in self._keepers:
                keeper.stop()
            _, slow = await asyncio.wait(running, timeout=_GRACE_SECONDS)
            for keeper in self._keepers if slow else ():
                keeper.stop(signal.SIGKILL)
            ended = await asyncio.gather(*running, return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        if telling.done() and not telling.cancelled():
            telling.result()

    async def samples(self) -> list[Sample]:
        """What all of them count."""
        found = await asyncio.gather(*(keeper.samples() for keeper in self._keepers))
        return [
            sample
            for keeper, samples in zip(self._keepers, found, strict=True)
            for sample in of_process(keeper.child.name, samples)
        ]

    def _others_serve(self) -> bool:
        return any(keeper.child.serves and not keeper.changed for keeper in self._keepers)

    async def _tell(self, ready: Callable[[], None]) -> None:
        for keeper in self._keepers:
            await keeper.ready.wait()
        ready()
