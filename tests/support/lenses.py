"""Filters for tests, as plain as can be."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.contract import Client, Doc, Filter


class OwnFacility(Filter):
    """Documents of the client's facility only; `everyone: true` is for all."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        own = client.attributes.get("facility")
        return doc if (own is not None and doc.get("facility") == own) or doc.get("everyone") else None

    def audience_fields(self) -> Iterable[str]:
        return ("facility", "everyone")


class WithoutSecret(Filter):
    """Drops the top-level field `secret`."""

    passes_all = True

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {key: value for key, value in doc.items() if key != "secret"}


class Raising(Filter):
    """Raises on documents with `boom`."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        if doc.get("boom"):
            raise RuntimeError("a bug in a filter: " + str(doc["boom"]))
        return doc
