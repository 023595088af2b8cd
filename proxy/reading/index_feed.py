"""A client's feed out of the index of its database: the same as `source_feed`, at the cost of its own documents.

Where the feed begins: at the position in the token, if that is of this index; else at the one that stands for the same
as the token's sequence. Where there is none, because a cluster's rows come in another order on each node, or where this
index has told of something before that, which elsewhere comes later, the feed is read on from the source; at its end
sequences agree again.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from proxy.core import jsonio
from proxy.core.seqs import fell_back, includes
from proxy.core.tokens import Position
from proxy.errors import Unavailable
from proxy.feeds.hub import Hub
from proxy.feeds.index import Damaged, Full, IndexReader, split_leaves
from proxy.feeds.index import Row as Indexed
from proxy.feeds.looks import stored_keys
from proxy.feeds.pages import MOST_READ, MOST_ROWS, Asked, Page
from proxy.feeds.waiting import Keys
from proxy.reading.changes_request import Wanted
from proxy.reading.source_feed import Row
from proxy.sizes import at_once
from proxy.view import View

log = logging.getLogger("couch_tailor.feeds")

_BATCH = 200
"""Rows that are judged at once."""


def keys_of(view: View, *, formerly: bool = False) -> Keys:
    """The keys that the view's client holds, as the index has them; None where all documents have to be judged.
    `formerly`: and those that it held before, where it is to hear of what it was shown by them. What former rules have
    shown by other keys the index cannot tell.
    """
    audience = view.profile.audience
    formers = [former for former in view.past.formers if former.hides] if formerly else []
    if audience is None or not all(former.same_keys for former in formers):
        return None
    try:
        clients = [view.client, *(former.client for former in formers)]
        return stored_keys(audience, [key for client in clients for key in audience.held_by(client)])
    except Exception:
        log.exception("the keys of a client of profile %s cannot be told: all changes are judged", view.profile.name)
        return None


def is_own(hub: Hub, since: Any) -> bool:
    """Whether the index knows by itself where `since` is."""
    if hub.index is None:
        return False
    return not since or (isinstance(since, Position) and since.index_id == hub.index.index_id)


def starting_point(hub: Hub, since: Any, keys: Keys) -> int | None:
    """The position after which a feed goes on; None if only the source can tell. Raises Damaged, Full.

    Where the index does not know `since` by itself, it has to have all that there was when the client asked: then one
    that is further is of what the source has lost.
    """
    index = hub.index
    if index is None:
        return None
    if not since:
        return 0
    if isinstance(since, Position):
        if since.index_id == index.index_id:
            return since.at
        if since.index_id[:4] != index.index_id[:4]:
            return 0  # of another database by this name
        since = _before_loss(since, index)
        if not since:
            return 0
    if fell_back(index.since, since):
        return 0
    at = index.position_of(since)
    return None if at is None or (keys is not None and index.moved_on(keys, at)) else at


def _before_loss(since: Position, index: IndexReader) -> Any:
    """The sequence of a position in another index, or an earlier one if it went wrong after that; 0: the beginning."""
    lost = index.lost
    name = since.index_id.hex()
    if name not in lost or includes(lost[name], since.seq):
        return since.seq
    return lost[name] if includes(since.seq, lost[name]) else 0


class IndexFeed:
    """Where in the index a client is. `seq`: its Position, up to which rows were handed out."""

    def __init__(
        self, view: View, hub: Hub, at: int, keys: Keys, wanted: Wanted, fresh: bool = True, looks: bool = True
    ) -> None:
        """`fresh`: whether the index has all that there was when the client asked, or the client waits for the rest.
        `looks`: whether documents are needed to judge a row.
        """
        assert hub.index is not None
        self._view = view
        self._looks = looks
        self._fresh = fresh
        self._hub = hub
        self._index: IndexReader = hub.index
        self._forgotten = hub.forgotten
        self._keys = keys
        self._doc_ids = None if wanted.doc_ids is None else list(dict.fromkeys(wanted.doc_ids))
        self._descending = wanted.descending
        self._style = wanted.style
        self._limit = wanted.limit
        self._at = at
        self._shared = _shared(view, wanted, keys, at)
        self._began = hub.end
        self._read: dict[str, str] = {}
        """Of a page that others may be given: the leaves of the documents that were read, and what was written."""
        self._written: list[bytes] = []
        self.last_page = False
        """Set by the reader: no further page is wanted."""

    @property
    def read_ahead(self) -> bool:
        """Whether batches may be judged before they are wanted: with a limit, some would be that nobody asked for."""
        return self._limit is None and self._hub.end - self._at > _BATCH

    @property
    def seq(self) -> Position:
        with self._reading() as index:
            return index.position(self._at)

    def page(self) -> Page | None:
        """The page that the client asks for, if it was written before. Raises Unavailable."""
        if self._shared is None:
            return None
        with self._reading() as index:
            page = self._hub.pages.get(self._shared, index)
        if page is not None:
            self._hub.saw(page.leaves)
            self._at = page.until
        return page

    def wrote(self, rows: list[bytes]) -> None:
        """Hear what was written to the client."""
        if self._shared is not None:
            self._written += rows

    def keep(self, reached: Position, unread: int) -> None:
        """Keep a full page as it was written, if others may be given it. As in `Page`. Raises Unavailable."""
        if self._shared is None or self._hub.forgotten != self._forgotten:
            return
        page = Page(self._at, self._read, b"".join(self._written), reached, unread)
        with self._reading() as index:
            self._hub.pages.keep(self._shared, page, index, self._began)

    def is_at_the_present(self) -> None:
        """The client has heard of all that it held keys for before: from now on its present ones find what comes."""
        self._keys = keys_of(self._view)

    def be_alone(self) -> None:
        """What is read here is for nobody else."""
        self._shared = None
        self._read, self._written = {}, []

    @property
    def pending(self) -> int:
        """Rows that are still to come after `seq`, some of which the view may not show."""
        if self._descending or self._at >= self._hub.end:
            return 0
        with self._reading() as index:
            if self._doc_ids is not None:
                return len(index.rows_of(self._doc_ids, self._at, self._hub.end))
            return index.count(self._keys, self._at, self._hub.end)

    async def now(self) -> None:
        """Go to the end."""
        self._at = self._hub.end
        self.be_alone()

    async def open(self) -> None:
        """Nothing to be asked for: what can fail has been tried."""

    def discard(self) -> None:
        """Nothing to be closed."""

    async def present(self) -> AsyncGenerator[list[Row], None]:
        """The rows there are, batch by batch. Raises Unavailable."""
        if self._descending:
            async for rows in self._down():
                yield rows
            return
        end, given = self._hub.end, 0
        while not self.last_page:
            if self._at >= end:
                if self._fresh:
                    return
                # the page is not full yet: now it matters whether there is more
                if not await self._hub.fresh():
                    raise Unavailable("The index did not catch up with the source.")
                self._fresh, end = True, self._hub.end
                continue
            batch = self._batch(given)
            with self._reading() as index:
                if self._doc_ids is not None:  # of which there is no second batch
                    found, last = index.rows_of(self._doc_ids, self._at, end), end
                else:
                    found = self._hub.rows(self._keys, self._at, end, batch)
                    last = found[-1].at if len(found) >= batch else end
                rows = self._rows(index, found)
            if rows:
                yield rows
            self._at, given = last, given + len(rows)

    async def wait(self) -> None:
        """Wait until there may be rows. Raises Unavailable."""
        self.be_alone()
        if self._at >= self._hub.end:
            await self._hub.wait(None if self._doc_ids is not None else self._keys)

    def news(self) -> AsyncGenerator[list[Row], None]:
        """The rows that were waited for, batch by batch. Raises Unavailable."""
        return self.present()

    def _batch(self, given: int) -> int:
        """How many rows are to be judged at once, after so many: first those that are wanted, then more, in case that
        some are not shown; but no more than documents are to be read at once.
        """
        wanted = (self._limit or 0) - given
        rows = min(wanted, _BATCH) if wanted > 0 else _BATCH
        return min(rows, at_once(self._view)) if self._looks else rows

    async def _down(self) -> AsyncGenerator[list[Row], None]:
        before, given = self._hub.end + 1, 0
        while not self.last_page:
            batch = self._batch(given)
            with self._reading() as index:
                if self._doc_ids is not None:
                    found = index.rows_of(self._doc_ids, 0, self._hub.end)[::-1]
                else:
                    found = index.rows_down(self._keys, before, batch)
                rows = self._rows(index, found)
            if rows:
                yield rows
            if len(found) < batch or self._doc_ids is not None:
                return
            before, given = found[-1].at, given + len(found)

    @contextmanager
    def _reading(self) -> Iterator[IndexReader]:
        """The index, while it is there. Raises Unavailable."""
        if self._hub.index is not self._index:
            raise Unavailable(_DAMAGED)
        try:
            yield self._index
        except (Damaged, Full) as error:
            self._hub.complain(error)
            raise Unavailable(_DAMAGED) from error

    def _rows(self, index: IndexReader, found: list[Indexed]) -> list[Row]:
        leaves = {row.doc_id: row.leaves for row in found}
        self._hub.saw(leaves)
        if self._shared is not None:
            self._read |= leaves
            if len(self._read) > MOST_READ or self._hub.end != self._began:
                self.be_alone()
        return [self._row(index, row) for row in found]

    def _row(self, index: IndexReader, row: Indexed) -> Row:
        leaves = split_leaves(row.leaves)
        shown: Iterable[tuple[str, bool]] = leaves if self._style == "all_docs" else leaves[:1]
        made: Row = {
            "seq": Position(index.index_id, row.at, jsonio.loads(row.seq)),
            "id": row.doc_id,
            "changes": [{"rev": rev} for rev, _ in shown],
            "leaves": [rev for rev, _ in leaves],
        }
        if leaves[0][1]:
            made["deleted"] = True
        return made


def _shared(view: View, wanted: Wanted, keys: Keys, at: int) -> Asked | None:
    """What is asked for, where others may be given the same page."""
    limit = wanted.limit or 0
    is_page = 0 < limit <= MOST_ROWS and wanted.feed in ("normal", "longpoll")
    if not is_page or not wanted.is_plain or view.profile.depends_on_client:
        return None
    return Asked(view.profile.name, wanted.style, keys, at, limit, view.past.epoch)


_DAMAGED = "The index of this database is being made anew: ask again."
