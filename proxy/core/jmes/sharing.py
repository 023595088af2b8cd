"""Whom a condition can be true for: keys of the document and keys of the client, found in the condition's syntax tree.

The law: where a condition is true for a document and a client, the two share a key, unless the document's are None.
It goes one way only. Keys find candidates; the condition itself decides.

    facility == client.facility             both have the value as a key
    contains(client.grants.unit, unit)      the client has each of its values, the document the one it has
    contains(members, client.name)          the other way round
    members[?name == client.name]           the document has the keys of each element
    x && y                                  the keys of one; none where the other is false for all
    x || y                                  the keys of both
    what reads the document alone           one key that all clients hold, if it is true for the document
    what reads the client alone             one key that all documents have, if it is true for the client

Anything else says nothing. A part that cannot be evaluated is not true, so it gives no key.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from proxy.contract import Client
from proxy.core.jmes.compiler import Names, Node, Run, compile_tree, is_false
from proxy.core.jmes.expression import Expression
from proxy.core.jmes.forms import Forms, as_element, as_element_or_part, as_elements, as_equal
from proxy.core.jmes.reads import Reads
from proxy.core.jmes.text import text_of

Keys = frozenset[str]
_CLIENT: Final = frozenset(("client",))
_NOBODY: Final[Names] = {"client": None}
_NONE: Final[Keys] = frozenset()
_ALL: Final[Keys] = frozenset(("+",))
_PREFIX_BYTES = 4

_UNJUDGED = (ValueError, TypeError, ArithmeticError)
"""What an evaluation that fails raises. Not RecursionError: how deep is too deep differs from place to place."""


class Sharing:
    """What document and client share where a condition is true. Made by `sharing`."""

    rank: int
    """How well the keys tell clients apart; less is better."""
    text: str
    """What is compared, in JMESPath, for people."""

    def of_document(self, doc: Any) -> Keys | None:
        """The keys of a document (a JSON object); None: it may reach anybody."""
        raise NotImplementedError

    def of_client(self, client: Client) -> Keys:
        """The keys of a client."""
        return self.held({"client": client.scope})

    def held(self, names: Names) -> Keys:
        raise NotImplementedError


def sharing(condition: Expression) -> Sharing | None:
    """What a condition over a document and `client` makes them share; None if that cannot be told."""
    try:
        return _derive(condition.tree)
    except RecursionError:
        return None


@dataclass(frozen=True)
class _OfDocument(Sharing):
    run: Run
    text: str
    rank: int = 6

    def of_document(self, doc: Any) -> Keys | None:
        return _ALL if _holds(self.run, doc, _NOBODY) else _NONE

    def held(self, names: Names) -> Keys:
        return _ALL


@dataclass(frozen=True)
class _OfClient(Sharing):
    run: Run
    key: Keys
    text: str
    rank: int = 5

    def of_document(self, doc: Any) -> Keys | None:
        return self.key

    def held(self, names: Names) -> Keys:
        return self.key if _holds(self.run, {}, names) else _NONE


@dataclass(frozen=True)
class _Match(Sharing):
    """A comparison of what is read from the document alone with what is read from the client alone."""

    prefix: str
    document: Run
    document_forms: Forms
    client: Run
    client_forms: Forms
    text: str
    rank: int

    def of_document(self, doc: Any) -> Keys | None:
        return self._keys(self.document, doc, _NOBODY, self.document_forms)

    def held(self, names: Names) -> Keys:
        return self._keys(self.client, {}, names, self.client_forms)

    def _keys(self, run: Run, value: Any, names: Names, forms: Forms) -> Keys:
        try:
            found = run(value, names)
        except _UNJUDGED:
            return _NONE
        return frozenset(f"{self.prefix}{form}" for form in forms(found))


@dataclass(frozen=True)
class _Elements(Sharing):
    """A condition on the elements of an array: there is none in the result unless it is true for one."""

    array: Run
    condition: Sharing
    text: str
    rank: int = 3

    def of_document(self, doc: Any) -> Keys | None:
        try:
            elements = self.array(doc, _NOBODY)
        except _UNJUDGED:
            return _NONE
        found: set[str] = set()
        for element in elements if isinstance(elements, list) else ():
            # what the condition reads is only known for objects
            keys = self.condition.of_document(element) if isinstance(element, dict) else None
            if keys is None:
                return None
            found |= keys
        return frozenset(found)

    def held(self, names: Names) -> Keys:
        return self.condition.held(names)


class _Both(Sharing):
    """Of parts that are all true, one gives the keys; the others can tell that there are none."""

    def __init__(self, parts: list[Sharing]) -> None:
        self._source = min(parts, key=lambda part: part.rank)
        self._others = [part for part in parts if part is not self._source]
        self.rank, self.text = self._source.rank, self._source.text

    def of_document(self, doc: Any) -> Keys | None:
        if any(part.of_document(doc) == _NONE for part in self._others):
            return _NONE
        return self._source.of_document(doc)

    def held(self, names: Names) -> Keys:
        if any(isinstance(part, _OfClient) and not part.held(names) for part in self._others):
            return _NONE
        return self._source.held(names)


class _Either(Sharing):
    """Of parts of which one is true, all give their keys."""

    def __init__(self, parts: list[Sharing]) -> None:
        self._parts = parts
        self.rank = max(4, *(part.rank for part in parts))
        self.text = " || ".join(part.text for part in parts)

    def of_document(self, doc: Any) -> Keys | None:
        found: set[str] = set()
        for part in self._parts:
            keys = part.of_document(doc)
            if keys is None:
                return None
            found |= keys
        return frozenset(found)

    def held(self, names: Names) -> Keys:
        return _NONE.union(*(part.held(names) for part in self._parts))


def _derive(node: Node) -> Sharing | None:
    """What is shared where `node`, evaluated for an object, is true."""
    reads = Reads(node, _CLIENT)
    if not reads.paths:
        return _OfDocument(_run(node), text_of(node))
    if reads.fields == _NONE:
        return _OfClient(_run(node), frozenset((_prefix(node),)), text_of(node))
    derive = _DERIVE.get(node["type"])
    return None if derive is None else derive(node)


def _comparator(node: Node) -> Sharing | None:
    sides = node["children"]
    if node["value"] != "eq" or not (_is_document(sides[0]) ^ _is_document(sides[1])):
        return None
    document, client = sides if _is_document(sides[0]) else reversed(sides)
    if not _is_client(client):
        return None
    return _match(
        node, document, as_equal, client, as_equal, 0 if document["type"] in ("field", "subexpression") else 1
    )


def _call(node: Node) -> Sharing | None:
    if node["value"] != "contains":
        return None
    within, what = node["children"]
    if _is_document(within) and _is_client(what):
        return _match(node, within, as_elements, what, as_element_or_part, 2)
    if _is_client(within) and _is_document(what) and _is_array(within):
        return _match(node, what, as_element, within, as_elements, 1)
    return None


def _filter(node: Node) -> Sharing | None:
    array, _, condition = node["children"]
    found = _derive(condition) if not Reads(array, _CLIENT).paths else None
    return None if found is None else _Elements(_run(array), found, text_of(node))


def _and(node: Node) -> Sharing | None:
    parts = [part for part in map(_derive, _operands(node)) if part is not None]
    return _Both(parts) if parts else None


def _or(node: Node) -> Sharing | None:
    parts: list[Sharing] = []
    for operand in _operands(node):
        part = _derive(operand)
        if part is None:
            return None
        parts.append(part)
    return _Either(parts)


def _operands(node: Node) -> Iterator[Node]:
    """Of `a && b && c` all three, though it is parsed as `(a && b) && c`."""
    for child in node["children"]:
        if child["type"] == node["type"]:
            yield from _operands(child)
        else:
            yield child


_DERIVE: Mapping[str, Callable[[Node], Sharing | None]] = {
    "comparator": _comparator,
    "function_expression": _call,
    "filter_projection": _filter,
    "and_expression": _and,
    "or_expression": _or,
}


def _match(node: Node, document: Node, forms: Forms, client: Node, held: Forms, rank: int) -> Sharing:
    return _Match(_prefix(node), _run(document), forms, _run(client), held, text_of(node), rank)


def _is_document(node: Node) -> bool:
    reads = Reads(node, _CLIENT)
    return not reads.paths and reads.fields != _NONE


def _is_client(node: Node) -> bool:
    reads = Reads(node, _CLIENT)
    return bool(reads.paths) and reads.fields == _NONE


def _is_array(node: Node) -> bool:
    """Whether what is read from a client can only be an array or null: within a text, `contains` looks for parts."""
    if node["type"] == "function_expression":
        return node["value"] in ("keys", "map", "sort", "sort_by", "to_array", "values")
    if node["type"] == "subexpression":
        steps = [child.get("value") if child["type"] == "field" else None for child in node["children"]]
        return steps == ["client", "roles"] or (len(steps) == 3 and None not in steps and steps[1] == "grants")
    return node["type"] in ("projection", "value_projection", "filter_projection", "flatten", "multi_select_list")


def _run(node: Node) -> Run:
    return compile_tree(node, _CLIENT)


def _holds(run: Run, value: Any, names: Names) -> bool:
    try:
        return not is_false(run(value, names))
    except _UNJUDGED:
        return False


def _prefix(node: Node) -> str:
    """Keeps the keys of different comparisons apart; the same wherever the comparison is made."""
    text = json.dumps(node, sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=_PREFIX_BYTES).hexdigest() + ":"
