"""Which scalars of a document a client is shown as they are. No I/O.

Each is marked, and looked for in what comes out. A mark is an equal value that is an object of its own: conditions hold
for it as before, and filters hand it on. For true, false and null there are none; their marks are other values that
count as true or false. What comes out must be what came out before, but for the marks: if it is not, they tell nothing.

So it takes a few looks at a document to tell all of its values, however many there are, and a value that is shown twice
counts once. Of values whose marks tell nothing, half are looked at alone, and so on, until all the others are told.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Hashable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple, Self

from proxy.core.equality import canonical, same

Doc = dict[str, Any]
Value = tuple[Hashable, ...]
"""A scalar in a document, behind the names that lead to it; arrays have none."""
Shape = Callable[[], Doc | None]
"""What the client is shown of the document as it is by then; None if that cannot be told."""

_LOOKS = 48
"""How often a document is shaped, at the most, to find out which marks tell nothing."""


class Place(NamedTuple):
    """Where a scalar is: `holder[key]`, and the names that lead to it."""

    holder: Any
    key: Any
    path: tuple[str, ...]

    @property
    def value(self) -> Any:
        return self.holder[self.key]

    def put(self, value: Any) -> None:
        self.holder[self.key] = value


def values_of(doc: Doc) -> Iterator[Value]:
    """The scalars in a document, each behind the names that lead to it."""
    return values_within((), doc)


def values_within(path: tuple[str, ...], value: Any) -> Iterator[Value]:
    """The scalars in a value to which these names lead."""
    left: list[tuple[tuple[str, ...], Any]] = [(path, value)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict):
            left += [((*path, name), member) for name, member in value.items()]
        elif isinstance(value, list):
            left += [(path, element) for element in value]
        else:
            yield (*path, canonical(value))


def _itself(value: Value) -> Value:
    return value


def places_of(doc: Doc, values: Container[Value], term: Callable[[Value], Value] = _itself) -> Iterator[Place]:
    """Where the application's members of a document have one of the values, in other terms if need be."""
    left: list[Place] = [Place(doc, name, (name,)) for name in doc if not name.startswith("_")]
    while left:
        place = left.pop()
        value = place.value
        if isinstance(value, dict):
            left += [Place(value, name, (*place.path, name)) for name in value]
        elif isinstance(value, list):
            left += [Place(value, index, place.path) for index in range(len(value))]
        elif term(_value(place)) in values:
            yield place


def copied(value: Any) -> Any:
    """A copy whose places may be put something into."""
    if isinstance(value, dict):
        return {name: copied(member) for name, member in value.items()}
    return [copied(element) for element in value] if isinstance(value, list | tuple) else value


def is_handed_on(value: Any, shown: Any) -> bool:
    """Whether what is shown is the very object that the document has: so all of it is."""
    return shown is value and (isinstance(value, dict | list) or (_has_equals(value) and not _is_shared(value)))


def unseen(places: Sequence[Place], shown: Doc, shape: Shape) -> list[Place]:
    """Those of the places whose values are not `shown` as they are, or of which that cannot be told."""
    return _others(places, _seen(places, shown, shape))


def unseen_as_others(places: Sequence[Place], shown: Doc, shape: Shape) -> list[Place]:
    """As `unseen`, where filters make values anew: told by values that are nowhere else."""
    equal = [place for place in places if _has_equals(place.value)]
    return _others(places, _seen_by(_unlike, equal, shown, shape))


def hidden_values(
    places: Sequence[Place], shown: Doc, shape: Shape, in_source: Iterable[Value], term: Callable[[Value], Value]
) -> Counter[Value]:
    """How often the values of some places are in the document, and not shown: also those that filters make anew are.

    `in_source`: the values that are shown, in the terms by which those of the document are counted.
    """
    seen = _seen(places, shown, shape)
    anew = Counter(in_source)
    for place in places:
        anew[term(_value(place))] -= seen[_key(place)]
    return Counter(term(_value(place)) for place in _others(places, seen)) - +anew


def by_value(places: Iterable[Place]) -> list[list[Place]]:
    """Those with the same value together; true, false and null last."""
    found: defaultdict[Value, list[Place]] = defaultdict(list)
    for place in places:
        found[_value(place)].append(place)
    return sorted(found.values(), key=lambda some: not _has_equals(some[0].value))


def _seen(places: Sequence[Place], shown: Doc, shape: Shape) -> Counter[_Key]:
    """How often each comes out as it went in."""
    equal = [place for place in places if _has_equals(place.value)]
    truths = [place for place in places if not _has_equals(place.value)]
    return _seen_by(_equal, equal, shown, shape) + _seen_by(_as_true, truths, shown, shape)


def _seen_by(mark: Callable[[Any], Any], places: Sequence[Place], shown: Doc, shape: Shape) -> Counter[_Key]:
    seen: Counter[_Key] = Counter()
    left = [by_value(places)] if places else []
    looks = _LOOKS
    while left and looks:
        some = left.pop()
        looks -= 1
        found = _look([place for same_value in some for place in same_value], mark, shown, shape)
        if found is not None:
            seen += found
        elif len(some) > 1:
            middle = len(some) // 2
            left += [some[middle:], some[:middle]]
    return seen


def _look(places: Sequence[Place], mark: Callable[[Any], Any], shown: Doc, shape: Shape) -> Counter[_Key] | None:
    """How often each comes out as it went in; None if something else comes out, so that it cannot be told."""
    values = [place.value for place in places]
    marks = [mark(value) for value in values]
    for place, each in zip(places, marks, strict=True):
        place.put(each)
    finder = _Finder(marks, values, by_value=mark is _unlike)
    try:
        out = finder.unmarked(shape())  # which may share objects with the document
    finally:
        for place, value in zip(places, values, strict=True):
            place.put(value)
    if not same(out, shown):
        return None
    return Counter({_key(places[number]): times for number, times in finder.found.items()})


def _others(places: Sequence[Place], seen: Container[_Key]) -> list[Place]:
    return [place for place in places if _key(place) not in seen]


_Key = tuple[int, Hashable]


def _key(place: Place) -> _Key:
    return id(place.holder), place.key


def _value(place: Place) -> Value:
    return (*place.path, canonical(place.value))


class _Finder:
    """Finds marks in what comes out, and puts there again what they stood for."""

    def __init__(self, marks: Sequence[Any], values: Sequence[Any], *, by_value: bool) -> None:
        self.found: Counter[int] = Counter()
        self._values = values
        self._name: Callable[[Any], Hashable] = canonical if by_value else id
        self._numbers = {self._name(mark): number for number, mark in enumerate(marks)}

    def unmarked(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.unmarked(member) for name, member in value.items()}
        if isinstance(value, list):
            return [self.unmarked(element) for element in value]
        number = self._numbers.get(self._name(value))
        if number is None:
            return value
        self.found[number] += 1
        return self._values[number]


def _has_equals(value: Any) -> bool:
    """Whether there may be objects that are equal to a value, and others."""
    return value is not None and not isinstance(value, bool)


def _is_shared(value: Any) -> bool:
    """Whether Python may have but one object for a text or number."""
    if isinstance(value, int):
        return abs(value) <= _SMALL
    return isinstance(value, str) and len(value) < 2


_SMALL = 1024


def _equal(value: Any) -> Any:
    """An object of its own that is equal to a text or number."""
    if isinstance(value, str):
        return _Text(value) if _is_shared(value) else (value + " ")[:-1]
    if isinstance(value, int):
        return _Integer(value) if _is_shared(value) else int(str(value))
    return float(repr(value))


def _as_true(value: Any) -> Any:
    """An object of its own that counts as true or false, as a value does."""
    return _Integer(1) if value else _Text()


_numbers = count(2**51 + secrets.randbelow(2**50))


def _unlike(value: Any) -> Any:
    """A value of the same type that is nowhere else."""
    number = next(_numbers)
    if isinstance(value, float):
        return number + 0.5
    return number if isinstance(value, int) else f"{number:x}"


class _Own:
    """What is handed on as it is, also by what copies."""

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


_Integer = type("int", (_Own, int), {})  # by these names JMESPath knows of which type they are
_Text = type("str", (_Own, str), {})
