"""`_all_docs`, its `/queries`, and `_design_docs`: the view's documents by id.

`total_rows` and `offset` count what is hidden: a view that hides documents gives null, as CouchDB does where it cannot
count. Replies are streamed in CouchDB's layout.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiohttp import web

from proxy.core import jsonio
from proxy.core.wire.accept import JSON
from proxy.errors import BadRequest, Forbidden
from proxy.exchange import Exchange
from proxy.reading.answer import Answer
from proxy.reading.attachments import following, inline_json
from proxy.reading.listing import ListEncoder, ListOptions, parse_list_options
from proxy.reading.scan import Listed, Scan
from proxy.view import View


async def get_all_docs(exchange: Exchange) -> web.StreamResponse:
    """GET, HEAD and POST of `_all_docs`."""
    check_allowed(exchange.view)
    return await _answer(exchange, "_all_docs")


async def get_design_docs(exchange: Exchange) -> web.StreamResponse:
    """GET, HEAD and POST of `_design_docs`."""
    check_allowed(exchange.view)
    if not exchange.view.profile.design_docs:
        raise Forbidden("Design documents are not available through this proxy.")
    return await _answer(exchange, "_design_docs")


async def post_queries(exchange: Exchange) -> web.StreamResponse:
    """POST of `_all_docs/queries`: several lists in one reply, with the query string for defaults."""
    check_allowed(exchange.view)
    body = await exchange.read_object()
    if "queries" not in body:
        raise BadRequest("POST body must include `queries` parameter.")
    queries = body["queries"]
    if not isinstance(queries, list) or not all(isinstance(query, dict) for query in queries):
        raise BadRequest("`queries` member must be an array.")
    asked = [parse_list_options(exchange.query, query, body_first=True) for query in queries]
    answer = Answer(exchange, JSON)
    await answer.write(b'{"results":[')
    for index, options in enumerate(asked):
        await answer.write(b",\r\n" if index else b"\r\n")
        await _write_list(exchange.view, options, "_all_docs", answer)
    await answer.write(b"\r\n]}\n")
    return await answer.finish()


def check_allowed(view: View) -> None:
    """Raises Forbidden for a profile that may not list documents."""
    if not view.profile.all_docs:
        raise Forbidden("Listing documents is not available through this proxy.")


async def read_options(exchange: Exchange) -> ListOptions:
    """The options of a list request. HEAD is for the headers only: no row is looked for."""
    body = await exchange.read_object() if exchange.method == "POST" else None
    options = parse_list_options(exchange.query, body)
    return replace(options, limit=0) if exchange.method == "HEAD" else options


async def _answer(exchange: Exchange, endpoint: str) -> web.StreamResponse:
    options = await read_options(exchange)
    answer = Answer(exchange, JSON)
    await _write_list(exchange.view, options, endpoint, answer)
    await answer.write(b"\n")
    return await answer.finish()


async def _write_list(view: View, options: ListOptions, endpoint: str, answer: Answer) -> None:
    # asked for beforehand: what changes while the list is read is in the feed after this sequence
    update_seq = await _update_seq(view) if options.update_seq else None
    scan = Scan(view, options, endpoint)
    encoder = ListEncoder()
    begun = False
    async with aclosing(_pieces(view, scan, encoder)) as pieces:
        async for piece in pieces:
            if not begun:
                begun = True
                await answer.write(_head(scan, encoder, update_seq))
            await answer.write(piece)
    await answer.write(encoder.tail())


async def _pieces(view: View, scan: Scan, encoder: ListEncoder) -> AsyncGenerator[bytes, None]:
    """The rows as JSON; at least one piece, when the source's head is known."""
    options = scan.options
    if not scan.hides and not options.include_docs and options.keys is None:
        async with aclosing(scan.raw()) as raw:
            async for rows in raw:
                yield encoder.rows(rows)
        return
    async with aclosing(scan.batches()) as batches:
        async for batch in batches:
            if not (options.include_docs and options.attachments):
                yield encoder.rows([_row(listed, options) for listed in batch])
                continue
            yield b""
            for listed in batch:
                async for piece in _with_bodies(view, listed, options, encoder):
                    yield piece


def _head(scan: Scan, encoder: ListEncoder, update_seq: Any) -> bytes:
    total = None if scan.hides else scan.head.get("total_rows")
    offset = None if scan.hides or scan.options.keys is not None else scan.head.get("offset")
    return encoder.head(total, offset, update_seq)


def _row(listed: Listed, options: ListOptions) -> bytes:
    shown = listed.shown
    if shown is None:
        return jsonio.dumps({"key": listed.key, "error": "not_found"})
    row: dict[str, Any] = {"id": listed.key, "key": listed.key, "value": {"rev": shown.rev}}
    if shown.deleted:
        row["value"]["deleted"] = True
    if options.include_docs:
        row["doc"] = None if shown.deleted else _doc(listed, options)
    return jsonio.dumps(row)


def _doc(listed: Listed, options: ListOptions) -> dict[str, Any]:
    assert listed.shown is not None
    if options.conflicts and listed.conflicts:
        return {**listed.shown.doc, "_conflicts": list(listed.conflicts)}
    return listed.shown.doc


async def _with_bodies(
    view: View, listed: Listed, options: ListOptions, encoder: ListEncoder
) -> AsyncGenerator[bytes, None]:
    """A row whose document has the bodies of its attachments in it."""
    shown = listed.shown
    if shown is None or shown.deleted or "_attachments" not in shown.doc:
        yield encoder.rows([_row(listed, options)])
        return
    bare = jsonio.dumps({"id": listed.key, "key": listed.key, "value": {"rev": shown.rev}})
    yield encoder.begin_row() + bare[:-1] + b',"doc":'
    async for piece in inline_json(view, shown, _doc(listed, options), following(shown.doc, None, everything=True)):
        yield piece
    yield b"}"


async def _update_seq(view: View) -> str | int:
    return view.tokens.encode((await view.info()).get("update_seq", 0))
