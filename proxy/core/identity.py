"""The identities of array elements: members by which applications tell them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

IDENTITIES = ("_id", "id", "key")
_ANY = frozenset(IDENTITIES)
_NONE = (None,) * len(IDENTITIES)

Names = tuple[Hashable, ...]
"""The identities of an element, in the order of IDENTITIES; None where it has none; empty if it has none at all."""


def names_of(element: Any) -> Names:
    if not isinstance(element, dict) or _ANY.isdisjoint(element):
        return ()
    found = tuple([None if (value := element.get(name)) is None else _name(value) for name in IDENTITIES])
    return () if found == _NONE else found


def _name(value: Any) -> Hashable:
    """Numbers count as their text: an application that turns one into the other means the same element."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def unique(names: Sequence[Names], which: int) -> dict[Hashable, int]:
    """Index by one of the identities, where there is one that no other element has."""
    values = [held[which] if held else None for held in names]
    counts = Counter(values)
    return {value: i for i, value in enumerate(values) if value is not None and counts[value] == 1}


def clash(one: Names, other: Names) -> bool:
    """Whether two elements cannot be the same one: the first identity that both have differs."""
    for mine, theirs in zip(one, other, strict=False):
        if mine is not None and theirs is not None:
            return mine != theirs
    return False


def nameless(element: Any) -> Any:
    """An element without its identity."""
    if not isinstance(element, dict) or _ANY.isdisjoint(element):
        return element
    return {name: value for name, value in element.items() if name not in IDENTITIES}


class Crowd:
    """Many elements, by their identities."""

    def __init__(self, names: Iterable[Names]) -> None:
        self._held: dict[tuple[bool, ...], list[set[Hashable]]] = {}
        for each in names:
            which = tuple([name is not None for name in each])
            held = self._held.setdefault(which, [set() for _ in each])
            for values, name in zip(held, each, strict=True):
                values.add(name)

    def may_have(self, names: Names) -> bool:
        """Whether an element may be one of these: it does not clash with all of them."""
        for which, held in self._held.items():
            both = zip(which, held, names, strict=False)
            first = next(((values, name) for has, values, name in both if has and name is not None), None)
            if first is None or first[1] in first[0]:
                return True
        return False
