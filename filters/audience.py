"""`audience`: show a client only the documents that reach it, by keys that a feed finds them with.

Options: `keys`, a table from prefix to a JMESPath expression over the document, giving a key or an array of keys:
`{ facility = "facility" }` gives `facility:f7` for a document with that facility; `client`, a table from prefix to an
expression over who asks (its `name`, `roles`, `grants`, ...) that gives the keys it holds: `{ user = "name" }`. For a
prefix that is not in it, those are the values of the client's roles: `facility:f7` holds `facility:f7`. Or both are
arrays of expressions, which give whole keys.

A client gets the documents with which it shares a key, and no other. Keys are strings that are not empty, and whole
numbers; whatever else an expression gives is no key, and one that fails gives none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from filters.options import texts
from proxy.contract import Client, Doc, Filter, OptionError
from proxy.rules import Expression, compile_expression

_Source = tuple[str, Expression]
"""A prefix, and what gives the keys behind it."""


class Audience(Filter):
    """Withholds documents that share no key with the client."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    declares_audience = True

    def __init__(
        self, *, keys: Sequence[str] | Mapping[str, str], client: Sequence[str] | Mapping[str, str] | None = None
    ) -> None:
        self._keys = _sources("keys", keys)
        if not self._keys:
            raise OptionError("keys", 'must give at least one key, as { facility = "facility" }')
        self._client = _client_sources(keys, client)
        self._last: tuple[Client, frozenset[str]] | None = None
        for option, (_, expression) in self._keys.items():
            if expression.fields is None:
                raise OptionError(option, "must name the fields that it reads, for tombstones to keep them")

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        return None if self.client_keys(client).isdisjoint(self.audience(doc)) else doc

    def audience(self, doc: Doc) -> Iterable[str]:
        return dict.fromkeys(_found(self._keys.values(), doc))

    def client_keys(self, client: Client) -> frozenset[str]:
        last = self._last
        if last is None or last[0] is not client:  # a feed asks for one client many times
            self._last = last = (client, frozenset(_found(self._client, client.scope)))
        return last[1]

    def by_fields(self) -> bool:
        return True

    def hides_by_place(self) -> bool:
        return True

    def audience_fields(self) -> Iterable[str]:
        return {name for _, expression in self._keys.values() for name in expression.fields or ()}

    def describe_audience(self) -> str:
        return ", ".join(f"{prefix}{{{expression.text}}}" for prefix, expression in self._keys.values())


def _sources(option: str, value: object) -> dict[str, _Source]:
    """What gives keys, by the place of the option."""
    if isinstance(value, Mapping):
        tables = {f"{option}.{prefix}": (f"{prefix}:", expression) for prefix, expression in value.items()}
    else:
        tables = {f"{option}[{index}]": ("", expression) for index, expression in enumerate(texts(option, value))}
    return {
        place: (prefix, compile_expression(expression, option=place, names=()))
        for place, (prefix, expression) in tables.items()
    }


def _client_sources(keys: object, client: object) -> list[_Source]:
    """What gives the client's keys: of the same form as those of the document, roles by default."""
    if not isinstance(keys, Mapping):
        if client is None:
            raise OptionError("client", 'is missing: say which keys a client holds, as ["name", "roles"]')
        return list(_sources("client", client).values())
    if client is None:
        client = {}
    if not isinstance(client, Mapping):
        raise OptionError("client", f'must be a table, as keys is one: {{ user = "name" }}, not {client!r}')
    for prefix in client:
        if prefix not in keys:
            raise OptionError(f"client.{prefix}", f"no document has such keys: keys has no {prefix}")
    by_role = {prefix: f"grants.{json.dumps(prefix)}" for prefix in keys}
    return list(_sources("client", {**by_role, **client}).values())


def _found(sources: Iterable[_Source], value: Any) -> Iterator[str]:
    for prefix, expression in sources:
        try:
            found = expression.search(value)
        except (ValueError, TypeError, ArithmeticError):
            continue
        yield from (f"{prefix}{key}" for key in _flat(found))


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        for element in value:
            yield from _flat(element)
    elif isinstance(value, str | int) and not isinstance(value, bool) and value != "":
        yield value
