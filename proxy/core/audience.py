"""Whom documents reach, by keys, for a chain: a document that a client gets shares one with it.

    chain.shape(doc, client) is not None  =>  of(doc) and held_by(client) have a key in common

Keys find candidates for a client's feed; the chain still decides on each body before it is announced.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from proxy.contract import Client, Doc, Filter, promises
from proxy.core.hooks import depends_on_client
from proxy.core.lens import Chain, Link
from proxy.core.slow import watched

EVERYBODY: Final = "*"
"""The key that every client holds: of documents whose audience cannot be told."""

_ANYBODY: Final = Client(None)
_FORM = 1
"""Of the keys that built-in filters give: to be raised when the same rules give other keys than before."""
_IDENTITY_BYTES = 6
_MOST_KEYS = 1000
"""Of one document. One with more is a candidate for everybody, so that an index stays of a size with what it is of."""


class Audience:
    """The keys of documents and of clients, for one chain. Made by `audience_of`."""

    def __init__(self, links: Sequence[Link], identity: str, decided_by: frozenset[str] | None = None) -> None:
        self.decided_by = decided_by
        """Of the whole chain, as `Chain.decided_by`."""
        *self._earlier, self._filter = [watched(link.filter, link.name) for link in links]
        self.identity = identity
        """12 hexadecimal digits: as long as they are the same, so are the keys, on every node."""
        describe = getattr(links[-1].filter, "describe_audience", None)
        self.description = str(describe()).replace("\n", " ") if callable(describe) else ""
        """What the keys are, for people: what the filter says of them; may be empty."""

    def of(self, doc: Doc) -> frozenset[str]:
        """The keys of a document of the source, without protocol members. None at all: it reaches nobody."""
        if str(doc.get("_id", "")).startswith("_"):  # a design document: not for the chain to decide
            return frozenset((EVERYBODY,))
        try:
            keys = self._keys(doc)
        except Exception:
            keys = None
        return frozenset((EVERYBODY,)) if keys is None or len(keys) > _MOST_KEYS else keys

    def held_by(self, client: Client) -> frozenset[str]:
        """The keys that a client holds, EVERYBODY among them. Raises what a filter of the site's own raises."""
        return frozenset((EVERYBODY, *self._filter.client_keys(client)))

    def _keys(self, doc: Doc) -> frozenset[str] | None:
        for filter_ in self._earlier:
            seen = filter_.shape(doc, _ANYBODY)
            if seen is None:
                return frozenset()
            doc = seen
        keys = self._filter.audience(doc)
        return None if keys is None else frozenset(keys)


def audience_of(chain: Chain, identities: Sequence[str] = ()) -> Audience | None:
    """How documents and clients of a chain find each other; None if no filter of it can tell.

    Keys are those of the document as its filter sees it, without knowing the client: no filter before that one may
    depend on the client. That leaves the first that does; if it says nothing, one before it that only tells which
    documents reach nobody. `identities` say what each filter does, as `Rule.identity`.
    """
    chosen: int | None = None
    for position, link in enumerate(chain.links):
        if declares_audience(link.filter):
            chosen = position
        if depends_on_client(link.filter):
            break
    if chosen is None:
        return None
    decisive = [
        _FORM,
        *(_identity(link, identities, position) for position, link in enumerate(chain.links[: chosen + 1])),
    ]
    digest = blake2b(json.dumps(decisive).encode(), digest_size=_IDENTITY_BYTES).hexdigest()
    return Audience(chain.links[: chosen + 1], digest, chain.decided_by)


def declares_audience(filter_: Filter) -> bool:
    """Whether a filter says whom documents reach, of the `shape` that it has."""
    spoken = promises(filter_, "audience", "shape") and promises(filter_, "client_keys", "shape")
    return bool(filter_.declares_audience) and spoken


def _identity(link: Link, identities: Sequence[str], position: int) -> str:
    if position < len(identities):
        return identities[position]
    return f"{link.name} {type(link.filter).__module__}.{type(link.filter).__qualname__}"
