"""Whether what becomes of a write may depend on what is hidden from its client.

A client that turns the condition by which a member is hidden, and sends that member, gets what is stored there: it is
in the restored document. If it sent anything else it does not read back what it wrote, and is refused. If it sent the
very value nothing would be wrong, so it could try one after the other, until one is taken.

So where something that is hidden is also in what was sent anew, or would be read, the write has to be judged once more:
onto the document that it would be if those hidden values were others. To the client both are the same document, so what
becomes of the write has to be the same, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import count
from typing import Any

from proxy.contract import Client, Doc
from proxy.core.equality import canonical, same
from proxy.core.lens import Chain, Withheld, body_of
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

_MOST = 64
"""How often a document is shaped, at the most, to tell which of its values decide what is shown."""
_SAME = 16
"""How often for each value of which that is not the same everywhere, and for how many of these."""


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
                deciding += some
            else:
                middle = len(some) // 2
                left += [some[middle:], some[:middle]]
        return done, deciding

    def _put(self, places: list[Place]) -> bool:
        """Whether the document looks the same with other values in all of the places."""
        before = [place.value for place in places]
        for place in places:
            place.put(self._other(place.value, place.path))
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
        while self._chain.term((*path, canonical(other))) in self._told:
            number = next(self._numbers)
            if isinstance(value, str):
                digits = str(number)
                other = value[: max(len(value) - len(digits), 0)] + digits
            else:
                other = number
        return other
