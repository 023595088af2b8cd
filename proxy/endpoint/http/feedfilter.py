"""The built-in filters of `_changes`. Filter functions of design documents need a query server, which this is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from proxy.core import jsonio
from proxy.core.selector import feed_fields, feed_selector, project_fields
from proxy.endpoint.database import Change, Database, Document
from proxy.endpoint.http.call import INVALID_JSON, Call
from proxy.endpoint.http.feedquery import FeedQuery
from proxy.errors import BadRequest, CouchError, NotFound

_NO_IDS = "`doc_ids` filter parameter is not a list of doc ids."
_SELECTOR_BY_POST = "Selector must be specified in POST payload"
_BAD_NAME = "`filter` must be of the form `designname/filtername`"
_UNKNOWN = "unknown builtin filter name"
_NO_QUERY_SERVER = "Filter functions need a query server; use filter=_selector, _doc_ids or _design."


@dataclass(frozen=True, slots=True)
class Filter:
    """`cut` gives of a change what passes, None for nothing; where it is None itself, all passes.

    `project` turns a document into what the row shows of it.
    """

    cut: Callable[[Change], Change | None] | None = None
    needs_document: bool = False
    project: Callable[[Document], bytes] | None = None


async def from_call(call: Call, database: Database, asked: FeedQuery) -> Filter:
    """The filter that a request names. Its body is read for `_doc_ids` and `_selector` only, but must be JSON."""
    body = None
    if not call.reads:
        call.need_json_type()
        body = await call.json_object(optional=True)
    name = asked.query.last("filter", "")
    if not name:
        return Filter()
    if name == "_doc_ids":
        return _by_ids(_doc_ids(asked, body))
    if name == "_selector":
        return _by_selector(database, body, all_leaves=asked.all_leaves)
    if name == "_design":
        return Filter(lambda change: change if change.id.startswith("_design/") else None)
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
    if not isinstance(ids, list) or not all(isinstance(doc_id, str) for doc_id in ids):
        raise BadRequest(_NO_IDS)
    return ids


def _by_ids(ids: list[str]) -> Filter:
    wanted = frozenset(ids)
    return Filter(lambda change: change if change.id in wanted else None)


def _by_selector(database: Database, body: Any, *, all_leaves: bool) -> Filter:
    """Each leaf that a row would name is judged by itself, as in CouchDB."""
    if body is None:
        raise BadRequest(_SELECTOR_BY_POST)
    predicate = feed_selector(body)
    fields = feed_fields(body)

    def matches(document: Document) -> bool:
        return predicate(jsonio.loads(document.json()))

    def cut(change: Change) -> Change | None:
        if change.document is None:
            return None
        if not all_leaves or len(change.leaves) == 1:
            return change if matches(change.document) else None
        found = database.open_revs(change.id, change.leaves)
        passing = {leaf.rev for leaf in found if isinstance(leaf, Document) and matches(leaf)}
        leaves = tuple(rev for rev in change.leaves if rev in passing)
        return replace(change, leaves=leaves) if leaves else None

    def project(document: Document) -> bytes:
        return jsonio.dumps(project_fields(jsonio.loads(document.json()), fields or ()))

    return Filter(cut, needs_document=True, project=project if fields else None)


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
