"""What a plan is made of: by which rules, with what outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from proxy.contract import Client, Doc
from proxy.core.cut import Cut
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Withheld
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
