"""What the bodies of requests take of a process's memory, all together.

After an outage all devices push at once. A body that is decoded, judged and sent on takes some five times its text, and
hundreds of them together more memory than there is. So

  - what is decoded has its place: `most` bytes are for all, and who needs more than is left waits for those who came
    before. What is larger than all of it is let in alone;
  - nobody who has a place waits for its client: bodies are received before. Of what has been received MOST_RECEIVED of
    `most` are kept in memory, the rest in files without a name; in memory, too, where there can be none;
  - what an answer needs of its request as long as it lasts (what to filter a feed by, what to fetch next) has a place
    of another kind: there are as many bytes of these, and where there is none left the answer does not begin.

Small bodies are not looked at: there can be as many as there are connections.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import IO, Self

from proxy.core import jsonio
from proxy.core.slow import OnceAMinute

log = logging.getLogger("couch_tailor.intake")

SMALL = 16 * 1024
"""Bytes of a body that needs no place."""
MOST_RECEIVED = 1 / 4
_BLOCK = 64 * 1024
"""Bytes that are written to a file at once."""


class Intake:
    """The places for bodies. `most`: bytes of memory for all that are decoded."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        """Bytes of the places that are taken."""
        self.lasting = 0
        """Bytes of what is held while answers are on their way."""
        self.received = 0
        """Bytes of bodies that were received and are not decoded yet, in memory."""
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._again = OnceAMinute()
        self._too_many = OnceAMinute()

    async def take(self, size: int, patience: float | None = None) -> None:
        """A place of so many bytes, once there is room for it. To be given back. Raises TimeoutError if there is none
        for `patience` seconds.
        """
        if not self._waiting and self._has_room(size):
            self.taken += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(patience):
                await turn
        except (asyncio.CancelledError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                self._complain(patience)
            if turn.cancelled():
                self._waiting = deque(each for each in self._waiting if each[1] is not turn)
                self._let_in()
            else:  # it was let in at the same moment
                self.give(size)
            raise

    def give(self, size: int) -> None:
        """Give a place back; a negative size: the body takes more than was thought."""
        self.taken -= size
        self._let_in()

    def change(self, size: int) -> bool:
        """Change a place for one of the kind that lasts, to be left by `end`; whether there is one."""
        if self.lasting and self.lasting + size > self.most:
            if self._too_many.is_due():
                text = "requests are answered 503: what is held for answers that are under way would be more than %s"
                log.warning(text, f"server.max_bodies ({self.most} bytes)")
            return False
        self.lasting += size
        self.give(size)
        return True

    def end(self, size: int) -> None:
        """Leave a place that lasted."""
        self.lasting -= size

    def has_no_file(self, error: OSError) -> None:
        """Tell of it, not more often than once a minute."""
        if self._again.is_due():
            log.warning("request bodies stay in memory, for they cannot be kept in a file (set TMPDIR): %s", error)

    def _complain(self, patience: float | None) -> None:
        if self._too_many.is_due():
            log.warning(
                "requests are answered 503, for there was no room for their bodies in %g s: the source is slow, "
                "or server.max_bodies (%d bytes) is too little; %d wait",
                patience,
                self.most,
                len(self._waiting),
            )

    def _has_room(self, size: int) -> bool:
        return self.taken + size <= self.most or self.taken <= 0

    def _let_in(self) -> None:
        while self._waiting and self._has_room(self._waiting[0][0]):
            size, turn = self._waiting.popleft()
            if not turn.done():  # it may have been cancelled just now
                self.taken += size
                turn.set_result(None)


class Arrival:
    """A body as it comes: a context, after which nothing is kept of it. `size`: its bytes so far; `weight`: about how
    many they take as what they are decoded to, if they are JSON; `end`: the last four of them.
    """

    def __init__(self, intake: Intake) -> None:
        self.size = self.weight = 0
        self.end = b""
        self._intake = intake
        self._pieces: list[bytes] = []
        self._held = 0
        """Bytes of the pieces."""
        self._file: IO[bytes] | None = None

    def write(self, piece: bytes) -> None:
        """The next piece."""
        self.size += len(piece)
        self.weight += jsonio.weight(piece)
        self.end = (self.end + piece[-4:])[-4:]
        self._pieces.append(piece)
        self._hold(len(piece))
        is_much = self._intake.received > self._intake.most * MOST_RECEIVED
        if self._held >= _BLOCK and (is_much or self._file is not None):
            try:
                self._spill()
            except OSError as error:
                self._intake.has_no_file(error)

    def read(self) -> bytes:
        """All of it."""
        if self._file is None:
            return b"".join(self._pieces)
        self._file.seek(0)
        return b"".join([self._file.read(), *self._pieces])

    async def pieces(self) -> AsyncIterator[bytes]:
        """The same, some at a time."""
        if self._file is not None:
            self._file.seek(0)
            while block := self._file.read(_BLOCK):
                yield block
        for piece in self._pieces:
            yield piece

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="couch-tailor-", buffering=0)  # noqa: SIM115  # closed at the context's end
        at = self._file.tell()
        try:
            for piece in self._pieces:
                left = memoryview(piece)
                while left:
                    left = left[self._file.write(left) :]
        except OSError:
            with suppress(OSError):
                self._file.seek(at)
                self._file.truncate()
            raise
        self._pieces.clear()
        self._hold(-self._held)

    def _hold(self, size: int) -> None:
        self._held += size
        self._intake.received += size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, of: TracebackType | None) -> None:
        self._pieces.clear()
        self._hold(-self._held)
        if self._file is not None:
            self._file.close()
