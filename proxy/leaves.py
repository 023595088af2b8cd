"""All leaves of documents from sources whose `_bulk_get` does not give them.

CouchDB answers an entry without `rev` with all leaves of the document, deleted ones too. PouchDB Server answers it with
the winner, and with `{}` if that is deleted: conflicts and deletions would be lost. Such a source is known by what it
says of a document that nobody has, asked once, and gives the leaves of one document at a time by `open_revs=all`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from proxy.contract import Doc
from proxy.errors import Unavailable
from proxy.upstream import JSON_HEADERS, Upstream
from proxy.view import View

_AT_ONCE = 16

_in_bulk: WeakKeyDictionary[Upstream, bool] = WeakKeyDictionary()


async def are_in_bulk(view: View) -> bool:
    """Whether the source's `_bulk_get` gives all leaves. Raises the source's error."""
    known = _in_bulk.get(view.upstream)
    if known is None:
        # an id that cannot be known: a document that a client stores under it would stop everything
        body = {"docs": [{"id": f"tailor-{uuid4().hex}"}]}
        reply = await view.upstream.json("POST", view.path("_bulk_get"), headers=view.headers, body=body)
        known = _in_bulk[view.upstream] = _says_not_found(reply)
    return known


def _says_not_found(reply: Any) -> bool:
    """Whether a `_bulk_get` reply has CouchDB's error entry, not PouchDB Server's empty one."""
    try:
        [result] = reply["results"]
        [entry] = result["docs"]
        if entry == {} or entry["error"]["error"] == "not_found":
            return bool(entry)
    except (TypeError, KeyError, ValueError):
        pass
    raise Unavailable("The source's _bulk_get reply is not of CouchDB's form.")


async def one_by_one(view: View, ids: Iterable[str], extra: Sequence[tuple[str, str]]) -> list[Doc]:
    """All leaves of the documents with their `_revisions`; unknown documents have none. Raises Unavailable."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def leaves(doc_id: str) -> list[Doc]:
        async with limit:
            return await _leaves(view, doc_id, extra)

    try:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(leaves(doc_id)) for doc_id in ids]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [doc for task in asking for doc in task.result()]


async def _leaves(view: View, doc_id: str, extra: Sequence[tuple[str, str]]) -> list[Doc]:
    async with await view.upstream.request(
        "GET",
        view.document_path(doc_id),
        [("open_revs", "all"), ("revs", "true"), *extra],
        headers={"Accept": JSON_HEADERS["Accept"], **view.headers},
    ) as reply:
        if reply.status == 404:
            await reply.read()
            return []
        if reply.status != 200:
            raise await reply.error()
        entries = await reply.json()
    try:
        docs = [entry["ok"] for entry in entries if "ok" in entry]
        if all(doc["_id"] == doc_id and isinstance(doc["_rev"], str) for doc in docs):
            return docs
    except (TypeError, KeyError):
        pass
    raise Unavailable("The source's answer to open_revs is not of CouchDB's form.")
