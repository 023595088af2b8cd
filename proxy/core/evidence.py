"""Which of many changed elements are which, by what tells them apart: for gaps too large to compare each with each.

A *trait* is something that one element alone has of all that were sent, and one alone of all that were shown: a member
whose name has a value of its own in most elements (a text, say, and not a flag), or all members but one, or all. Two
elements are partners if their traits lead to each other, and none to a third one, and if half of what was shown of the
one is in the other. So the first of many elements may go, and a flag be set in all others, and each is found.

What an edit leaves of an element is in the element that it was before. So no trait leads to another one, unless the
client writes into one what makes another one unique. Cost is linear.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from proxy.core.likeness import OBJECT, Look, likeness


def told_apart(new: Sequence[Look], old: Sequence[Look]) -> dict[int, int]:
    """Partners for certain, as index of `new` → index of `old`; these are all elements of the array on either side."""
    telling = _telling(new) & _telling(old)
    traits_new, traits_old = _traits(new, telling), _traits(old, telling)
    to_old: dict[int, int] = {}
    to_new: dict[int, int] = {}
    torn_new: set[int] = set()
    torn_old: set[int] = set()
    for trait, i in traits_new.items():
        j = traits_old.get(trait)
        if j is None:
            continue
        if to_old.setdefault(i, j) != j:
            torn_new.add(i)
        if to_new.setdefault(j, i) != i:
            torn_old.add(j)
    return {i: j for i, j in to_old.items() if i not in torn_new and j not in torn_old and _is_alike(new[i], old[j])}


def _telling(looks: Sequence[Look]) -> set[Hashable]:
    """The names of members that have a value of its own in most objects."""
    objects = [look.parts for look in looks if look.kind == OBJECT]
    counts = Counter(part for parts in objects for part in parts)
    own = Counter(name for (name, _), count in counts.items() if count == 1)
    return {name for name, count in own.items() if 2 * count > len(objects)}


def _traits(looks: Sequence[Look], telling: set[Hashable]) -> dict[Hashable, int]:
    """The element that has it, by trait."""
    found: dict[Hashable, int | None] = {}
    for index, look in enumerate(looks):
        for trait in _traits_of(look, telling):
            found[trait] = index if found.get(trait, index) == index else None
    return {trait: index for trait, index in found.items() if index is not None}


def _traits_of(look: Look, telling: set[Hashable]) -> Iterator[Hashable]:
    yield from (part for part in look.parts if part[0] in telling)
    hashes = [hash((look.kind, part)) for part in look.parts]
    whole = sum(hashes)
    if len(hashes) > 1:
        yield whole
    if len(hashes) > 2:
        yield from (whole - each for each in hashes)


def _is_alike(new: Look, old: Look) -> bool:
    return likeness(new, old) > 0 and 2 * len(new.parts & old.parts) >= old.size
