"""`_bulk_get`: many documents, each at a revision or at all its leaves, in one streamed reply.

The reply has one result per entry, in their order. What the view does not show is CouchDB's `not_found` of a document
that does not exist. JSON is the form, unless the client takes multipart only (wire reference 1.6).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Query
from proxy.core.wire.accept import JSON, bulk_get_type
from proxy.core.wire.envelope import BulkGet, new_boundary
from proxy.errors import BadRequest
from proxy.exchange import Exchange
from proxy.reading.answer import Answer
from proxy.reading.attachments import coded_bodies, following, inline_json
from proxy.reading.bulk_entries import Entry, Settled, missing, parse_entries, settle
from proxy.reading.multipart import bundle, enveloped
from proxy.reading.read_ahead import ReadAhead
from proxy.resolve import Shown
from proxy.view import View

_FORBIDDEN = ("rev", "open_revs", "atts_since", "w", "new_edits")


@dataclass(frozen=True)
class Wanted:
    """The parameters of a request."""

    revs: bool
    latest: bool
    attachments: bool
    att_encoding_info: bool


def parse_wanted(query: Query) -> Wanted:
    """Raises BadRequest for the parameters that CouchDB does not take here."""
    for name, _ in query.pairs:
        if name in _FORBIDDEN:
            raise BadRequest(f'"{name}" query parameter is not acceptable')
    return Wanted(
        revs=query.sticky("revs"),
        latest=query.sticky("latest"),
        attachments=query.sticky("attachments"),
        att_encoding_info=query.sticky("att_encoding_info"),
    )


async def post_bulk_get(exchange: Exchange) -> web.StreamResponse:
    """POST _bulk_get."""
    wanted = parse_wanted(exchange.query)
    entries = parse_entries((await exchange.read_object()).get("docs"))
    kind = bulk_get_type(exchange.request.headers.get("Accept"))
    if kind == JSON:
        answer = Answer(exchange, JSON)
        writer: _Json | _Multipart = _Json(exchange.view, wanted, answer)
    else:
        envelope = BulkGet(b"--" + new_boundary(), kind)
        answer = Answer(exchange, envelope.content_type)
        writer = _Multipart(exchange.view, wanted, answer, envelope)
    await writer.begin()
    await _write_all(exchange.view, entries, wanted, writer)
    await writer.end()
    return await answer.finish()


async def _write_all(view: View, entries: list[Entry], wanted: Wanted, writer: _Json | _Multipart) -> None:
    """Write the result of each entry in order; entries with a problem stand between those that were looked up."""
    asked = [entry for entry in entries if entry.problem is None]
    revs = wanted.revs or any(entry.atts_since for entry in asked)
    encodings = wanted.att_encoding_info or isinstance(writer, _Multipart)
    position = 0
    async with aclosing(settle(view, asked, latest=wanted.latest, revs=revs, encodings=encodings)) as batches:
        async for settled in batches:
            if len(asked) < len(entries):
                settled, position = _with_problems(entries, position, settled)
            await writer.write(settled)
    await writer.write([(entry, []) for entry in entries[position:] if entry.problem is not None])


def _with_problems(entries: list[Entry], position: int, settled: list[Settled]) -> tuple[list[Settled], int]:
    merged: list[Settled] = []
    for entry, shown in settled:
        while entries[position] is not entry:
            merged.append((entries[position], []))
            position += 1
        merged.append((entry, shown))
        position += 1
    return merged, position


class _Json:
    """The JSON form."""

    def __init__(self, view: View, wanted: Wanted, answer: Answer) -> None:
        self._view = view
        self._wanted = wanted
        self._answer = answer
        self._separator = b""
        self._bodies = wanted.attachments

    async def begin(self) -> None:
        await self._answer.write(b'{"results":[')

    async def write(self, settled: Sequence[Settled]) -> None:
        plain: list[dict[str, Any]] = []
        inline = [(leaf, self._names(entry, leaf)) for entry, shown in settled for leaf in shown]
        async with await coded_bodies(self._view, inline) as bodies:
            for entry, shown in settled:
                if not shown:
                    plain.append({"id": entry.doc_id, "docs": [{"error": entry.problem or missing(entry)}]})
                elif any(self._names(entry, leaf) for leaf in shown):
                    await self._flush(plain)
                    plain = []
                    await self._write_inline(entry, shown, bodies)
                else:
                    plain.append({"id": entry.doc_id, "docs": [{"ok": self._dress(leaf.doc)} for leaf in shown]})
            await self._flush(plain)

    def _names(self, entry: Entry, leaf: Shown) -> list[str]:
        """The attachments whose bodies go with a document."""
        if not (self._bodies or entry.atts_since) or "_attachments" not in leaf.doc:
            return []
        return following(leaf.doc, entry.atts_since, self._bodies)

    async def end(self) -> None:
        await self._answer.write(b"]}\n")

    async def _flush(self, results: list[dict[str, Any]]) -> None:
        if results:
            await self._answer.write(self._separator + jsonio.dumps(results)[1:-1])
            self._separator = b","

    async def _write_inline(self, entry: Entry, shown: Sequence[Shown], bodies: ReadAhead) -> None:
        """A result whose documents have the bodies of attachments in them."""
        await self._answer.write(b'%b{"id":%b,"docs":[' % (self._separator, jsonio.dumps(entry.doc_id)))
        self._separator = b","
        for index, leaf in enumerate(shown):
            await self._answer.write(b',{"ok":' if index else b'{"ok":')
            names = self._names(entry, leaf)
            async for piece in inline_json(self._view, leaf, self._dress(leaf.doc), names, bodies):
                await self._answer.write(piece)
            await self._answer.write(b"}")
        await self._answer.write(b"]}")

    def _dress(self, doc: Doc) -> Doc:
        return doc if self._wanted.revs else _without_revisions(doc)


class _Multipart:
    """The multipart form, where attachments always come with their documents."""

    def __init__(self, view: View, wanted: Wanted, answer: Answer, envelope: BulkGet) -> None:
        self._view = view
        self._wanted = wanted
        self._answer = answer
        self._envelope = envelope

    async def begin(self) -> None:
        await self._answer.write(self._envelope.head())

    async def write(self, settled: Sequence[Settled]) -> None:
        for entry, shown in settled:
            if not shown:
                await self._answer.write(self._envelope.error(jsonio.dumps(_part_error(entry))))
            for leaf in shown:
                async for piece in self._part(entry, leaf):
                    await self._answer.write(piece)

    async def end(self) -> None:
        await self._answer.write(self._envelope.tail())

    def _part(self, entry: Entry, leaf: Shown) -> AsyncIterator[bytes]:
        doc = leaf.doc if self._wanted.revs else _without_revisions(leaf.doc)
        names = following(leaf.doc, entry.atts_since, everything=True)
        return enveloped(self._envelope, bundle(self._view, leaf, doc, names, b"--" + new_boundary()))


def _part_error(entry: Entry) -> dict[str, Any]:
    """The error in a part of its own: CouchDB names the document only if no revision was asked for."""
    if entry.problem is not None or entry.asked is None:
        return entry.problem or missing(entry)
    return {"rev": entry.rev, "error": "not_found", "reason": "missing"}


def _without_revisions(doc: Doc) -> Doc:
    if "_revisions" not in doc:
        return doc
    return {key: value for key, value in doc.items() if key != "_revisions"}
