"""`_find`: Mango queries, evaluated on the documents as the view shows them.

The source's indexes are not used: they know fields that the client does not, and a selector on one of those would tell
what is in it. So every query is a scan, which CouchDB would call an unindexed one; and every sort is possible. What is
counted and what a bookmark holds are visible documents only: those up to the last one that is given, or all of them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.selector import project_fields
from proxy.core.wire.accept import JSON
from proxy.errors import BadRequest, Forbidden
from proxy.exchange import Exchange
from proxy.reading.answer import Answer
from proxy.reading.find_request import FindRequest, bad_bookmark, parse_find
from proxy.reading.listing import ListOptions
from proxy.reading.scan import Scan
from proxy.turns import Turn
from proxy.view import View

_WARNING = "No matching index found, create an index to optimize query time."
_MARK = "find"

Place = tuple[Any, ...]
"""Where a document stands in a sorted result: its key, then its id."""


async def post_find(exchange: Exchange) -> web.StreamResponse:
    """POST _find."""
    if not exchange.view.profile.find:
        raise Forbidden("_find is not available through this proxy.")
    request = parse_find(await exchange.read_object())
    search = _Search(exchange.view, request)
    answer = Answer(exchange, JSON)
    await answer.write(b'{"docs":[')
    if request.in_vain:
        await answer.write(b"\r\n]}\r\n\n")
        return await answer.finish()
    async with aclosing(search.run()) as batches:
        async for docs in batches:
            for doc in docs:
                await answer.write((b",\r\n" if search.returned else b"\r\n") + jsonio.dumps(doc))
                search.returned += 1
    await answer.write(search.tail())
    return await answer.finish()


class _Search:
    """One query while it runs."""

    def __init__(self, view: View, request: FindRequest) -> None:
        self._view = view
        self._request = request
        self._after = _read_bookmark(view, request)
        self._began = time.monotonic()
        self._bookmark: Any = None
        self.examined = 0
        self.returned = 0

    async def run(self) -> AsyncGenerator[list[Doc], None]:
        """The documents that are found, projected to the fields that are wanted."""
        found = self._by_id() if self._request.sort is None else self._sorted()
        async with aclosing(found):
            async for docs in found:
                yield [project_fields(doc, self._request.fields) for doc in docs]

    def tail(self) -> bytes:
        """What follows the documents."""
        given = self._request.bookmark or "nil"  # where nothing was found there is nothing further
        mark = given if self._bookmark is None else self._view.tokens.encode([_MARK, self._bookmark])
        parts = [b'"bookmark": ' + jsonio.dumps(mark)]
        if self._request.execution_stats:
            stats = {
                "total_keys_examined": 0,
                "total_docs_examined": self.examined,
                "total_quorum_docs_examined": 0,
                "results_returned": self.returned,
                "execution_time_ms": round((time.monotonic() - self._began) * 1000, 3),
            }
            parts.append(b'"execution_stats": ' + jsonio.dumps(stats))
        parts.append(b'"warning": ' + jsonio.dumps(_WARNING))
        return b"\r\n],\r\n" + b",\r\n".join(parts) + b"}\r\n\n"

    async def _by_id(self) -> AsyncGenerator[list[Doc], None]:
        """In the order of ids: each document as it is found, until there are enough."""
        skip, left = self._request.skip, self._request.limit
        if not left:
            return
        async with aclosing(self._matching(self._after)) as batches:
            async for batch in batches:
                found = batch[skip : skip + left]
                skip -= min(skip, len(batch))
                left -= len(found)
                if found:
                    self._bookmark = found[-1]["_id"]
                    yield found
                if not left:
                    return

    async def _sorted(self) -> AsyncGenerator[list[Doc], None]:
        """In the order of `sort`: the first of all that match, of which no more are held than are wanted, twice."""
        request = self._request
        assert request.sort is not None
        wanted = request.skip + request.limit
        found: list[tuple[Place, Doc]] = []
        after = None if self._after is None else self._place(self._after)
        async with aclosing(self._matching(None)) as batches:
            async for batch in batches:
                for doc in batch:
                    place = self._place(doc)
                    if after is None or (place < after if request.descending else place > after):
                        found.append((place, doc))
                if len(found) > 2 * wanted:
                    found = self._first(found, wanted)
        docs = [doc for _, doc in self._first(found, wanted)[request.skip :]]
        if docs:
            self._bookmark = {name: docs[-1][name] for name in self._sorted_by() if name in docs[-1]}
            yield docs

    def _first(self, found: list[tuple[Place, Doc]], count: int) -> list[tuple[Place, Doc]]:
        return sorted(found, key=lambda item: item[0], reverse=self._request.descending)[:count]

    def _place(self, doc: Doc) -> Place:
        assert self._request.sort is not None
        return (self._request.sort(doc), doc["_id"].encode())

    def _sorted_by(self) -> set[str]:
        """The top-level members that a document's place depends on."""
        assert self._request.sort is not None
        return {"_id", *(path[0] for path in self._request.sort.fields if path)}

    async def _matching(self, after: str | None) -> AsyncGenerator[list[Doc], None]:
        """The visible documents that match, in the order of ids, after one of them. Design documents are none.

        Without `sort` it ends with the last that is wanted. None behind it is counted as examined: where the source's
        batches end depends on what is hidden.
        """
        request = self._request
        options = ListOptions(
            start=after,
            has_start=after is not None,
            descending=request.descending and request.sort is None,
            conflicts=request.conflicts,
        )
        enough = left = request.skip + request.limit if request.sort is None else 1 << 30
        async with aclosing(Scan(self._view, options).pages(enough)) as batches:
            async for batch in batches:
                matching = []
                turn = Turn()  # a selector can be slow, too
                for listed in batch:
                    if listed.shown is None or listed.key == after or listed.key.startswith("_design/"):
                        continue
                    self.examined += 1
                    doc = listed.shown.doc
                    if request.conflicts and listed.conflicts:
                        doc = {**doc, "_conflicts": list(listed.conflicts)}
                    if request.matches(doc):
                        matching.append(doc)
                        left -= 1
                        if not left:
                            break
                    if turn.is_over():
                        await turn.pass_on()
                yield matching
                if not left:
                    return


def _read_bookmark(view: View, request: FindRequest) -> Any:
    """The id (or, in a sorted result, the members that place it) of the last document that the client has."""
    if request.bookmark is None:
        return None
    try:
        mark = view.tokens.decode(request.bookmark)
    except BadRequest:
        raise bad_bookmark(request.bookmark) from None
    if mark == 0:
        return None  # of an older epoch: the view's rules have changed, the query starts over
    place = mark[1] if isinstance(mark, list) and len(mark) == 2 and mark[0] == _MARK else None
    is_one = isinstance(place, str) if request.sort is None else isinstance(place, dict)
    if not is_one:
        raise bad_bookmark(request.bookmark)
    return place
