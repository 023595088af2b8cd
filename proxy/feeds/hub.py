"""What a serving process knows of the index of a database: the file, how far it is, what is new, and who waits for it.

A feed that has to know what is new at the source asks the follower. If that takes longer than _PATIENCE, because the
follower hangs or has much to read, those who asked until then are read from the source, and all others at once, until
that first question is answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from proxy.bodies import Bodies
from proxy.errors import CouchError, Unavailable
from proxy.feeds.index import Damaged, Full, IndexReader, Row
from proxy.feeds.news import News
from proxy.feeds.pages import Pages
from proxy.feeds.waiting import Keys, Waiting
from proxy.feeds.watcher import Watcher

log = logging.getLogger("couch_tailor.hub")

_PATIENCE = 5.0
"""Seconds that a client waits for the index to catch up, before it gets its feed from the source."""
_AGAIN_SECONDS = 5.0
"""After which an index is looked at again that could not be read for want of files, or because it was locked."""

_MOST_LEAVES = 10_000
_PAGES_SHARE = 8
"""Pages get one part of so many of the memory that is for keeping."""


class Hub(Watcher):
    """The index of one database, as far as there is one.

    `index` and `end` are what feeds read: up to `end`, and no further, whatever is in the file by now.
    """

    def __init__(self, cache: int) -> None:
        """`cache`: bytes of documents and pages that are kept."""
        self.index: IndexReader | None = None
        self.end = 0
        self.forgotten = 0
        """How often documents were removed from the index, as far as is known here: nothing older is to be kept."""
        self.pages = Pages(cache // _PAGES_SHARE)
        self.bodies = Bodies(cache - cache // _PAGES_SHARE)
        self.ask: Callable[[], Awaitable[None]] | None = None
        """The follower's `catch_up`."""
        self.renew: Callable[[bytes], None] | None = None
        """Asks the follower for another index, because the one of this id is damaged."""
        self._news = News()
        self._waiting = Waiting()
        self._later: asyncio.TimerHandle | None = None
        self._asking: set[asyncio.Future[None]] = set()
        self._late: asyncio.Future[None] | None = None
        """A question that the follower has not answered in time: while it is open, nobody asks another one."""
        self._behind: Path | None = None
        """The index of which the log says that it is behind."""
        self._leaves: dict[str, str] = {}
        """Of documents that were looked at since the index last moved."""

    # ---- what the follower tells

    def opened(self, path: Path) -> None:
        self._stay()
        index = None
        try:
            index = IndexReader(path)
            if not index.meta("complete"):
                raise Damaged("it is being built")  # another one took its place: the follower will tell
            if self.index is not None and self.index.index_id == index.index_id:
                if self.forgotten != index.forgotten:
                    self.forgotten = index.forgotten
                    self.index.recount()
                    self._let_go()
                self.moved(index.end, None)  # nobody told of what came meanwhile
                index.close()
            else:
                self.closed()
                self._let_go()  # also of what was read since there was one
                self.index = index
                self.end = index.end
                self.forgotten = index.forgotten
        except (Damaged, Full) as error:
            if index is not None:
                index.close()
            log.warning("the index %s cannot be read, feeds are read from the source: %s", path, error)
            if isinstance(error, Full):
                self._open_later(path)

    def closed(self) -> None:
        self._stay()
        if self.index is None:
            return
        self.index.close()
        self.index = None
        self._let_go()
        self._waiting.fail(Unavailable(_GONE))

    def _let_go(self) -> None:
        """Keep nothing: it may be of another database, or purged."""
        self.bodies.clear()
        self._leaves.clear()
        self._news.clear()
        self.pages.clear()

    def moved(self, end: int, keys: Iterable[int] | None) -> None:
        if self.index is None or end <= self.end:
            return
        start, self.end = self.end, end
        self._leaves.clear()
        keys = None if keys is None else frozenset(keys)
        self._news.moved(start, end, keys)
        self._waiting.wake(keys)

    def complain(self, error: Exception) -> None:
        """Tell that the index cannot be read: until there is another one, feeds are read from the source."""
        log.warning("the index cannot be read, feeds are read from the source: %s", error)
        told = self.index
        self.closed()
        if told is None:
            return
        if isinstance(error, Full):
            self._open_later(told.path)
        elif self.renew is not None:
            self.renew(told.index_id)

    def _open_later(self, path: Path) -> None:
        """Try again what cannot be done at present, unless the follower tells something else before."""
        self._later = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self.opened, path)

    def _stay(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    @property
    def awaited(self) -> bool:
        return self.waiting > 0

    # ---- what feeds ask

    @property
    def waiting(self) -> int:
        """How many feeds wait."""
        return self._waiting.count

    def rows(self, keys: Keys, after: int, until: int, limit: int) -> list[Row]:
        """As `IndexReader.rows`, up to `end` at most. Raises Damaged, Full."""
        assert self.index is not None
        return self._news.rows(self.index, keys, after, until, limit)

    def saw(self, leaves: Mapping[str, str]) -> None:
        """Keep the leaves of documents for `leaves_of`: who is told of them asks for them next."""
        if len(self._leaves) >= _MOST_LEAVES:
            self._leaves.clear()
        self._leaves |= leaves

    def leaves_of(self, doc_ids: Sequence[str]) -> dict[str, str]:
        """The leaves of documents, as `join_leaves` makes them, by id, as far as the index knows.

        Raises Damaged, Full.
        """
        assert self.index is not None
        seen = {doc_id: self._leaves[doc_id] for doc_id in doc_ids if doc_id in self._leaves}
        if len(seen) < len(doc_ids):
            seen |= self.index.leaves_of([doc_id for doc_id in doc_ids if doc_id not in seen])
        return seen

    def traces(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """As `IndexReader.traces`; none, where there is no index or it cannot be read."""
        if self.index is None:
            return {}
        try:
            return self.index.traces(wanted)
        except (Damaged, Full) as error:
            self.complain(error)
            return {}

    async def fresh(self) -> bool:
        """Whether the index holds everything that the source had acknowledged when this was called."""
        if self.index is None or self.ask is None or self._late is not None:
            return False
        asking = asyncio.ensure_future(self.ask())
        self._asking.add(asking)
        asking.add_done_callback(self._answered)
        try:
            await asyncio.wait([asking], timeout=_PATIENCE)
        except asyncio.CancelledError:
            asking.cancel()
            raise
        if not asking.done():
            if self._late is None:
                self._lose_patience(asking)
            return False
        if asking.cancelled():  # by whoever lost patience, or because the follower was closed
            return False
        error = asking.exception()
        if error is not None and not isinstance(error, CouchError):
            raise error
        return error is None and self.index is not None

    def _lose_patience(self, asking: asyncio.Future[None]) -> None:
        """Let no feed wait for the follower until it answers this question."""
        self._late = asking
        for other in self._asking - {asking}:
            other.cancel()
        if self._behind is None and self.index is not None:
            self._behind = self.index.path
            text = "the index %s has not caught up with the source in %g s, feeds are read from the source until it has"
            log.warning(text, self._behind, _PATIENCE)

    def _answered(self, asking: asyncio.Future[None]) -> None:
        self._asking.discard(asking)
        if asking is self._late:
            self._late = None
        if not asking.cancelled() and asking.exception() is None and self._behind is not None:
            log.warning("the index %s has caught up with the source again", self._behind)
            self._behind = None

    async def wait(self, keys: Keys) -> None:
        """Wait until a holder of the keys finds something new. Raises Unavailable when the index is gone."""
        if self.index is None:
            raise Unavailable(_GONE)
        await self._waiting.wait(keys)


_GONE = "The index of this database is being made anew."
