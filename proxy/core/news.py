"""What a client sends that it was not shown: where it may have guessed. No I/O.

Members are compared by name, elements of arrays as `alignment` finds them: by their identity, or where they are equal.
Of all others it is not plain which they were, so all that is in them counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from proxy.core.alignment import namesakes
from proxy.core.equality import key_of, same
from proxy.core.marks import Value, values_within

Doc = dict[str, Any]
_Path = tuple[str, ...]


def news_in(sent: Doc, shown: Doc) -> Iterator[Value]:
    """The scalars of what was sent that were not `shown` where they are, each behind the names that lead to it."""
    yield from _of_members((), sent, shown)


def _of(path: _Path, value: Any, shown: Any) -> Iterator[Value]:
    if value is shown or same(value, shown):
        return
    if isinstance(value, dict) and isinstance(shown, dict):
        yield from _of_members(path, value, shown)
    elif isinstance(value, list) and isinstance(shown, list):
        yield from _of_elements(path, value, shown)
    else:
        yield from values_within(path, value)


def _of_members(path: _Path, members: Doc, shown: Doc) -> Iterator[Value]:
    for name, value in members.items():
        if name in shown:
            yield from _of((*path, name), value, shown[name])
        else:
            yield from values_within((*path, name), value)


def _of_elements(path: _Path, elements: Sequence[Any], shown: Sequence[Any]) -> Iterator[Value]:
    partners = namesakes(elements, shown)
    for index, partner in partners.items():
        yield from _of(path, elements[index], shown[partner])
    taken = {*partners.values()}
    left = Counter(key_of(each) for index, each in enumerate(shown) if index not in taken)
    for index, element in enumerate(elements):
        if index in partners:
            continue
        key = key_of(element)
        if left[key]:
            left[key] -= 1
        else:
            yield from values_within(path, element)
