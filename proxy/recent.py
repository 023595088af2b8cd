"""Documents that were looked at for a page of a client's feed, for the `_bulk_get` that follows.

Replicators read a page of `_changes`, and then the documents that it announces. To judge the page, these have to be
read; to read them a second time costs a source more than anything else that a pull does. Where the database has an
index, what feeds look at is kept with it (`bodies`), for all clients.

Rules:
  - what is kept are the source's documents, and all leaves of each, as they were when the page was read; who gets one
    is judged anew;
  - it is for those who asked (the same credentials), and for SECONDS;
  - a later look at a document takes its place, and a write of it through this process ends it.

So a client that asks for the latest of a revision may hear that it is that one for SECONDS longer than it is. The one
that took its place is in its feed, later than the page.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.fetch import AT_ONCE
from proxy.place import Place
from proxy.upstream import Upstream

SECONDS = 10.0
ROOM = 16 * 1024 * 1024
"""Bytes of documents of a source."""
_OVERHEAD = 3
"""A decoded document takes about so many times the bytes of its JSON."""
_TOGETHER = 4 * 1024 * 1024
"""Bytes of JSON that are read at once."""
_SUPPOSED = 64 * 1024
"""Bytes of a document in a database of which none was looked at."""

_Whom = tuple[str, ...]
"""A database of the source, and the credentials with which it was asked."""


class _Kept(NamedTuple):
    leaves: Mapping[str, Doc]
    until: float
    size: int


class _Source:
    """What is kept of a source. `size`: bytes. `usual`: bytes of JSON of a document of a database, as it was lately."""

    def __init__(self) -> None:
        self.kept: OrderedDict[tuple[_Whom, str], _Kept] = OrderedDict()
        self.size = 0
        self.usual: dict[str, int] = {}

    def drop(self, key: tuple[_Whom, str]) -> None:
        kept = self.kept.pop(key, None)
        if kept is not None:
            self.size -= kept.size


_sources: WeakKeyDictionary[Upstream, _Source] = WeakKeyDictionary()


def now() -> float:
    """The time by which what is kept is dated, in seconds."""
    return time.monotonic()


def keep(place: Place, documents: Mapping[str, Sequence[Doc]]) -> None:
    """These are all leaves of documents, with their `_revisions`, by id."""
    source = _sources.setdefault(place.upstream, _Source())
    whom, until, read = _whom(place), now() + SECONDS, 0
    for doc_id, leaves in documents.items():
        key = (whom, doc_id)
        source.drop(key)
        length = sum(len(jsonio.dumps(leaf)) for leaf in leaves)
        read += length
        size = _OVERHEAD * length + 200 * len(leaves)
        if size < ROOM // 16:
            source.kept[key] = _Kept({leaf["_rev"]: leaf for leaf in leaves}, until, size)
            source.size += size
    if documents:
        source.usual[place.database.source_db] = max(1, read // len(documents))
    while source.kept:
        oldest = next(iter(source.kept))
        if source.size <= ROOM and source.kept[oldest].until > now():
            break
        source.drop(oldest)


def at_once(place: Place) -> int:
    """Of how many documents the leaves are to be read at once: these are held until all of them are judged."""
    source = _sources.get(place.upstream)
    usual = _SUPPOSED if source is None else source.usual.get(place.database.source_db, _SUPPOSED)
    return max(1, min(AT_ONCE, _TOGETHER // usual))


def find(place: Place, wanted: Iterable[tuple[str, str]]) -> list[Doc | None]:
    """The leaves among (id, revision) pairs that are kept; None for each that is not."""
    source = _sources.get(place.upstream)
    if source is None or not source.kept:
        return [None for _ in wanted]
    whom, present = _whom(place), now()
    found = []
    for doc_id, rev in wanted:
        kept = source.kept.get((whom, doc_id))
        found.append(kept.leaves.get(rev) if kept is not None and kept.until > present else None)
    return found


def forget(place: Place, ids: Iterable[str]) -> None:
    """The documents are about to be written."""
    source = _sources.get(place.upstream)
    if source is not None and source.kept:
        whom = _whom(place)
        for doc_id in ids:
            source.drop((whom, doc_id))


def _whom(place: Place) -> _Whom:
    return (place.database.source_db, *(text for header in place.headers.items() for text in header))
