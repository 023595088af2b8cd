"""Handlers of `_find` and `_index`. There is one index, `_all_docs`: a query looks at every document.

So the order is always that of ids, and any other `sort` is refused, as CouchDB does where no index has it: what works
here works there. A bookmark holds the last id that was given out.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.selector import compile_selector, finds_nothing, limits_ids, project_fields, sort_key
from proxy.endpoint.database import Database
from proxy.endpoint.http.call import Call
from proxy.endpoint.http.reply import JSON_HEAD, Reply, json_reply
from proxy.errors import BadRequest

_MEMBERS = frozenset(
    (
        *("selector", "limit", "skip", "sort", "fields", "conflicts", "use_index", "bookmark", "r", "update"),
        *("stable", "stale", "execution_stats", "allow_fallback", "partition"),
    )
)
_NO_INDEX = "No index exists for this sort, try indexing by the sort fields."
_WARNING = "No matching index found, create an index to optimize query time."
_INDEX = {"ddoc": None, "name": "_all_docs", "type": "special", "def": {"fields": [{"_id": "asc"}]}}
_BREATH = 200
"""Documents looked at in one go before others get their turn."""


async def indexes(call: Call, database: Database) -> Reply:
    return json_reply({"total_rows": 1, "indexes": [_INDEX]})


@dataclass(slots=True)
class _Query:
    """One `_find` request. `after` is its bookmark: the id that was given out last."""

    body: dict[str, Any]
    limit: int
    skip: int
    fields: list[str]
    descending: bool
    after: str | None
    examined: int = 0


async def find(call: Call, database: Database) -> Reply:
    """Documents that match a selector, design documents excepted."""
    call.need_json_type()
    body = await call.json_object()
    for name in body:
        if name not in _MEMBERS:
            raise BadRequest(f"Invalid key {name} for this request.", error="invalid_key")
    if "selector" not in body:
        raise BadRequest("Missing required key: selector", error="missing_required_key")
    if not isinstance(body["selector"], dict):
        reason = f"Selector must be a JSON object, not: {_term(body['selector'])}"
        raise BadRequest(reason, error="invalid_selector_json")
    query = _Query(
        body,
        _whole(body, "limit", 25),
        _whole(body, "skip", 0),
        _fields(body),
        _is_descending(body),
        _after(body.get("bookmark")),
    )
    if finds_nothing(body["selector"]):
        return Reply(200, JSON_HEAD, b'{"docs":[\r\n]}\r\n\n')
    began = time.perf_counter()
    docs, bookmark = await _found(database, query)
    rows = [jsonio.dumps(project_fields(doc, query.fields) if query.fields else doc) for doc in docs]
    return Reply(200, JSON_HEAD, _layout(query, rows, bookmark, time.perf_counter() - began))


def _is_descending(body: dict[str, Any]) -> bool:
    """The direction of `sort`. Raises BadRequest for one that is not by `_id` alone, or for which no index is used."""
    sort = body.get("sort", [])
    key = sort_key(sort)
    if not sort:
        return False
    if key.fields != (("_id",),) or not limits_ids(body["selector"]):
        raise BadRequest(_NO_INDEX, error="no_usable_index")
    return key.descending


async def _found(database: Database, query: _Query) -> tuple[list[Doc], str]:
    """The matches in the order of their ids, from the bookmark on; looks no further than to the last one."""
    found: list[Doc] = []
    matching = _matching(database, query)
    skipped = count()
    if query.limit > 0:
        async for doc in matching:
            if next(skipped) < query.skip:
                continue
            found.append(doc)
            if len(found) == query.limit:
                break
    if not found:
        return found, query.body.get("bookmark") or "nil"
    return found, _bookmark(found[-1]["_id"])


async def _matching(database: Database, query: _Query) -> AsyncIterator[Doc]:
    matches = compile_selector(query.body["selector"])
    conflicts = query.body.get("conflicts") is True
    rows = database.all_docs(start=query.after, descending=query.descending, include_docs=True, conflicts=conflicts)
    for row in rows:
        if row.id == query.after or row.document is None or row.id.startswith("_design/"):
            continue
        query.examined += 1
        if query.examined % _BREATH == 0:
            await asyncio.sleep(0)
        doc = jsonio.loads(row.document.json())
        if matches(doc):
            yield doc


def _layout(query: _Query, rows: list[bytes], bookmark: str, seconds: float) -> bytes:
    members: list[tuple[bytes, Any]] = [(b"bookmark", bookmark)]
    if query.body.get("execution_stats") is True:
        members.append((b"execution_stats", _stats(query, len(rows), seconds)))
    members.append((b"warning", _WARNING))
    docs = b"\r\n" + b",\r\n".join(rows) if rows else b""
    tail = b"".join([b',\r\n"%b": %b' % (name, jsonio.dumps(value)) for name, value in members])
    return b'{"docs":[' + docs + b"\r\n]" + tail + b"}\r\n\n"


def _stats(query: _Query, returned: int, seconds: float) -> dict[str, Any]:
    return {
        "total_keys_examined": query.examined,
        "total_docs_examined": query.examined,
        "total_quorum_docs_examined": 0,
        "results_returned": returned,
        "execution_time_ms": round(seconds * 1000, 3),
    }


def _bookmark(doc_id: str) -> str:
    return base64.urlsafe_b64encode(jsonio.dumps(doc_id)).rstrip(b"=").decode()


def _after(bookmark: Any) -> str | None:
    if bookmark in (None, ""):
        return None
    try:
        doc_id = jsonio.loads(base64.urlsafe_b64decode(bookmark + "=" * (-len(bookmark) % 4)))
    except (ValueError, TypeError, binascii.Error):
        doc_id = None
    if isinstance(doc_id, str):
        return doc_id
    raise BadRequest(f"Invalid bookmark value: {jsonio.dumps(bookmark).decode()}", error="invalid_bookmark")


def _whole(body: dict[str, Any], name: str, default: int) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequest(
            f"{_term(value)} is not an integer greater than or equal to zero", error="invalid_non_neg_integer"
        )
    return value


def _fields(body: dict[str, Any]) -> list[str]:
    fields = body.get("fields", [])
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise BadRequest(f"Fields must be an array of strings, not: {_term(fields)}", error="invalid_fields")
    return fields


def _term(value: Any) -> str:
    """A value the way CouchDB prints it: strings as Erlang binaries."""
    if isinstance(value, str):
        return f"<<{','.join(str(byte) for byte in value.encode())}>>"
    return jsonio.dumps(value).decode()
