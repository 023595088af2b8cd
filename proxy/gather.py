"""Look-ups of single documents that share a request, where the source has its hands full.

A request costs CouchDB far more than a document does: 16 clients get two to three times as many documents a second in
batches. So no more than AT_ONCE single look-ups of one kind are under way; those that come meanwhile wait, and travel
together in a `_bulk_get` as soon as one of them has its answer. One after the other, as most clients ask, nobody waits.

Rules:
  - a look-up is answered by a request that was sent after it came: what was stored before is seen;
  - only look-ups with the same credentials share a request: the source decides anew for each of them;
  - what cannot be answered together is asked for alone, so an error is always one's own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from proxy.contract import Doc
from proxy.core.query import Pairs
from proxy.errors import CouchError
from proxy.leaves import are_in_bulk
from proxy.place import Place
from proxy.upstream import Upstream

log = logging.getLogger("couch_tailor.gather")

AT_ONCE = 3
_TOGETHER = 100
"""Documents of one request, at the most."""

Entry = tuple[str, str | None]
"""A document's id, and the revision that is asked for; None: all leaves."""
Alone = Callable[[], Awaitable[list[Doc]]]


Answer = asyncio.Future[list[Doc] | None]
"""The documents; None: ask for them alone, in a turn that is yours."""


class _Kind:
    """Look-ups of a database with the same credentials and parameters. `forget`: called when there are none."""

    def __init__(self, place: Place, extra: Sequence[tuple[str, str]], forget: Callable[[], object]) -> None:
        self.under_way = 0
        self._forget = forget
        self._place = place
        self._extra = [*extra]
        self._waiting: list[tuple[Entry, Answer]] = []
        self._asking: set[asyncio.Task[None]] = set()

    async def look_up(self, entry: Entry, alone: Alone) -> list[Doc]:
        if self.under_way < AT_ONCE:
            self.under_way += 1
        else:
            answer: Answer = asyncio.get_running_loop().create_future()
            self._waiting.append((entry, answer))
            try:
                found = await answer
            except asyncio.CancelledError:
                if answer.done() and not answer.cancelled() and answer.result() is None:
                    self._end_turn()
                raise
            if found is not None:
                return found
        try:
            return await alone()
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        """Give the turn to those who wait, if any do."""
        waiting = [each for each in self._waiting if not each[1].done()]
        batch = waiting[:_TOGETHER] if self.under_way <= AT_ONCE else []
        self._waiting = waiting[len(batch) :]
        if len(batch) == 1:
            batch[0][1].set_result(None)
        elif batch:
            task = asyncio.ensure_future(self._ask_together(batch))
            self._asking.add(task)  # held, so that it is not collected while it runs
            task.add_done_callback(self._asking.discard)
        else:
            self.under_way -= 1
            if not self.under_way:
                self._forget()

    async def _ask_together(self, batch: Sequence[tuple[Entry, Answer]]) -> None:
        found: dict[Entry, list[Doc]] = {}
        try:
            if await are_in_bulk(self._place):
                found = await _ask(self._place, list(dict.fromkeys(entry for entry, _ in batch)), self._extra)
        except CouchError as error:
            log.debug("look-ups that were asked for together are asked for alone: %s", error)
        finally:
            for entry, answer in batch:
                if not answer.done():
                    self.under_way += entry not in found
                    answer.set_result(found.get(entry))
            self._end_turn()


_kinds: WeakKeyDictionary[Upstream, dict[tuple[Any, ...], _Kind]] = WeakKeyDictionary()


async def look_up(place: Place, entry: Entry, extra: Sequence[tuple[str, str]], alone: Alone) -> list[Doc]:
    """The revisions of a document that a `_bulk_get` entry with the parameters `extra` stands for.

    `alone` asks the source for nothing but these. It may give the winner where all leaves are asked for. Raises what
    `alone` raises.
    """
    kinds = _kinds.setdefault(place.upstream, {})
    name = (place.database.source_db, *place.headers.items(), *extra)
    kind = kinds.get(name)
    if kind is None:
        kind = kinds[name] = _Kind(place, extra, partial(kinds.pop, name))
    return await kind.look_up(entry, alone)


async def _ask(place: Place, entries: list[Entry], extra: Pairs) -> dict[Entry, list[Doc]]:
    """The documents of those entries that the source has answered for. Raises CouchError."""
    asked = [{"id": doc_id} if rev is None else {"id": doc_id, "rev": rev} for doc_id, rev in entries]
    reply = await place.upstream.json(
        "POST", place.path("_bulk_get"), extra, headers=place.headers, body={"docs": asked}
    )
    try:
        results = reply["results"]
        if len(results) != len(entries):
            return {}
        return {
            entry: docs
            for entry, result in zip(entries, results, strict=True)
            if result["id"] == entry[0] and (docs := _documents(result["docs"], entry)) is not None
        }
    except (TypeError, KeyError, AttributeError):
        return {}


def _documents(found: list[Any], entry: Entry) -> list[Doc] | None:
    """The documents in an element of `results`; None if it is not plain what they are."""
    doc_id, rev = entry
    docs = [each["ok"] for each in found if "ok" in each]
    if not docs and len(found) == 1 and found[0]["error"]["error"] == "not_found":
        return []
    if not docs or len(docs) < len(found):
        return None
    if rev is not None and (len(docs) > 1 or docs[0]["_rev"] != rev):
        return None
    return docs if all(doc["_id"] == doc_id and isinstance(doc["_rev"], str) for doc in docs) else None
