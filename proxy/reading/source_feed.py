"""The source's `_changes` as batches of rows, from a point on: first what there is, then what comes.

A feed of the source is read as pages of a normal feed until its end and, for the waiting kinds, as one longpoll after
the other from there. So every kind of feed of a client is served by one way of reading, and a source only ever has to
know the two simplest kinds. A page that may be enough is judged before another one is asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, ClassVar

from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.core.seqs import as_text
from proxy.core.wire import WireError
from proxy.core.wire.rows import ArraySplitter
from proxy.elements import elements
from proxy.errors import Unavailable
from proxy.reply import Reply
from proxy.sizes import at_once
from proxy.upstream import JSON_HEADERS
from proxy.view import View

_PAGE = 500
"""The most rows of a page where the client limits its own."""
_HEARTBEAT_MS = 20_000
_SPIN = 1.0
"""Seconds: an empty longpoll shorter than this did not wait."""

Row = dict[str, Any]


@dataclass
class SourceFeed:
    """Where in the source's feed a client is. `seq` is the source's sequence up to which rows were handed out.

    `asked`: what the rows are to have. `limit`: how many rows the client wants, some of which may be left out: pages
    are so large at first, and twice as large each time that one was not enough. Downwards there is one page only, for
    CouchDB takes no `since` there.

    `asked_apart`: what is asked for instead for the first page of what there is, if documents are read apart: its rows
    name all their `leaves`, and come as many at a time as documents are to be read at once.
    """

    view: View
    seq: Any
    asked: Pairs
    descending: bool = False
    doc_ids: list[str] | None = None
    limit: int | None = None
    asked_apart: Pairs | None = None
    pending: int = 0
    """Rows that the source still has after `seq`, as far as it says."""
    last_page: bool = False
    """Set by the reader: no further page is wanted."""
    read_ahead: ClassVar[bool] = True
    """Batches may be judged before they are wanted: they come with their documents."""
    _first: Reply | None = None

    async def now(self) -> None:
        """Go to the source's end."""
        async with await self._request([("since", "now"), ("limit", "1")], timeout=0) as reply:
            end = await reply.json()
            if not isinstance(end, dict):
                raise Unavailable("The source's _changes is not of CouchDB's form.")
            self.seq = end.get("last_seq", self.seq)

    async def open(self) -> None:
        """Ask for the rows there are. Raises the source's error, so that a client can still be told."""
        self._first = await self._page()

    def page(self) -> None:
        """Nobody was given the same page before: only the source knows whether it would be the same."""

    def wrote(self, rows: list[bytes]) -> None:
        """Nothing is kept of it."""

    def keep(self, reached: Any, unread: int) -> None:
        """Nothing to be kept."""

    def is_at_the_present(self) -> None:
        """Nothing is found by keys."""

    def discard(self) -> None:
        """Let go of what was asked for."""
        if self._first is not None:
            self._first.release()

    async def _page(self) -> Reply:
        pairs = [("since", as_text(self.seq))]
        if self.limit is not None and not self.descending:
            self.limit = min(_PAGE, max(self.limit, 1))
        if self.limit is not None and not (self.descending and self.view.hides):
            pairs.append(("limit", str(self.limit)))
        if self.descending:
            pairs.append(("descending", "true"))
        return await self._request(pairs, timeout=0)

    async def present(self) -> AsyncGenerator[list[Row], None]:
        """The rows there are, page after page."""
        while True:
            reply, count = self._first or await self._page(), 0
            self._first = None
            async with reply:
                async for batch in self._rows(reply):
                    count += len(batch)
                    yield batch
            if self.limit is None or self.descending or count == 0 or (count < self.limit and not self.pending):
                return
            yield []  # whoever wants more has judged all that was before this
            if self.last_page:
                return
            self.limit *= 2
            self.asked_apart = None  # of few documents that the client sees it makes the source read many

    async def wait(self) -> None:
        """Nothing: the source waits for `news`."""

    async def news(self) -> AsyncGenerator[list[Row], None]:
        """The rows of one longpoll, which the source answers when there is a change after `seq`."""
        self.asked_apart = None  # most of what comes can be for others: each would cost every feed a request
        pairs = [("feed", "longpoll"), ("since", as_text(self.seq)), ("heartbeat", str(_HEARTBEAT_MS))]
        began, count = time.monotonic(), 0
        async with await self._request(pairs, timeout=3 * _HEARTBEAT_MS / 1000) as reply:
            async for batch in self._rows(reply):
                count += len(batch)
                yield batch
        if not count and time.monotonic() - began < _SPIN:
            await asyncio.sleep(_SPIN)  # a source that does not wait must not be asked in a tight loop

    async def _request(self, pairs: Pairs, timeout: float | None) -> Reply:
        pairs = [*pairs, *(self.asked if self.asked_apart is None else self.asked_apart)]
        method, body = "GET", None
        if self.doc_ids is not None:
            pairs.append(("filter", "_doc_ids"))
            method, body = "POST", jsonio.dumps({"doc_ids": self.doc_ids})
        reply = await self.view.upstream.request(
            method,
            self.view.path("_changes"),
            pairs,
            headers={**JSON_HEADERS, **self.view.headers},
            body=body,
            timeout=timeout,
        )
        if reply.status != 200:
            async with reply:
                raise await reply.error()
        return reply

    async def _rows(self, reply: Reply) -> AsyncGenerator[list[Row], None]:
        splitter = ArraySplitter("results")
        apart = self.asked_apart is not None
        try:
            async with aclosing(elements(reply, splitter)) as batches:
                async for batch in self._gathered(batches) if apart else batches:
                    yield _checked(batch, apart)
                    self.seq = batch[-1]["seq"]
        except WireError as error:
            raise Unavailable(f"The source's _changes is not of CouchDB's form: {error.reason}") from error
        end = {**splitter.head, **splitter.tail}
        if not self.descending:
            if "last_seq" not in end:
                raise Unavailable("The source's _changes does not say where it ends.")
            self.seq = end["last_seq"]
        pending = end.get("pending")
        self.pending = pending if isinstance(pending, int) else 0

    async def _gathered(self, batches: AsyncGenerator[list[Any], None]) -> AsyncGenerator[list[Any], None]:
        """The same rows, as many at a time as documents are to be read at once; fewer at the end."""
        held: list[Any] = []
        async for batch in batches:
            held += batch
            while len(held) >= (count := at_once(self.view)):
                yield held[:count]
                held = held[count:]
        if held:
            yield held


def _checked(batch: list[Any], apart: bool) -> list[Row]:
    for row in batch:
        if not (isinstance(row, dict) and isinstance(row.get("id"), str) and "seq" in row):
            raise Unavailable("The source's _changes has a row without id or seq.")
    if apart:
        try:
            for row in batch:
                row["leaves"] = leaves = [change["rev"] for change in row["changes"]]
                "".join(leaves)  # text, all of them
        except (KeyError, TypeError):
            raise Unavailable("The source's _changes has a row without its revisions.") from None
    return batch
