"""`_bulk_docs`: many documents at once, each judged on its own.

Rows are in the order of the request, as CouchDB gives them: with `new_edits` one for each document, without it one for
each that was not stored. A document that was refused always has its row: without one, the client would take it for
stored. Local documents in a batch (PouchDB 5 writes its checkpoints so) go to the client's own, whatever the profile
may write.

Replicated revisions go to the source in parts (see `parts`): nothing of one depends on another. If the source fails,
the request fails, and its error says what is not stored. Rows would not do: CouchDB's own replicator takes them for
refusals that are final, and goes on. Interactive writes go together, unless the documents that they edit are too large
to be held together: if the source fails after it has stored some, the others have its error in their rows.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from aiohttp import web

from proxy import recent
from proxy.ahead import under_way
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.errors import BadRequest, CouchError, NotDone, Unavailable
from proxy.exchange import Exchange
from proxy.reading.local import LOCAL, source_id
from proxy.sizes import are_large, cut
from proxy.upstream import JSON_HEADERS
from proxy.view import View
from proxy.writing.lending import lent_size, with_lent
from proxy.writing.originals import errors_of_taken, plan_some, rules_of
from proxy.writing.parts import store_parts
from proxy.writing.pushed import Pushed, canonical_rev, check_id, read_pushed
from proxy.writing.rules import Refuse, Rules, Send, log
from proxy.writing.settle import Untold, heard, is_conflict, missing_revisions, partly_stored

Row = dict[str, Any]
_SUPPOSED = 1024
"""Bytes of a document in a database of which none was read: to store few at a time would cost it much."""
_STORED = (201, 202)
"""How every source answers a batch. An empty list says that all of it is stored: anybody could come up with that."""


@dataclass(frozen=True)
class Local:
    """A local document of a batch: `id` and `rev` as the client knows them, `doc` as it goes to the source."""

    id: str
    rev: str | None
    doc: Doc


@dataclass(slots=True)
class Slot:
    """A document of the request on its way: to the source (`doc`, until it is sent), and to the row that it gets."""

    written: Pushed | Local
    doc: Doc | bytes | None = None
    """A large one as JSON: decoded, it would take many times as much."""
    row: Row | None = None
    stored: bool = False
    """Whether the source is known to have it."""

    def fail(self, error: CouchError) -> None:
        rev = {} if self.written.rev is None else {"rev": self.written.rev}
        self.row = {"id": self.written.id, **rev, "error": error.error, "reason": error.reason}

    @property
    def key(self) -> tuple[str, str | None]:
        """By which the source's rows name what it was sent."""
        written = self.written
        return written.doc["_id"] if isinstance(written, Local) else written.id, written.rev


async def bulk_docs(exchange: Exchange) -> web.StreamResponse:
    """POST: the documents are stored, or have a row that says why not."""
    new_edits, docs = read_request(await exchange.read_object())
    slots: list[Slot] = []
    independent = _are_independent(docs)
    parts = _read_parts(exchange.view, docs, new_edits, slots, together=new_edits or not independent)
    planner = _Planner(exchange.view, exchange.server.max_body, together=not independent)

    store = partial(store_batch, exchange.view, new_edits=new_edits)
    try:
        status = await store_parts(parts, planner.plan, store)
    except CouchError as error:
        if len(slots) < len(docs):  # all that was read, nothing is stored
            raise
        if new_edits:
            if not _tell_of_others(slots, error):
                raise
            log.warning("a part of a batch failed: %s", error)
            status = 201
        elif missing := _missing(error, slots):
            raise partly_stored(error, missing, len(slots)) from error
        else:
            raise
    return exchange.json([slot.row for slot in slots if slot.row is not None], status)


async def _read_parts(
    view: View, docs: Sequence[Any], new_edits: bool, slots: list[Slot], *, together: bool
) -> AsyncGenerator[Sequence[Slot], None]:
    """The documents in parts, or `together`; their slots are collected. Raises BadRequest for what is not well-formed.

    All the rest is read when the second part is asked for, while the source looks up the first. Nothing is stored until
    then (see `store_parts`), so CouchDB's rule holds: of a batch with a malformed document, nothing is.
    """

    def read(some: Sequence[Any]) -> Sequence[Slot]:
        part = [Slot(_read(view, doc, new_edits)) for doc in some]
        slots.extend(part)
        return part

    if together or not view.profile.chain:  # of what nothing has to be read, no more is held than what was sent
        yield read(docs)
        return
    first = next(cut(view, docs, _SUPPOSED))
    yield read(first)
    await under_way()
    for part in cut(view, read(docs[len(first) :]), _SUPPOSED):
        yield part


def _are_independent(docs: Sequence[Any]) -> bool:
    """Whether they have nothing to do with each other. Of what may have the source should decide at once."""
    ids = [doc.get("_id") for doc in docs if isinstance(doc, dict)]
    usual = {doc_id for doc_id in ids if isinstance(doc_id, str) and not doc_id.startswith(LOCAL)}
    return len(usual) == len(docs) > 0


def _missing(error: CouchError, slots: Sequence[Slot]) -> list[tuple[str, str]]:
    """What a failed request did not store, where it stored something nevertheless and that is known."""
    missing = [slot for slot in slots if not slot.stored and slot.row is None]
    if len(missing) == len(slots) or isinstance(error, Untold):
        return []
    return [(slot.written.id, slot.written.rev) for slot in missing if slot.written.rev is not None]


def _tell_of_others(slots: Sequence[Slot], error: CouchError) -> bool:
    """Give interactive writes that failed with a part of the request their rows, if others were stored: if so."""
    some_stored = any(slot.row is not None and "error" not in slot.row for slot in slots)
    for slot in slots:
        if some_stored and slot.row is None:
            slot.fail(error)
    return some_stored


def read_request(request: dict[str, Any]) -> tuple[bool, list[Any]]:
    """`new_edits` and the documents. Raises BadRequest for what CouchDB refuses as a whole."""
    if "docs" not in request:
        raise BadRequest("POST body must include `docs` parameter.")
    docs, new_edits = request["docs"], request.get("new_edits", True)
    if not isinstance(docs, list):
        raise BadRequest("`docs` parameter must be an array.")
    if not isinstance(new_edits, bool):
        raise BadRequest("`new_edits` parameter must be a boolean.")
    if request.get("all_or_nothing") is True:
        raise CouchError("all_or_nothing is not supported", error="not_implemented", status=417)
    return new_edits, docs


def _read(view: View, doc: Any, new_edits: bool) -> Pushed | Local:
    if not isinstance(doc, dict):
        raise BadRequest("Document must be a JSON object")
    if "_id" not in doc:
        doc = {"_id": uuid4().hex, **doc}
    if not (isinstance(doc["_id"], str) and doc["_id"].startswith(LOCAL)):
        return read_pushed(doc, new_edits)
    doc_id = check_id(doc["_id"])
    rev = str(canonical_rev(doc["_rev"])) if "_rev" in doc else None
    if rev is None and not new_edits:
        raise BadRequest("When `new_edits: false`, the document needs `_rev` or `_revisions` specified")
    return Local(doc_id, None if new_edits else rev, {**doc, "_id": source_id(view, doc_id)})


class _Planner:
    """Gives each slot what goes to the source, or its row. `room`: bytes of attachments that may be lent to a batch.
    `together`: whether what is large must be held together nevertheless.
    """

    def __init__(self, view: View, room: int, *, together: bool) -> None:
        self._view = view
        self._room = room
        self._together = together

    async def plan(self, slots: Sequence[Slot]) -> Sequence[Slot]:
        """The slots, or the first of them, if all are too large to be held together."""
        done = await self._plan_some(slots)
        while self._together and done < len(slots):
            done += await self._plan_some(slots[done:])
        return slots[:done]

    async def _plan_some(self, slots: Sequence[Slot]) -> int:
        """How many of the slots were planned."""
        judged = [(index, slot, slot.written) for index, slot in enumerate(slots) if isinstance(slot.written, Pushed)]
        outcomes = await plan_some(self._view, [pushed for _, _, pushed in judged])
        as_text = are_large(self._view)
        done = judged[len(outcomes)][0] if len(outcomes) < len(judged) else len(slots)
        for (_, slot, _), outcome in zip(judged, outcomes, strict=False):
            if isinstance(outcome, Send):
                if outcome.lender is None:
                    slot.doc = outcome.doc
                else:
                    await self._lend(slot, outcome)
            elif isinstance(outcome, Refuse):
                slot.fail(outcome.told(self._view.profile.chain))
            else:
                slot.stored = True
        for slot in slots[:done]:
            if isinstance(slot.written, Local):
                slot.doc = slot.written.doc
            if slot.doc is not None and as_text:
                slot.doc = jsonio.dumps(slot.doc)
        return done

    async def _lend(self, slot: Slot, outcome: Send) -> None:
        size = lent_size(outcome)
        self._room -= size
        try:
            slot.doc = await with_lent(self._view, outcome, self._room + size)
        except Unavailable:
            raise
        except CouchError as error:
            self._room += size
            slot.fail(error)


async def store_batch(view: View, slots: Sequence[Slot], *, new_edits: bool) -> int:
    """Send what is to be sent, and give each slot its row where it gets one. Returns the status of the answer.

    Raises the source's error; of replicated revisions, those that it stored all the same are marked so.
    """
    sent = [slot for slot in slots if slot.doc is not None]
    if not sent:
        return 201
    body = _batch([slot.doc for slot in sent], new_edits)
    for slot in sent:
        slot.doc = None  # no more is held than what is under way
    try:
        status, rows = await _post(view, body, sent)
        (_answer_edits if new_edits else _answer_replicated)(sent, rows, rules_of(view))
        if new_edits and view.profile.chain:
            await _tell_of_taken(view, sent)
        return status
    except Unavailable as error:
        if isinstance(error, NotDone):
            raise
        if new_edits:
            raise error.unsure() from error
        await _ask(view, sent)
        if all(slot.stored for slot in sent):
            return 201
        raise
    except CouchError as error:
        if error.status >= 500 and not new_edits:
            await _ask(view, sent)
        raise


def _batch(docs: Sequence[Doc | bytes | None], new_edits: bool) -> bytes:
    if not any(isinstance(doc, bytes) for doc in docs):
        return jsonio.dumps({"docs": docs, "new_edits": new_edits})
    texts = b",".join([doc if isinstance(doc, bytes) else jsonio.dumps(doc) for doc in docs])
    return b'{"docs":[%b],"new_edits":%b}' % (texts, jsonio.dumps(new_edits))


async def _post(view: View, body: bytes, sent: Sequence[Slot]) -> tuple[int, list[Row]]:
    headers = {**JSON_HEADERS, **view.headers}
    try:
        async with await view.upstream.request("POST", view.path("_bulk_docs"), headers=headers, body=body) as reply:
            if reply.status >= 300:
                batch = [slot.written for slot in sent if isinstance(slot.written, Pushed)]
                raise heard(await reply.error(verbatim=True), rules_of(view), batch)
            if reply.status not in _STORED:
                raise reply.unusable(f"answered {reply.status}: nothing says what it stored")
            rows = await reply.json()
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Unavailable("The source's _bulk_docs reply is not of CouchDB's form.")
            return reply.status, rows
    finally:
        recent.wrote(view, [slot.key[0] for slot in sent])


def _answer_edits(sent: Sequence[Slot], rows: Sequence[Row], rules: Rules) -> None:
    for slot, row in zip(sent, _in_order(sent, rows), strict=True):
        told = _heard_row(row, rules)
        slot.row = {**told, "id": slot.written.id} if isinstance(slot.written, Local) else told


def _in_order(sent: Sequence[Slot], rows: Sequence[Row]) -> Sequence[Row]:
    """The rows in the order of what was sent. Raises Unavailable if they are of other documents.

    PouchDB Server puts the rows of an id that comes twice beside each other.
    """
    ids = [slot.key[0] for slot in sent]
    given = [str(row.get("id")) for row in rows]
    if given == ids:
        return rows
    if Counter(given) != Counter(ids):
        raise Unavailable("The source's _bulk_docs reply does not match the documents that it was sent.")
    by_id: dict[str, deque[Row]] = defaultdict(deque)
    for doc_id, row in zip(given, rows, strict=True):
        by_id[doc_id].append(row)
    return [by_id[doc_id].popleft() for doc_id in ids]


async def _tell_of_taken(view: View, sent: Sequence[Slot]) -> None:
    """What the source has by the ids of creations was not asked for before; where it has something it said so."""
    conflicts = [slot for slot in sent if slot.row and is_conflict(slot.row.get("error"))]
    taken = [(slot, slot.written) for slot in conflicts if isinstance(slot.written, Pushed) and slot.written.creates]
    if taken:
        errors = await errors_of_taken(view, [pushed for _, pushed in taken])
        for (slot, _), error in zip(taken, errors, strict=True):
            slot.fail(error)


def _answer_replicated(sent: Sequence[Slot], rows: Sequence[Row], rules: Rules) -> None:
    waiting = list(sent)
    refused = []
    for row in rows:
        if "error" not in row:
            continue
        slot = _find(waiting, row)
        waiting.remove(slot)
        refused.append((slot, {**_heard_row(row, rules), "id": slot.written.id}))
    for slot, heard_row in refused:
        slot.row = heard_row
    for slot in waiting:
        slot.stored = True


def _find(waiting: Sequence[Slot], row: Row) -> Slot:
    """The slot that a row of a source's error is about; not every source names the revision."""
    named = [slot for slot in waiting if slot.key[0] == row.get("id")]
    exact = [slot for slot in named if slot.key[1] == row.get("rev")]
    if not named:
        raise Unavailable("The source's _bulk_docs reply names a document that it was not sent.")
    return (exact or named)[0]


def _heard_row(row: Row, rules: Rules) -> Row:
    if "error" not in row:
        return row
    if not rules.chain:
        return row
    error = heard(CouchError(str(row.get("reason")), error=str(row["error"])), rules, ())
    told = {"error": error.error, "reason": error.reason}  # and nothing else: some sources tell the reason twice
    return {**{name: row[name] for name in row if name in ("id", "rev")}, **told}


async def _ask(view: View, sent: Sequence[Slot]) -> None:
    """Find out what the source has after it broke off. Raises Unavailable (503) if it does not say."""
    batch = [slot.written for slot in sent if isinstance(slot.written, Pushed)]
    missing = await missing_revisions(view, batch) if batch else set()
    for slot in sent:
        slot.stored = isinstance(slot.written, Pushed) and slot.key not in missing
