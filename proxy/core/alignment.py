"""Which element of an array is which element of another: `align` for edits, `embed` for what a filter has cut.

An edit is aligned in three steps:

  1. Elements with the same identity (`_id`, `id` or `key`, unique on its side) are partners wherever they stand. Of the
     identities that both have the first one counts: if that differs they are two different elements, and no partners.
  2. Of the others, equal ones are: a longest common subsequence first, then those that were moved.
  3. Between the common ones, changed elements are: in order, so that partners agree in as many members as possible.
     An element that was changed in place thus finds its former self, also when its neighbour was inserted or removed,
     and when what was changed is that it has got an identity, or lost it, if most of it stayed as it was.

Cost is bounded for hostile input: beyond a size, step 2 settles for less than the longest, and step 3 for partners that
there is evidence for (see `evidence`). The others are *unsure*: that they stand at the same place says nothing of which
they are, and whoever has something to lose by that must not go by it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any, NamedTuple

from proxy.core.equality import key_of, same
from proxy.core.evidence import told_apart
from proxy.core.identity import IDENTITIES, Crowd, clash, nameless, names_of, unique
from proxy.core.likeness import ARRAY, OBJECT, SCALAR, Look, likeness, look

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


class Aligned(NamedTuple):
    """Which element is which."""

    partners: list[int | None]
    """For each element of `new` the index of its partner in `old`; None if it has none. No index occurs twice."""
    unsure: frozenset[int] = frozenset()
    """Those of `old` that may have become another element than the one that has it as its partner, if there is one."""


def align(new: Sequence[Any], old: Sequence[Any], effort: Effort | None = None) -> Aligned:
    """The partners of an edited array's elements in the array that it was.

    `effort`: what is left for it in the document.
    """
    named = namesakes(new, old)
    partners: list[int | None] = [named.get(i) for i in range(len(new))]
    rest_new, rest_old = _without(len(new), named), _without(len(old), named.values())
    rest = _Rest([new[i] for i in rest_new], [old[j] for j in rest_old], effort or Effort())
    rest.pair()
    for i, j in rest.pairs.items():
        partners[rest_new[i]] = rest_old[j]
    return Aligned(partners, frozenset([rest_old[j] for j in rest.unsure]))


def namesakes(new: Sequence[Any], old: Sequence[Any]) -> dict[int, int]:
    """Partners by identity: index in `new` and in `old`."""
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


def embed(cut: Sequence[Any], whole: Sequence[Any], effort: Effort | None = None) -> Aligned:
    """The elements of `whole` that those of `cut` were made of.

    Identities tell, or an equal length. Otherwise elements are expected in order, with members and elements left out
    but nothing else changed, or else with some members changed in any of them; failing that, they are aligned as an
    edit would be.
    """
    named = namesakes(cut, whole)
    if len(named) == len(cut):
        return Aligned([named[index] for index in range(len(cut))])
    if len(cut) == len(whole):
        return Aligned(list(range(len(whole))))
    origins: list[int | None] = []
    position = 0
    for element in cut:
        while position < len(whole) and not is_cut(element, whole[position]):
            position += 1
        if position == len(whole):
            return _embed_changed(cut, whole) or align(cut, whole, effort)
        origins.append(position)
        position += 1
    return Aligned(origins)


def _embed_changed(cut: Sequence[Any], whole: Sequence[Any]) -> Aligned | None:
    """By members of objects that nothing was changed in; None if it cannot be so. Unsure where there are other ways."""
    if not all(isinstance(element, dict) for each in (cut, whole) for element in each):
        return None
    of_cut, of_whole = ([{(n, key_of(v)) for n, v in each.items()} for each in some] for some in (cut, whole))
    left = Counter(part for parts in of_whole for part in parts)
    left.subtract(part for parts in of_cut for part in parts)
    changed = {name for (name, _), count in left.items() if count < 0}
    kept = [{part for part in parts if part[0] not in changed} for parts in of_cut]
    first, last = _fit(kept, of_whole), _fit(kept[::-1], of_whole[::-1])
    if first is None or last is None:
        return None
    latest = [len(whole) - 1 - position for position in reversed(last)]
    return Aligned([*first], frozenset(one for one, other in zip(first, latest, strict=True) if one != other))


_Parts = Set[tuple[str, str]]


def _fit(some: Sequence[_Parts], whole: Sequence[_Parts]) -> list[int] | None:
    """The first of `whole` that have all of what each of `some` has, in order."""
    found: list[int] = []
    positions = iter(range(len(whole)))
    for parts in some:
        position = next((each for each in positions if parts <= whole[each]), None)
        if position is None:
            return None
        found.append(position)
    return found


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


class _Looked:
    """Elements that are looked at when they are to be compared, once."""

    def __init__(self, elements: list[Any]) -> None:
        self.elements = elements
        self._looks: dict[int, Look] = {}

    def looks(self, among: Iterable[int] | None = None) -> list[Look]:
        """Of all, or of some of them."""
        return [self._look(index) for index in (range(len(self.elements)) if among is None else among)]

    def _look(self, index: int) -> Look:
        found = self._looks.get(index)
        if found is None:
            found = self._looks[index] = look(self.elements[index])
        return found


class _Rest:
    """Elements that no identity tells: which of `new` are which of `old`."""

    def __init__(self, new: list[Any], old: list[Any], effort: Effort) -> None:
        self._new = _Looked(new)
        self._old = _Looked(old)
        self._effort = effort
        self.pairs: dict[int, int] = {}
        self.unsure: set[int] = set()

    def pair(self) -> None:
        new, old = self._new.elements, self._old.elements
        keys_new, keys_old = list(map(key_of, new)), list(map(key_of, old))
        common = _common(keys_new, keys_old)
        self.pairs.update(common)
        self.pairs.update(_moved(keys_new, keys_old, common))
        taken = set(self.pairs.values())
        large: list[_Gap] = []
        start_new = start_old = 0
        for i, j in [*common, (len(new), len(old))]:
            gap_new = [k for k in range(start_new, i) if k not in self.pairs]
            gap_old = [k for k in range(start_old, j) if k not in taken]
            if gap_new and gap_old and not self._pair_gap(gap_new, gap_old):
                large.append((gap_new, gap_old))
            start_new, start_old = i + 1, j + 1
        if large:
            self._pair_large(large)

    def _pair_gap(self, gap_new: list[int], gap_old: list[int]) -> bool:
        """Whether it is small enough to compare each with each."""
        looks_new, looks_old = self._new.looks(gap_new), self._old.looks(gap_old)
        members = min(max(each.size for each in looks) for looks in (looks_new, looks_old))
        if not self._effort.spend(len(gap_new) * len(gap_old) * (1 + members // _MANY)):
            return False
        self.pairs.update((gap_new[a], gap_old[b]) for a, b in _most_alike(looks_new, looks_old))
        return True

    def _pair_large(self, gaps: list[_Gap]) -> None:
        """By evidence; of the others those at the same place in their gap."""
        looks_new, looks_old = self._new.looks(), self._old.looks()
        among_new = {i for gap_new, _ in gaps for i in gap_new}
        among_old = {j for _, gap_old in gaps for j in gap_old}
        for i, j in told_apart(looks_new, looks_old).items():
            if i in among_new and j in among_old:
                self.pairs[i] = j
        taken = set(self.pairs.values())
        left = [(i, each) for i, each in enumerate(looks_new) if i not in self.pairs]
        crowds = {
            kind: Crowd([each.names for _, each in left if each.kind == kind]) for kind in (OBJECT, ARRAY, SCALAR)
        }
        self.unsure = {j for j in among_old - taken if crowds[looks_old[j].kind].may_have(looks_old[j].names)}
        for gap_new, gap_old in gaps:
            rest_new, rest_old = [i for i in gap_new if i not in self.pairs], [j for j in gap_old if j not in taken]
            for i, j in zip(rest_new, rest_old, strict=False):
                if likeness(looks_new[i], looks_old[j]):
                    self.pairs[i] = j


_Gap = tuple[list[int], list[int]]
"""Elements of either side between two that are equal."""


def _moved(new: list[str], old: list[str], common: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Equal elements that the common subsequence left over on both sides."""
    places: dict[str, list[int]] = {}
    for j in reversed(_without(len(old), [j for _, j in common])):
        places.setdefault(old[j], []).append(j)
    for i in _without(len(new), [i for i, _ in common]):
        left = places.get(new[i])
        if left:
            yield i, left.pop()


def _common(new: list[str], old: list[str]) -> list[tuple[int, int]]:
    """A longest common subsequence, as pairs of indices (after Hunt and Szymanski)."""
    head = 0
    while head < min(len(new), len(old)) and new[head] == old[head]:
        head += 1
    tail = 0
    while tail < min(len(new), len(old)) - head and new[-1 - tail] == old[-1 - tail]:
        tail += 1
    middle = _nearest_equal(new[head : len(new) - tail], old[head : len(old) - tail])
    return [
        *((i, i) for i in range(head)),
        *((head + i, head + j) for i, j in middle),
        *((len(new) - k, len(old) - k) for k in range(tail, 0, -1)),
    ]


def _nearest_equal(new: list[str], old: list[str]) -> list[tuple[int, int]]:
    """A longest one, in which of several equal elements those are partners that stand at about the same place: others
    lie between them that were edited where they are.
    """
    at_new, at_old = _places(new), _places(old)
    found = [(-1, -1), *_longest(new, old), (len(new), len(old))]
    forth = range(1, len(found) - 1)
    for n in (*reversed(forth), *forth):  # each makes room for the one before, or behind it
        (after_new, after_old), (i, j), (end_new, end_old) = found[n - 1 : n + 2]
        i = _nearest_of(at_new[old[j]], j, after_new, end_new)
        j = _nearest_of(at_old[new[i]], i, after_old, end_old)
        found[n] = (i, j)
    return found[1:-1]


def _nearest_of(places: list[int], target: int, after: int, end: int) -> int:
    """The place between two others that is nearest to a target."""
    first, last = bisect_right(places, after), bisect_left(places, end) - 1
    at = min(max(bisect_left(places, target), first), last)
    before = places[max(at - 1, first)]
    return before if target - before < places[at] - target else places[at]


def _places(keys: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        places.setdefault(key, []).append(index)
    return places


def _longest(new: list[str], old: list[str]) -> list[tuple[int, int]]:
    places = _places(old)
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


def _most_alike(new: list[Look], old: list[Look]) -> list[tuple[int, int]]:
    """Partners among elements none of which are equal, in order, with the greatest total likeness."""
    alike = [[likeness(mine, theirs) for theirs in old] for mine in new]
    best: list[list[int]] = [[0] * (len(old) + 1) for _ in range(len(new) + 1)]
    for a in range(len(new) - 1, -1, -1):
        for b in range(len(old) - 1, -1, -1):
            paired = _paired(alike[a][b], best[a + 1][b + 1])
            best[a][b] = max(paired, best[a + 1][b], best[a][b + 1])
    found, a, b = [], 0, 0
    while a < len(new) and b < len(old):
        if alike[a][b] and best[a][b] == alike[a][b] + best[a + 1][b + 1]:
            found.append((a, b))
            a, b = a + 1, b + 1
        elif best[a][b] == best[a + 1][b]:
            a += 1
        else:
            b += 1
    return found


def _paired(alike: int, rest: int) -> int:
    return alike + rest if alike else 0
