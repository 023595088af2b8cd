"""`stamp`: set fields on the way in, as the owner of a document, so that a client cannot choose them.

Options: `fields`, a table from field to JMESPath expression over `client` and the document as it was sent; `when`:
"create" (the default; later writes keep the field as it is) or "write"; `claims`: what happens if the client sends
another value: "overwrite" (the default) or "refuse".

A document that is made anew over its deletion is created, but for fields that the deletion has kept, as those do by
which it is decided whom it reaches.

Documents go out untouched. A write is refused if an expression gives null: nobody's document helps nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from filters.options import choice
from filters.options import fields as _fields
from proxy.contract import Client, Doc, Filter, Refused
from proxy.rules import Expression, compile_expression, quote, same

_ABSENT: Final = object()


class Stamp(Filter):
    """Sets `fields` when a document is created, or on every write."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(self, *, fields: Mapping[str, str], when: str = "create", claims: str = "overwrite") -> None:
        table = _fields("fields", fields, '{ owner = "client.name" }')
        self._stamps = {name: compile_expression(value, option=f"fields.{name}") for name, value in table.items()}
        self._always = choice("when", when, ("create", "write")) == "write"
        self._refuses = choice("claims", claims, ("overwrite", "refuse")) == "refuse"

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return [(f"fields.{name}", expression) for name, expression in self._stamps.items()]

    def depends_on_client(self) -> bool:
        return False  # documents go out untouched

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        whole = dict(edited)
        for name in self._stamps:
            value = self._value(name, edited, original, client)
            sent = edited.get(name, _ABSENT)
            if self._refuses and sent is not _ABSENT and not self._may_send(sent, value, name, original):
                raise Refused(f"{name} is set by the server", name)
            if value is _ABSENT:
                whole.pop(name, None)
            else:
                whole[name] = value
        return whole

    def _value(self, name: str, edited: Doc, original: Doc | None, client: Client) -> Any:
        if original is not None and not self._always and not _is_made_anew(name, edited, original):
            return original.get(name, _ABSENT)
        value = None
        if self._stamps[name].lacks(client) is None:
            value = self._stamps[name].search(edited, client)
        if value is None:
            raise Refused(f"{name} cannot be set for this client: {self._stamps[name].text} is null", name)
        return value

    def _may_send(self, sent: Any, value: Any, name: str, original: Doc | None) -> bool:
        """What it will be, or what it was: a client sends back the stamp of the write before. If that was its own, it
        has any former one.
        """
        if same(sent, value) or original is None:
            return same(sent, value)
        before = original.get(name, _ABSENT)
        return same(sent, before) or (self._always and same(value, before))

    def sets_fields(self) -> Iterable[str]:
        return [quote(name) for name in self._stamps]


def _is_made_anew(name: str, edited: Doc, original: Doc) -> bool:
    """Whether a document begins again over its deletion, which has not kept the field."""
    return "_deleted" in original and "_deleted" not in edited and name not in original
