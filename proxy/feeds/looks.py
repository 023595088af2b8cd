"""From rows of a source's feed to what the index stores of them: the follower's look at the documents.

A document is under the keys of all its leaves, and was lost by those of its ancestors that came and went between two
looks. What cannot be read or judged is under the key of everybody. Of each revision it is kept what decides whether a
client was shown it: the source does not have its body for long, and who has to be told may come later. No more is kept
of bodies, request by request, so that large ones do not add up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import Any, NamedTuple

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.audience import EVERYBODY, Audience
from proxy.core.revisions import parse_rev, rank
from proxy.errors import Unavailable
from proxy.feeds.index import Entry, Known, Trace, join_leaves, key_number, split_leaves
from proxy.fetch import ANCESTORS, PROTOCOL, Revision, ancestry, look_at
from proxy.place import Place
from proxy.sizes import AT_ONCE

_NOBODY: frozenset[int] = frozenset()
_LARGEST_TRACE = 64 * 1024
"""Bytes. Of larger ones nothing is kept."""


class Change(NamedTuple):
    """A row of the source's feed. `leaves`: as `join_leaves` makes them."""

    doc_id: str
    leaves: str
    seq: Any
    revs: list[str]


class Look(NamedTuple):
    """What was found in the body of a revision: its keys. `ancestors`: the revisions above it, nearest first; `trace`:
    what is kept of it.
    """

    keys: frozenset[int]
    ancestors: list[str]
    trace: bytes


class Looks:
    """Looks at the documents of one database, for the profiles of these audiences."""

    def __init__(self, place: Place, audiences: Iterable[Audience]) -> None:
        self._place = place
        known = list(audiences)
        self._audiences = {audience.identity: audience for audience in known}
        self.traced = sorted({"_deleted"}.union(*(audience.decided_by or () for audience in known)))
        """The members of documents that decide whom they are shown to."""
        self._everybody = frozenset(stored_key(identity, EVERYBODY) for identity in self._audiences)

    @property
    def rules(self) -> str:
        """What decides the keys."""
        return ",".join(sorted(self._audiences))

    async def entries(self, changes: Sequence[Change], known: Mapping[str, Known]) -> list[Entry]:
        """What is to be stored of changes, of documents by different ids. Raises the source's error."""
        if not self._audiences:
            return [Entry(change.doc_id, change.leaves, change.seq, _NOBODY) for change in changes]
        looks = await self._at([(change.doc_id, rev) for change in changes for rev in change.revs])
        between = _between(known, looks)
        earlier = await self._at([(doc_id, rev) for doc_id, revs in between.items() for rev in revs])
        return [
            Entry(
                change.doc_id,
                change.leaves,
                change.seq,
                self._reached(change, looks),
                _told(change.doc_id, between[change.doc_id], earlier) if change.doc_id in between else _NOBODY,
                [
                    *_traces(change.doc_id, change.revs, looks),
                    *_traces(change.doc_id, between.get(change.doc_id, ()), earlier),
                ],
            )
            for change in changes
        ]

    async def _at(self, wanted: Sequence[Revision]) -> dict[Revision, Look]:
        """A look at each of the revisions of which the source has the body."""
        revs = not all(rev.startswith("1-") for _, rev in wanted)
        return await look_at(self._place, wanted, self._look, revs=revs)

    def _look(self, doc: Doc) -> Look:
        ancestors = ancestry(doc, ANCESTORS)
        keys = self._keys(doc)
        return Look(keys, ancestors, jsonio.dumps({name: doc[name] for name in self.traced if name in doc}))

    def _keys(self, doc: Doc) -> frozenset[int]:
        """The keys of a document, which is nobody else's: what filters do not see is taken from it."""
        if doc["_id"].startswith("_design/"):
            return self._everybody
        for name in PROTOCOL:
            doc.pop(name, None)
        return frozenset(
            [stored_key(identity, key) for identity, audience in self._audiences.items() for key in audience.of(doc)]
        )

    def _reached(self, change: Change, looks: Mapping[Revision, Look]) -> frozenset[int]:
        found = [
            self._everybody if (look := looks.get((change.doc_id, rev))) is None else look.keys for rev in change.revs
        ]
        return found[0] if len(found) == 1 else _NOBODY.union(*found)


def _told(doc_id: str, revs: Iterable[str], looks: Mapping[Revision, Look]) -> frozenset[int]:
    """The keys of those revisions that can be read."""
    return _NOBODY.union(*(looks[doc_id, rev].keys for rev in revs if (doc_id, rev) in looks))


def _traces(doc_id: str, revs: Iterable[str], looks: Mapping[Revision, Look]) -> Iterator[Trace]:
    """What is kept of those revisions that can be read."""
    for rev in revs:
        look = looks.get((doc_id, rev))
        if look is not None and len(look.trace) <= _LARGEST_TRACE:
            yield Trace(rev, look.trace, look.ancestors)


def _between(known: Mapping[str, Known], looks: Mapping[Revision, Look]) -> dict[str, dict[str, None]]:
    """The ancestors of leaves that nobody has looked at: those above what the index knows, if it knows any."""
    found: dict[str, dict[str, None]] = {}
    for (doc_id, rev), look in looks.items():
        if look.ancestors:
            seen = [leaf for leaf, _ in split_leaves(known[doc_id].leaves)] if doc_id in known else []
            if rev not in seen:
                found.setdefault(doc_id, {}).update(dict.fromkeys(_above(look.ancestors, seen)))
    return found


def _above(ancestors: Sequence[str], seen: Collection[str]) -> Iterator[str]:
    for ancestor in ancestors:
        if ancestor in seen:
            return
        yield ancestor


def is_news(change: Change, known: Mapping[str, Known]) -> bool:
    """Whether the leaves are not those that the index has."""
    held = known.get(change.doc_id)
    return held is None or held.leaves != change.leaves


async def changes(batches: AsyncGenerator[list[Any], None]) -> AsyncGenerator[list[Change], None]:
    """Rows as they arrive, as many at once as are looked at together. Raises Unavailable."""
    found: list[Change] = []
    async with aclosing(batches):
        async for batch in batches:
            try:
                found += map(_change, batch)
            except (KeyError, TypeError) as error:
                raise Unavailable("The source's _changes has a row that is not of CouchDB's form.") from error
            while len(found) >= AT_ONCE:
                yield found[:AT_ONCE]
                del found[:AT_ONCE]
    if found:
        yield found


def _change(row: Any) -> Change:
    """A row; first of its revisions is the winner, of which alone the row says whether it is deleted."""
    doc_id, seq, revs = row["id"], row["seq"], [change["rev"] for change in row["changes"]]
    leaves = " ".join(revs)  # refuses what is no text
    if not (revs and isinstance(doc_id, str)):
        raise TypeError
    deleted = row.get("deleted") is True
    if deleted or len(revs) > 1:
        leaves = join_leaves([(revs[0], deleted), *((rev, False) for rev in sorted(revs[1:]))])
    return Change(doc_id, leaves, seq, revs)


def change_of(doc_id: str, leaves: Sequence[Doc], seq: Any) -> Change:
    """A document as a row at `seq` would tell of it, by its leaves."""
    revs = [(leaf["_rev"], leaf.get("_deleted") is True) for leaf in leaves]
    winner, *others = sorted(revs, key=lambda each: (not each[1], *rank(parse_rev(each[0]))), reverse=True)
    joined = join_leaves([winner, *((rev, False) for rev, _ in sorted(others))])
    return Change(doc_id, joined, seq, [winner[0], *(rev for rev, _ in sorted(others))])


@lru_cache(maxsize=100_000)
def stored_key(identity: str, key: str) -> int:
    """A key of one audience, as the index has it."""
    return key_number(f"{identity}\0{key}")


def stored_keys(audience: Audience, keys: Iterable[str]) -> frozenset[int]:
    """Keys of one audience, as the index has them."""
    return frozenset(stored_key(audience.identity, key) for key in keys)
