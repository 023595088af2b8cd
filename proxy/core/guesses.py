"""Whether what becomes of a write may depend on what is hidden from its client.

A client that turns the condition by which a member is hidden, and sends that member, gets what is stored there: it is
in the restored document. If it sent anything else it does not read back what it wrote, and is refused. If it sent the
very value nothing would be wrong, so it could try one after the other, until one is taken.

So where something that is hidden is also in what was sent anew, or would be read, the write has to be judged once more:
onto the document that it would be if those hidden values were others. To the client both are the same document, so what
becomes of the write has to be the same, too.

A value may decide what is shown: by a bound that it is above, by its end, by what it makes together with others (a sum,
or a pair that is equal). Then not any other will do. Those are tried that such a rule is likely to take for the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from math import ulp
from typing import Any

from proxy.contract import Client, Doc
from proxy.core.equality import canonical, same
from proxy.core.lens import Chain, Withheld
from proxy.core.marks import (
    Place,
    Value,
    by_value,
    copied,
    is_handed_on,
    places_of,
    unseen,
    unseen_as_others,
    values_of,
)
from proxy.core.readback import body_of

_MOST = 64
"""How often a document is shaped, at the most, to tell which of its values decide what is shown."""
_SAME = 16
"""How often for each value of which that is not the same everywhere, and for how many of these."""
_TRIES = 128
"""How often, at the most, to find other values for those that decide."""
_PARTNERS = 4
"""With how many others each of those is tried together."""


def with_other_values(chain: Chain, original: Doc, shown: Doc, client: Client, told: Iterable[Value]) -> Doc | None:
    """`original` with others instead of its hidden values that are among those `told` to the client, or by it; None if
    there are none. To the client it looks the same. Values count by their path without the indices of arrays.

    `shown`: what the client is shown of the original; `told` is in the same terms.
    """
    theirs = set(chain.in_source(told))
    names = {name for name, *_ in theirs}
    stored = {
        name: value
        for name, value in body_of(original).items()
        if name in names and not is_handed_on(value, shown.get(name))
    }
    if not stored or theirs.isdisjoint(map(chain.term, values_of(stored))):
        return None
    disguise = _Disguise(chain, client, copied(original), shown, theirs)
    return disguise.whole if disguise.put_on(stored) else None


class _Disguise:
    """Puts other values into `whole`, none of those `told`, where it is not shown."""

    def __init__(self, chain: Chain, client: Client, whole: Doc, shown: Doc, told: set[Value]) -> None:
        self.whole = whole
        self._chain = chain
        self._client = client
        self._shown = shown
        self._told = told
        self._numbers = count()
        self._tries = _TRIES
        self._joined: set[tuple[int, Any]] = set()
        """Places that have been given another value together with one that decides."""

    def put_on(self, names: Collection[str]) -> bool:
        """Whether there is anything to disguise in fields of these names."""
        found = places_of(self.whole, self._told, self._chain.term)
        places = [place for place in found if place.path[0] in names]
        hidden = unseen(places, self._shown, self._shape_marked)
        if not hidden:
            return False
        if self._put(hidden):
            return True
        lots = by_value(unseen_as_others(hidden, self._shown, self._shape_marked))
        done, deciding = self._put_most(lots, _MOST)
        for lot in deciding[:_SAME]:
            done += self._put_most([[place] for place in lot], _SAME)[0]
        return done > 0

    def _put_most(self, lots: list[list[Place]], looks: int) -> tuple[int, list[list[Place]]]:
        """How many times other values were put into some of the lots, and the lots that decide what is shown."""
        done, deciding, left = 0, [], [lots] if lots else []
        while left and looks:
            some = left.pop()
            looks -= 1
            if self._put([place for lot in some for place in lot]):
                done += 1
            elif len(some) == 1:
                if self._put_likely(some[0]):
                    done += 1
                else:
                    deciding += some
            else:
                middle = len(some) // 2
                left += [some[middle:], some[:middle]]
        return done, deciding

    def _put(self, places: Sequence[Place]) -> bool:
        """Whether the document looks the same with other values in all of the places."""
        return self._put_values(places, [self._other(place.value, place.path) for place in places])

    def _put_likely(self, places: Sequence[Place]) -> bool:
        """The same of one value that decides, with those for which that is most likely."""
        joined = [(id(place.holder), place.key) in self._joined for place in places]
        if any(joined):
            return all(joined)
        for together, values in self._likely(places):
            if self._tries <= 0:
                break
            self._tries -= 1
            if self._put_values(together, values):
                self._joined.update((id(place.holder), place.key) for place in together)
                return True
        return False

    def _likely(self, places: Sequence[Place]) -> Iterator[tuple[Sequence[Place], list[Any]]]:
        value, path = places[0].value, places[0].path
        for candidates in _near(value):
            near = next((each for each in candidates if not self._is_told(path, each)), value)
            if not same(near, value):
                yield places, [near] * len(places)
        equal = self._hidden([*places_of(self.whole, {(canonical(value),)}, lambda each: each[-1:])])
        if len(equal) > len(places):
            yield equal, [self._other(value, path)] * len(equal)
        if len(places) > 1 and _is_small(value):
            odd = len(places) % 2
            yield from self._shifted(places, [2, -1, -1][: 3 * odd] + [1, -1] * ((len(places) - 3 * odd) // 2))
        for beside in self._beside(places[0]) if len(places) == 1 else ():
            if not (same(value, beside.value) or (id(beside.holder), beside.key) in self._joined):
                yield [places[0], beside], [beside.value, value]
            if _is_small(value) and _is_small(beside.value):
                yield from self._shifted([places[0], beside], [1, -1])

    def _shifted(self, places: Sequence[Place], by: Sequence[int]) -> Iterator[tuple[Sequence[Place], list[Any]]]:
        """Numbers of which some are more, and others less."""
        step = max(_step(place.value) for place in places)
        for number in _some():
            values = [place.value + step * number * times for place, times in zip(places, by, strict=True)]
            if not any(self._is_told(places[0].path, value) for value in values):
                yield places, values
                return

    def _beside(self, place: Place) -> list[Place]:
        """Others by the same path that are not shown as they are, and are numbers or have another value."""
        found = places_of(self.whole, {place.path}, lambda value: value[:-1])
        others = [each for each in found if each.holder is not place.holder or each.key != place.key]
        hidden = self._hidden([each for each in others if _is_number(each.value) or not same(each.value, place.value)])
        return hidden[:_PARTNERS]

    def _hidden(self, places: Sequence[Place]) -> list[Place]:
        return unseen(places, self._shown, self._shape_tried) if places else []

    def _shape_tried(self) -> Doc | None:
        self._tries -= 1
        return self._shape_marked() if self._tries > 0 else None

    def _put_values(self, places: Sequence[Place], values: Sequence[Any]) -> bool:
        """Whether the document looks the same with some values in some places. If not, it is left as it was."""
        before = [place.value for place in places]
        for place, value in zip(places, values, strict=True):
            place.put(value)
        if same(self._shape(), self._shown):
            return True
        for place, value in zip(places, before, strict=True):
            place.put(value)
        return False

    def _shape(self) -> Doc | None:
        with suppress(Withheld):
            return self._chain.shape(self.whole, self._client)
        return None

    def _shape_marked(self) -> Doc | None:
        with suppress(Withheld):
            return self._chain.shape_marked(self.whole, self._client)
        return None

    def _other(self, value: Any, path: tuple[str, ...]) -> Any:
        """Another value, of the same type if there is one, and as long if that is enough."""
        other = not value if isinstance(value, bool) else value
        while self._is_told(path, other):
            number = next(self._numbers)
            if isinstance(value, str):
                digits = str(number)
                other = value[: max(len(value) - len(digits), 0)] + digits
            else:
                other = number
        return other

    def _is_told(self, path: tuple[str, ...], value: Any) -> bool:
        return self._chain.term((*path, canonical(value))) in self._told


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_small(value: Any) -> bool:
    """Whether it is a number to which one can be added."""
    return _is_number(value) and abs(value) < 2**52


def _near(value: Any) -> Iterator[Iterator[Any]]:
    """Values that are a little more or less, or have the same end, or beginning and end, or more before or behind it,
    or count as true or false as well: of each kind one after the other.
    """
    if _is_number(value):
        for step in (_step(value), -_step(value)):
            yield (value + step * number for number in _some())
    elif isinstance(value, str):
        yield (digits + value[len(digits) :] for digits in map(str, _some()))
        yield (_in_the_middle(digits, value) for digits in map(str, _some()))
        yield (value + digits for digits in map(str, _some()))
        yield (digits + value for digits in map(str, _some()))
    else:
        yield iter((1, "1") if value else (False, None, ""))


def _some() -> Iterator[int]:
    """Numbers, small ones first. Nobody can tell them all in advance, however many there are in what a client sends."""
    yield 1
    for bits in range(1, 32):
        yield 1 + secrets.randbelow(2**bits)


def _step(number: Any) -> Any:
    """A little more than nothing, by which a number changes."""
    if isinstance(number, int):
        return 1
    return max(1, ulp(number)) if number.is_integer() else 1024 * ulp(number)


def _in_the_middle(digits: str, value: str) -> str:
    begin = max(len(value) - len(digits) + 1, 0) // 2
    return value[:begin] + digits + value[begin + len(digits) :]
