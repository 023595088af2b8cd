"""Which element of an array is which element of another: `align` for edits, `embed` for what a filter has cut.

An edit is aligned in three steps:

  1. Elements with the same identity (`_id`, `id` or `key`, unique on its side) are partners wherever they stand. Of the
     identities that both have the first one counts: if that differs they are two different elements, and no partners.
  2. Of the others, equal ones are: a longest common subsequence first, then those that were moved.
  3. Between the common ones, changed elements are: in order, so that partners agree in as many members as possible.
     An element that was changed in place thus finds its former self, also when its neighbour was inserted or removed,
     and when what was changed is that it has got an identity, or lost it, if most of it stayed as it was.

Cost is bounded for hostile input: beyond a size, steps 2 and 3 settle for less than the longest and the most.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from proxy.core.equality import key_of, same
from proxy.core.identity import IDENTITIES, clash, nameless, names_of, unique
from proxy.core.likeness import likeness, look

_MAX_CANDIDATES = 32
"""Of how many equal elements each element is weighed against the nearest only."""
_MAX_CELLS = 10_000
"""The largest gap (elements sent × elements shown) whose changed elements are paired by likeness."""
_MANY = 64
"""Elements with so many members count twice in that, and so on."""


class Effort:
    """How many elements of a document may still be compared by likeness, in all of its arrays together."""

    def __init__(self) -> None:
        self._left = 10 * _MAX_CELLS

    def spend(self, cells: int) -> bool:
        """Whether a gap of so many pairs may be compared."""
        if cells > min(_MAX_CELLS, self._left):
            return False
        self._left -= cells
        return True


def align(new: Sequence[Any], old: Sequence[Any], effort: Effort | None = None) -> list[int | None]:
    """For each element of `new` the index of its partner in `old`; None if it has none. No index occurs twice.

    `effort`: what is left for it in the document.
    """
    named = _named(new, old)
    partners: list[int | None] = [named.get(i) for i in range(len(new))]
    rest_new, rest_old = _without(len(new), named), _without(len(old), named.values())
    for i, j in _unnamed([new[i] for i in rest_new], [old[j] for j in rest_old], effort or Effort()):
        partners[rest_new[i]] = rest_old[j]
    return partners


def _named(new: Sequence[Any], old: Sequence[Any]) -> dict[int, int]:
    """Partners by identity."""
    pairs: dict[int, int] = {}
    names_new, names_old = list(map(names_of, new)), list(map(names_of, old))
    if not any(names_new) or not any(names_old):
        return pairs
    for which in range(len(IDENTITIES)):
        at_new, at_old = unique(names_new, which), unique(names_old, which)
        taken = set(pairs.values())
        for value in at_new.keys() & at_old.keys():
            i, j = at_new[value], at_old[value]
            if i not in pairs and j not in taken and not clash(names_new[i], names_old[j]):
                pairs[i] = j
    return pairs


def gone(new: Sequence[Any], old: Sequence[Any], partners: Sequence[int | None]) -> Callable[[int], bool]:
    """Whether an element of `old` that is nobody's partner was surely removed: all that is new or changed has another
    identity and other members, or it may have become one of these, and none that is left looks the same, or it may be
    that one.
    """
    pairs = zip(new, partners, strict=True)
    changed = [element for element, partner in pairs if partner is None or not same(element, old[partner])]
    names = list(map(names_of, changed))
    others = {key_of(nameless(element)) for element in changed}
    left = {key_of(old[partner]) for partner in partners if partner is not None}
    if len(changed) * (len(old) - len(left)) > _MAX_CELLS:
        return lambda index: False

    def is_gone(index: int) -> bool:
        element = old[index]
        if key_of(element) in left or key_of(nameless(element)) in others:
            return False
        mine = names_of(element)
        return all(clash(each, mine) for each in names)

    return is_gone


def embed(cut: Sequence[Any], whole: Sequence[Any], effort: Effort | None = None) -> list[int | None]:
    """For each element of `cut` the index of the element of `whole` that it was made of.

    Identities tell, or an equal length. Otherwise elements are expected in order, with members and elements left out
    but nothing else changed; failing that, they are aligned as an edit would be.
    """
    if len(_named(cut, whole)) == len(cut):
        return align(cut, whole, effort)
    if len(cut) == len(whole):
        return list(range(len(whole)))
    origins: list[int | None] = []
    position = 0
    for element in cut:
        while position < len(whole) and not is_cut(element, whole[position]):
            position += 1
        if position == len(whole):
            return align(cut, whole, effort)
        origins.append(position)
        position += 1
    return origins


def is_cut(cut: Any, whole: Any) -> bool:
    """Whether `cut` is `whole` with members of objects and elements of arrays left out at any depth."""
    if isinstance(cut, dict) and isinstance(whole, dict):
        return all(name in whole and is_cut(value, whole[name]) for name, value in cut.items())
    if isinstance(cut, list) and isinstance(whole, list):
        rest = iter(whole)
        return all(any(is_cut(element, candidate) for candidate in rest) for element in cut)
    return same(cut, whole)


def _without(length: int, positions: Iterable[int]) -> list[int]:
    taken = set(positions)
    return [i for i in range(length) if i not in taken]


def _unnamed(new: list[Any], old: list[Any], effort: Effort) -> Iterator[tuple[int, int]]:
    """Partners among elements that no identity tells, as pairs of indices."""
    keys_new, keys_old = list(map(key_of, new)), list(map(key_of, old))
    common = _common(keys_new, keys_old)
    yield from common
    moved = list(_moved(keys_new, keys_old, common))
    yield from moved
    taken_new, taken_old = {i for i, _ in moved}, {j for _, j in moved}
    start_new = start_old = 0
    for i, j in [*common, (len(new), len(old))]:
        gap_new = [k for k in range(start_new, i) if k not in taken_new]
        gap_old = [k for k in range(start_old, j) if k not in taken_old]
        yield from _changed(new, old, gap_new, gap_old, effort)
        start_new, start_old = i + 1, j + 1


def _moved(new: list[bytes], old: list[bytes], common: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Equal elements that the common subsequence left over on both sides."""
    places: dict[bytes, list[int]] = {}
    for j in reversed(_without(len(old), [j for _, j in common])):
        places.setdefault(old[j], []).append(j)
    for i in _without(len(new), [i for i, _ in common]):
        left = places.get(new[i])
        if left:
            yield i, left.pop()


def _common(new: list[bytes], old: list[bytes]) -> list[tuple[int, int]]:
    """A longest common subsequence, as pairs of indices (after Hunt and Szymanski)."""
    head = 0
    while head < min(len(new), len(old)) and new[head] == old[head]:
        head += 1
    tail = 0
    while tail < min(len(new), len(old)) - head and new[-1 - tail] == old[-1 - tail]:
        tail += 1
    middle = _longest(new[head : len(new) - tail], old[head : len(old) - tail])
    return [
        *((i, i) for i in range(head)),
        *((head + i, head + j) for i, j in middle),
        *((len(new) - k, len(old) - k) for k in range(tail, 0, -1)),
    ]


def _longest(new: list[bytes], old: list[bytes]) -> list[tuple[int, int]]:
    places: dict[bytes, list[int]] = {}
    for j, key in enumerate(old):
        places.setdefault(key, []).append(j)
    ends: list[int] = []  # ends[n]: the smallest index of `old` at which a common subsequence of n + 1 ends
    links: list[_Link] = []
    for i, key in enumerate(new):
        for j in _nearest(places.get(key, []), i):
            n = bisect_left(ends, j)
            link = (i, j, links[n - 1] if n else None)
            if n == len(ends):
                ends.append(j)
                links.append(link)
            elif j < ends[n]:
                ends[n], links[n] = j, link
    return _unlink(links[-1] if links else None)


_Link = tuple[int, int, Any]


def _nearest(places: list[int], i: int) -> Iterator[int]:
    """The candidates for element `i`, last first, so that one element is not counted twice."""
    middle = bisect_left(places, i)
    half = _MAX_CANDIDATES // 2
    return reversed(places[max(0, middle - half) : middle + half])


def _unlink(link: _Link | None) -> list[tuple[int, int]]:
    pairs = []
    while link is not None:
        i, j, link = link
        pairs.append((i, j))
    return pairs[::-1]


def _changed(
    new: list[Any], old: list[Any], among_new: list[int], among_old: list[int], effort: Effort
) -> list[tuple[int, int]]:
    """Partners among elements none of which are equal, in order, with the greatest total likeness."""
    if not among_new or not among_old:
        return []
    looks_new, looks_old = [look(new[i]) for i in among_new], [look(old[j]) for j in among_old]
    members = min(max(each.size for each in looks) for looks in (looks_new, looks_old))
    if not effort.spend(len(among_new) * len(among_old) * (1 + members // _MANY)):
        pairs = zip(among_new, among_old, looks_new, looks_old, strict=False)
        return [(i, j) for i, j, mine, theirs in pairs if likeness(mine, theirs)]
    alike = [[likeness(mine, theirs) for theirs in looks_old] for mine in looks_new]
    best: list[list[int]] = [[0] * (len(among_old) + 1) for _ in range(len(among_new) + 1)]
    for a in range(len(among_new) - 1, -1, -1):
        for b in range(len(among_old) - 1, -1, -1):
            paired = _paired(alike[a][b], best[a + 1][b + 1])
            best[a][b] = max(paired, best[a + 1][b], best[a][b + 1])
    found, a, b = [], 0, 0
    while a < len(among_new) and b < len(among_old):
        if alike[a][b] and best[a][b] == alike[a][b] + best[a + 1][b + 1]:
            found.append((among_new[a], among_old[b]))
            a, b = a + 1, b + 1
        elif best[a][b] == best[a + 1][b]:
            a += 1
        else:
            b += 1
    return found


def _paired(alike: int, rest: int) -> int:
    return alike + rest if alike else 0
