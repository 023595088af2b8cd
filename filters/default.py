"""`default`: show a value for top-level fields that a document does not have.

Options: `fields`, a table from field to value (any JSON).

A client that leaves the value as it is stores nothing; one that changes it stores its own. Tombstones are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from filters.options import fields as _fields
from filters.options import json_value
from proxy.contract import Client, Doc, Filter
from proxy.rules import same


class Default(Filter):
    """Adds the `fields` that are missing."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(self, *, fields: Mapping[str, Any]) -> None:
        self._defaults = dict(json_value("fields", _fields("fields", fields, '{ status = "open" }')))

    def shape(self, doc: Doc, client: Client) -> Doc:
        if "_deleted" in doc:
            return doc
        missing = {name: value for name, value in self._defaults.items() if name not in doc}
        return {**doc, **missing} if missing else doc

    def by_fields(self) -> bool:
        return True

    def hides_by_place(self) -> bool:
        return True

    def depends_on_client(self) -> bool:
        return False

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if "_deleted" in edited:
            return edited
        before = original or {}
        made_up = [
            name
            for name, value in self._defaults.items()
            if name in edited and name not in before and same(edited[name], value)
        ]
        return {name: value for name, value in edited.items() if name not in made_up} if made_up else edited

    def fills_fields(self) -> Iterable[str]:
        return list(self._defaults)
