"""What would happen to a document on its way out, and to an edit on its way in: decided by the profile alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.config.lines import Path, dotted
from proxy.config.model import Profile
from proxy.contract import Client, Doc, Refused
from proxy.core.equality import same
from proxy.core.lens import Chain, Withheld

_BODY_MEMBERS = ("_id", "_rev", "_deleted", "_attachments")
_ABSENT = object()


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

    def restore(self, edited: Doc, source: Doc) -> tuple[Doc, Path | None]:
        """The whole document that the client's edit becomes, and where something of the edit is discarded, if so.

        Raises Refused: the client may not write, does not see what it edits, or would not read back what it wrote.
        """
        if not self.profile.write:
            raise Refused(f"profile {self.profile.name} is read-only")
        if self.shape(source)[0] is None:
            raise Refused(f"the client does not see the document: {self.shape(source)[1]}")
        whole = self._restore(edited, source)
        seen = self._read_back(whole)
        surplus = difference(_content(edited), _content(seen))
        if surplus is None or edited.get("_deleted") is True:
            return whole, None
        if self.profile.on_surplus == "refuse":
            raise Refused("the client would not read back what it wrote", dotted(surplus))
        whole = self._restore(seen, source)
        rest = difference(_content(seen), _content(self._read_back(whole)))
        if rest is not None:
            raise Refused("the client would not read back what it wrote, and it cannot be discarded", dotted(rest))
        return whole, surplus

    def _restore(self, edited: Doc, source: Doc) -> Doc:
        try:
            return self.profile.chain.restore(_split(edited)[1], _split(source)[1], self.client)
        except Withheld as error:
            raise Refused(str(error)) from error

    def _read_back(self, whole: Doc) -> Doc:
        seen, why = self.shape(whole)
        if seen is None:
            raise Refused(f"the client would not see the document any more: {why}")
        return seen


def _split(doc: Doc) -> tuple[Doc, Doc]:
    """Members of the protocol, such as `_revisions`, and the document without them."""
    protocol = {key: value for key, value in doc.items() if key.startswith("_") and key not in _BODY_MEMBERS}
    return protocol, {key: value for key, value in doc.items() if key not in protocol}


def _content(doc: Doc) -> Doc:
    return {key: value for key, value in _split(doc)[1].items() if key != "_rev"}


def difference(a: Any, b: Any) -> Path | None:
    """The way to the first difference between two JSON values; None if they are the same."""
    if same(a, b):
        return None
    if isinstance(a, dict) and isinstance(b, dict):
        names = [*a, *(name for name in b if name not in a)]
        return next(_below(name, a.get(name, _ABSENT), b.get(name, _ABSENT)) for name in names if _differs(a, b, name))
    if isinstance(a, list) and isinstance(b, list):
        for index, (one, other) in enumerate(zip(a, b, strict=False)):
            if not same(one, other):
                return _below(index, one, other)
        return (min(len(a), len(b)),)
    return ()


def _differs(a: Doc, b: Doc, name: str) -> bool:
    return name not in a or name not in b or not same(a[name], b[name])


def _below(part: str | int, a: Any, b: Any) -> Path:
    return (part, *(difference(a, b) or ())) if a is not _ABSENT and b is not _ABSENT else (part,)
