"""Documents that the source has just said it does not have: those that a client asked about, and is about to push.

Replicators ask (`_revs_diff`) before they push, and most of what they push is new. What a write has to know before it
can be judged is then known already, and need not be asked for again. That is a look-up less for each batch, which costs
a source a fifth of what storing it does.

Rules:
  - it is what a look-up for a write says, read in the same way: in a cluster `_revs_diff` itself can be answered by a
    node that lags behind;
  - it holds for those who asked (the same credentials), once, for SECONDS;
  - a write of a document by anybody through this process ends it.

Between a look-up and the write that follows it, somebody else can always create the same document: it then has two
first revisions, a conflict, as without the proxy. This makes that time longer, by SECONDS at the most.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from weakref import WeakKeyDictionary

from proxy.place import Place
from proxy.upstream import Upstream

SECONDS = 10.0
MOST = 20_000
"""Documents of a database that are remembered."""
_LONGEST = 256
"""Characters of an id that is remembered."""


class _Asked(NamedTuple):
    """One question: as whom the source was asked, and until when its answer holds."""

    headers: Mapping[str, str]
    until: float


_Known = dict[str, _Asked]
"""By id, the last that was asked about last."""

_sources: WeakKeyDictionary[Upstream, dict[str, _Known]] = WeakKeyDictionary()


def now() -> float:
    """The time by which answers are dated, in seconds."""
    return time.monotonic()


def remember(place: Place, ids: Iterable[str], asked_at: float) -> None:
    """The source has none of these documents; it was asked at `asked_at`, or later."""
    known = _sources.setdefault(place.upstream, {}).setdefault(place.database.source_db, {})
    asked = _Asked(place.headers, asked_at + SECONDS)
    for doc_id in ids:
        if len(doc_id) <= _LONGEST:
            known.pop(doc_id, None)
            known[doc_id] = asked
    _forget_old(known)


def _forget_old(known: _Known) -> None:
    present = now()
    old = []
    for index, (doc_id, asked) in enumerate(known.items()):
        if asked.until > present and len(known) - index <= MOST:
            break
        old.append(doc_id)
    for doc_id in old:
        del known[doc_id]


def take(place: Place, ids: Iterable[str]) -> set[str]:
    """Those of the documents, which are about to be written, that the source is known not to have."""
    known = _sources.get(place.upstream, {}).get(place.database.source_db)
    if not known:
        return set()
    present, headers, pop = now(), place.headers, known.pop
    return {
        doc_id for doc_id in ids if (asked := pop(doc_id, None)) and asked.until > present and asked.headers == headers
    }
