"""In how many places two JSON values differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any, NamedTuple


class Node(NamedTuple):
    """A JSON value, to be compared: `key` is equal for those that are the `same`."""

    key: Hashable
    members: dict[str, Node] | None = None
    elements: list[Node] | None = None


def node_of(value: Any) -> Node:
    if isinstance(value, dict):
        members = {name: node_of(member) for name, member in value.items()}
        return Node(hash(("object", frozenset((name, node.key) for name, node in members.items()))), members=members)
    if isinstance(value, list):
        elements = list(map(node_of, value))
        return Node(hash(("array", *(node.key for node in elements))), elements=elements)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return Node((type(value).__name__, value))
    whole = isinstance(value, int) or value.is_integer()
    return Node(("number", str(int(value)) if whole else repr(value)))  # as text: some numbers share their hash


def distance(a: Node, b: Node) -> int:
    """In how many places two values differ. Of elements of arrays, those count that only one has."""
    if a.key == b.key:
        return 0
    if a.members is not None and b.members is not None:
        one, other = a.members, b.members
        return sum(distance(one[name], other[name]) if name in one and name in other else 1 for name in {*one, *other})
    if a.elements is not None and b.elements is not None:
        left, right = (Counter(node.key for node in node.elements or ()) for node in (a, b))
        apart = ((left - right) + (right - left)).total()
        if len(a.elements) == len(b.elements):
            return min(apart, sum(map(distance, a.elements, b.elements)))
        return apart
    return 1
