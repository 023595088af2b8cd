"""`_changes`: the source's feed, cut to the view.

Rules (wire reference 1.7; traps 7 and 8):
  - a row names the leaves that the view shows (`resolve`); a row without any is left out, and the page goes on until it
    has `limit` rows or the source has no more: short and empty pages appear at the source's end only;
  - a row is written after its documents were judged, so what is announced will be served;
  - a longpoll on which only invisible rows arrive keeps waiting;
  - sequences are the view's own tokens; `last_seq` moves past invisible rows, so nothing is judged twice;
  - a source that breaks off makes the client's connection break off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Query
from proxy.core.selector import compile_selector, project_fields
from proxy.core.wire.changes import ChangesEncoder, changes_encoder
from proxy.errors import BadRequest, Forbidden
from proxy.exchange import Exchange
from proxy.reading.ahead import ahead
from proxy.reading.attachments import following, inline_json
from proxy.reading.document import without_encoding_info
from proxy.reading.source_feed import PAGE, Row, SourceFeed
from proxy.resolve import Shown, fetch_leaves, judge

_MAX_WAIT_MS = 60_000
_FEEDS = ("normal", "continuous", "live", "longpoll", "eventsource")
_KNOWN = frozenset(
    [
        "feed",
        "since",
        "last-event-id",
        "limit",
        "descending",
        "style",
        "include_docs",
        "conflicts",
        "attachments",
        "att_encoding_info",
        "filter",
        "doc_ids",
        "timeout",
        "heartbeat",
        "seq_interval",
    ]
)


@dataclass(frozen=True)
class Wanted:
    """The parameters of a `_changes` request. Times in seconds."""

    feed: str
    since: str
    limit: int | None
    descending: bool
    style: str
    include_docs: bool
    conflicts: bool
    attachments: bool
    att_encoding_info: bool
    heartbeat: float | None
    timeout: float
    doc_ids: list[str] | None = None
    matches: Callable[[Doc], bool] | None = None
    fields: list[str] | None = None
    design_only: bool = False
    source_filter: tuple[tuple[str, str], ...] = ()
    """A filter function of the source, for trusted profiles: passed on with its arguments."""

    @property
    def waits(self) -> bool:
        return self.feed != "normal"


def parse_wanted(query: Query, body: dict[str, Any], event_id: str | None, trusted: bool) -> Wanted:
    """Raises BadRequest for what CouchDB would refuse, Forbidden for filters that run in the source."""
    feed = query.last("feed") or "normal"
    if feed not in _FEEDS:
        raise BadRequest("Supported `feed` types: normal, continuous, live, longpoll, eventsource")
    since = query.last("since") or query.last("last-event-id") or "0"
    if feed == "eventsource" and event_id is not None:
        since = event_id
    style = query.last("style") or "main_only"
    if style not in ("main_only", "all_docs"):
        raise BadRequest(f"Invalid style: {style!r}; use main_only or all_docs.")
    return Wanted(
        feed="continuous" if feed == "live" else feed,
        since=since,
        limit=query.whole("limit"),
        descending=query.sticky("descending"),
        style=style,
        include_docs=query.sticky("include_docs"),
        conflicts=query.sticky("conflicts"),
        attachments=query.sticky("attachments"),
        att_encoding_info=query.sticky("att_encoding_info"),
        heartbeat=_heartbeat(query),
        timeout=_milliseconds(query, "timeout", _MAX_WAIT_MS),
        **_parse_filter(query, body, trusted),
    )


def _parse_filter(query: Query, body: dict[str, Any], trusted: bool) -> dict[str, Any]:
    name = query.last("filter")
    if not name:
        return {}
    if name == "_doc_ids":
        doc_ids = body.get("doc_ids") if "doc_ids" in body else query.json("doc_ids")
        if not isinstance(doc_ids, list) or not all(isinstance(doc_id, str) for doc_id in doc_ids):
            raise BadRequest("`doc_ids` filter parameter is not a list of doc ids.")
        return {"doc_ids": doc_ids}
    if name == "_selector":
        if "selector" not in body:
            raise BadRequest("Selector must be specified in POST payload")
        fields = body.get("fields")
        if fields is not None and not (isinstance(fields, list) and all(isinstance(f, str) for f in fields)):
            raise BadRequest("Selector error: fields must be JSON array")
        return {"matches": compile_selector(body["selector"]), "fields": fields}
    if name == "_design":
        return {"design_only": True}
    if trusted:
        arguments = [(key, value) for key, value in query.pairs if key not in _KNOWN and key != "style"]
        return {"source_filter": (*arguments, ("filter", name))}
    raise Forbidden("Filter functions run in the source, on what is hidden: use _doc_ids or _selector.")


def _heartbeat(query: Query) -> float | None:
    value = query.last("heartbeat")
    if value is None or value == "false":
        return None
    return _MAX_WAIT_MS / 1000 if value == "true" else _milliseconds(query, "heartbeat", _MAX_WAIT_MS)


def _milliseconds(query: Query, name: str, default: int) -> float:
    """The seconds of a parameter in milliseconds, capped as CouchDB caps it."""
    value = query.last(name)
    if value is None:
        return default / 1000
    if not (value.isascii() and value.isdigit()) or (name == "heartbeat" and int(value) == 0):
        raise BadRequest(f"Invalid value for {name}: a number of milliseconds is expected.")
    return min(int(value), _MAX_WAIT_MS) / 1000


async def get_changes(exchange: Exchange) -> web.StreamResponse:
    """GET and POST of `_changes`, all feeds."""
    view = exchange.view
    query = Query(list(exchange.target.pairs), fold=True)
    body: dict[str, Any] = {}
    if exchange.method == "POST" and query.last("filter") in ("_doc_ids", "_selector"):
        body = await exchange.read_object()
    event_id = exchange.request.headers.get("Last-Event-ID")
    wanted = parse_wanted(query, body, event_id, view.profile.trusted)
    return await _Feed(exchange, wanted).run()


Judged = tuple[Row, Row | None, Shown | None]
"""A row of the source, what the view makes of it (None: nothing), and the view's winner where bodies were looked at."""


class _Feed:
    """One client's feed while it lasts."""

    def __init__(self, exchange: Exchange, wanted: Wanted) -> None:
        self.exchange = exchange
        self.view = exchange.view
        self.wanted = wanted
        self.encoder: ChangesEncoder = changes_encoder(wanted.feed)
        self.left = wanted.limit
        self.looks = self.view.judges or wanted.include_docs or wanted.matches is not None
        extra = list(wanted.source_filter)
        self.source = SourceFeed(
            self.view,
            0 if wanted.since == "now" else self.view.tokens.decode(wanted.since),
            "all_docs" if self.looks else wanted.style,
            wanted.descending,
            wanted.doc_ids,
            extra,
        )
        self.response: web.StreamResponse
        self.count = 0
        self.written = asyncio.Event()
        """Set by each write, cleared by the heartbeat."""
        self.last: Any = self.source.seq
        """The source's sequence up to which this feed has got."""
        self.unread = 0
        """Rows of the last page that were left when the limit was reached."""

    async def run(self) -> web.StreamResponse:
        """Serve the feed to its end."""
        if self.wanted.since == "now":
            await self.source.now()
            self.last = self.source.seq
        page = None if self.left is None else PAGE if self.view.hides else min(PAGE, max(self.left, 1))
        first = await self.source.open(page)
        kind = self.encoder.content_type
        headers = {
            "Content-Type": kind,
            **({"Cache-Control": "no-cache"} if kind == "text/event-stream" else {}),
        }
        self.response = await self.exchange.stream(headers)
        if self.exchange.method == "HEAD":
            first.release()
            await self.response.write_eof()
            return self.response
        await self.response.write(self.encoder.head())
        beating = asyncio.ensure_future(self._beat()) if self.wanted.heartbeat else None
        try:
            await self._present(self.source.present(first, page))
            if self.wanted.waits and not self.wanted.descending:
                await self._wait()
        finally:
            if beating is not None:
                beating.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await beating
        last_seq = jsonio.dumps(self.view.tokens.encode(self.last))
        await self.response.write(self.encoder.tail(last_seq, self.source.pending + self.unread))
        await self.response.write_eof()
        return self.response

    @property
    def full(self) -> bool:
        return self.left is not None and self.left <= 0

    async def _present(self, batches: AsyncGenerator[list[Row], None]) -> int:
        """Write what the view shows of the batches, up to the limit; the number of rows written.

        When the limit is reached the page is read to its end, for what the source says of the rows that remain.
        """
        written = 0
        async with aclosing(ahead(batches, self._judge)) as judged:
            async for changes in judged:
                if self.full:
                    self.source.last_page = True
                    self.unread += len(changes)
                else:
                    written += await self._write(changes)
        if not self.full and not self.wanted.descending:
            self.last = self.source.seq
        return written

    async def _wait(self) -> None:
        """Wait for changes that the view shows: one (longpoll), or for as long as client and limit allow."""
        while not self.full and not (self.count and self.wanted.feed == "longpoll"):
            try:
                async with asyncio.timeout(None if self.wanted.heartbeat else self.wanted.timeout):
                    while not await self._present(self.source.wait()):
                        pass
            except TimeoutError:
                return

    async def _write(self, changes: list[Judged]) -> int:
        """Write the rows of a batch up to the limit; the number of rows written."""
        pieces: list[bytes] = []
        reached = self.last
        for index, (row, change, shown) in enumerate(changes):
            reached = row["seq"]
            if change is None:
                continue
            seq = jsonio.dumps(self.view.tokens.encode(row["seq"]))
            pieces.append(await self._encode(change, shown, seq))
            if self.left is not None:
                self.left -= 1
                if self.full:
                    self.source.last_page = True
                    self.unread = len(changes) - index - 1
                    break
        self.last = reached  # together with the write: a time-out between the two would lose rows
        if pieces:
            self.count += len(pieces)
            self.written.set()
            await self.response.write(b"".join(pieces))
        return len(pieces)

    async def _encode(self, change: Row, shown: Shown | None, seq: bytes) -> bytes:
        body = {"id": change["id"], "changes": change["changes"]}
        if change.get("deleted"):
            body["deleted"] = True
        text = b'{"seq":%b,%b' % (seq, jsonio.dumps(body)[1:])
        if shown is not None and self.wanted.include_docs:
            text = b'%b,"doc":%b}' % (text[:-1], await self._doc(shown, change["doc"]))
        return self.encoder.row(text, seq)

    async def _doc(self, shown: Shown, doc: Doc) -> bytes:
        if self.wanted.fields is not None:
            doc = project_fields(doc, self.wanted.fields)
        if not self.wanted.att_encoding_info:
            doc = without_encoding_info(doc)
        if not self.wanted.attachments or "_attachments" not in doc:
            return jsonio.dumps(doc)
        names = following(doc, None, everything=True)
        return b"".join([piece async for piece in inline_json(self.view, shown, doc, names)])

    async def _judge(self, batch: list[Row]) -> list[Judged]:
        """Each source row with what the view makes of it."""
        if self.full:
            return [(row, None, None) for row in batch]
        ids = [row["id"] for row in batch if self._wanted_id(row["id"])]
        if not self.looks:
            return [(row, row if self._wanted_id(row["id"]) else None, None) for row in batch]
        extra = [("att_encoding_info", "true")] if self.wanted.att_encoding_info else []
        leaves = await judge(self.view, await fetch_leaves(self.view, ids, extra=extra)) if ids else {}
        judged: list[Judged] = []
        for row in batch:
            own = leaves.get(row["id"], [])
            shown = self._passing(own)
            judged.append((row, self._change(row, shown, own), shown[0]) if shown else (row, None, None))
        return judged

    def _wanted_id(self, doc_id: str) -> bool:
        is_design = doc_id.startswith("_design/")
        return self.view.profile.design_docs if is_design else not self.wanted.design_only

    def _passing(self, leaves: list[Shown]) -> list[Shown]:
        """The leaves that the client's selector lets through: grafts and bare tombstones always, they have no body."""
        if self.wanted.style == "main_only":
            leaves = leaves[:1]
        matches = self.wanted.matches
        if matches is None:
            return leaves
        return [leaf for leaf in leaves if _bare(leaf) or matches(_plain(leaf.doc))]

    def _change(self, row: Row, shown: list[Shown], leaves: list[Shown]) -> Row:
        change: Row = {"id": row["id"], "changes": [{"rev": leaf.rev} for leaf in shown]}
        if shown[0].deleted:
            change["deleted"] = True
        if self.wanted.include_docs:
            doc = _plain(shown[0].doc)
            conflicts = [leaf.rev for leaf in leaves if not leaf.deleted and leaf is not shown[0]]
            change["doc"] = {**doc, "_conflicts": conflicts} if self.wanted.conflicts and conflicts else doc
        return change

    async def _beat(self) -> None:
        """Write a heartbeat whenever nothing else was written for the interval that the client asked for."""
        while True:
            try:
                async with asyncio.timeout(self.wanted.heartbeat):
                    await self.written.wait()
                    self.written.clear()
            except TimeoutError:
                await self.response.write(self.encoder.heartbeat())


def _plain(doc: Doc) -> Doc:
    return {key: value for key, value in doc.items() if key != "_revisions"}


def _bare(leaf: Shown) -> bool:
    return leaf.deleted and leaf.doc.keys() <= {"_id", "_rev", "_deleted", "_revisions"}
