"""`audience`: say whom a document reaches, as keys, so that a feed finds a client's documents without trying them all.

Options: `keys`, an array of JMESPath expressions over the document, each giving a key or an array of keys; or a table
from prefix to expression: `{ facility = "facility" }` gives `facility:f7` for a document with that facility.

It only declares and hides nothing: put a `select` with the same rule beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from filters.options import texts
from proxy.contract import Doc, Filter, OptionError
from proxy.rules import Expression, compile_expression


class Audience(Filter):
    """Declares the keys of those whom a document reaches."""

    passes_all: ClassVar[bool] = True

    def __init__(self, *, keys: Sequence[str] | Mapping[str, str]) -> None:
        self._keys = list(_keys(keys))
        for option, _, expression in self._keys:
            if expression.fields is None:
                raise OptionError(option, "must name the fields that it reads, for tombstones to keep them")

    def audience(self, doc: Doc) -> Iterable[str]:
        found = (f"{prefix}{key}" for _, prefix, expression in self._keys for key in _flat(expression.search(doc)))
        return dict.fromkeys(found)

    def audience_fields(self) -> Iterable[str]:
        return {name for _, _, expression in self._keys for name in expression.fields or ()}


def _keys(keys: object) -> Iterator[tuple[str, str, Expression]]:
    """The option, the prefix and the expression of each key."""
    if isinstance(keys, Mapping):
        for prefix, value in keys.items():
            option = f"keys.{prefix}"
            yield option, f"{prefix}:", compile_expression(value, option=option, names=())
    else:
        for index, value in enumerate(texts("keys", keys)):
            option = f"keys[{index}]"
            yield option, "", compile_expression(value, option=option, names=())


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _flat(element)
    elif isinstance(value, str | int) and not isinstance(value, bool):
        yield value
