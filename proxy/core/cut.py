"""Of which cut of a document an edit is, where the client may have been shown another one than it would be now.

A device keeps what it was shown of a revision for ever. When rules change, or somebody's roles, its next edit is one of
the old cut: what that left out is missing in the edit, and masks are in it that are none any more. Read by the present
rules it would say: remove this, store that mask.

The edit itself tells: it differs from what was edited in what the client changed, and from any other cut in more than
that. So the nearest of the cuts that the client may have been shown is taken for the one that was edited, and of
several that are equally near the former ones before the present one.

A former cut is that *of what the client is shown now*: its rules are applied to the present cut, not to the document.
So what an edit is read as does not depend on what is hidden from the client now, though it may have been shown before:
it is by the present rules that an edit of that is judged. Where that is not enough to know the former look (`unclear`),
an edit of the field is refused, which tells no more than that it was shown by a condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.contract import Client, Doc, Filter, Refused
from proxy.core.distance import distance, node_of
from proxy.core.equality import same
from proxy.core.hooks import depends_on_client
from proxy.core.lens import Chain, Link, Withheld
from proxy.core.readback import comparable

MOST = 8
"""Cuts that are tried for one edit."""


Kept = tuple[Link, str]
"""A filter of a chain, and the text of its rule."""


@dataclass(frozen=True)
class Cut:
    """What a client was shown before of what it is shown now: by `chain`, once what the present rules rename has the
    source's names again. `names`: those that it is shown by, by the source's; `before`: the whole former chain.
    """

    chain: Chain
    client: Client
    names: Mapping[str, str] = field(default_factory=dict)
    before: Chain = field(default_factory=Chain)
    again: bool = False
    """Whether the chain does once more what both rules do: it is one more guess at what was shown, and no more."""

    def whole(self, shown: Doc) -> Doc:
        """What is shown now, by the source's names: what was cut. What is made by a name that is renamed was not."""
        sources = {name: source for source, name in self.names.items()}
        made = self.names.keys() - sources.keys()
        return {sources.get(n, n): value for n, value in shown.items() if n not in made} if sources else shown

    def shown(self, whole: Doc) -> Doc:
        """The opposite of `whole`. Raises Refused for what would be shown by the name of something else."""
        if not self.names:
            return whole
        taken = [name for source, name in self.names.items() if source in whole and name in whole]
        if any(name not in self.names for name in taken):
            raise Refused("this client would not read back what it wrote", taken[0])
        return {self.names.get(name, name): value for name, value in whole.items()}

    def of(self, shown: Doc) -> Doc | None:
        """What the client was shown of it, without protocol members; None if that cannot be told."""
        try:
            return self.chain.shape(self.whole(shown), self.client)
        except Withheld:
            return None


def former_cuts(former: Sequence[Kept], client: Client, present: Sequence[Kept], now: Client) -> Iterator[Cut]:
    """The cuts that stand for what a client was shown by `former` rules; `now` it is shown the `present`.

    Filters that both have, behind the same names, are left out: what they do has been done. (If others ahead of them
    hide from them now what they go by, it has not; `unclear` tells, so a cut of none of them is one, too.) If there are
    some that decide whether a document is shown, what the others do is tried, too: they may decide by what is hidden
    now.
    """
    done = list(_by_names(present, now))
    names = renamed([link for link, _ in present], now)
    left = [
        link
        for link, rule, behind in _by_names(former, client)
        if type(link.filter).shape is not Filter.shape
        and not (
            any(rule == other and behind == its for _, other, its in done)
            and (client == now or not depends_on_client(link.filter))
            and not link.filter.origins()
        )
    ]
    passing = [link for link in left if link.filter.passes_all]
    before = Chain([link for link, _ in former])
    shaping = [link for link, _ in former if type(link.filter).shape is not Filter.shape]
    if passing and any(link not in left for link in shaping[shaping.index(passing[0]) :]):
        yield Cut(Chain(shaping), client, names, before, again=True)  # the others did something to what these made
    if left or names or _shaping(present)[: len(shaped := _shaping(former))] != shaped:
        yield Cut(Chain(left), client, names, before)
    if len(passing) < len(left) and (passing or names):
        yield Cut(Chain(passing), client, names, before)


def _shaping(kept: Sequence[Kept]) -> list[str]:
    """The rules of a chain's filters that do something to documents, in order."""
    return [rule for link, rule in kept if type(link.filter).shape is not Filter.shape]


def _by_names(kept: Sequence[Kept], client: Client) -> Iterator[tuple[Link, str, dict[str, str]]]:
    """Each filter of a chain with its rule, and what those ahead of it have renamed."""
    for position, (link, rule) in enumerate(kept):
        yield link, rule, renamed([ahead for ahead, _ in kept[:position]], client)


def renamed(links: Iterable[Link], client: Client) -> dict[str, str]:
    """The top-level fields that filters show as they are by another name: that, by the source's."""
    names: dict[str, str] = {}
    for link in links:
        current = {name: source for source, name in names.items()}
        for name, sources in link.filter.origins().items():
            for source in sources:
                if source in names and source not in current:
                    continue  # there is nothing by that name any more
                if _renames(link.filter, source, name, client):
                    names[current.get(source, source)] = name
    return names


def _renames(filter_: Filter, source: str, name: str, client: Client) -> bool:
    value = object.__name__  # as good as any
    try:
        shown = filter_.shape({"_id": "x", "_rev": "1-0", source: value}, client)
    except Exception:
        return False
    return shown is not None and source not in shown and shown.get(name) == value


class Likely(NamedTuple):
    """A former cut, and by how many places an edit is nearer to it than to the present one: 0 or more.

    `sent`: the edit, as if its client had been shown what the cut makes of the masks of now (see `_over_masks`).
    `others`: cuts that make the same of what is shown now.
    """

    cut: Cut
    nearer: int
    sent: Doc
    others: list[Cut]


def likely(sent: Doc, shown: Doc, original: Doc, former: Iterable[Cut]) -> list[Likely]:
    """Those of the former cuts of which the edit `sent` is rather one than of the present, which is `shown` of the
    `original`; most likely ones first. `former`: in the order of preference.
    """
    edited, present = node_of(comparable(sent)), node_of(comparable(shown))
    most = distance(edited, present)
    if most == 0:
        return []
    looks, found = {present.key: list[Cut]()}, list[Likely]()
    for cut in former:
        look = cut.of(shown)
        if look is None:
            continue
        node = node_of(comparable(look))
        if node.key in looks:
            looks[node.key].append(cut)
            continue
        others = looks[node.key] = []
        of_it = _over_masks(sent, look, cut.whole(shown), original)
        far = distance(edited if of_it is sent else node_of(comparable(of_it)), node)
        if far < most or (far == most and of_it is sent):  # what has masks of now is rather of now
            found.append(Likely(cut, most - far, of_it, others))
        if len(looks) > MOST:
            break
    return sorted(found, key=lambda each: -each.nearer)


def _over_masks(sent: Doc, look: Doc, shown: Doc, original: Doc) -> Doc:
    """`sent` with what the former `look` has where it is as it is `shown` now, and that is a mask. Of the former mask
    nothing is known but that over the present one: so it neither says which cut was edited, nor that it was changed.
    """
    changed: Doc = {}
    for name, said in sent.items():
        if name not in look or name not in shown:
            continue
        before, value, whole = look[name], shown[name], original.get(name)
        if isinstance(value, dict):
            if isinstance(said, dict) and isinstance(before, dict) and isinstance(whole, dict):
                inner = _over_masks(said, before, value, whole)
                if inner is not said:
                    changed[name] = inner
        elif not isinstance(value, list) and not same(whole, value) and same(said, value) and not same(before, value):
            changed[name] = before
    return {**sent, **changed} if changed else sent
