"""The normal form of a selector. The steps, and what they mean, are told in `selector`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.core import jsonio
from proxy.core.mango import SelectorError
from proxy.core.mango.paths import Path, parse_path

MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Op:
    """A condition on a value: an operator and its argument, a Node for `$elemMatch` and its like."""

    name: str
    argument: Any


@dataclass(frozen=True, slots=True)
class Every:
    """`$and`: all of the nodes match."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """`$or`: some of the nodes match, or there are none."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """`$not`. A `$nor` is an Every of these."""

    node: Node


@dataclass(frozen=True, slots=True)
class At:
    """A condition on what is at a path, which must be there."""

    path: Path
    node: Node


Node = Op | Every | Some | Not | At


def normalize(selector: Any) -> Node:
    """The normal form. Raises SelectorError for what CouchDB refuses, and beyond MAX_DEPTH levels."""
    if type(selector) is not dict:
        raise SelectorError(f"Selector must be a JSON object, not: {_text(selector)}", error="invalid_selector_json")
    if not selector:
        return Every(())
    node = _negations_down(_fields_down(_explicit(selector, 0), ()), negate=False)
    if isinstance(node, At) and not node.path:
        raise SelectorError("One or more conditions is missing a field name.", error="invalid_selector")
    return node


# First step. A field is an At with one name, not yet parsed.


def _explicit(value: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise SelectorError(f"The selector has more than {MAX_DEPTH} levels.", error="invalid_selector")
    if type(value) is not dict or not value:
        return Op("$eq", _bounded(value, depth))
    if len(value) > 1:
        return Every(tuple(_explicit({name: member}, depth + 1) for name, member in value.items()))
    ((name, argument),) = value.items()
    if name.startswith("$"):
        return _operator(name, argument, depth)
    return At((name,), _explicit(argument, depth + 1))


def _operator(name: str, argument: Any, depth: int) -> Node:
    if name in ("$and", "$or", "$nor") and type(argument) is list:
        nodes = tuple(_explicit(item, depth + 1) for item in argument)
        return Every(nodes) if name == "$and" else Some(nodes) if name == "$or" else _none_of(nodes)
    if name in _NESTED and type(argument) is dict:
        inner = _explicit(argument, depth + 1)
        return Not(inner) if name == "$not" else Op(name, inner)
    if name in ("$and", "$or", "$nor", *_NESTED):
        raise bad_argument(name, argument)
    if name in _UNSUPPORTED:
        raise SelectorError(f"Unsupported operator: {name}", error="not_supported")
    check = _ARGUMENTS.get(name)
    if check is None or (name in _STRINGS and type(argument) is not str):
        raise SelectorError(f"Invalid operator: {name}", error="invalid_operator")
    if not check(argument):
        raise bad_argument(name, argument)
    return Op(name, _bounded(argument, depth))


def bad_argument(name: str, argument: Any, why: str = "") -> SelectorError:
    """The error for an operator's argument."""
    return SelectorError(f"Bad argument for operator {name}: {_text(argument)}{why and f' ({why})'}", error="bad_arg")


def _none_of(nodes: tuple[Node, ...]) -> Node:
    return Every(tuple(Not(node) for node in nodes))


def _bounded(value: Any, depth: int) -> Any:
    """`value`, if it is not too deep to be compared recursively."""
    level = [value]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise SelectorError(f"The selector has more than {MAX_DEPTH} levels.", error="invalid_selector")
        level = [item for outer in level for item in _items(outer)]
    return value


def _items(value: Any) -> list[Any]:
    if type(value) is dict:
        return list(value.values())
    return value if type(value) is list else []


def _is_int(value: Any) -> bool:
    return type(value) is int


def _is_modulus(value: Any) -> bool:
    return type(value) is list and len(value) == 2 and _is_int(value[0]) and _is_int(value[1]) and value[0] != 0


def _anything(value: Any) -> bool:
    return True


_NESTED = ("$not", "$elemMatch", "$allMatch", "$keyMapMatch")
_UNSUPPORTED = ("$text", "$default", "$where", "$geoWithin", "$geoIntersects", "$near", "$nearSphere")
_STRINGS = ("$regex", "$beginsWith")
_ARGUMENTS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("$eq", "$ne", "$lt", "$lte", "$gt", "$gte", *_STRINGS), _anything),
    **dict.fromkeys(("$in", "$nin", "$all"), lambda value: type(value) is list),
    "$exists": lambda value: type(value) is bool,
    "$type": lambda value: type(value) is str,
    "$mod": _is_modulus,
    "$size": lambda value: _is_int(value) and value >= 0,
}


# Second step.


def _fields_down(node: Node, path: Path) -> Node:
    match node:
        case Every(nodes):
            return Every(tuple(_fields_down(inner, path) for inner in nodes))
        case Some(nodes):
            return Some(tuple(_fields_down(inner, path) for inner in nodes))
        case Not(inner):
            return Not(_fields_down(inner, path))
        case At((name,), inner):
            return _fields_down(inner, path + parse_path(name))
        case Op(name, argument) if name in _NESTED:
            return At(path, Op(name, _fields_down(argument, ())))
    return At(path, node)


# Third step. What is within an `$elemMatch` stays as it is.


def _negations_down(node: Node, *, negate: bool) -> Node:
    match node:
        case Not(inner):
            return _negations_down(inner, negate=not negate)
        case Every(nodes) | Some(nodes):
            moved = tuple(_negations_down(inner, negate=negate) for inner in nodes)
            return Every(moved) if isinstance(node, Every) != negate else Some(moved)
        case At(path, inner) if negate:
            return At(path, _negated(inner))
    return node


def _negated(node: Node) -> Node:
    if isinstance(node, Op) and node.name in _OPPOSITES:
        return Op(_OPPOSITES[node.name], node.argument)
    if isinstance(node, Op) and node.name == "$exists":
        return Op("$exists", not node.argument)
    return Not(node)


_OPPOSITES = {"$lt": "$gte", "$lte": "$gt", "$eq": "$ne", "$in": "$nin"}
_OPPOSITES.update({opposite: name for name, opposite in list(_OPPOSITES.items())})


def _text(value: Any) -> str:
    try:
        return jsonio.dumps(value).decode()
    except ValueError:
        return type(value).__name__
