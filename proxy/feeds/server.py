"""Follows all indexed databases of a configuration, and tells serving processes of it (`feeds.remote`).

A worker that does not read gets less, never later: what it has not taken is merged (`messages.Outbox`). One that asks
and does not read is not listened to until it does.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct

from proxy.config.model import Config
from proxy.errors import CouchError
from proxy.feeds.follower import Follower
from proxy.feeds.local import make_follower
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
    Outbox,
    Ping,
    Renew,
)
from proxy.feeds.progress import Progress
from proxy.feeds.watcher import Watcher
from proxy.loop import send
from proxy.metrics import Sample
from proxy.upstream import Upstream

log = logging.getLogger("couch_tailor.follower")

_MOST_ASKED = 1000
"""Questions of one worker that may be open."""
_PAUSE_SECONDS = 1.0
_CREDENTIALS = Struct("3i")
"""Process, user and group, as Linux tells of the other end of a Unix socket."""


class _Database(Watcher):
    """One database: its follower, its state, and where that is told."""

    def __init__(self, config: Config, name: str, workers: set[_Worker]) -> None:
        database = config.databases[name]
        self._name = name
        self._workers = workers
        self._upstream = Upstream(database.source, config.server.timeout, largest=config.server.largest_reply)
        self.follower: Follower = make_follower(config, database, self._upstream, self)
        self.state: Opened | Closed | None = None
        """None: nobody can say yet."""
        self.progress: Progress | None = None

    def close(self) -> None:
        self.follower.close()
        self._upstream.close()

    def opened(self, path: Path) -> None:
        self._become(Opened(self._name, str(path)))

    def closed(self) -> None:
        self._become(Closed(self._name))

    def moved(self, end: int, keys: Iterable[int] | None) -> None:
        if isinstance(self.state, Opened):
            self._tell(Moved(self._name, end, None if keys is None else frozenset(keys)))

    def progressed(self, progress: Progress | None) -> None:
        self.progress = progress

    @property
    def awaited(self) -> bool:
        return bool(self._workers)  # which do not tell who waits: mostly some do

    def serving(self) -> Iterable[int]:
        return [worker.process for worker in self._workers]

    def _become(self, state: Opened | Closed) -> None:
        self.state = state
        self._tell(state)

    def _tell(self, message: Opened | Closed | Moved) -> None:
        for worker in self._workers:
            worker.tell(message)


class _Worker:
    """One connection. `process`: the number of who is at its other end."""

    def __init__(self, databases: dict[str, _Database], writer: asyncio.StreamWriter, process: int) -> None:
        self._databases = databases
        self._writer = writer
        self.process = process
        self._outbox = Outbox()
        self._something = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()

    def tell(self, message: Opened | Closed | Moved | Done | Failed) -> None:
        self._outbox.put(message)
        self._something.set()

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Until the worker hangs up. Raises BadMessage, ConnectionError."""
        for database in self._databases.values():
            if database.state is not None:
                self.tell(database.state)
        writing = asyncio.ensure_future(self._write())
        taking = asyncio.ensure_future(self._take_all(reader))
        try:
            await asyncio.wait([writing, taking], return_when=asyncio.FIRST_COMPLETED)
            await (taking if taking.done() else writing)
        finally:
            await _end([writing, taking, *self._answering])

    async def _take_all(self, reader: asyncio.StreamReader) -> None:
        decoder = Decoder()
        while data := await reader.read(2**16):
            for message in decoder.feed(data):
                await self._take(message)

    async def _write(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            send(self._writer, self._outbox.take())
            self._room.set()
            await self._writer.drain()

    async def _take(self, message: Message) -> None:
        if isinstance(message, Ping):
            await self._until_room()
            self.tell(Done(message.number))
        elif isinstance(message, CatchUp) and message.database in self._databases:
            await self._until_room()
            task = asyncio.ensure_future(self._answer(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif isinstance(message, Renew) and message.database in self._databases:
            self._databases[message.database].follower.renew(bytes.fromhex(message.index_id))
        else:
            raise BadMessage(f"this is not for a follower: {message}")

    async def _until_room(self) -> None:
        while len(self._answering) + self._outbox.replies >= _MOST_ASKED:
            self._room.clear()
            await self._room.wait()

    async def _answer(self, question: CatchUp) -> None:
        try:
            await self._databases[question.database].follower.catch_up()
        except CouchError as error:
            log.debug("%s did not catch up: %s", question.database, error)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # the follower was closed
        else:
            self.tell(Done(question.number))
            return
        self.tell(Failed(question.number))


class Followers:
    """All followers of a configuration, and those who listen to them."""

    def __init__(self, config: Config) -> None:
        self._workers: set[_Worker] = set()
        self._databases = {
            database.name: _Database(config, database.name, self._workers) for database in config.indexed
        }

    async def run(self, listening: socket.socket, stop: asyncio.Event) -> None:
        """Follow, and serve those who connect to a listening Unix socket, until `stop`. The socket stays open."""
        running = [asyncio.ensure_future(database.follower.run()) for database in self._databases.values()]
        accepting = asyncio.ensure_future(_accept(listening, self._databases, self._workers))
        try:
            await stop.wait()
        finally:
            await _end([accepting, *running])
            for database in self._databases.values():
                database.close()

    def samples(self) -> Iterator[Sample]:
        """What this process counts."""
        for name, database in self._databases.items():
            progress = database.progress
            left = 0 if progress is None else progress.left
            if left is not None:
                yield Sample("couch_tailor_index_left", {"database": name}, left)
            yield Sample("couch_tailor_index_rate", {"database": name}, 0 if progress is None else progress.rate)


async def _accept(listening: socket.socket, databases: dict[str, _Database], workers: set[_Worker]) -> None:
    """Serve whoever connects."""
    serving: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()
    listening.setblocking(False)
    try:
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
                process = _process(connection)
                reader, writer = await asyncio.open_unix_connection(sock=connection)
            except OSError as error:
                log.error("a worker cannot be listened to, trying again: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            task = asyncio.ensure_future(_serve(_Worker(databases, writer, process), reader, writer, workers))
            serving.add(task)
            task.add_done_callback(serving.discard)
    finally:
        await _end(serving)


def _process(connection: socket.socket) -> int:
    """The number of the process at the other end; 0, of none, where the system does not say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process: int = _CREDENTIALS.unpack(credentials)[0]
    return process


async def _serve(
    worker: _Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, workers: set[_Worker]
) -> None:
    workers.add(worker)
    try:
        await worker.serve(reader)
    except ConnectionError:
        pass  # it died
    except (BadMessage, ValueError) as error:
        log.error("a worker cannot be understood: %s", error)
    except Exception:
        log.exception("what a worker asked could not be answered")
    finally:
        workers.discard(worker)
        writer.close()


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
