"""How much two array elements, none of which is the other, are alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, NamedTuple

from proxy.core.equality import key_of
from proxy.core.identity import IDENTITIES, Names, clash, names_of

_MOST = 32
"""Of how many elements of an array it is seen which they are."""


OBJECT, ARRAY, SCALAR = "object", "array", "scalar"


class Look(NamedTuple):
    """An element, to be compared with many: `parts` are its members, or its first elements with their number."""

    kind: str
    names: Names
    parts: frozenset[tuple[Hashable, Hashable]]
    size: int
    """Of members without an identity, or of all elements."""


def look(element: Any) -> Look:
    if isinstance(element, dict):
        parts = frozenset((name, key_of(value)) for name, value in element.items())
        names = names_of(element)
        return Look(OBJECT, names, parts, len(element.keys() - IDENTITIES) if names else len(element))
    if isinstance(element, list):
        counts: Counter[str] = Counter()
        numbered = []
        for each in element[:_MOST]:
            key = key_of(each)
            numbered.append((key, counts[key]))
            counts[key] += 1
        return Look(ARRAY, (), frozenset(numbered), len(numbered))
    return Look(SCALAR, (), frozenset(), 0)


def likeness(new: Look, old: Look) -> int:
    """0 for values of different kinds, and for different elements by their identities; otherwise 1 and more, with the
    members or elements that both have.
    """
    if new.kind != old.kind or clash(new.names, old.names):
        return 0
    agreeing = len(new.parts & old.parts)
    if (new.names or old.names) and not _is_mostly_the_same(agreeing, old):
        return 0
    return 1 + 4 * agreeing


def _is_mostly_the_same(agreeing: int, old: Look) -> bool:
    """Whether an element that has got or lost an identity is likely to be another one with as many members alike.

    What is hidden in an element that was removed must not come to a new one in its place.
    """
    return 2 * agreeing > old.size
