"""Filters and profiles for the tests of writing: small, and of each kind that matters to a write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from proxy.config.model import Profile
from proxy.contract import Client, Doc, Filter, Refused
from proxy.core.lens import Chain, Link


class Owned(Filter):
    """Documents of the client's own."""

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return doc if doc.get("owner") == client.name else None

    def audience_fields(self) -> Iterable[str]:
        return ("owner",)


class Without(Filter):
    """Documents without some top-level fields."""

    passes_all = True

    def __init__(self, *names: str) -> None:
        self.names = names

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {name: value for name, value in doc.items() if name not in self.names}


class NoBinaries(Filter):
    """Documents without attachments that are not text, or larger than 100 bytes."""

    passes_all = True

    def shape(self, doc: Doc, client: Client) -> Doc:
        entries: dict[str, Any] = doc.get("_attachments") or {}
        shown = {name: entry for name, entry in entries.items() if self.shows(entry)}
        rest = {name: value for name, value in doc.items() if name != "_attachments"}
        return {**rest, "_attachments": shown} if shown else rest

    @staticmethod
    def shows(entry: dict[str, Any]) -> bool:
        return str(entry.get("content_type")).startswith("text/") and entry.get("length", 101) <= 100


class Stamped(Filter):
    """Says who wrote last; the client need not."""

    passes_all = True

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        return {**edited, "by": client.name}

    def sets_fields(self) -> Iterable[str]:
        return ("by",)


class Failing(Filter):
    """A filter with a bug that shows up in documents with `boom`, or on writing `bang`."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        if "boom" in doc:
            raise RuntimeError(f"cannot cope with {doc['boom']}")
        return doc

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if "bang" in edited:
            raise RuntimeError(f"cannot cope with {original}")
        return edited


class Validated(Filter):
    """Refuses documents with `bad`."""

    passes_all = True

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if "bad" in edited:
            raise Refused("bad is not good", "bad")
        return edited


def chain(*filters: Filter) -> Chain:
    return Chain([Link(type(each).__name__.lower(), each) for each in filters])


PHONE = chain(Owned(), Without("ssn"), NoBinaries())
"""Own documents, without `ssn`, with small texts as their only attachments."""

TABLET = chain(Without("notes"))
"""All documents, without `notes`."""


def profile(filters: Chain = PHONE, **options: Any) -> Profile:
    return Profile(name="phone", databases=frozenset(["db"]), chain=filters, suffix="phone", **options)
