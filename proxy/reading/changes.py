"""`_changes`: the source's feed, cut to the view.

Rules (wire reference 1.7; traps 7 and 8):
  - a row names the leaves that the view shows (`changes_rows`); a row without any is left out, and the page goes on
    until it has `limit` rows or the source has no more: short and empty pages appear at the source's end only;
  - a row is written after its documents were judged, so what is announced will be served;
  - a longpoll on which only invisible rows arrive keeps waiting;
  - sequences are the view's own tokens; `last_seq` moves past invisible rows, so nothing is judged twice;
  - a source that breaks off, or answers with an error, makes the client's connection break off, and so does a client
    that is not who it was any more; not that of a longpoll, which ends without further rows: nothing is lost after its
    `last_seq`, and some clients (PouchDB 7 and 8 in Node, whose `fetch` is too old) never notice a body that breaks
    off. They hear of it by the answer to their next request;
  - a row with the bodies of attachments in it is written as they come. It is written to its end once it has begun, or
    the connection breaks off, of a longpoll as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, NamedTuple

from aiohttp import web

from proxy import recent
from proxy.ahead import piecewise
from proxy.closing import Closing
from proxy.core import jsonio
from proxy.core.query import Query
from proxy.core.tokens import Position
from proxy.core.wire.changes import ChangesEncoder, changes_encoder
from proxy.errors import CouchError
from proxy.exchange import Exchange
from proxy.feeds.hub import Hub
from proxy.feeds.index import Damaged, Full
from proxy.feeds.waiting import Keys
from proxy.leaves import revisions_are_in_bulk
from proxy.reading.attachments import following, inline_json
from proxy.reading.changes_request import Wanted, parse_wanted
from proxy.reading.changes_rows import Change, Rows
from proxy.reading.epochs import Epochs
from proxy.reading.index_feed import IndexFeed, is_own, keys_of, starting_point
from proxy.reading.source_feed import Row, SourceFeed
from proxy.resolve import Shown


async def get_changes(exchange: Exchange) -> web.StreamResponse:
    """GET and POST of `_changes`, all feeds."""
    view = exchange.view
    query = Query(list(exchange.target.pairs), fold=True)
    body: dict[str, Any] = {}
    if exchange.method == "POST":
        body = await exchange.read_object(optional=True)
    event_id = exchange.request.headers.get("Last-Event-ID")
    wanted = parse_wanted(query, body, event_id, view.profile.trusted)
    return await _Feed(exchange, wanted).run()


_MOST_HELD = 256 * 1024
"""Bytes of rows that are held to be written at once: those with attachments in them are large. One that is larger is
written as it comes."""


RECHECK_SECONDS = 60.0
"""How often a feed that waits asks who its client is, even if it has nothing to tell."""


BREATH_SECONDS = 1.0
"""How long a longpoll whose source broke off is held: its client may ask again at once."""

log = logging.getLogger("couch_tailor.changes")


class _SomebodyElse(Exception):
    """The client is not any more who it was when its feed began."""


class _Begun(NamedTuple):
    """The first pieces of a row. `is_all`: there are no more."""

    text: bytes
    is_all: bool


async def _first_of(pieces: AsyncGenerator[bytes, None]) -> _Begun:
    """As many as may be held."""
    held, size = [], 0
    async for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > _MOST_HELD:
            return _Begun(b"".join(held), is_all=False)
    return _Begun(b"".join(held), is_all=True)


class _Feed:
    """One client's feed while it lasts."""

    def __init__(self, exchange: Exchange, wanted: Wanted) -> None:
        self.exchange = exchange
        self._headers = dict(exchange.view.headers)
        self.view = replace(exchange.view, headers=self._headers) if wanted.waits else exchange.view
        """Of a feed that waits, the headers are those that the client has by now: cookies are renewed meanwhile."""
        self.wanted = wanted
        self.encoder: ChangesEncoder = changes_encoder(wanted.feed)
        self.left = wanted.limit
        self.epochs = Epochs(self.view)
        self.tokens = self.view.tokens
        self.rows: Rows
        self.source: SourceFeed | IndexFeed
        self.response: web.StreamResponse
        self.count = 0
        self.written = 0.0
        """When the last bytes were, by the event loop's clock."""
        self.within_row = False
        """Whether a row has begun to be written that has not ended: nothing fits in between."""
        self.last: Any = 0
        """The source's sequence up to which this feed has got."""
        self.unread = 0
        """Rows of the last page that were left when the limit was reached."""
        self.ended_early = False
        """What reads the source failed while the client waited: it is not asked for anything any more."""
        self.identified = asyncio.get_running_loop().time()
        """When it was last known who the client is."""
        self._changed = Closing()
        """Ends a longpoll whose client is not who it was."""

    async def run(self) -> web.StreamResponse:
        """Serve the feed to its end."""
        self.source = await self._open()
        if self.wanted.since == "now":
            await self.source.now()
        self.last = self.source.seq
        await self.source.open()
        page = self.source.page()
        kind = self.encoder.content_type
        headers = {
            "Content-Type": kind,
            **({"Cache-Control": "no-cache"} if kind == "text/event-stream" else {}),
        }
        try:
            self.response = await self.exchange.stream(headers)
        except BaseException:
            self.source.discard()
            raise
        if self.exchange.method == "HEAD":
            self.source.discard()
            await self.response.write_eof()
            return self.response
        if page is not None:
            await self.response.write(self.encoder.head() + page.rows)
            return await self._end(page.reached, page.unread)
        await self.response.write(self.encoder.head())
        beside = [asyncio.ensure_future(self._beat())] if self.wanted.heartbeat else []
        if self.wanted.waits:
            beside.append(asyncio.ensure_future(self._watch()))
        try:
            await self._present(self.source.present())
            if self.epochs.begins and not self.full:
                self.epochs.end()
                self.source.is_at_the_present()
            if self.wanted.waits:
                async with self.exchange.closing.wait(), self._changed.wait():  # as if its time was over
                    await self._wait()
        except _SomebodyElse:
            self.ended_early = True
        finally:
            for task in beside:
                task.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await task
        if self.full and self.rows.lasting:
            self.source.keep(self.last, self.unread)
        return await self._end(self.last, self.unread)

    async def _end(self, last: Any, unread: int) -> web.StreamResponse:
        last_seq = jsonio.dumps(str(self.tokens.encode(last, self.epochs.carried)))  # text also where nothing was read
        pending = 0 if self.ended_early else self.source.pending + unread
        await self.response.write_eof(self.encoder.tail(last_seq, pending))
        return self.response

    async def _open(self) -> SourceFeed | IndexFeed:
        """The feed to read: the index's where there is one, and it can go on where the client is."""
        view, wanted = self.view, self.wanted
        since, carried = (0, None) if wanted.since == "now" else view.tokens.read(wanted.since)
        begun = carried is not None and (not since or carried.turn > view.past.stint.last)
        if begun and self.exchange.recall is not None:
            await self.exchange.recall(now=True)  # it is another node that the client was told by
            since, carried = view.tokens.read(wanted.since)
        self.tokens = view.tokens
        if wanted.since == "now":
            await self.epochs.begin_at_the_end()
        elif not wanted.descending:
            self.epochs = Epochs(view, carried, from_zero=not since and carried is None)
            await self.epochs.begin()
        self.rows = Rows(view, wanted, self.epochs)
        hub = view.hub
        if hub is not None and not wanted.source_filter:
            keys = keys_of(view, formerly=self.epochs.tells_departures)
            try:
                full = self._is_full(hub, since, keys)
                if full or self._can_wait(hub, since) or await hub.fresh():
                    at = starting_point(hub, since, keys)
                    if at is not None:
                        feed = IndexFeed(view, hub, at, keys, wanted, fresh=not full, looks=self.rows.looks)
                        if not self.epochs.is_one:
                            feed.be_alone()
                        return feed
            except (Damaged, Full) as error:
                hub.complain(error)
        if isinstance(since, Position):
            since = since.seq
        apart = self.rows.asked_apart
        if apart is not None and not await revisions_are_in_bulk(view):
            apart = None
        self.rows.kept_from = None if apart is None else recent.now()
        return SourceFeed(view, since, self.rows.asked, wanted.descending, wanted.doc_ids, wanted.limit, apart)

    def _can_wait(self, hub: Hub, since: Any) -> bool:
        """Whether it is enough to be told as soon as the index knows, from where it knows by itself."""
        return self.wanted.waits and self.wanted.since != "now" and is_own(hub, since)

    def _is_full(self, hub: Hub, since: Any, keys: Keys) -> bool:
        """Whether the index has a page of rows, as it is: what the source has by now comes later."""
        wanted = self.wanted
        if not wanted.limit or wanted.since == "now" or wanted.descending or wanted.doc_ids is not None:
            return False
        if hub.index is None or not is_own(hub, since):
            return False
        return hub.index.fills(keys, since.at if since else 0, hub.end, wanted.limit)

    @property
    def full(self) -> bool:
        return self.left is not None and self.left <= 0

    async def _present(self, batches: AsyncGenerator[list[Row], None]) -> int:
        """Write what the view shows of the batches, up to the limit; the number of rows written.

        When the limit is reached the page is read to its end, for what the source says of the rows that remain; not so
        downwards, where the source has one page only.
        """
        written = 0
        async with aclosing(piecewise(batches, self._judge, begin=self.source.read_ahead)) as judged:
            async for changes in judged:
                if self.full:
                    self.source.last_page = True
                    self.unread += len(changes)
                else:
                    written += await self._write(changes)
                if self.full and self.wanted.descending:
                    break
        if not self.full and not self.wanted.descending:
            self.last = self.source.seq
        return written

    async def _judge(self, batch: Sequence[Row]) -> Sequence[Change]:
        if self.full:
            return [Change(row["seq"]) for row in batch]
        return await self.rows.judge(batch)

    async def _wait(self) -> None:
        """Wait for changes that the view shows: one (longpoll), or for as long as client and limit allow."""
        while not self.full and not (self.count and self.wanted.feed == "longpoll"):
            try:
                if self.wanted.heartbeat:  # most feeds: a timeout without an end would cost them at each change
                    await self._tell()
                else:
                    async with asyncio.timeout(self.wanted.timeout):
                        await self._tell()
            except TimeoutError:
                return
            except CouchError as error:  # whatever it is: the client hears of it when it asks again
                if self.wanted.feed != "longpoll" or self.within_row:
                    raise
                what = f"{self.exchange.request.raw_path} ended early"
                if error.status >= 500:
                    self.view.upstream.troubles.ended(error, what)
                else:
                    log.warning("%s: %s", what, error)
                await asyncio.sleep(BREATH_SECONDS)
                self.ended_early = True
                return

    async def _tell(self) -> None:
        """Wait for changes until some are written."""
        written = 0
        while not written:
            await self.source.wait()
            written = await self._present(self.source.news())

    async def _write(self, changes: Sequence[Change]) -> int:
        """Write the rows of a batch up to the limit; the number of rows written."""
        encode, row, carried = self.tokens.encode, self.encoder.row, self.epochs.carried
        pieces: list[bytes] = []
        reached, written, size = self.last, 0, 0
        for index, change in enumerate(changes):
            if size > _MOST_HELD:
                written += await self._send(pieces, reached)
                pieces, size = [], 0
            if change.rest is None:
                reached = change.seq
                continue
            seq = jsonio.dumps(encode(change.seq, carried))
            text = b'{"seq":%b,%b' % (seq, change.rest)
            if change.leaf is None:
                pieces.append(row(text, seq))
            else:
                async with aclosing(self._with_bodies(change.leaf, text, seq)) as parts:
                    begun = await _first_of(parts)
                    if begun.is_all:
                        pieces.append(begun.text)
                    else:
                        written += await self._send(pieces, reached) + 1
                        pieces, size = [], 0
                        await self._undivided(self._stream(begun.text, parts, change.seq))
            reached = change.seq
            size += len(pieces[-1]) if pieces else 0
            if self.left is not None:
                self.left -= 1
                if self.full:
                    self.source.last_page = True
                    self.unread = len(changes) - index - 1
                    break
        return written + await self._send(pieces, reached)

    async def _send(self, pieces: list[bytes], reached: Any) -> int:
        if pieces:
            await self._check_client()
        self.last = reached  # together with the write: a time-out between the two would lose rows
        if pieces:
            self.count += len(pieces)
            self.written = asyncio.get_running_loop().time()
            await self.response.write(b"".join(pieces))
            self.source.wrote(pieces)
        return len(pieces)

    async def _check_client(self) -> None:
        """See that the client still is who it was, before it is told anything. Raises what ends the feed otherwise."""
        if not self.wanted.waits:
            return
        age = asyncio.get_running_loop().time() - self.identified
        if age > self.exchange.server.session_ttl and not await self._is_the_same():
            if self.wanted.feed == "longpoll":
                raise _SomebodyElse
            self.exchange.abort()
            raise ConnectionResetError("the client is no longer who it was")

    async def _with_bodies(self, leaf: Shown, text: bytes, seq: bytes) -> AsyncGenerator[bytes, None]:
        """A row whose document has the bodies of its attachments in it, in pieces. `text`: its JSON without that."""
        yield self.encoder.begin_row() + text[:-1] + b',"doc":'
        async for piece in inline_json(self.view, leaf, leaf.doc, following(leaf.doc, None, everything=True)):
            yield piece
        yield b"}" + self.encoder.end_row(seq)

    async def _stream(self, begun: bytes, rest: AsyncGenerator[bytes, None], reached: Any) -> None:
        """Write a row as it comes: it is too large to be held. Nothing else is written meanwhile."""
        await self._check_client()
        self.within_row = True
        await self.response.write(begun)
        async for piece in rest:
            await self.response.write(piece)
        self.within_row = False
        self.last = reached
        self.count += 1
        self.written = asyncio.get_running_loop().time()

    async def _undivided(self, writing: Coroutine[Any, Any, None]) -> None:
        """Write all of a row, even if the feed's time is over meanwhile; where that fails it can only be broken off."""
        task = asyncio.ensure_future(writing)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            transport = self.exchange.request.transport
            if transport is None or transport.is_closing():
                task.cancel()
            await task
            raise
        finally:
            if self.within_row:
                self.exchange.abort()

    async def _watch(self) -> None:
        """End the feed once the client is no longer who it was, and see that what it is shown stays recorded."""
        while self.exchange.identify is not None:
            await asyncio.sleep(self._recheck_seconds)
            if not await self._is_the_same():
                if self.wanted.feed == "longpoll":
                    self.ended_early = True
                    self._changed.begin()
                else:
                    self.exchange.abort()
                return
            if self.exchange.recall is not None:
                with suppress(CouchError):  # once more in a while
                    await self.exchange.recall()

    @property
    def _recheck_seconds(self) -> float:
        """Of a cookie that the source is asked with the new one must not be missed: it comes late in its life."""
        return RECHECK_SECONDS / 4 if "Cookie" in self._headers else RECHECK_SECONDS

    async def _is_the_same(self) -> bool:
        """Whether the client is who it was when the feed began: its view is of that time."""
        known = self.view.principal
        if self.exchange.identify is None:
            return True
        try:
            now = await self.exchange.identify()
        except CouchError as error:
            return error.status >= 500  # nobody can say; the source serves nothing either
        self.identified = asyncio.get_running_loop().time()
        if (now.name, now.roles) != (known.name, known.roles):
            return False
        self._headers.clear()
        self._headers.update(now.headers)
        return True

    async def _beat(self) -> None:
        """Write a heartbeat whenever nothing else was written for the interval that the client asked for."""
        loop, interval = asyncio.get_running_loop(), self.wanted.heartbeat
        assert interval is not None
        self.written = loop.time()
        while True:
            await asyncio.sleep(self.written + interval - loop.time())
            if loop.time() >= self.written + interval:
                self.written = loop.time()
                if self.within_row:
                    continue
                await self.response.write(self.encoder.heartbeat())
