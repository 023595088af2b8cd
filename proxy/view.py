"""A view: one database through one profile for one client. Documents are judged and shaped here, and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b

from proxy.bodies import Bodies
from proxy.config.model import Database, Profile
from proxy.contract import Client, Doc
from proxy.core import jsonio
from proxy.core.equality import same
from proxy.core.grafts import Grafts
from proxy.core.lens import Withheld
from proxy.core.tokens import Tokens
from proxy.feeds.hub import Hub
from proxy.fetch import PROTOCOL
from proxy.identify import Principal
from proxy.past import Past, Stint, Strand, comes_after
from proxy.place import Place
from proxy.upstream import Upstream

log = logging.getLogger("couch_tailor.view")

_PROTOCOL = frozenset(PROTOCOL)

Counts = Callable[[Stint], bool]


def _always(_stint: Stint) -> bool:
    return True


class Failures:
    """How often a filter has failed on a document since the proxy was started."""

    count = 0


@dataclass(frozen=True, kw_only=True)
class View(Place):
    """What one client sees of one database. `name`: the database name the client uses."""

    name: str
    profile: Profile
    client: Client
    principal: Principal
    grafts: Grafts
    own_tokens: Tokens
    local_prefix: str
    vary: str
    """The request headers on which answers depend, for `Vary`."""
    hub: Hub | None = None
    """The database's feed index, if it has one."""
    past: Past = field(default_factory=Past, compare=False, repr=False)
    """How else this user has been shown the database."""
    failures: Failures = field(default_factory=Failures, compare=False, repr=False)

    @cached_property
    def asking(self) -> Mapping[str, str]:
        """The headers of a request to the source for JSON."""
        return {"Accept": "application/json", **self.headers}

    @property
    def tokens(self) -> Tokens:
        """Those of the time since the view's cut began anew."""
        return self.own_tokens.numbered(self.past.epoch)

    @property
    def judges(self) -> bool:
        """Whether bodies decide which documents are visible: feeds and lists have to look at them."""
        return not self.profile.chain.passes_all

    @property
    def hides(self) -> bool:
        """Whether documents may be invisible at all: counts of the source would then tell of them."""
        return self.judges or not self.profile.design_docs

    def shape(self, doc: Doc) -> Doc | None:
        """The source's document as the client sees it, protocol members kept; None if it is not visible.

        A filter that raises withholds the document: it is logged and counted, and the document is as good as absent,
        this time: nothing is kept of what may have been an accident.
        """
        try:
            if self._shared is None:
                return self._shape(doc)
            return self._shared.shaped(doc, self.profile.name, self._shape)
        except Withheld as error:
            self._withheld(doc, error)
            return None

    def _withheld(self, doc: Doc, error: Withheld) -> None:
        self.failures.count += 1
        trace = self.profile.chain.traceback_of(error)
        text = "%s of %s withheld from profile %s: %s"
        log.error(text, doc.get("_rev"), doc["_id"], self.profile.name, error, exc_info=trace)

    def undecided(self, doc: Doc) -> Doc | None:
        """What a source's deletion looks like that may say too little of whom it reached, if the client is to hear of
        it: `shape` gives None. None of all else.
        """
        if doc.get("_deleted") is not True or doc["_id"].startswith("_"):
            return None
        try:
            return self._by(self.profile.chain.undecided, doc)
        except Withheld as error:
            self._withheld(doc, error)
            return None

    @cached_property
    def traces(self) -> bool:
        """Whether the index, if there is one, keeps what decides what this view shows."""
        audience = self.profile.audience
        return self.hub is not None and audience is not None and audience.decided_by is not None

    def traced(
        self, revs: Collection[tuple[str, str]], *, formerly: bool = False
    ) -> dict[tuple[str, str], tuple[bytes, bool | None]]:
        """What the index kept of revisions, (id, revision), and whether the client could see them; None: that is not
        told by them. `formerly`: or by former rules, as far as what was kept decides.
        """
        if self.hub is None or not self.traces:
            return {}
        return {
            (doc_id, rev): (text, self._could_see({"_id": doc_id, "_rev": rev, **jsonio.loads(text)}, formerly))
            for (doc_id, rev), text in self.hub.traces(revs).items()
        }

    def _could_see(self, doc: Doc, formerly: bool) -> bool | None:
        try:
            if self.profile.chain.undecided(doc, self.client) is not None:
                return None
            if self.profile.chain.show(doc, self.client) is not None:
                return True
        except Withheld:
            pass
        return formerly and any(former.same_rules and former.look(doc) is not None for former in self.past.formers)

    def was_shown(self, doc: Doc, *, at: Counts = _always) -> bool:
        """Whether former rules, or roles, would have shown the client a document of the source that it does not see.
        `at`: which of them were in force when the document was what it is, here and below.
        """
        if doc["_id"].startswith("_"):
            return False
        body = _without_protocol(doc)
        return any(former.hides and at(former.stint) and former.look(body) is not None for former in self.past.formers)

    def may_have_departed(self, doc: Doc, *, at: Counts, since: int | None = None) -> bool:
        """Whether a document that the view shows may have been taken from the client before, as it is: by rules, or
        roles, that came after others that had shown it. What they are is known in the order in which they began.
        `since`: the turn in which it was shown again.
        """
        if doc["_id"].startswith("_") or not self.past.may_return:
            return False
        body = _without_protocol(doc)
        showing, hiding = [self.past.stint], list[Stint]()
        for former in self.past.formers:
            if former.hides and at(former.stint):
                (hiding if former.look(body) is None else showing).append(former.stint)
        return comes_after(hiding, showing if since is None else [Stint(since)])

    def looked_otherwise(self, doc: Doc, shaped: Doc, *, at: Counts, since: int | None = None) -> bool:
        """Whether the client was shown something else of a document, with other roles, than what is `shaped` now."""
        if doc["_id"].startswith("_"):
            return False
        body, look = _without_protocol(doc), _without_protocol(shaped)
        return any(
            former.dresses
            and at(former.stint)
            and (since is None or former.stint.last >= since)
            and (before := former.look(body)) is not None
            and not same(before, look)
            for former in self.past.formers
        )

    @cached_property
    def _shared(self) -> Bodies | None:
        """Where what this profile shows is kept, if it shows all clients the same."""
        return None if self.profile.depends_on_client else self.bodies

    def _shape(self, doc: Doc) -> Doc | None:
        return self._by(self.profile.chain.show, doc)

    def _by(self, shape: Callable[[Doc, Client], Doc | None], doc: Doc) -> Doc | None:
        if doc["_id"].startswith("_"):  # a local document is somebody's own, wherever the source may show it
            return doc if self.profile.design_docs and doc["_id"].startswith("_design/") else None
        protocol: Sequence[str] = ()
        body = doc
        if not _PROTOCOL.isdisjoint(doc):
            protocol = [name for name in PROTOCOL if name in doc]
            body = doc.copy()
            for name in protocol:
                del body[name]
        shaped = shape(body, self.client)
        if shaped is body:
            return doc
        if shaped is None or not protocol:
            return shaped
        shown = shaped.copy()
        for name in protocol:
            shown[name] = doc[name]
        return shown


def _without_protocol(doc: Doc) -> Doc:
    return {name: value for name, value in doc.items() if name not in _PROTOCOL}


def make_view(
    name: str,
    database: Database,
    profile: Profile,
    client: Client,
    principal: Principal,
    upstream: Upstream,
    secret: bytes,
    *,
    vary: str = "Authorization, Cookie",
    hub: Hub | None = None,
    strand: Strand | None = None,
) -> View:
    """The view of a client; its keys are derived from the secret that all nodes share."""
    scope = f"{database.name}\0{profile.name}"
    entitled = ""  # to what others are, too: they can be given the same pages
    if profile.depends_on_client:
        entitled = f"{name_or_nobody(client.name)}\0{sorted(client.roles)}\0{sorted(client.device.items())}"
    identity = _derive(secret, "local", f"{scope}\0{name_or_nobody(client.name)}")
    return View(
        database=database,
        upstream=upstream,
        headers=principal.headers,
        name=name,
        profile=profile,
        client=client,
        principal=principal,
        grafts=Grafts(_derive(secret, "graft", database.name)),
        own_tokens=Tokens(_derive(secret, "token", scope), f"{profile.epoch}\0{entitled}"),
        local_prefix=f"tailor-{identity.hex()[:24]}-",
        vary=vary,
        hub=hub,
        bodies=None if hub is None else hub.bodies,
        past=Past(strand),
    )


def name_or_nobody(name: str | None) -> str:
    """A user's name, or what no user can be called: somebody may well be called `None`."""
    return "\0" if name is None else name


def _derive(secret: bytes, purpose: str, scope: str) -> bytes:
    return blake2b(f"{purpose}\0{scope}".encode(), key=blake2b(secret).digest(), digest_size=32).digest()
