"""The indexes of a configuration as a serving process sees them, while another process follows (`feeds.server`).

While the follower is away an index stays readable up to where it was: feeds that wait go on waiting, all others are
read from the source, because nobody can say whether the index is at its end. After GRACE_SECONDS everybody turns to the
source. A follower that hangs is away as well: one of which nothing was heard for a while is asked for a sign of life.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

from proxy.config.model import Config
from proxy.errors import Unavailable
from proxy.feeds.hub import Hub
from proxy.feeds.messages import (
    BadMessage,
    CatchUp,
    Closed,
    Decoder,
    Done,
    Failed,
    Message,
    Moved,
    Opened,
    Ping,
    Renew,
    encode,
)
from proxy.loop import send

log = logging.getLogger("couch_tailor.feeds")

GRACE_SECONDS = 30.0
_PAUSE = 0.2
_QUIET_SECONDS = 5.0
"""How long nothing is heard of the follower before it is asked for a sign of life, and how long that may take."""


class RemoteFeeds:
    """Hubs, by database, that listen to the follower behind the Unix socket `path`."""

    def __init__(self, config: Config, path: Path) -> None:
        self._path = path
        self.hubs = {database.name: Hub(config.server.cache) for database in config.indexed}
        for name, hub in self.hubs.items():
            hub.ask, hub.renew = partial(self._catch_up, name), partial(self._renew, name)
        self._told: set[str] = set()
        """The databases of which the present follower has told the state."""
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = count(1)
        self._asked: dict[int, asyncio.Future[None]] = {}
        self._running: asyncio.Task[None] | None = None
        self._grace: asyncio.TimerHandle | None = None
        self._is_silent = False

    def start(self) -> None:
        """Begin to listen."""
        self._running = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Stop listening, and close everything."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running
        if self._grace is not None:
            self._grace.cancel()
        self._close()

    async def _run(self) -> None:
        while True:
            # while there is no follower its socket lets us wait in a queue
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                self._writer = writer
                await self._listen(reader)
            except OSError as error:
                log.debug("the connection to the follower: %s", error)
            except _Silent:
                log.error("the follower does not answer: feeds are read from the source until it does")
                self._is_silent = True
            except BadMessage as error:
                log.error("the follower cannot be understood: %s", error)
            except Exception:
                log.exception("what the follower said could not be acted on; it is asked again")
            finally:
                self._lose()
            await asyncio.sleep(_PAUSE)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Until the follower hangs up. Raises BadMessage, _Silent."""
        decoder = Decoder()
        data = await reader.read(2**16)  # there may be none yet
        while data:
            if self._is_silent:
                log.warning("the follower answers again")
                self._is_silent = False
            for message in decoder.feed(data):
                self._take(message)
            data = await self._hear(reader)

    async def _hear(self, reader: asyncio.StreamReader) -> bytes:
        with suppress(TimeoutError):
            async with asyncio.timeout(_QUIET_SECONDS):
                return await reader.read(2**16)
        assert self._writer is not None
        send(self._writer, encode(Ping(next(self._numbers))))
        try:
            async with asyncio.timeout(_QUIET_SECONDS):
                return await reader.read(2**16)
        except TimeoutError:
            raise _Silent from None

    def _take(self, message: Message) -> None:
        if isinstance(message, Done | Failed):
            asked = self._asked.pop(message.number, None)
            if asked is not None and not asked.done():
                if isinstance(message, Done):
                    asked.set_result(None)
                else:
                    asked.set_exception(Unavailable("The index did not catch up."))
            return
        if isinstance(message, Ping):
            raise BadMessage(f"this is not for a worker: {message}")
        hub = self.hubs.get(message.database)
        if hub is None:
            return
        if isinstance(message, Moved):
            hub.moved(message.end, message.keys)
        elif isinstance(message, Opened | Closed):
            self._told.add(message.database)
            if self._grace is not None and self._told >= self.hubs.keys():
                self._grace.cancel()
                self._grace = None
            if isinstance(message, Opened):
                hub.opened(Path(message.path))
            else:
                hub.closed()

    def _lose(self) -> None:
        """The connection is gone: nobody can say how far the source is."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._told.clear()
        asked, self._asked = self._asked, {}
        for future in asked.values():
            if not future.done():
                future.set_exception(Unavailable("There is no follower."))
        if self._grace is None:
            self._grace = asyncio.get_running_loop().call_later(GRACE_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._grace = None
        for name in self.hubs.keys() - self._told:
            log.error("nobody follows %s: its feeds are read from the source until somebody does", name)
            self.hubs[name].closed()

    def _close(self) -> None:
        for hub in self.hubs.values():
            hub.closed()

    async def _catch_up(self, database: str) -> None:
        if self._writer is None or database not in self._told:
            raise Unavailable("There is no follower.")
        number = next(self._numbers)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[number] = done
        try:
            send(self._writer, encode(CatchUp(database, number)))
            await done
        except ConnectionError as error:
            raise Unavailable("There is no follower.") from error
        finally:
            self._asked.pop(number, None)

    def _renew(self, database: str, index_id: bytes) -> None:
        if self._writer is not None:
            with suppress(ConnectionError):  # the next follower looks at the index itself
                send(self._writer, encode(Renew(database, index_id.hex())))


class _Silent(Exception):
    """The follower is there, and does not answer."""
