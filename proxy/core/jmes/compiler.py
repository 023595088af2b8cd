"""From the library's syntax tree to closures `(value, names) -> value`; one function for each kind of node.

The rules are those of the library's interpreter (version 1), in its words: a field of what is not an object is null,
orderings of what is neither number nor string are null, a projection drops nulls. Where an operand's form is known
(a literal string, a comparison that can only be true or false) a cheaper closure with the same result is chosen.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from numbers import Number
from typing import Any

from jmespath.visitor import TreeInterpreter

from proxy.core.jmes.functions import call_function, reference

Node = Mapping[str, Any]
Names = Mapping[str, Any]
"""The values of the given names."""
Run = Callable[[Any, Names], Any]


class Uncovered(Exception):
    """A kind of node that is not known here uses a given name, which the library cannot resolve for it."""


def compile_tree(tree: Node, names: frozenset[str]) -> Run:
    """The closure for a parsed expression in which `names` stand for given values. Raises Uncovered."""
    return _Compiler(names).compile(tree, True)


def is_false(value: Any) -> bool:
    """JMESPath's falsehood: false, null, and the empty string, array and object. 0 is true."""
    return value is None or value is False or (not value and isinstance(value, str | list | dict))


class _Compiler:
    def __init__(self, names: frozenset[str]) -> None:
        self.names = names

    def compile(self, node: Node, head: bool) -> Run:
        """`head`: whether a path begins here, so that a given name means its value."""
        compile_node = _COMPILE.get(node["type"])
        return _interpreted(node, self.names) if compile_node is None else compile_node(self, node, head)

    def all(self, nodes: Sequence[Node]) -> tuple[Run, ...]:
        return tuple(self.compile(node, True) for node in nodes)

    def is_name(self, node: Node, head: bool) -> bool:
        return head and node["type"] == "field" and node["value"] in self.names

    def field(self, node: Node, head: bool) -> Run:
        name = node["value"]
        if self.is_name(node, head):
            return lambda value, names: names[name]
        return lambda value, names: value.get(name) if isinstance(value, dict) else None

    def current(self, node: Node, head: bool) -> Run:
        return _identity

    def literal(self, node: Node, head: bool) -> Run:
        literal = node["value"]
        return lambda value, names: literal

    def chain(self, node: Node, head: bool) -> Run:
        first, *rest = node["children"]
        run = self.compile(first, head)
        if node["type"] == "subexpression" and self.is_name(first, head) and rest[0]["type"] == "field":
            run, rest = _attribute(first["value"], rest[0]["value"]), rest[1:]
        for child in rest:
            run = _then(run, self.compile(child, node["type"] == "pipe"))
        return run

    def index(self, node: Node, head: bool) -> Run:
        index = node["value"]

        def run(value: Any, names: Names) -> Any:
            if not isinstance(value, list):
                return None
            return value[index] if -len(value) <= index < len(value) else None

        return run

    def slice(self, node: Node, head: bool) -> Run:
        part = slice(*node["children"])
        return lambda value, names: value[part] if isinstance(value, list) else None

    def flatten(self, node: Node, head: bool) -> Run:
        base = self.compile(node["children"][0], head)

        def run(value: Any, names: Names) -> Any:
            elements = base(value, names)
            if not isinstance(elements, list):
                return None
            merged: list[Any] = []
            for element in elements:
                if isinstance(element, list):
                    merged.extend(element)
                else:
                    merged.append(element)
            return merged

        return run

    def projection(self, node: Node, head: bool) -> Run:
        base, right = self.compile(node["children"][0], head), self.compile(node["children"][1], False)

        def run(value: Any, names: Names) -> Any:
            elements = base(value, names)
            if not isinstance(elements, list):
                return None
            return [found for element in elements if (found := right(element, names)) is not None]

        return run

    def value_projection(self, node: Node, head: bool) -> Run:
        base, right = self.compile(node["children"][0], head), self.compile(node["children"][1], False)

        def run(value: Any, names: Names) -> Any:
            members = base(value, names)
            if not isinstance(members, dict):
                return None
            return [found for member in members.values() if (found := right(member, names)) is not None]

        return run

    def filter_projection(self, node: Node, head: bool) -> Run:
        base, right = self.compile(node["children"][0], head), self.compile(node["children"][1], False)
        condition = self.compile(node["children"][2], True)

        def run(value: Any, names: Names) -> Any:
            elements = base(value, names)
            if not isinstance(elements, list):
                return None
            return [
                found
                for element in elements
                if not is_false(condition(element, names)) and (found := right(element, names)) is not None
            ]

        return run

    def comparator(self, node: Node, head: bool) -> Run:
        name = node["value"]
        left, right = self.all(node["children"])
        if name in ("eq", "ne"):
            equal = self._equality(node, left, right)
            return equal if name == "eq" else lambda value, names: not equal(value, names)
        compare = _ORDERINGS[name]

        def run(value: Any, names: Names) -> Any:
            a, b = left(value, names), right(value, names)
            return compare(a, b) if _is_comparable(a) and _is_comparable(b) else None

        return run

    def _equality(self, node: Node, left: Run, right: Run) -> Run:
        first, second = node["children"]
        if not (second["type"] == "literal" and isinstance(second["value"], str)):
            return lambda value, names: _equals(left(value, names), right(value, names))
        text = second["value"]
        if first["type"] == "field" and not self.is_name(first, True):
            field = first["value"]
            return lambda value, names: isinstance(value, dict) and value.get(field) == text
        return lambda value, names: bool(left(value, names) == text)

    def and_expression(self, node: Node, head: bool) -> Run:
        left, right = self.all(node["children"])
        if _is_boolean(node["children"][0]):
            return lambda value, names: left(value, names) and right(value, names)

        def run(value: Any, names: Names) -> Any:
            found = left(value, names)
            return found if is_false(found) else right(value, names)

        return run

    def or_expression(self, node: Node, head: bool) -> Run:
        left, right = self.all(node["children"])
        if _is_boolean(node["children"][0]):
            return lambda value, names: left(value, names) or right(value, names)

        def run(value: Any, names: Names) -> Any:
            found = left(value, names)
            return right(value, names) if is_false(found) else found

        return run

    def not_expression(self, node: Node, head: bool) -> Run:
        [operand] = self.all(node["children"])
        return lambda value, names: is_false(operand(value, names))

    def multi_select_list(self, node: Node, head: bool) -> Run:
        runs = self.all(node["children"])
        return lambda value, names: None if value is None else [run(value, names) for run in runs]

    def multi_select_dict(self, node: Node, head: bool) -> Run:
        members = [(pair["value"], self.compile(pair["children"][0], True)) for pair in node["children"]]
        return lambda value, names: None if value is None else {key: run(value, names) for key, run in members}

    def function(self, node: Node, head: bool) -> Run:
        return call_function(node["value"], self.all(node["children"]))

    def expref(self, node: Node, head: bool) -> Run:
        run = self.compile(node["children"][0], True)
        return lambda value, names: reference(run, names)


def _identity(value: Any, names: Names) -> Any:
    return value


def _then(first: Run, second: Run) -> Run:
    return lambda value, names: second(first(value, names), names)


def _attribute(given: str, name: str) -> Run:
    def run(value: Any, names: Names) -> Any:
        scope = names[given]
        return scope.get(name) if isinstance(scope, dict) else None

    return run


def _interpreted(node: Node, names: frozenset[str]) -> Run:
    """What this compiler does not know is left to the library."""
    if _mentions(node, names):
        raise Uncovered(node["type"])
    visit = TreeInterpreter().visit
    return lambda value, given: visit(node, value)


def _mentions(node: Any, names: frozenset[str]) -> bool:
    if not isinstance(node, dict):
        return False
    return (node["type"] == "field" and node["value"] in names) or any(
        _mentions(child, names) for child in node.get("children", ())
    )


def _is_boolean(node: Node) -> bool:
    """Whether the result can only be true or false."""
    return node["type"] == "not_expression" or (node["type"] == "comparator" and node["value"] in ("eq", "ne"))


def _equals(a: Any, b: Any) -> bool:
    """The library's equality: true and false equal no number, but inside arrays and objects they do, as in Python."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)


def _is_comparable(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Number) and not isinstance(value, bool))


_ORDERINGS: Mapping[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "gt": operator.gt,
    "lte": operator.le,
    "gte": operator.ge,
}

_COMPILE: Mapping[str, Callable[[_Compiler, Node, bool], Run]] = {
    "field": _Compiler.field,
    "current": _Compiler.current,
    "identity": _Compiler.current,
    "literal": _Compiler.literal,
    "subexpression": _Compiler.chain,
    "index_expression": _Compiler.chain,
    "pipe": _Compiler.chain,
    "index": _Compiler.index,
    "slice": _Compiler.slice,
    "flatten": _Compiler.flatten,
    "projection": _Compiler.projection,
    "value_projection": _Compiler.value_projection,
    "filter_projection": _Compiler.filter_projection,
    "comparator": _Compiler.comparator,
    "and_expression": _Compiler.and_expression,
    "or_expression": _Compiler.or_expression,
    "not_expression": _Compiler.not_expression,
    "multi_select_list": _Compiler.multi_select_list,
    "multi_select_dict": _Compiler.multi_select_dict,
    "function_expression": _Compiler.function,
    "expref": _Compiler.expref,
}
