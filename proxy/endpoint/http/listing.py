"""Handlers of `_all_docs`, `_design_docs` and `_local_docs`, and of the `/queries` of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from proxy.core import jsonio
from proxy.endpoint.database import Database, Row
from proxy.endpoint.http import options
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.options import Options
from proxy.endpoint.http.render import document_json
from proxy.endpoint.http.reply import CHUNK, Reply, Stream, json_stream
from proxy.errors import BadRequest

_DESIGN, _AFTER_DESIGN = "_design/", "_design0"
_LOCAL, _AFTER_LOCAL = "_local/", "_local0"
_END = b"\r\n]}"
_LAST = _END + b"\n"

Listing = Callable[[Database, Options, bytes], Stream]
"""One whole listing, which ends with the given bytes."""


async def all_docs(call: Call, database: Database) -> Reply:
    return json_stream(_document(database, await _asked(call)))


async def design_docs(call: Call, database: Database) -> Reply:
    return json_stream(_designs(database, await _asked(call)))


async def local_docs(call: Call, database: Database) -> Reply:
    return json_stream(_locals(database, await _asked(call)))


async def all_docs_queries(call: Call, database: Database) -> Reply:
    """Several `_all_docs` queries in one request, each with its own options."""
    return json_stream(_several(database, await _queries(call), _document))


async def design_docs_queries(call: Call, database: Database) -> Reply:
    return json_stream(_several(database, await _queries(call), _designs))


async def local_docs_queries(call: Call, database: Database) -> Reply:
    return json_stream(_several(database, await _queries(call), _locals))


async def _asked(call: Call) -> Options:
    """The options of a GET's query, or of a POST's body with the query on top."""
    if call.reads:
        return options.from_query(call.query)
    call.need_json_type()
    return options.from_body(await call.json_object(), call.query)


async def _queries(call: Call) -> list[Options]:
    asked = (await call.json_object()).get("queries")
    if asked is None:
        raise BadRequest("POST body must include `queries` parameter.")
    if not isinstance(asked, list):
        raise BadRequest("`queries` member must be an array.")
    if not all(isinstance(one, dict) for one in asked):  # CouchDB fails with 500
        raise BadRequest("`queries` parameter must be an array of objects.")
    return options.from_queries(asked, call.query)


async def _several(database: Database, asked: list[Options], listing: Listing) -> Stream:
    yield b'{"results":['
    separator = b"\r\n"
    for one in asked:
        yield separator
        async for piece in listing(database, one, _END):
            yield piece
        separator = b",\r\n"
    yield _LAST


def _designs(database: Database, asked: Options, end: bytes = _LAST) -> Stream:
    total = sum(1 for _ in database.all_docs(start=_DESIGN, end=_AFTER_DESIGN, inclusive_end=False))
    return _document(database, asked.within(_DESIGN, _AFTER_DESIGN), end, total)


def _locals(database: Database, asked: Options, end: bytes = _LAST) -> Stream:
    rows = database.local_docs(include_docs=asked.include_docs)
    head = _head(None, None, *((None,) if asked.update_seq else ()))
    return _rows(database, head, _selected(rows, asked.within(_LOCAL, _AFTER_LOCAL)), asked, end)


def _document(database: Database, asked: Options, end: bytes = _LAST, total: int | None = None) -> Stream:
    """One whole listing. `total`: what to say of the number of rows, if not all documents."""
    count = database.doc_count if total is None else total
    seq = (database.seq_text(database.update_seq) if asked.keys is None else None,) if asked.update_seq else ()
    if asked.keys is not None:
        keyed = _keyed(database, asked)
        return _rows(database, _head(count, None, *seq), keyed, asked, end)
    start = asked.start
    offset = database.all_docs_offset(start, descending=asked.descending) + asked.skip
    return _rows(
        database, _head(count, min(offset, database.doc_count), *seq), _paired(_ranged(database, asked)), asked, end
    )


def _head(total: int | None, offset: int | None, *seq: str | None) -> bytes:
    members: dict[str, Any] = {"total_rows": total, "offset": offset}
    if seq:
        members["update_seq"] = seq[0]
    return jsonio.dumps(members)[:-1] + b',"rows":['


def _ranged(database: Database, asked: Options) -> Iterator[Row]:
    if asked.limit == 0:
        return iter(())
    return database.all_docs(
        start=asked.start,
        end=asked.end,
        inclusive_end=asked.inclusive_end,
        descending=asked.descending,
        skip=asked.skip,
        limit=asked.limit,
        include_docs=asked.include_docs,
        conflicts=asked.conflicts,
    )


def _keyed(database: Database, asked: Options) -> Iterator[tuple[Any, Row | None]]:
    chosen = asked.chosen_keys()
    names = [key for key in chosen if isinstance(key, str)]
    rows = database.all_docs_keys(names, include_docs=asked.include_docs, conflicts=asked.conflicts)
    return ((key, next(rows) if isinstance(key, str) else None) for key in chosen)


def _selected(rows: Iterable[Row], asked: Options) -> Iterator[tuple[Any, Row | None]]:
    """`rows`, all of them in ascending order, cut to what was asked for. Keys are ids here."""
    if asked.keys is not None:
        by_id = {row.id: row for row in rows}
        return ((key, by_id.get(key)) for key in asked.chosen_keys())
    chosen = [row for row in rows if asked.covers(row.id)]
    if asked.descending:
        chosen.reverse()
    return _paired(islice(chosen, asked.skip, None if asked.limit is None else asked.skip + asked.limit))


def _paired(rows: Iterable[Row]) -> Iterator[tuple[Any, Row | None]]:
    return ((row.id, row) for row in rows)


async def _rows(
    database: Database,
    head: bytes,
    rows: Iterable[tuple[Any, Row | None]],
    asked: Options,
    end: bytes = _LAST,
) -> Stream:
    pieces = [head]
    size = 0
    separator = b"\r\n"
    for key, found in rows:
        if found is None:
            text = b'{"key":%b,"error":"not_found"}' % jsonio.dumps(key)
        else:
            text = await _row(database, found, asked)
        pieces += (separator, text)
        separator = b",\r\n"
        size += len(text)
        if size > CHUNK:
            yield b"".join(pieces)
            pieces, size = [], 0
    if separator == b"\r\n":
        pieces.append(separator)
    pieces.append(end)
    yield b"".join(pieces)


async def _row(database: Database, row: Row, asked: Options) -> bytes:
    name = jsonio.dumps(row.id)
    deleted = b',"deleted":true' if row.deleted else b""
    text = b'{"id":%b,"key":%b,"value":{"rev":"%b"%b}' % (name, name, row.rev.encode(), deleted)
    if not asked.include_docs:
        return text + b"}"
    if row.document is None:
        return text + b',"doc":null}'
    if asked.shown.plain:
        doc = row.document.json(encoding_info=asked.shown.encoding_info)
    else:
        doc = await document_json(database, row.document, asked.shown)
    return b'%b,"doc":%b}' % (text, doc)
