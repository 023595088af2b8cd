"""Handlers of `_find` and `_index`. There is one index, `_all_docs`: a query looks at every document.

So the order is always that of ids, and any other `sort` is refused, as CouchDB does where no index has it: what works
here works there. A bookmark holds the last id that was given out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.selector import project_fields
from proxy.endpoint.database import Database
from proxy.endpoint.http import findquery
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.findquery import FindQuery
from proxy.endpoint.http.reply import JSON_HEAD, Reply, json_reply

_INDEX = {"ddoc": None, "name": "_all_docs", "type": "special", "def": {"fields": [{"_id": "asc"}]}}
_BREATH = 200
"""Documents looked at in one go before others get their turn."""


async def indexes(call: Call, database: Database) -> Reply:
    return json_reply({"total_rows": 1, "indexes": [_INDEX]})


async def find(call: Call, database: Database) -> Reply:
    """Documents that match a selector, design documents excepted."""
    call.need_json_type()
    query = findquery.parse(await call.json_object())
    if query.in_vain:
        return Reply(200, JSON_HEAD, b'{"docs":[\r\n]}\r\n\n')
    search = _Search(database, query)
    began = time.perf_counter()
    docs = await search.found()
    rows = [jsonio.dumps(project_fields(doc, query.fields) if query.fields else doc) for doc in docs]
    mark = findquery.bookmark(docs[-1]["_id"]) if docs else query.given
    stats = search.stats(len(docs), time.perf_counter() - began) if query.execution_stats else None
    return Reply(200, JSON_HEAD, _layout(query, rows, mark, stats))


class _Search:
    """One query while it runs."""

    def __init__(self, database: Database, query: FindQuery) -> None:
        self._database = database
        self._query = query
        self._examined = 0

    async def found(self) -> list[Doc]:
        """The matches in the order of their ids, from the bookmark on; looks no further than to the last one."""
        found: list[Doc] = []
        skipped = count()
        if self._query.limit > 0:
            async for doc in self._matching():
                if next(skipped) < self._query.skip:
                    continue
                found.append(doc)
                if len(found) == self._query.limit:
                    break
        return found

    async def _matching(self) -> AsyncIterator[Doc]:
        query = self._query
        rows = self._database.all_docs(
            start=query.after, descending=query.descending, include_docs=True, conflicts=query.conflicts
        )
        for row in rows:
            if row.id == query.after or row.document is None or row.id.startswith("_design/"):
                continue
            self._examined += 1
            if self._examined % _BREATH == 0:
                await asyncio.sleep(0)
            doc = jsonio.loads(row.document.json())
            if query.matches(doc):
                yield doc

    def stats(self, returned: int, seconds: float) -> dict[str, Any]:
        return {
            "total_keys_examined": self._examined,
            "total_docs_examined": self._examined,
            "total_quorum_docs_examined": 0,
            "results_returned": returned,
            "execution_time_ms": round(seconds * 1000, 3),
        }


def _layout(query: FindQuery, rows: list[bytes], bookmark: str, stats: dict[str, Any] | None) -> bytes:
    members: list[tuple[bytes, Any]] = [(b"bookmark", bookmark)]
    if stats is not None:
        members.append((b"execution_stats", stats))
    members.append((b"warning", query.warning))
    docs = b"\r\n" + b",\r\n".join(rows) if rows else b""
    tail = b"".join([b',\r\n"%b": %b' % (name, jsonio.dumps(value)) for name, value in members])
    return b'{"docs":[' + docs + b"\r\n]" + tail + b"}\r\n\n"
