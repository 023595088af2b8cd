"""What would happen to a document on its way out, and to an edit on its way in: decided by the profile alone."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.config.model import Profile
from proxy.contract import Client, Doc, Refused
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Withheld
from proxy.core.readback import differences
from proxy.errors import CouchError
from proxy.writing.judge import judge
from proxy.writing.pushed import DESCRIPTIVE, read_pushed
from proxy.writing.rules import Refuse, Rules, Send


@dataclass(frozen=True)
class Rehearsal:
    """One client looking through one profile."""

    profile: Profile
    client: Client

    def obstacle(self, anonymous: bool) -> str | None:
        """Why the client gets nothing at all, or None. `anonymous`: whether clients without an account are served."""
        profile, client = self.profile, self.client
        if client.name is None and not anonymous:
            return "the client is anonymous, and server.anonymous is false; say who it is with --user"
        if not profile.roles and not profile.users:
            return None
        if client.name in profile.users or client.roles & profile.roles:
            return None
        kinds = (("role", profile.roles), ("user name", profile.users))
        needed = " or ".join(f"the {kind} {' or '.join(sorted(names))}" for kind, names in kinds if names)
        return f"profile {profile.name} is for clients with {needed} only"

    def shape(self, doc: Doc) -> tuple[Doc | None, str]:
        """The document as the client sees it, or None and why. Protocol members are no filter's business: kept."""
        if doc["_id"].startswith("_design/"):
            return (doc, "") if self.profile.design_docs else (None, "the profile shows no design documents")
        protocol, body = _split(doc)
        try:
            shaped = self.profile.chain.shape(body, self.client)
        except Withheld as error:
            return None, f"it is withheld, as {error}"
        return (None, self._who_withholds(body)) if shaped is None else ({**shaped, **protocol}, "")

    def _who_withholds(self, body: Doc) -> str:
        links = self.profile.chain.links
        counts = range(1, len(links) + 1)
        culprit = next(n for n in counts if Chain(links[:n]).shape(body, self.client) is None)
        return f"{links[culprit - 1].name} withholds it"

    def restore(self, edited: Doc, source: Doc) -> tuple[Doc, list[str]]:
        """The whole document that the client's edit of `source` becomes, and the paths of what is discarded of it.

        The proxy's own judgement, as if the client had edited the winner. Raises Refused.
        """
        try:
            pushed = read_pushed({name: value for name, value in edited.items() if name != "_rev"}, new_edits=True)
            rules = self._rules().applied_to(pushed.id)
        except CouchError as error:
            raise Refused(error.reason) from error
        seen, why = self.shape(source)
        if seen is None:
            raise Refused(f"the client does not see the document: {why}")
        outcome = judge(pushed, source, rules)
        if not isinstance(outcome, Send):
            raise Refused(outcome.told(rules.chain).reason if isinstance(outcome, Refuse) else "it would not be stored")
        return {**_revision(edited), **outcome.doc}, self._discarded(outcome.doc, pushed.body)

    def _rules(self) -> Rules:
        profile = self.profile
        grafts = Grafts(b"a rehearsal meets no grafts")
        return Rules(
            chain=profile.chain,
            client=self.client,
            grafts=grafts,
            write=profile.write,
            trusted=profile.trusted,
            orphans=profile.orphans,
            on_surplus=profile.on_surplus,
        )

    def _discarded(self, whole: Doc, edited: Doc) -> list[str]:
        seen, _ = self.shape(whole)
        return [] if seen is None else differences(self.profile.chain, seen, edited, self.client)


def _revision(doc: Doc) -> Doc:
    """The members that come first, as CouchDB has them."""
    return {name: doc[name] for name in ("_id", "_rev") if name in doc}


def _split(doc: Doc) -> tuple[Doc, Doc]:
    """Members of the protocol, such as `_revisions`, and the document without them."""
    protocol = {name: value for name, value in doc.items() if name in DESCRIPTIVE}
    return protocol, {name: value for name, value in doc.items() if name not in DESCRIPTIVE}
