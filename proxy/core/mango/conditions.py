"""The normal form of a selector as a predicate: closures, built once."""

from __future__ import annotations

import operator
import unicodedata
from collections.abc import Callable
from typing import Any

from proxy.core.collation import collation_key
from proxy.core.mango.normal import At, Every, Node, Not, Op, Some, bad_argument
from proxy.core.mango.paths import MISSING, NO_PATH, Path, get
from proxy.core.mango.regex import PatternError, compile_pattern

Condition = Callable[[Any], bool]
_NUMBERS = (int, float)


class Compiler:
    """Builds conditions. `trusted`: whether regular expressions may take as long as they like."""

    def __init__(self, *, trusted: bool) -> None:
        self._trusted = trusted

    def condition(self, node: Node, path: Path = ()) -> Condition:
        """The predicate for a node, applied to what is at `path` of the document."""
        match node:
            case Every(nodes):
                return _all([self.condition(inner, path) for inner in nodes])
            case Some(nodes):
                return _any([self.condition(inner, path) for inner in nodes])
            case Not(inner):
                return _not(self.condition(inner, path))
            case At(where, inner):
                return _at(where, self.condition(inner, where), wants_missing=inner == Op("$exists", False))
            case Op(name, argument):
                return self._op(name, argument, path)

    def _op(self, name: str, argument: Any, path: Path) -> Condition:
        if name in _ORDER:
            return _order_of_ids(name, argument) if path == ("_id",) else _order(_ORDER[name], argument)
        if name == "$regex":
            try:
                return _on_strings(compile_pattern(argument, trusted=self._trusted))
            except PatternError as error:
                raise bad_argument(name, argument, str(error)) from None
        if name in _NESTED:
            return _NESTED[name](self.condition(argument))
        return _OPERATORS[name](argument)


# Structure.


def _all(conditions: list[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    return lambda value: all(condition(value) for condition in conditions)


def _any(conditions: list[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    return lambda value: not conditions or any(condition(value) for condition in conditions)


def _not(condition: Condition) -> Condition:
    return lambda value: not condition(value)


def _at(path: Path, condition: Condition, *, wants_missing: bool) -> Condition:
    if not path:
        return condition

    def at(value: Any) -> bool:
        found = get(value, path)
        if found is MISSING:
            return wants_missing
        return found is not NO_PATH and condition(found)

    if len(path) > 1:
        return at
    (name,) = path

    def member(value: Any) -> bool:
        if type(value) is not dict:
            return at(value)
        found = value.get(name, MISSING)
        return wants_missing if found is MISSING else condition(found)

    return member


def _elem_match(condition: Condition) -> Condition:
    return lambda value: type(value) is list and any(condition(item) for item in value)


def _all_match(condition: Condition) -> Condition:
    return lambda value: type(value) is list and bool(value) and all(condition(item) for item in value)


def _key_map_match(condition: Condition) -> Condition:
    return lambda value: type(value) is dict and any(condition(name) for name in value)


# Order and equality.


def equal(one: Any, other: Any) -> bool:
    """Equality in view collation: 1 and 1.0 are equal, objects only if their members come in the same order."""
    if type(one) in _NUMBERS:
        return type(other) in _NUMBERS and bool(one == other)
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(equal, one, other))
    if type(one) is dict:
        return list(one) == list(other) and all(map(equal, one.values(), other.values()))
    return bool(one == other)


def _identical(one: Any, other: Any) -> bool:
    """Erlang's `=:=`, by which `$all` finds its values: 1 is not 1.0."""
    if type(one) is not type(other):
        return False
    if type(one) is list:
        return len(one) == len(other) and all(map(_identical, one, other))
    if type(one) is dict:
        return list(one) == list(other) and all(map(_identical, one.values(), other.values()))
    return bool(one == other)


def _order(holds: Callable[[Any, Any], bool], argument: Any) -> Condition:
    if type(argument) in _NUMBERS:
        return lambda value: holds(value, argument) if type(value) in _NUMBERS else holds(_rank(value), 3)
    key, rank = collation_key(argument), _rank(argument)

    def compare(value: Any) -> bool:
        other = _rank(value)
        return holds(collation_key(value), key) if other == rank else holds(other, rank)

    return compare


def _order_of_ids(name: str, argument: Any) -> Condition:
    """Ids compare by code point, and are greater than anything that is no string (mango_json:cmp_raw)."""
    holds = _ORDER[name]
    if type(argument) is not str:
        return lambda value: holds(1, 0)
    return lambda value: type(value) is str and holds(value, argument)


def _rank(value: Any) -> int:
    return 2 if value is True else _RANKS[type(value)]


_RANKS = {type(None): 0, bool: 1, int: 3, float: 3, str: 4, list: 5, dict: 6}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
}


# Operators on single values.


def _eq(argument: Any) -> Condition:
    if type(argument) is str:
        return lambda value: type(value) is str and value == argument
    return lambda value: equal(value, argument)


def _in(arguments: list[Any]) -> Condition:
    strings = frozenset(item for item in arguments if type(item) is str)
    others = [item for item in arguments if type(item) is not str]

    def contained(value: Any) -> bool:
        return value in strings if type(value) is str else any(equal(value, item) for item in others)

    return lambda value: any(map(contained, value)) if type(value) is list else contained(value)


def _has_all(arguments: list[Any]) -> Condition:
    def has_all(values: Any) -> bool:
        if type(values) is not list or not arguments:
            return False
        if len(arguments) == 1 and type(arguments[0]) is list and equal(arguments[0], values):
            return True
        return all(any(_identical(item, value) for value in values) for item in arguments)

    return has_all


def _mod(argument: list[int]) -> Condition:
    divisor, remainder = argument

    def has_remainder(value: Any) -> bool:
        if type(value) is not int:
            return False
        rest = abs(value) % abs(divisor)
        return (-rest if value < 0 else rest) == remainder

    return has_remainder


def _begins_with(prefix: str) -> Condition:
    """A prefix ends between characters as users see them: "e" does not begin "e" with an accent."""

    def begins(text: str) -> bool:
        if not text.startswith(prefix):
            return False
        rest = text[len(prefix) : len(prefix) + 1]
        return not (prefix and rest and unicodedata.combining(rest))

    return _on_strings(begins)


def _on_strings(condition: Callable[[str], bool]) -> Condition:
    return lambda value: type(value) is str and condition(value)


_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}
_OPERATORS: dict[str, Callable[[Any], Condition]] = {
    "$eq": _eq,
    "$ne": lambda argument: _not(_eq(argument)),
    "$in": _in,
    "$nin": lambda arguments: _not(_in(arguments)),
    "$all": _has_all,
    "$exists": lambda argument: lambda value: argument,
    "$type": lambda argument: lambda value: _TYPES[type(value)] == argument,
    "$mod": _mod,
    "$size": lambda argument: lambda value: type(value) is list and len(value) == argument,
    "$beginsWith": _begins_with,
}
_NESTED: dict[str, Callable[[Condition], Condition]] = {
    "$elemMatch": _elem_match,
    "$allMatch": _all_match,
    "$keyMapMatch": _key_map_match,
}
