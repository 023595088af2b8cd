"""Handler of `_changes`: the normal, longpoll, continuous and eventsource feeds.

All four are one loop: write what there is, then, unless the feed is complete, wait for more. They differ in when they
are complete: a normal feed at the end of what there is, a longpoll feed at the first wait after a row, the others at
their limit or when nothing has come for `timeout` milliseconds. A heartbeat replaces that timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from proxy.core import jsonio
from proxy.core.wire.changes import ChangesEncoder, ContinuousFeed, EventSourceFeed, NormalFeed
from proxy.endpoint.database import Change, Database
from proxy.endpoint.http import etag, feedfilter
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.feedfilter import Filter
from proxy.endpoint.http.feedquery import FeedQuery, parse
from proxy.endpoint.http.render import document_json
from proxy.endpoint.http.reply import CHUNK, JSON, JSON_HEAD, REVALIDATE, Reply, Stream

_ENCODERS: dict[str, Callable[[], ChangesEncoder]] = {
    "normal": NormalFeed,
    "longpoll": NormalFeed,
    "continuous": ContinuousFeed,
    "eventsource": EventSourceFeed,
}

_BREATH = 200
"""Rows that a filter may turn down in one go before others get their turn."""


async def changes(call: Call, database: Database) -> Reply:
    asked = parse(call, database)
    chosen = await feedfilter.from_call(call, database, asked)
    feed = Feed(database, asked, chosen)
    if asked.feed == "eventsource":
        head = b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
        return Reply(200, head, feed.stream())
    if asked.feed != "normal":
        return Reply(200, JSON_HEAD, feed.stream())
    state = f"{database.name} {database.instance_start_time} {database.update_seq}"
    tag = etag.base36(state.encode())
    return etag.not_modified(call, tag) or Reply(200, REVALIDATE + JSON + etag.header(tag), feed.stream())


@dataclass(slots=True)
class Feed:
    """One feed being written. `seq` is how far the database has been looked through; `left`: rows until the limit."""

    database: Database
    asked: FeedQuery
    chosen: Filter
    seq: int = 0
    last_seq: int = 0
    left: float = 0
    written: int = 0
    looked_at: int = 0
    """Changes that were looked through."""

    async def stream(self) -> Stream:
        asked = self.asked
        encoder = _ENCODERS[asked.feed]()
        self.seq = self.last_seq = self.database.update_seq if asked.descending else asked.since
        self.left = float("inf") if asked.limit is None else asked.limit
        pending = [encoder.head()]
        async for piece in self._batches(encoder, pending):
            yield piece
        if not self.written and not self._complete():
            pending.append(b"\n")  # as CouchDB does where a wait comes before the first row
        while not self._complete():
            yield _taken(pending)
            while not (changed := await self.database.wait_for_change(self.seq, asked.wait_ms / 1000)):
                if asked.heartbeat is None:
                    break
                yield encoder.heartbeat()
            if not changed:
                break
            async for piece in self._batches(encoder, pending):
                yield piece
        pending.append(encoder.tail(jsonio.dumps(self.database.seq_text(self.last_seq)), self._left()))
        yield _taken(pending)

    def _left(self) -> int:
        """How many changes are to come after those that were looked through. Downwards there is no `since`."""
        if self.asked.descending:
            return self.database.changes_pending(0) - self.looked_at
        return self.database.changes_pending(self.last_seq)

    async def _batches(self, encoder: ChangesEncoder, pending: list[bytes]) -> Stream:
        """The rows there are, up to the limit. Full chunks are yielded, the rest is left in `pending`."""
        size = 0
        for change in self._rows():
            if change is None:
                await asyncio.sleep(0)
                continue
            seq = self._seq_json(change)
            row = encoder.row(await self._row(change, seq), seq)
            pending.append(row)
            size += len(row)
            if size > CHUNK:
                yield _taken(pending)
                size = 0

    def _rows(self) -> Iterator[Change | None]:
        """The rows there are that pass the filter, up to the limit; None now and then on a long search."""
        asked, cut = self.asked, self.chosen.cut
        if self.left <= 0:
            return
        found = self.database.changes(
            self.seq,
            limit=asked.limit and int(self.left) if cut is None else None,
            descending=asked.descending,
            include_docs=asked.include_docs or self.chosen.needs_document,
            conflicts=asked.conflicts,
        )
        for change in found:
            self.seq = change.seq
            self.looked_at += 1
            passing = change if cut is None else cut(change)
            if passing is not None:
                self.last_seq = change.seq
                self.written += 1
                self.left -= 1
                yield passing
                if self.left <= 0:
                    return
            elif self.looked_at % _BREATH == 0:
                yield None
        if not asked.descending:
            self.last_seq = self.seq

    def _complete(self) -> bool:
        asked = self.asked
        if self.left <= 0 or asked.feed == "normal" or asked.descending:
            return True
        return asked.feed == "longpoll" and self.written > 0

    def _seq_json(self, change: Change) -> bytes:
        interval = self.asked.seq_interval
        if interval is not None and (self.written - 1) % interval:
            return b"null"
        return jsonio.dumps(self.database.seq_text(change.seq))

    async def _row(self, change: Change, seq: bytes) -> bytes:
        revs = change.leaves if self.asked.all_leaves else (change.rev,)
        listed = b'"},{"rev":"'.join([rev.encode() for rev in revs])
        deleted = b',"deleted":true' if change.deleted else b""
        row = b'{"seq":%b,"id":%b,"changes":[{"rev":"%b"}]%b' % (seq, jsonio.dumps(change.id), listed, deleted)
        if not self.asked.include_docs:
            return row + b"}"
        return b'%b,"doc":%b}' % (row, await self._doc(change))

    async def _doc(self, change: Change) -> bytes:
        document = change.document
        if document is None:
            return b"null"
        if self.chosen.project is not None:
            return self.chosen.project(document)
        if self.asked.shown.plain:
            return document.json(encoding_info=self.asked.shown.encoding_info)
        return await document_json(self.database, document, self.asked.shown)


def _taken(pending: list[bytes]) -> bytes:
    data = b"".join(pending)
    pending.clear()
    return data
