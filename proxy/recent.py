"""What the source has just said of documents, for what their client does next with them.

Replicators read a page of `_changes`, and then the documents that it announces; and they ask which revisions are
missing (`_revs_diff`), and then push those. In both cases the documents have to be read to answer the first question,
and that is what the second one needs: to read them again would cost a source more than all else that it does. (Where
the database has an index, the documents that feeds look at are kept with it, for all clients: see `bodies`.)

Rules:
  - what is kept are all leaves of a document as the source had them, by a look-up as for a write (in a cluster,
    `_revs_diff` itself can be answered by a node that lags behind); none, if it had no such document;
  - it is for those who asked (the same credentials), and for SECONDS from when they did; who gets a document is judged
    anew;
  - what was asked later takes its place, and a write of the document by anybody through this process ends it: what was
    asked before that write was answered is not kept.

What somebody else writes meanwhile is heard of up to SECONDS later. A client that asks for the latest of a revision may
get the one before; the latest is in its feed, later. A write may rely on this only where that does not matter: a
revision has its body for ever. That there was no document does not hold for ever: if somebody makes it meanwhile, it
has two first revisions, a conflict, as without the proxy.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.place import Place
from proxy.upstream import Upstream

SECONDS = 10.0
ROOM = 16 * 1024 * 1024
"""Bytes for the documents of a source."""
_ENTRY = 500
"""Bytes that it takes to know of a document, whatever is in it."""

_Whom = tuple[tuple[str, str], ...]
"""The credentials with which the source was asked."""
_Name = tuple[str, str]
"""A database of the source, and the id of a document."""


class _Kept(NamedTuple):
    leaves: Sequence[Doc]
    until: float
    size: int


class _Source:
    """What is kept of a source: of each document, by the credentials with which it was asked; in the order of keeping.

    `size`: bytes. `written`: when writes of documents were answered, the last one last.
    """

    def __init__(self) -> None:
        self.kept: OrderedDict[_Name, dict[_Whom, _Kept]] = OrderedDict()
        self.size = 0
        self.written: OrderedDict[_Name, float] = OrderedDict()
        self._sweeps = False

    def drop(self, name: _Name) -> dict[_Whom, _Kept]:
        """What was kept of a document."""
        dropped = self.kept.pop(name, {})
        for each in dropped.values():
            self.size -= each.size
        return dropped

    def make_room(self) -> None:
        """Drop what is too old or too much, and what gets too old later then."""
        while self.kept:
            name, oldest = next(iter(self.kept.items()))
            if self.size <= ROOM and any(each.until > now() for each in oldest.values()):
                break
            self.drop(name)
        while self.written and next(iter(self.written.values())) <= now() - SECONDS:
            self.written.popitem(last=False)
        if (self.kept or self.written) and not self._sweeps:
            self._sweeps = True
            asyncio.get_running_loop().call_later(SECONDS, self._sweep)  # not kept: it refers to this

    def _sweep(self) -> None:
        self._sweeps = False
        self.make_room()


_sources: WeakKeyDictionary[Upstream, _Source] = WeakKeyDictionary()


def now() -> float:
    """The time by which what is kept is dated, in seconds."""
    return time.monotonic()


def keep(place: Place, ids: Iterable[str], leaves: Mapping[str, Sequence[Doc]], asked_at: float) -> None:
    """Of these documents, those among `leaves` have these, with their `_revisions`; the others are not there.

    The source was asked at `asked_at`, or later.
    """
    source = _sources.setdefault(place.upstream, _Source())
    database, whom, until = place.database.source_db, place.whom, asked_at + SECONDS
    kept, written = source.kept, source.written
    for doc_id in ids:
        name, found = (database, doc_id), leaves.get(doc_id, ())
        if name in written and written[name] >= asked_at:
            continue
        others = kept.get(name)
        if others is not None and whom in others:
            if others[whom].until > until:
                continue
            source.size -= others.pop(whom).size
        size = _ENTRY + len(doc_id) + (sum([jsonio.weight(jsonio.dumps(leaf)) for leaf in found]) if found else 0)
        if size < ROOM // 16:
            if others is None:
                others = kept[name] = {}
            else:
                kept.move_to_end(name)
            others[whom] = _Kept(found, until, size)
            source.size += size
        elif not others:
            kept.pop(name, None)
    source.make_room()


def find(place: Place, wanted: Iterable[tuple[str, str]]) -> list[Doc | None]:
    """The leaves among (id, revision) pairs that are kept; None for each that is not."""
    source = _sources.get(place.upstream)
    if source is None or not source.kept:
        return [None for _ in wanted]
    database, whom, present = place.database.source_db, place.whom, now()
    found: list[Doc | None] = []
    for doc_id, rev in wanted:
        kept = source.kept.get((database, doc_id), {}).get(whom)
        leaves = kept.leaves if kept is not None and kept.until > present else ()
        found.append(next((leaf for leaf in leaves if leaf["_rev"] == rev), None))
    return found


def take(place: Place, ids: Iterable[str]) -> dict[str, Sequence[Doc]]:
    """The leaves of those of the documents, which are about to be written, of which they are kept."""
    source = _sources.get(place.upstream)
    if source is None or not source.kept:
        return {}
    database, whom, present = place.database.source_db, place.whom, now()
    taken: dict[str, Sequence[Doc]] = {}
    for doc_id in ids:
        kept = source.drop((database, doc_id)).get(whom)
        if kept is not None and kept.until > present:
            taken[doc_id] = kept.leaves
    return taken


def wrote(place: Place, ids: Iterable[str]) -> None:
    """Writes of these documents were answered, or broke off."""
    source = _sources.setdefault(place.upstream, _Source())
    database, present = place.database.source_db, now()
    for doc_id in ids:
        name = (database, doc_id)
        source.drop(name)
        source.written[name] = present
        source.written.move_to_end(name)
    source.make_room()
