"""By which cut of a document a client edited it, where it may have been shown another one than it would be now.

A device keeps what it was shown of a revision for ever. When rules change, or somebody's roles, its next edit is one of
the old cut: what that left out is missing in the edit, and masks are in it that are none any more. Read by the present
rules it would say: remove this, store that mask.

The edit itself tells: it differs from what was edited in what the client changed, and from any other cut in more than
that. So the nearest of the cuts that the client may have been shown is taken for the one that was edited, and of
several that are equally near the oldest kind: the former ones before the present one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from proxy.contract import Client, Doc
from proxy.core.equality import canonical, same
from proxy.core.lens import Chain, Withheld, comparable


@dataclass(frozen=True)
class Cut:
    """By what somebody is, or was, shown documents."""

    chain: Chain
    client: Client

    def of(self, doc: Doc) -> Doc | None:
        """`doc`, without protocol members, as it was shown; None if it was not."""
        try:
            return self.chain.shape(doc, self.client)
        except Withheld:
            return None


class Likely(NamedTuple):
    """A former cut, and by how many places an edit is nearer to it than to the present one: 0 or more."""

    cut: Cut
    nearer: int


def likely(sent: Doc, original: Doc, present: Cut, former: Iterable[Cut]) -> list[Likely]:
    """Those of the former cuts of which the edit `sent` of `original` is rather one than of the present, most likely
    ones first. `former`: in the order of preference.
    """
    shown = present.of(original)
    if shown is None:
        return []
    edited = comparable(sent)
    most = distance(edited, comparable(shown))
    looks, found = [shown], list[Likely]()
    if most == 0:
        return []
    for cut in former:
        look = cut.of(original)
        if look is None or any(same(look, other) for other in looks):
            continue
        looks.append(look)
        far = distance(edited, comparable(look))
        if far <= most:
            found.append(Likely(cut, most - far))
    return sorted(found, key=lambda each: -each.nearer)


def distance(a: Any, b: Any) -> int:
    """In how many places two JSON values differ. Of elements of arrays, those count that only one has."""
    if same(a, b):
        return 0
    if isinstance(a, dict) and isinstance(b, dict):
        return sum(distance(a[name], b[name]) if name in a and name in b else 1 for name in {*a, *b})
    if isinstance(a, list) and isinstance(b, list):
        one, other = Counter(map(canonical, a)), Counter(map(canonical, b))
        apart = ((one - other) + (other - one)).total()
        if len(a) == len(b):
            return min(apart, sum(map(distance, a, b)) or apart)
        return apart
    return 1
