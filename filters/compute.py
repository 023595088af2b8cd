"""`compute`: show top-level fields that are computed from the document and the client.

Options: `fields`, a table from field to JMESPath expression; `writes`: what happens if a client sends another value:
"ignore" (the default) or "refuse". A replicating device sends what it was shown last, which is old when it edits what
it wrote itself: by "refuse", its second edit would be refused.

An expression that cannot be evaluated for a document (a function is given a value of the wrong type) gives null.
Computed fields are never stored; a field of the source by the same name is hidden, and kept. Tombstones get none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from filters.options import choice
from filters.options import fields as _fields
from proxy.contract import Client, Doc, Filter, Refused
from proxy.rules import Expression, compile_expression, quote, same


class Compute(Filter):
    """Adds `fields`, outward only."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(self, *, fields: Mapping[str, str], writes: str = "ignore") -> None:
        table = _fields("fields", fields, "{ name = \"join(' ', [first, last])\" }")
        self._expressions = {n: compile_expression(value, option=f"fields.{n}") for n, value in table.items()}
        self._refuses = choice("writes", writes, ("ignore", "refuse")) == "refuse"

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return [(f"fields.{name}", expression) for name, expression in self._expressions.items()]

    def shape(self, doc: Doc, client: Client) -> Doc:
        if "_deleted" in doc:
            return {name: value for name, value in doc.items() if name not in self._expressions}
        return {**doc, **{n: _value(expression, doc, client) for n, expression in self._expressions.items()}}

    def by_fields(self) -> bool:
        return all(expression.fields is not None for expression in self._expressions.values())

    def hides_by_place(self) -> bool:
        return True

    def depends_on_client(self) -> bool:
        return any(expression.uses_client for expression in self._expressions.values())

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        whole = {name: value for name, value in edited.items() if name not in self._expressions}
        shadowed = {name: original[name] for name in self._expressions if name in original} if original else {}
        whole = _in_order({**whole, **shadowed}, original)
        if self._refuses:
            self._check(edited, [whole] if original is None else [original, whole], client)
        return whole

    def _check(self, edited: Doc, docs: Iterable[Doc], client: Client) -> None:
        """A client may send what it was shown, or what it would be shown now."""
        for name, expression in self._expressions.items():
            if name in edited and not any(same(edited[name], _value(expression, doc, client)) for doc in docs):
                raise Refused(f"{name} is computed and cannot be changed", name)

    def sets_fields(self) -> Iterable[str]:
        return [quote(name) for name in self._expressions]

    def origins(self) -> Mapping[str, Iterable[str]]:
        return {name: sorted(expression.fields or ()) for name, expression in self._expressions.items()}


def _value(expression: Expression, doc: Doc, client: Client) -> Any:
    try:
        return expression.search(doc, client)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return None


def _in_order(whole: Doc, original: Doc | None) -> Doc:
    """The members in the order of the original, new ones last."""
    if original is None:
        return whole
    return {**{name: whole[name] for name in original if name in whole}, **whole}
