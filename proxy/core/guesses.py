"""Whether what becomes of a write may depend on what is hidden from its client.

A client that turns the condition by which a member is hidden, and sends that member, gets what is stored there: it is
in the restored document. If it sent anything else it does not read back what it wrote, and is refused. If it sent the
very value nothing would be wrong, so it could try one after the other, until one is taken.

So where something that is hidden is also in what was sent anew, or would be read, the write has to be judged once more:
onto the document that it would be if those hidden values were others. To the client both are the same document, so what
becomes of the write has to be the same, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

from proxy.contract import Client, Doc
from proxy.core.equality import canonical, same
from proxy.core.lens import Chain, Value, Withheld, body_of, values_of

_MOST = 64
"""How often a document is shaped, at the most, to tell which of its values are hidden."""


def with_other_values(chain: Chain, original: Doc, shown: Doc, client: Client, told: Iterable[Value]) -> Doc | None:
    """`original` with others instead of its hidden values that are among those `told` to the client, or by it; None if
    there are none. To the client it looks the same. Values count by their path without the indices of arrays.

    `shown`: what the client is shown of the original; `told` is in the same terms.
    """
    theirs = set(chain.in_source(told))
    names = {name for name, *_ in theirs}
    stored = {name: value for name, value in body_of(original).items() if name in names}
    if not stored or theirs.isdisjoint(values_of(stored)):
        return None
    seen = Counter(chain.in_source(values_of(body_of(shown))))
    doubted = theirs & (Counter(values_of(stored)) - seen).keys()
    if not doubted:
        return None
    disguise = _Disguise(chain, client, _copied(original), shown, theirs)
    return disguise.whole if disguise.put(list(_places(disguise.whole, doubted))) else None


class _Place(NamedTuple):
    """Where a scalar is: `holder[key]`, and the names that lead to it."""

    holder: Any
    key: Any
    path: tuple[str, ...]


class _Disguise:
    """Puts other values into `whole`, none of those `told`, where it is not shown."""

    def __init__(self, chain: Chain, client: Client, whole: Doc, shown: Doc, told: set[Value]) -> None:
        self.whole = whole
        self._chain = chain
        self._client = client
        self._shown = shown
        self._told = told
        self._left = _MOST
        self._numbers = count()

    def put(self, places: list[_Place]) -> bool:
        """Whether there was any among the places. Of many that are hidden most are found at once."""
        if not places or not self._left:
            return False
        before = [holder[key] for holder, key, _ in places]
        for holder, key, path in places:
            holder[key] = self._other(holder[key], path)
        self._left -= 1
        if self._looks_the_same():
            return True
        for (holder, key, _), value in zip(places, before, strict=True):
            holder[key] = value
        middle = len(places) // 2
        found = [self.put(places[:middle]), self.put(places[middle:])] if middle else []
        return any(found)

    def _looks_the_same(self) -> bool:
        try:
            return same(self._chain.shape(self.whole, self._client), self._shown)
        except Withheld:
            return False

    def _other(self, value: Any, path: tuple[str, ...]) -> Any:
        """Another value, of the same type if there is one, and as long if that is enough."""
        other = not value if isinstance(value, bool) else value
        while (*path, canonical(other)) in self._told:
            number = next(self._numbers)
            if isinstance(value, str):
                digits = str(number)
                other = value[: max(len(value) - len(digits), 0)] + digits
            else:
                other = number
        return other


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    return [_copied(element) for element in value] if isinstance(value, list) else value


def _places(doc: Doc, values: set[Value]) -> Iterator[_Place]:
    """Where a document has one of the values."""
    left: list[_Place] = [_Place(doc, name, (name,)) for name in doc if name[0] != "_"]
    while left:
        holder, key, path = place = left.pop()
        value = holder[key]
        if isinstance(value, dict):
            left += [_Place(value, name, (*path, name)) for name in value]
        elif isinstance(value, list):
            left += [_Place(value, index, path) for index in range(len(value))]
        elif (*path, canonical(value)) in values:
            yield place
