"""A client's feed out of the index of its database: the same as `source_feed`, at the cost of its own documents.

Where the feed begins: at the position in the token, if that is of this index; else at the last position of which the
token's sequence includes everything; else, for clients that hold keys, at the beginning, which only costs them their
own documents once more. All others read on from the source.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from proxy.core.tokens import Position
from proxy.errors import Unavailable
from proxy.feeds.follower import stored_keys
from proxy.feeds.hub import Hub, Keys
from proxy.feeds.index import Damaged, Full, IndexReader, split_leaves
from proxy.feeds.index import Row as Indexed
from proxy.reading.changes_request import Wanted
from proxy.reading.source_feed import Row
from proxy.view import View

log = logging.getLogger("couch_tailor.feeds")

_BATCH = 200
"""Rows that are judged at once."""


def keys_of(view: View) -> Keys:
    """The keys that the view's client holds, as the index has them; None where all documents have to be judged."""
    audience = view.profile.audience
    if audience is None:
        return None
    try:
        return stored_keys(audience, audience.held_by(view.client))
    except Exception:
        log.exception("the keys of a client of profile %s cannot be told: all changes are judged", view.profile.name)
        return None


def starting_point(hub: Hub, since: Any, keys: Keys) -> int | None:
    """The position after which a feed goes on; None if only the source can tell. Raises Damaged, Full."""
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
        since = since.seq
    return index.position_of(since) or (None if keys is None and since else 0)


class IndexFeed:
    """Where in the index a client is. `seq`: its Position, up to which rows were handed out."""

    def __init__(self, view: View, hub: Hub, at: int, keys: Keys, wanted: Wanted) -> None:
        assert hub.index is not None
        self._hub = hub
        self._index: IndexReader = hub.index
        self._keys = keys
        self._doc_ids = None if wanted.doc_ids is None else list(dict.fromkeys(wanted.doc_ids))
        self._descending = wanted.descending
        self._style = wanted.style
        self._limit = wanted.limit
        self._at = at
        self.last_page = False
        """Set by the reader: no further page is wanted."""

    @property
    def seq(self) -> Position:
        return self._held().position(self._at)

    @property
    def pending(self) -> int:
        """Rows that are still to come after `seq`, some of which the view may not show."""
        return 0 if self._descending or self._at >= self._hub.end else self._count()

    async def now(self) -> None:
        """Go to the end."""
        self._at = self._hub.end

    async def open(self) -> None:
        """Nothing to be asked for: what can fail has been tried."""

    def discard(self) -> None:
        """Nothing to be closed."""

    async def present(self) -> AsyncGenerator[list[Row], None]:
        """The rows there are, batch by batch. Raises Unavailable."""
        batch = min(self._limit or _BATCH, _BATCH)
        if self._descending:
            async for rows in self._down(batch):
                yield rows
            return
        end = self._hub.end
        while self._at < end and not self.last_page:
            found = self._read(end, batch)
            if found:
                yield [self._row(row) for row in found]
            # of documents by id there is no second batch
            self._at = found[-1].at if len(found) >= batch and self._doc_ids is None else end
            batch = _BATCH

    async def wait(self) -> AsyncGenerator[list[Row], None]:
        """Wait for rows, and hand them out. Raises Unavailable."""
        if self._at >= self._hub.end:
            await self._hub.wait(None if self._doc_ids is not None else self._keys)
        async for rows in self.present():
            yield rows

    async def _down(self, batch: int) -> AsyncGenerator[list[Row], None]:
        if self._doc_ids is not None:
            found = self._read(self._hub.end, batch)
            yield [self._row(row) for row in reversed(found)]
            return
        before = self._hub.end + 1
        while not self.last_page:
            try:
                found = self._held().rows_down(self._keys, before, batch)
            except (Damaged, Full) as error:
                self._hub.complain(error)
                raise Unavailable(_DAMAGED) from error
            if found:
                yield [self._row(row) for row in found]
            if len(found) < batch:
                return
            before, batch = found[-1].at, _BATCH

    def _read(self, end: int, batch: int) -> list[Indexed]:
        index = self._held()
        try:
            if self._doc_ids is not None:
                return index.rows_of(self._doc_ids, self._at, end)
            return index.rows(self._keys, self._at, end, batch)
        except (Damaged, Full) as error:
            self._hub.complain(error)
            raise Unavailable(_DAMAGED) from error

    def _count(self) -> int:
        try:
            if self._doc_ids is not None:
                return len(self._held().rows_of(self._doc_ids, self._at, self._hub.end))
            return self._held().count(self._keys, self._at, self._hub.end)
        except (Damaged, Full, Unavailable):
            return 0

    def _held(self) -> IndexReader:
        if self._hub.index is not self._index:
            raise Unavailable(_DAMAGED)
        return self._index

    def _row(self, row: Indexed) -> Row:
        leaves = split_leaves(row.leaves)
        shown: Iterable[tuple[str, bool]] = leaves if self._style == "all_docs" else leaves[:1]
        made: Row = {
            "seq": self._index.position(row.at),
            "id": row.doc_id,
            "changes": [{"rev": rev} for rev, _ in shown],
            "leaves": [rev for rev, _ in leaves],
        }
        if leaves[0][1]:
            made["deleted"] = True
        return made


_DAMAGED = "The index of this database is being made anew: ask again."
