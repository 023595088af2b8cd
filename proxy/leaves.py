"""Documents from sources whose `_bulk_get` does not give them, one at a time.

CouchDB from 2.0 on answers a `_bulk_get` entry without `rev` with all leaves of the document, deleted ones too. PouchDB
Server answers it with the winner, and with `{}` if that is deleted: conflicts and deletions would be lost. CouchDB 1.x
has no `_bulk_get` at all; others take no notice of its `revs`. A source is known by what it says of a document that
nobody has, asked once, and by documents without `_revisions`; what it does not give in bulk is fetched by `open_revs`,
AT_ONCE documents of a source at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from proxy.bodies import TooMany
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.revisions import is_ancestry
from proxy.errors import Unavailable
from proxy.place import Place
from proxy.sizes import LONGEST, noticed, was_too_long
from proxy.upstream import JSON_HEADERS, Upstream

AT_ONCE = 32
_REVISIONS_AT_ONCE = 50
"""Revisions named in one URL: 2 KB of it."""

_NO_SUCH_ENDPOINT = (400, 404, 405, 415, 501)
"""CouchDB 1.x takes `_bulk_get` for the id of a document: the words differ between its versions."""
_NO_ROUTE = (500, "internal")
"""What Kagency's endpoint says of every path that it does not know; CouchDB has no such word."""

_ABSENT = ("missing", "deleted")
"""The reasons of a 404 for a document; of a database that is not there CouchDB says something else."""


class Bulk(Enum):
    """What a source's `_bulk_get` gives."""

    EVERYTHING = "all leaves, and single revisions"
    REVISIONS = "single revisions"
    NOTHING = "nothing: there is none"


@dataclass
class _Known:
    """What is known of a source."""

    bulk: Bulk | None = None
    single: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))


_sources: WeakKeyDictionary[Upstream, _Known] = WeakKeyDictionary()

Question = tuple[str, Sequence[str] | None]
"""A document's id, and the revisions that are asked for; None: all leaves."""


async def are_in_bulk(place: Place) -> bool:
    """Whether the source's `_bulk_get` gives all leaves. Raises the source's error."""
    return await _bulk(place) is Bulk.EVERYTHING


async def revisions_are_in_bulk(place: Place) -> bool:
    """Whether the source has a `_bulk_get` that gives single revisions. Raises the source's error."""
    return await _bulk(place) is not Bulk.NOTHING


def not_in_bulk(place: Place) -> None:
    """What the source's `_bulk_get` gives is of no use: from now on documents are fetched one at a time."""
    _sources.setdefault(place.upstream, _Known()).bulk = Bulk.NOTHING


async def _bulk(place: Place) -> Bulk:
    known = _sources.setdefault(place.upstream, _Known())
    if known.bulk is None:
        known.bulk = await _ask(place)
    return known.bulk


async def _ask(place: Place) -> Bulk:
    # an id that cannot be known: a document that a client stores under it would stop everything
    body = jsonio.dumps({"docs": [{"id": f"tailor-{uuid4().hex}"}]})
    headers = {**JSON_HEADERS, **place.headers}
    async with await place.upstream.request("POST", place.path("_bulk_get"), headers=headers, body=body) as reply:
        if reply.status == 200:
            return Bulk.EVERYTHING if _says_not_found(await reply.json()) else Bulk.REVISIONS
        refusal = await reply.error()
    unknown = reply.status in _NO_SUCH_ENDPOINT or (reply.status, refusal.error) == _NO_ROUTE
    if not unknown or isinstance(refusal, Unavailable):
        raise refusal
    await place.upstream.json("GET", place.path(), headers=place.headers)  # it may be the database that is not there
    return Bulk.NOTHING


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


async def one_by_one(place: Place, ids: Iterable[str], extra: Sequence[tuple[str, str]], *, at_once: bool) -> list[Doc]:
    """All leaves of the documents with their `_revisions`; unknown documents have none.

    Raises the source's error and, with `at_once`, TooMany if they are too large to be held together.
    """
    return await _fetch(place, [(doc_id, None) for doc_id in ids], extra, at_once)


async def revisions_one_by_one(
    place: Place, wanted: Iterable[tuple[str, str]], extra: Sequence[tuple[str, str]], *, at_once: bool = False
) -> list[Doc]:
    """Those of (id, rev) pairs that the source has, with their `_revisions`. Raises as `one_by_one`."""
    by_id: dict[str, list[str]] = {}
    for doc_id, rev in wanted:
        by_id.setdefault(doc_id, []).append(rev)
    questions: list[Question] = [
        (doc_id, revs[start : start + _REVISIONS_AT_ONCE])
        for doc_id, revs in by_id.items()
        for start in range(0, len(revs), _REVISIONS_AT_ONCE)
    ]
    return await _fetch(place, questions, extra, at_once)


async def _fetch(
    place: Place, questions: Sequence[Question], extra: Sequence[tuple[str, str]], at_once: bool
) -> list[Doc]:
    limit = _sources.setdefault(place.upstream, _Known()).single
    held = 0

    async def docs(question: Question) -> list[Doc]:
        nonlocal held
        async with limit:
            found, size = await _docs(place, question, extra)
        held += size
        if at_once and held > LONGEST and len(questions) > 1:
            was_too_long(place, len(questions))
            raise TooMany
        return found

    try:
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(docs(question)) for question in questions]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    noticed(place, held, len(asking))
    return [doc for task in asking for doc in task.result()]


async def _docs(place: Place, question: Question, extra: Sequence[tuple[str, str]]) -> tuple[list[Doc], int]:
    """The documents that answer a question, and the bytes of the reply."""
    doc_id, revs = question
    open_revs = "all" if revs is None else jsonio.dumps(revs).decode()
    async with await place.upstream.request(
        "GET",
        place.document_path(doc_id),
        [("open_revs", open_revs), ("revs", "true"), *extra],
        headers={"Accept": JSON_HEADERS["Accept"], **place.headers},
    ) as reply:
        if reply.status != 200:
            refusal = await reply.error()
            # a 404 of something in between is not the source's word: a write would be taken for a creation
            if reply.status == 404 and refusal.error == "not_found" and refusal.reason in _ABSENT:
                return [], 0
            raise refusal
        entries = await reply.open_revs()
    try:
        found: list[Doc] = [entry["ok"] for entry in entries if "ok" in entry]
        if all(
            doc["_id"] == doc_id and isinstance(doc["_rev"], str) and is_ancestry(doc["_revisions"]) for doc in found
        ):
            answered = {doc["_rev"] for doc in found} | {entry["missing"] for entry in entries if "ok" not in entry}
            if revs is None or answered == set(revs):
                return found, reply.size
    except (TypeError, KeyError):
        pass
    raise Unavailable("The source's answer to open_revs is not of CouchDB's form.")
