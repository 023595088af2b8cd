"""What a plan is made of: by which rules, from what the source has stored, with what outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import groupby
from typing import Literal, NamedTuple

from proxy.contract import Client, Doc
from proxy.core.cut import Cut
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Withheld
from proxy.core.revisions import Rev, descends, known_of
from proxy.errors import CouchError, Forbidden
from proxy.writing.pushed import DESCRIPTIVE

log = logging.getLogger("couch_tailor.writing")

READ_ONLY = "This profile only reads."
DESIGN = "Design documents cannot be written through this proxy."


@dataclass(frozen=True)
class Rules:
    """By what a client's writes are judged."""

    chain: Chain
    client: Client
    grafts: Grafts
    write: bool = True
    trusted: bool = False
    orphans: Literal["winner", "refuse"] = "winner"
    on_surplus: Literal["refuse", "discard"] = "refuse"
    former: Sequence[Cut] = ()
    """Other cuts that the client may have edited: an edit is read by the one that it is of."""
    lost_rules: bool = False
    """Whether there are others still, by rules that cannot be had: what an edit of them means cannot be told."""
    instead: Sequence[Doc] = ()
    """Other documents, which the client sees and has not edited, instead of which there may be what it writes."""
    present: Collection[tuple[str, str]] = ()
    """Revisions, by document id, of which it is known that the client was shown the present cut."""

    def of(self, doc_id: str, edited: str) -> Rules:
        """The rules for an edit of a revision."""
        return replace(self, former=(), lost_rules=False) if (doc_id, edited) in self.present else self

    def applied_to(self, doc_id: str) -> Rules:
        """The rules for one document. Raises Forbidden if it may not be written whatever is in it."""
        if not self.write:
            raise Forbidden(READ_ONLY)
        if not doc_id.startswith("_design/"):
            return self
        if not self.trusted:
            raise Forbidden(DESIGN)
        return Rules(Chain(), self.client, self.grafts, trusted=True)

    def shape(self, doc: Doc) -> Doc | None:
        """`doc`, a source's, as the client sees it without protocol members; None if it is withheld."""
        return self._by(self.chain.shape, doc)

    def shows(self, doc: Doc) -> bool:
        """Whether the client sees that a source's document is there. A deletion may say nothing of whom it concerns."""
        return self._by(self.chain.show, doc) is not None

    def _by(self, shape: Callable[[Doc, Client], Doc | None], doc: Doc) -> Doc | None:
        try:
            return shape(content(doc), self.client)
        except Withheld as error:
            trace = self.chain.traceback_of(error)
            log.error("%s of %s withheld: %s", doc.get("_rev"), doc["_id"], error, exc_info=trace)
            return None


@dataclass(frozen=True)
class Stored:
    """What the source has of one document: all leaves (with `_revisions`), and the bodies of some ancestors, by rev."""

    leaves: Sequence[Doc] = ()
    bodies: Mapping[str, Doc] = field(default_factory=dict)

    @property
    def live(self) -> list[Doc]:
        return [leaf for leaf in self.leaves if leaf.get("_deleted") is not True]

    def leaf(self, rev: str) -> Doc | None:
        for leaf in self.leaves:
            if leaf["_rev"] == rev:
                return leaf
        return None

    def body(self, rev: str) -> Doc | None:
        return self.leaf(rev) or self.bodies.get(rev)

    def known(self, path: Sequence[Rev]) -> Iterator[int]:
        """The indices of those revisions of a path, newest first, that are on a leaf's, with or without a body."""
        if len(self.leaves) == 1:
            return known_of(self.leaves[0], path)
        return (index for index, _ in groupby(merge(*(known_of(leaf, path) for leaf in self.leaves))))

    def newest_known(self, path: Sequence[Rev]) -> int:
        """The index of the first revision of a path that the source knows; the length of the path if it knows none."""
        return next(self.known(path), len(path))

    def own_path(self, path: tuple[Rev, ...], known: int) -> tuple[Rev, ...]:
        """The path, with the source's own ancestors of `path[known]`, the newest revision that it knows, if the client
        says that there are others, or that there is a leaf among them.

        CouchDB would hang the revision below these once more: a leaf among them would be none any more, without anybody
        having edited it. What an honest client says is left as it is, for it may be more than the source has.
        """
        rev, above = path[known], [each.hash for each in path[known + 1 :]]
        own = [self._above(leaf, rev) for leaf in self.leaves if descends(leaf, str(rev))]
        leaves = {leaf["_rev"] for leaf in self.leaves}
        if leaves.isdisjoint(map(str, path[known + 1 :])) and any(_agree(each, above) for each in own):
            return path
        return (*path[: known + 1], *(Rev(rev.generation - age, name) for age, name in enumerate(own[0], 1)))

    @staticmethod
    def _above(leaf: Doc, rev: Rev) -> Sequence[str]:
        """The hashes above one of a leaf's revisions, newest first."""
        revisions = leaf.get("_revisions")
        if not revisions:
            return []
        ids: list[str] = revisions["ids"]
        return ids[revisions["start"] - rev.generation + 1 :]

    def newest_body(self, path: Sequence[Rev]) -> Doc | None:
        """The body of the first revision of a path of which there is one."""
        for index in self.known(path):
            body = self.body(str(path[index]))
            if body is not None:
                return body
        return None


def _agree(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether one of two paths goes on where the other ends."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


NOTHING = Stored()
"""Of a document that the source does not have."""


class Send(NamedTuple):
    """`doc` goes to the source. `lender`: the leaf whose attachments its stubs stand for, if that is no ancestor: the
    source could not find them, so they have to be copied. None: the source knows what the stubs stand for. `former`: it
    was read as an edit of a former cut."""

    doc: Doc
    lender: Doc | None = None
    former: bool = False


@dataclass(frozen=True)
class Acknowledge:
    """Nothing goes to the source, and the client is told that all is well."""


@dataclass(frozen=True)
class Refuse:
    """Nothing goes to the source. `failure`: of a filter on the document `id`, if that is the reason. `former`: it was
    read as an edit of a former cut.
    """

    error: CouchError
    id: str = ""
    failure: Withheld | None = None
    former: bool = False

    def told(self, chain: Chain) -> CouchError:
        """The error, for the client that is about to hear it; a failure of one of the chain's filters goes to the log.

        Another one each time: an error refers to where it was raised, and so to the plan, which must not refer to it.
        """
        if self.failure is not None:
            trace = chain.traceback_of(self.failure)
            log.error("a write of %s is refused: %s", self.id, self.failure, exc_info=trace)
        return copy(self.error)


Outcome = Send | Acknowledge | Refuse


def content(doc: Doc) -> Doc:
    """A source's document as filters get it: without protocol members."""
    left = doc
    for name in DESCRIPTIVE:
        if name in doc:
            if left is doc:
                left = doc.copy()
            del left[name]
    return left
