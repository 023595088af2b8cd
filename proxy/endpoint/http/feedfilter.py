"""The built-in filters of `_changes`. Filter functions of design documents need a query server, which this is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.core import jsonio
from proxy.core.selector import SelectorError, compile_selector, project_fields
from proxy.endpoint.database import Change, Database, Document
from proxy.endpoint.http.call import INVALID_JSON, Call
from proxy.endpoint.http.feedquery import FeedQuery
from proxy.errors import BadRequest, CouchError, NotFound

_NO_IDS = "`doc_ids` filter parameter is not a list of doc ids."
_NO_SELECTOR = "Selector error: expected a JSON object"
_SELECTOR_BY_POST = "Selector must be specified in POST payload"
_BAD_NAME = "`filter` must be of the form `designname/filtername`"
_UNKNOWN = "unknown builtin filter name"
_NO_QUERY_SERVER = "Filter functions need a query server; use filter=_selector, _doc_ids or _design."


@dataclass(frozen=True, slots=True)
class Filter:
    """`matches` None passes every row. `project` turns a document into what the row shows of it."""

    matches: Callable[[Change], bool] | None = None
    needs_document: bool = False
    project: Callable[[Document], bytes] | None = None


async def from_call(call: Call, database: Database, asked: FeedQuery) -> Filter:
    """The filter that a request names. Its body is read for `_doc_ids` and `_selector` only, but must be JSON."""
    body = None
    if not call.reads:
        call.need_json_type()
        body = await call.json()
    name = asked.query.last("filter", "")
    if not name:
        return Filter()
    if name == "_doc_ids":
        return _by_ids(_doc_ids(asked, body))
    if name == "_selector":
        return _by_selector(body)
    if name == "_design":
        return Filter(lambda change: change.id.startswith("_design/"))
    if name.startswith("_") and name != "_view":
        raise BadRequest(_UNKNOWN)
    if name == "_view":
        return _by_function(database, asked.query.last("view", "") or "", "views")
    return _by_function(database, name, "filters")


def _doc_ids(asked: FeedQuery, body: Any) -> list[str]:
    if body is None:
        text = asked.query.last("doc_ids")
        if text is None:
            raise BadRequest(_NO_IDS)
        try:
            ids = jsonio.loads(text.encode())
        except ValueError:
            raise BadRequest(INVALID_JSON) from None
    else:
        ids = body.get("doc_ids") if isinstance(body, dict) else None
    if not isinstance(ids, list):
        raise BadRequest(_NO_IDS)
    return ids


def _by_ids(ids: list[str]) -> Filter:
    wanted = frozenset(doc_id for doc_id in ids if isinstance(doc_id, str))
    return Filter(lambda change: change.id in wanted)


def _by_selector(body: Any) -> Filter:
    if body is None:
        raise BadRequest(_SELECTOR_BY_POST)
    selector = body.get("selector") if isinstance(body, dict) else None
    if not isinstance(selector, dict):
        raise BadRequest(_NO_SELECTOR)
    try:
        predicate = compile_selector(selector)
    except SelectorError as error:
        raise BadRequest(f"Selector error: {error.reason}") from None
    fields = body.get("fields")

    def matches(change: Change) -> bool:
        return change.document is not None and predicate(jsonio.loads(change.document.json()))

    def project(document: Document) -> bytes:
        return jsonio.dumps(project_fields(jsonio.loads(document.json()), fields))

    return Filter(matches, needs_document=True, project=project if fields else None)


def _by_function(database: Database, path: str, group: str) -> Filter:
    """404 for a function that is not there, in CouchDB's words, 501 for one that is."""
    design, slash, name = path.partition("/")
    if not slash or not name:
        raise BadRequest(_BAD_NAME)
    member = jsonio.loads(database.get(f"_design/{design}").json())
    for key in (group, name):
        if not isinstance(member, dict):
            raise NotFound("json_mismatch")
        if member.get(key) is None:
            raise NotFound(f"missing json key: {key}")
        member = member[key]
    raise CouchError(_NO_QUERY_SERVER, error="not_implemented", status=501)
