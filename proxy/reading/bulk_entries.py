"""The entries of a `_bulk_get` request, and what the view shows for each of them.

The source is asked in its own bulk form, for all leaves of a document where the client wants them or `latest`
(which some sources do not survive), otherwise for the revision. Clients name each leaf of a document, one after the
other; of all its leaves it is asked once then. Its reply is judged as it arrives, while it works on
the next batch. Most documents are settled by looking at them; what is not visible, missing or a graft is looked at a
second time, together with its like in the same piece of the reply. The meaning is that of `resolve.resolve`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from proxy import recent
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.core.revisions import canonical, descends, is_ancestry
from proxy.core.wire import WireError
from proxy.core.wire.rows import ArraySplitter
from proxy.elements import elements
from proxy.errors import BadRequest, Unavailable
from proxy.feeds.index import Damaged, Full, has_leaf
from proxy.fetch import documents_of, is_answer
from proxy.leaves import are_in_bulk, revisions_are_in_bulk
from proxy.reply import Reply
from proxy.resolve import Shown, find_grafts, judge, resolve, shown_as, without_descendants
from proxy.sizes import in_parts
from proxy.turns import Turn, in_turns
from proxy.upstream import JSON_HEADERS
from proxy.view import View

BATCH = 250
"""Entries of one request to the source: CouchDB 3.5 builds its whole reply before it sends the first byte."""
_AT_ONCE = 3
"""Requests under way, of which one is read."""


@dataclass(slots=True)
class Entry:
    """One document that a client asks for. `doc_id` and `rev` are as they were sent, for the reply."""

    doc_id: Any
    rev: Any
    asked: str | None = None
    """The revision in CouchDB's own spelling; None for all leaves."""
    atts_since: list[str] | None = None
    problem: dict[str, Any] | None = None
    """The error entry, if CouchDB would not look for it at all."""


Settled = tuple[Entry, list[Shown]]
"""An entry and the revisions that the view shows for it; none: nothing that this client may know of."""


def parse_entries(docs: Any) -> list[Entry]:
    """The entries of a request's `docs`. Raises BadRequest if that is no list."""
    if not isinstance(docs, list):
        raise BadRequest("Missing JSON list of 'docs'.")
    return [_parse_entry(doc) for doc in docs]


def _parse_entry(doc: Any) -> Entry:
    if not isinstance(doc, dict) or not doc:
        return _refused(None, None, "document must be a JSON object")
    if "id" not in doc:
        return _refused(None, None, "document id missed")
    doc_id = doc["id"]
    if not isinstance(doc_id, str):
        return _refused(doc_id, None, "Document id must be a string", "illegal_docid")
    if doc_id == "":
        return _refused(doc_id, None, "Document id must not be empty", "illegal_docid")
    if doc_id.startswith("_local/"):
        return _refused(doc_id, "undefined", "missing", "not_found")
    if doc_id.startswith("_") and not doc_id.startswith("_design/"):
        return _refused(doc_id, None, "Only reserved document ids may start with underscore.", "illegal_docid")
    entry = Entry(doc_id, doc.get("rev", "undefined"))
    try:
        if "rev" in doc:
            entry.asked = canonical(doc["rev"])
    except ValueError as error:
        return _refused(doc_id, doc["rev"], str(error))
    if "atts_since" in doc:
        return _with_atts_since(entry, doc["atts_since"])
    return entry


def _with_atts_since(entry: Entry, revs: Any) -> Entry:
    if not isinstance(revs, list):
        return _refused(entry.doc_id, revs, "att_since value must be array of revs.")
    for rev in revs:
        try:
            canonical(rev)
        except ValueError as error:
            return _refused(entry.doc_id, rev, str(error))
    entry.atts_since = revs or None
    return entry


def _refused(doc_id: Any, rev: Any, reason: str, error: str = "bad_request") -> Entry:
    return Entry(doc_id, rev, problem={"rev": rev, "reason": reason, "id": doc_id, "error": error})


def missing(entry: Entry) -> dict[str, Any]:
    """CouchDB's error entry for a document or revision that does not exist."""
    return {"rev": entry.rev, "reason": "missing", "id": entry.doc_id, "error": "not_found"}


async def settle(
    view: View, entries: Sequence[Entry], *, latest: bool, revs: bool, encodings: bool
) -> AsyncGenerator[list[Settled], None]:
    """What the view shows for each entry (without those that have a problem), in order, as the source delivers it.

    Documents have `_revisions` with `revs`, the encodings of their attachments with `encodings`. Raises the source's
    error, and Unavailable if its reply breaks off.
    """
    kept = {} if encodings else await _kept(view, entries, latest)
    if not kept:
        async for settled in _settle(view, entries, latest, revs, encodings):
            yield settled
        return
    position = 0
    others = [entry for index, entry in enumerate(entries) if index not in kept]
    async with aclosing(_settle(view, others, latest, revs, encodings)) as batches:
        async for settled in batches:
            merged: list[Settled] = []
            for each in settled:
                while position in kept:
                    merged.append((entries[position], [kept[position]]))
                    position += 1
                merged.append(each)
                position += 1
            yield merged
    for start in range(position, len(entries), BATCH):
        yield [(entries[index], [kept[index]]) for index in range(start, min(start + BATCH, len(entries)))]


async def _kept(view: View, entries: Sequence[Entry], latest: bool) -> dict[int, Shown]:
    """What can be answered out of the bodies that feeds have looked at, by the entry's place: visible revisions that
    are leaves, as far as the index knows, where the client wants the latest.
    """
    hub, bodies = view.hub, view.bodies
    if hub is None or hub.index is None or bodies is None:
        return await _recent(view, entries)
    found: dict[int, Doc] = {}
    for place, entry in enumerate(entries):
        doc = bodies.get((entry.doc_id, entry.asked)) if entry.asked is not None and not entry.atts_since else None
        if doc is not None:
            found[place] = doc
    leaves: dict[str, str] = {}
    if latest and found:
        try:
            leaves = hub.leaves_of([doc["_id"] for doc in found.values()])
        except (Damaged, Full) as error:
            hub.complain(error)
            return {}
    if latest:
        found = {place: doc for place, doc in found.items() if has_leaf(leaves.get(doc["_id"], ""), doc["_rev"])}
    return await _visible(view, found)


async def _recent(view: View, entries: Sequence[Entry]) -> dict[int, Shown]:
    wanted = [
        (place, (entry.doc_id, entry.asked))
        for place, entry in enumerate(entries)
        if entry.asked is not None and not entry.atts_since
    ]
    found = recent.find(view, (pair for _, pair in wanted))
    return await _visible(view, {place: doc for (place, _), doc in zip(wanted, found, strict=True) if doc is not None})


async def _visible(view: View, docs: dict[int, Doc]) -> dict[int, Shown]:
    """Those of the documents that the view shows."""
    shown = zip(docs.items(), await in_turns(docs.values(), view.shape), strict=True)
    return {place: shown_as(doc, shaped) for (place, doc), shaped in shown if shaped is not None}


async def _settle(
    view: View, entries: Sequence[Entry], latest: bool, revs: bool, encodings: bool
) -> AsyncGenerator[list[Settled], None]:
    looker = _Looker(view, latest, revs, encodings)
    leaves = any(latest or entry.asked is None for entry in entries)
    if entries and not await (are_in_bulk(view) if leaves else revisions_are_in_bulk(view)):
        async with aclosing(looker.resolve(entries)) as resolved:
            async for settled in resolved:
                yield settled
        return
    batches = [entries[start : start + BATCH] for start in range(0, len(entries), BATCH)]
    asking: deque[asyncio.Task[Reply]] = deque()
    asked = 0
    try:
        for batch in batches:
            while asked < len(batches) and len(asking) < _AT_ONCE:
                asking.append(asyncio.ensure_future(looker.ask(batches[asked])))
                asked += 1
            async with await asking[0] as reply:
                asking.popleft()
                async with aclosing(looker.read(batch, reply)) as read:
                    async for settled in read:
                        yield settled
    finally:
        for each in asking:
            await _drop(each)


async def _drop(asking: asyncio.Task[Reply]) -> None:
    """Let go of a reply that nobody will read."""
    asking.cancel()
    [reply] = await asyncio.gather(asking, return_exceptions=True)
    if isinstance(reply, Reply):
        reply.release()


class _Looker:
    """Asks the source and judges what it says."""

    def __init__(self, view: View, latest: bool, revs: bool, encodings: bool) -> None:
        self._view = view
        self._latest = latest
        self._revs = revs
        self._encodings = encodings
        self._keep = None if encodings or view.bodies is None else view.bodies.keeper

    def _by_leaves(self, entry: Entry) -> bool:
        return self._latest or entry.asked is None

    def _runs(self, batch: Sequence[Entry]) -> list[list[Entry]]:
        """The entries by what the source is asked: those that are answered by the same leaves are one."""
        runs: list[list[Entry]] = []
        of: Any = None
        for entry in batch:
            by_leaves = self._by_leaves(entry)
            if by_leaves and of == entry.doc_id:
                runs[-1].append(entry)
            else:
                runs.append([entry])
            of = entry.doc_id if by_leaves else None
        return runs

    async def ask(self, batch: Sequence[Entry]) -> Reply:
        """The source's reply to a batch. Raises its error."""
        asked: list[dict[str, str]] = []
        revs = self._revs
        for entry, *_ in self._runs(batch):
            if self._by_leaves(entry):
                asked.append({"id": entry.doc_id})
                revs = True
            else:
                asked.append({"id": entry.doc_id, "rev": str(entry.asked)})
        pairs: Pairs = [("revs", "true")] if revs else []
        if self._encodings:
            pairs.append(("att_encoding_info", "true"))
        reply = await self._view.upstream.request(
            "POST",
            self._view.path("_bulk_get"),
            pairs,
            headers={**JSON_HEADERS, **self._view.headers},
            body=jsonio.dumps({"docs": asked}),
        )
        if reply.status != 200:
            async with reply:
                raise await reply.error()
        return reply

    async def read(self, batch: Sequence[Entry], reply: Reply) -> AsyncGenerator[list[Settled], None]:
        """Judge the elements of a reply as they arrive."""
        splitter = ArraySplitter("results")
        runs = self._runs(batch)
        done = 0
        try:
            async with aclosing(elements(reply, splitter)) as pieces:
                async for found in pieces:
                    some, runs = runs[: len(found)], runs[len(found) :]
                    entries = [entry for run in some for entry in run]
                    results = [result for run, result in zip(some, found, strict=False) for _ in run]
                    glances = await self._glance(entries, results)
                    if glances:
                        yield await self._look_again(entries, results, glances)
                    done += len(glances)
                    if len(glances) < len(entries) or len(some) < len(found):
                        break
        except (WireError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable("The source's _bulk_get reply is not of CouchDB's form.") from error
        # PouchDB Server groups its results by document, others give no `_revisions`: the rest is asked for again
        async with aclosing(self.resolve(batch[done:])) as rest:
            async for settled in rest:
                yield settled

    async def _glance(self, entries: Sequence[Entry], results: Sequence[Any]) -> list[list[Shown] | None]:
        """For each result what the view shows, None where that takes a second look. Ends where they do not line up."""
        glances: list[list[Shown] | None] = []
        turn = Turn()
        result, visible = None, None
        for entry, own in zip(entries, results, strict=True):
            if own is not result:
                result = own
                if not self._lines_up(entry, result):
                    break
                visible = self._visible(result["docs"])
                if visible is None and not all(map(is_answer, result["docs"])):
                    break  # what the source failed to read may be there
            glances.append((self._latest_of(entry, visible) or None) if visible else None)
            if turn.is_over():
                await turn.pass_on()
        return glances

    def _lines_up(self, entry: Entry, result: Any) -> bool:
        """Whether a result is one of this entry, with all that is needed."""
        found, by_leaves = result["docs"], self._by_leaves(entry)
        if result["id"] != entry.doc_id or not (_is_once(found) if by_leaves else _is_of(entry, found)):
            return False
        return _with_paths(found) if self._revs or by_leaves else True

    def _latest_of(self, entry: Entry, leaves: Sequence[Shown]) -> list[Shown]:
        """Those of the leaves of a document, or of the one revision, that answer an entry."""
        return _descendants(leaves, entry.asked) if self._latest and entry.asked is not None else [*leaves]

    def _visible(self, found: Sequence[Any]) -> list[Shown] | None:
        """What the source found, if all of it is visible."""
        shown = []
        for each in found:
            doc = each.get("ok")
            shaped = None if doc is None else self._view.shape(doc)
            if shaped is None:
                return None
            shown.append(shown_as(doc, shaped))
            if self._keep is not None and "_revisions" in doc:
                self._keep((doc["_id"], doc["_rev"]), doc)
        return shown

    async def _look_again(
        self, entries: Sequence[Entry], results: Sequence[Any], glances: list[list[Shown] | None]
    ) -> list[Settled]:
        """The results that were glanced at, completed by a second look where there was none."""
        doubtful = [index for index, shown in enumerate(glances) if shown is None]
        settled = [(entry, shown or []) for entry, shown in zip(entries, glances, strict=False)]
        if not doubtful:
            return settled
        leaves: dict[str, list[Doc]] = {}
        unnamed: dict[str, list[Doc]] = {}
        exact: list[int] = []
        for index in doubtful:
            entry = entries[index]
            if self._by_leaves(entry):
                among = unnamed if entry.asked is None else leaves
                if entry.doc_id not in among:
                    among[entry.doc_id] = documents_of(results[index])
            else:
                exact.append(index)
        judged = await judge(self._view, {doc_id: docs for doc_id, docs in leaves.items() if docs})
        # who names no revision may never have been told of what only former rules have shown
        present = await judge(self._view, {doc_id: docs for doc_id, docs in unnamed.items() if docs}, None)
        for index in doubtful:
            entry = entries[index]
            if self._by_leaves(entry):
                of_document = (present if entry.asked is None else judged).get(entry.doc_id, ())
                settled[index] = (entry, self._latest_of(entry, _in_order_of(results[index], of_document)))
        positions = iter(exact)
        async with aclosing(self.resolve([entries[index] for index in exact])) as resolved:
            async for found in resolved:
                for each in found:
                    settled[next(positions)] = each
        await self._add_grafts(settled, leaves)
        return settled

    async def _add_grafts(self, settled: list[Settled], leaves: dict[str, list[Doc]]) -> None:
        """Fill in revisions that no leaf of the view descends from, of documents that the source has."""
        lost = [
            (entry.doc_id, entry.asked)
            for entry, shown in settled
            if not shown and entry.asked and leaves.get(entry.doc_id)
        ]
        if not lost:
            return
        extra = [("att_encoding_info", "true")] if self._encodings else []
        found = await without_descendants(self._view, lost, extra) | await find_grafts(self._view, lost, extra)
        for index, (entry, shown) in enumerate(settled):
            if not shown and entry.asked and (entry.doc_id, entry.asked) in found:
                settled[index] = (entry, [found[entry.doc_id, entry.asked]])

    async def resolve(self, entries: Sequence[Entry]) -> AsyncGenerator[list[Settled], None]:
        """The results of entries without a look at bulk replies."""

        async def some(part: Sequence[Entry]) -> list[Settled]:
            wanted = [(entry.doc_id, entry.asked) for entry in part]
            found = await resolve(self._view, wanted, self._latest, encodings=self._encodings, at_once=len(part) > 1)
            return list(zip(part, found, strict=True))

        async with aclosing(in_parts(self._view, entries, some)) as parts:
            async for settled in parts:
                yield settled


def _is_once(found: list[Any]) -> bool:
    """Whether a result has each leaf once: it is not the result of several entries."""
    return len(found) <= 1 or len({each["ok"]["_rev"] for each in found if "ok" in each}) == len(found)


def _with_paths(found: list[Any]) -> bool:
    """Whether the documents of a result have their `_revisions`, which some sources never give in bulk."""
    return all(is_ancestry(each["ok"].get("_revisions")) for each in found if "ok" in each)


def _is_of(entry: Entry, found: list[Any]) -> bool:
    """Whether a result is for this one revision: the document or an error."""
    return len(found) == 1 and ("ok" not in found[0] or found[0]["ok"]["_rev"] == entry.asked)


def _descendants(leaves: Sequence[Shown], rev: str) -> list[Shown]:
    """The leaves that descend from `rev`: the answer to `latest`."""
    return [leaf for leaf in leaves if descends(leaf.doc, rev)]


def _in_order_of(result: Any, leaves: Iterable[Shown]) -> list[Shown]:
    """Leaves as the source lists them, so that none is missed where one is hidden; then what it does not have."""
    places = {doc["_rev"]: place for place, doc in enumerate(documents_of(result))}
    return sorted(leaves, key=lambda leaf: places.get(leaf.origin or leaf.rev, len(places)))
