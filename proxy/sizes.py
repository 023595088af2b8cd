"""How large the documents of a database are, and so how many of them are to be read at once.

What is read at once is held until all of it is judged. Of small documents it should be many, since each request costs
a source more than a few documents do; of large ones few, or they would add up to more memory than there is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import TypeVar
from weakref import WeakKeyDictionary

from proxy.bodies import TooMany
from proxy.place import Place
from proxy.upstream import Upstream

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 250
"""The most documents that are asked for in one request."""
_TOGETHER = 1024 * 1024
"""Bytes of JSON that are read at once."""
LONGEST = 2 * _TOGETHER
"""Bytes of a reply with several documents: they are much larger than those before, if it is longer."""
_SOME = 4
"""Documents from which something follows for others."""
_SUPPOSED = 64 * 1024
"""Bytes of a document in a database of which none was read."""

_usual: WeakKeyDictionary[Upstream, dict[str, int]] = WeakKeyDictionary()
"""Of the databases of a source: bytes of JSON for each document that was asked for."""


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
    _usual.setdefault(place.upstream, {})[place.database.source_db] = 16 * LONGEST // count


def at_once(place: Place, supposed: int = _SUPPOSED) -> int:
    """Of how many documents the leaves, or single revisions, are to be read at once.

    `supposed`: bytes of a document in a database of which none was read.
    """
    usual = _usual.get(place.upstream, {}).get(place.database.source_db, supposed)
    return max(1, min(AT_ONCE, _TOGETHER // usual))


def are_large(place: Place) -> bool:
    """Whether the documents of a database are known to be so large that not even AT_ONCE are to be held together."""
    return at_once(place, supposed=1) < AT_ONCE


def cut(place: Place, items: Sequence[T], supposed: int = _SUPPOSED) -> Iterator[Sequence[T]]:
    """The items in parts, each as large as what is known when it is asked for allows."""
    start = 0
    while start < len(items):
        part = items[start : start + at_once(place, supposed)]
        start += len(part)
        yield part


async def in_parts(
    place: Place, items: Sequence[T], work: Callable[[Sequence[T]], Awaitable[R]]
) -> AsyncGenerator[R, None]:
    """What `work` gives for the items, as many of them at a time as are to be read at once.

    Where it raises TooMany it is asked for fewer; of a single item it must not. Nothing is begun before the result of
    what was before is done with.
    """
    start = 0
    most = AT_ONCE
    while start < len(items):
        part = items[start : start + min(at_once(place), most)]
        try:
            result = await work(part)
        except TooMany:  # it is over before anything else is held
            most = max(1, len(part) // 2)
            continue
        start, most = start + len(part), AT_ONCE
        yield result
        del result  # before the next one is read


async def first_part(place: Place, items: Sequence[T], work: Callable[[Sequence[T]], Awaitable[R]]) -> R:
    """What `work` gives for the items, or for the first of them. There must be some."""
    async with aclosing(in_parts(place, items, work)) as parts:
        return await anext(parts)
