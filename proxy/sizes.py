"""How large the documents of a database are, and so how many of them are to be read at once.

What is read at once is held until all of it is judged. Of small documents it should be many, since each request costs
a source more than a few documents do; of large ones few, or they would add up to more memory than there is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TypeVar
from weakref import WeakKeyDictionary

from proxy.place import Place
from proxy.upstream import Upstream

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 250
"""The most documents that are asked for in one request."""
_TOGETHER = 2 * 1024 * 1024
"""Bytes of JSON that are read at once."""
LONGEST = 8 * 1024 * 1024
"""Bytes of a reply with several documents: they are much larger than those before, if it is longer."""
_SOME = 4
"""Documents from which something follows for others."""
_SUPPOSED = 128 * 1024
"""Bytes of a document in a database of which none was read."""

_usual: WeakKeyDictionary[Upstream, dict[str, int]] = WeakKeyDictionary()
"""Of the databases of a source: bytes of JSON for each document that was asked for."""


class TooMany(Exception):
    """So many documents are not to be held at once, as has just turned out."""


def noticed(place: Place, size: int, count: int) -> None:
    """A reply of so many bytes has answered for so many documents.

    What large ones have taught is forgotten slowly; and that a few are large says nothing of the others.
    """
    known, database = _usual.setdefault(place.upstream, {}), place.database.source_db
    usual = known.get(database)
    if count >= _SOME:
        known[database] = max(1, size // count, (usual or 0) // 2)
    elif usual is not None:
        known[database] = max(1, min(size // max(1, count), usual), usual // 2)


def was_too_long(place: Place, count: int) -> None:
    """A reply that answered for so many documents was longer than LONGEST."""
    _usual.setdefault(place.upstream, {})[place.database.source_db] = 4 * LONGEST // count


def at_once(place: Place, supposed: int = _SUPPOSED) -> int:
    """Of how many documents the leaves, or single revisions, are to be read at once.

    `supposed`: bytes of a document in a database of which none was read.
    """
    usual = _usual.get(place.upstream, {}).get(place.database.source_db, supposed)
    return max(1, min(AT_ONCE, _TOGETHER // usual))


def cut(place: Place, items: Sequence[T], supposed: int = _SUPPOSED) -> Iterator[Sequence[T]]:
    """The items in parts, each as large as what is known when it is asked for allows."""
    start = 0
    while start < len(items):
        part = items[start : start + at_once(place, supposed)]
        start += len(part)
        yield part


async def by_parts(place: Place, items: Sequence[T], work: Callable[[Sequence[T]], Awaitable[R]]) -> list[R]:
    """What `work` gives for the items, all of them or, where it raises TooMany, some after the other."""
    try:
        return [await work(items)]
    except TooMany:  # it is over before anything else is held
        results: list[R] = []
    start = 0
    while start < len(items):
        part = items[start : start + min(at_once(place), max(1, len(items) // 2))]
        start += len(part)
        results += await by_parts(place, part, work)
    return results
