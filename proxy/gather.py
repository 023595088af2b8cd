"""Look-ups of single documents that share a request, where the source has its hands full.

A request costs CouchDB far more than a document does: 16 clients get two to three times as many documents a second in
batches. So no more than AT_ONCE single look-ups of one kind are under way; those that come meanwhile wait, and travel
together in a `_bulk_get` as soon as one of them has its answer. One after the other, as most clients ask, nobody waits.

Rules:
  - a look-up is answered by a request that was sent after it came: what was stored before is seen;
  - only look-ups with the same credentials share a request: the source decides anew for each of them;
  - what cannot be answered together is asked for alone, so an error is always one's own;
  - nobody waits long for others, neither for a turn nor for a shared reply, of which _MOST_BYTES are read at the most.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.core.wire import WireError
from proxy.core.wire.rows import ArraySplitter
from proxy.elements import elements
from proxy.errors import CouchError, Unavailable
from proxy.fetch import documents_of
from proxy.leaves import are_in_bulk
from proxy.place import Place
from proxy.upstream import JSON_HEADERS, Upstream

log = logging.getLogger("couch_tailor.gather")

AT_ONCE = 2
_TOGETHER = 25
"""Documents of one request, at the most."""
_MOST_BYTES = 4 * 1024 * 1024
TURN_SECONDS = 0.1
"""How long a look-up waits for a turn."""
REPLY_SECONDS = 1.0
"""How long it then waits for a shared reply."""
_ALONE_SECONDS = 30.0
"""For how long all ask alone after a shared reply has not come in time: that source answers nobody sooner."""

Entry = tuple[str, str | None]
"""A document's id, and the revision that is asked for; None: all leaves."""
Alone = Callable[[], Awaitable[list[Doc]]]


Answer = asyncio.Future[list[Doc] | None]
"""The documents; None: ask for them alone, in a turn that is yours."""


class _Waiting(NamedTuple):
    """A look-up that waits for a turn, as long as its patience lasts."""

    entry: Entry
    answer: Answer
    patience: asyncio.TimerHandle


class _Kind:
    """Look-ups of a database with the same credentials and parameters. `forget`: called when there are none."""

    def __init__(
        self, place: Place, extra: Sequence[tuple[str, str]], source: _Source, forget: Callable[[], object]
    ) -> None:
        self._under_way = 0
        self._place = place
        self._extra = [*extra]
        self._source = source
        self._forget = forget
        self._waiting: list[_Waiting] = []
        self._asking: set[asyncio.Task[None]] = set()

    async def look_up(self, entry: Entry, alone: Alone) -> list[Doc]:
        loop = asyncio.get_running_loop()
        if self._under_way < AT_ONCE or loop.time() < self._source.alone_until:
            self._under_way += 1
        else:
            answer: Answer = loop.create_future()
            waiting = _Waiting(entry, answer, loop.call_later(TURN_SECONDS, self._let_go, answer))
            self._waiting.append(waiting)
            try:
                found = await answer
            except asyncio.CancelledError:
                if answer.done() and not answer.cancelled() and answer.result() is None:
                    self._end_turn()
                raise
            finally:
                waiting.patience.cancel()
            if found is not None:
                return found
        try:
            return await alone()
        finally:
            self._end_turn()

    def _let_go(self, answer: Answer) -> None:
        """Let a look-up ask alone, if it has no answer yet."""
        if not answer.done():
            self._under_way += 1
            answer.set_result(None)

    def _end_turn(self) -> None:
        """Give the turn to those who wait, if any do."""
        waiting = [each for each in self._waiting if not each.answer.done()]
        batch = waiting[:_TOGETHER] if self._under_way <= AT_ONCE else []
        self._waiting = waiting[len(batch) :]
        if len(batch) == 1:
            batch[0].answer.set_result(None)
        elif batch:
            for each in batch:
                each.patience.cancel()
            task = asyncio.ensure_future(self._ask_together(batch))
            self._asking.add(task)  # held, so that it is not collected while it runs
            task.add_done_callback(self._asking.discard)
        else:
            self._under_way -= 1
            if not self._under_way:
                self._forget()

    async def _ask_together(self, batch: Sequence[_Waiting]) -> None:
        answers: dict[Entry, list[Answer]] = {}
        for entry, answer, _ in batch:
            answers.setdefault(entry, []).append(answer)
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                if await are_in_bulk(self._place):
                    async with aclosing(_ask(self._place, [*answers], self._extra)) as found:
                        async for entry, docs in found:
                            for answer in answers[entry]:
                                if not answer.done():
                                    answer.set_result(docs)
        except TimeoutError:
            self._source.alone_until = asyncio.get_running_loop().time() + _ALONE_SECONDS
        except Exception as error:
            level = logging.DEBUG if isinstance(error, CouchError) else logging.ERROR
            log.log(level, "look-ups that were asked for together are asked for alone: %s", error, exc_info=error)
        finally:
            for each in batch:
                self._let_go(each.answer)
            self._end_turn()


class _Source:
    """A source's look-ups. `alone_until`: none wait for others before that time of the loop."""

    def __init__(self) -> None:
        self.alone_until = 0.0
        self.kinds: dict[tuple[Any, ...], _Kind] = {}


_sources: WeakKeyDictionary[Upstream, _Source] = WeakKeyDictionary()


async def look_up(place: Place, entry: Entry, extra: Sequence[tuple[str, str]], alone: Alone) -> list[Doc]:
    """The revisions of a document that a `_bulk_get` entry with the parameters `extra` stands for.

    `alone` asks the source for nothing but these. It may give the winner where all leaves are asked for. Raises what
    `alone` raises.
    """
    source = _sources.get(place.upstream)
    if source is None:
        source = _sources[place.upstream] = _Source()
    name = (place.database.source_db, *place.whom, *extra)
    kind = source.kinds.get(name)
    if kind is None:
        kind = source.kinds[name] = _Kind(place, extra, source, partial(source.kinds.pop, name))
    return await kind.look_up(entry, alone)


async def _ask(place: Place, entries: list[Entry], extra: Pairs) -> AsyncGenerator[tuple[Entry, list[Doc]], None]:
    """The documents of entries, as they come, as long as the source answers in their order. Raises CouchError."""
    asked = [{"id": doc_id} if rev is None else {"id": doc_id, "rev": rev} for doc_id, rev in entries]
    splitter, left = ArraySplitter("results", _MOST_BYTES // 2), iter(entries)
    async with await place.upstream.request(
        "POST",
        place.path("_bulk_get"),
        extra,
        headers={**JSON_HEADERS, **place.headers},
        body=jsonio.dumps({"docs": asked}),
    ) as reply:
        if reply.status != 200:
            raise await reply.error()
        try:
            async with aclosing(elements(reply, splitter, most=_MOST_BYTES)) as pieces:
                async for found in pieces:
                    for entry, result in zip(left, found, strict=False):
                        docs = _answer(result, entry)
                        if docs is None:
                            return
                        yield entry, docs
        except (WireError, TypeError, KeyError, AttributeError) as error:
            raise Unavailable("The source's _bulk_get reply is not of CouchDB's form.") from error


def _answer(result: Any, entry: Entry) -> list[Doc] | None:
    """The documents in an element of `results`; None if it is not plain what they are."""
    doc_id, rev = entry
    docs, found = documents_of(result), result["docs"]
    if not docs and len(found) == 1 and found[0]["error"]["error"] == "not_found" and result["id"] == doc_id:
        return []
    if not docs or len(docs) < len(found) or any(doc["_id"] != doc_id for doc in docs):
        return None
    return docs if rev is None or [doc["_rev"] for doc in docs] == [rev] else None
