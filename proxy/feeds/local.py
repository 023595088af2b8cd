"""The indexes of a configuration, followed in the process that serves them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from proxy.config.model import Config, Database
from proxy.core.audience import Audience
from proxy.feeds.follower import Follower
from proxy.feeds.hub import Hub
from proxy.feeds.watcher import Watcher
from proxy.identify import towards
from proxy.place import Place
from proxy.upstream import Upstream


def index_path(directory: Path, database: str) -> Path:
    """The file of a database's index."""
    return directory / f"{quote(database, safe='')}.index"


def audiences(config: Config, database: Database) -> list[Audience]:
    """Those of the profiles that show a database."""
    shown = (each for each in config.profiles.values() if database.name in each.databases)
    return [profile.audience for profile in shown if profile.audience is not None]


def make_follower(config: Config, database: Database, upstream: Upstream, watcher: Watcher) -> Follower:
    """The follower of a database that has an index."""
    assert config.server.data is not None
    source = database.source
    place = Place(
        database=database,
        upstream=upstream,
        headers=towards(source, source.username, frozenset(), {}),
    )
    return Follower(place, index_path(config.server.data, database.name), audiences(config, database), watcher)


class Feeds:
    """Hubs and followers, by database."""

    def __init__(self, config: Config) -> None:
        self.hubs = {database.name: Hub(config.server.cache) for database in config.indexed}
        self._upstreams: list[Upstream] = []
        self._followers: list[Follower] = []
        self._running: list[asyncio.Task[None]] = []
        for database in config.indexed:
            upstream = Upstream(database.source, config.server.timeout, largest=config.server.largest_reply)
            self._upstreams.append(upstream)
            hub = self.hubs[database.name]
            follower = make_follower(config, database, upstream, hub)
            hub.ask, hub.renew = follower.catch_up, follower.renew
            self._followers.append(follower)

    def start(self) -> None:
        """Begin to follow."""
        self._running = [asyncio.ensure_future(follower.run()) for follower in self._followers]

    async def stop(self) -> None:
        """Stop following, and close everything."""
        for task in self._running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for hub in self.hubs.values():
            hub.closed()
        for follower in self._followers:  # the last one at the file, to leave it in one piece
            follower.close()
        for upstream in self._upstreams:
            upstream.close()
