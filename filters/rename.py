"""`rename`: show top-level fields under other names.

Options: `fields`, a table from the source's name to the name that clients see. Names may be swapped.

Where a document already has a field of the new name that is not renamed itself, that field is hidden, whether or not
the renamed one is there: so each shown name has one meaning, and every edit one way back. What a client sends under
a name that was renamed away is not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from filters.options import field_name
from filters.options import fields as _fields
from proxy.contract import Client, Doc, Filter, OptionError


class Rename(Filter):
    """Shows each field of `fields` under its new name."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(self, *, fields: Mapping[str, str]) -> None:
        table = _fields("fields", fields, '{ internal_name = "name" }')
        self._shown = {name: field_name(f"fields.{name}", value) for name, value in table.items()}
        self._sources = {shown: name for name, shown in self._shown.items()}
        for name, shown in self._shown.items():
            if self._sources[shown] != name:
                raise OptionError(f"fields.{name}", f"{self._sources[shown]} is already shown as {shown}")
        self._hidden = frozenset(self._sources) - frozenset(self._shown)
        """Names under which another field is shown: the source's own fields of that name are not."""
        self._unknown = frozenset(self._shown) - frozenset(self._sources)
        """Names under which nothing is shown."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        shown = self._shown
        return {shown.get(name, name): value for name, value in doc.items() if name not in self._hidden}

    def by_fields(self) -> bool:
        return True

    def hides_by_place(self) -> bool:
        return True

    def depends_on_client(self) -> bool:
        return False

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        sources = self._sources
        sent = {sources.get(n, n): value for n, value in edited.items() if n not in self._unknown}
        if original is None:
            return sent
        whole = {n: original[n] if n in self._hidden else sent[n] for n in original if n in self._hidden or n in sent}
        return {**whole, **{name: value for name, value in sent.items() if name not in whole}}

    def origins(self) -> Mapping[str, Iterable[str]]:
        return {shown: (name,) for shown, name in self._sources.items()}
