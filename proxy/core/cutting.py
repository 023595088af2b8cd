"""A tree of paths compiled to closures: `rewriter` for what is dropped or replaced, `keeper` for what is kept.

This runs for each document of a feed, so each place in the tree gets a closure of its own that knows at compile time
what can happen there. What happens in arrays is compiled when the first array is met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_not
from typing import Any, Final

from jmespath.exceptions import JMESPathError

from proxy.contract import Client, Doc
from proxy.core.jmes import Expression
from proxy.core.pathtree import Node

GONE: Final = object()
"""Given by a rewriting function: the value is left out."""

Survivors = dict[int, list[int]]
"""By `id` of an array in a result that has lost elements: the indices that the others had."""

Cut = Callable[[Any, Client, Survivors | None], Any]
Rewrite = Callable[[Any], Any]


def rewriter(node: Node, value_of: Rewrite | None) -> Cut:
    """Gives a value with `value_of` applied wherever a path ends, or the value itself if that changes nothing.

    Without `value_of` everything that a path leads to is left out.
    """
    return _Rewriting(value_of).cut(node)


def keeper(node: Node) -> Cut:
    """Gives the part of a value that the paths lead to; GONE if they cannot be followed into it."""
    return _Keeping().cut(node)


class _Compiler:
    """Compiles each node once: a node for names is its own continuation in the elements of an array."""

    in_doubt: bool
    """What a condition counts as that cannot be judged: whatever hides more."""

    def __init__(self) -> None:
        self._cuts: dict[int, tuple[Node, Cut]] = {}

    def cut(self, node: Node) -> Cut:
        known = self._cuts.get(id(node))
        if known is None:
            known = self._cuts[id(node)] = (node, self.end if node.is_end else self.compile(node))
        return known[1]

    def end(self, value: Any, client: Client, survivors: Survivors | None) -> Any:
        """What becomes of a value that a path leads to."""
        raise NotImplementedError

    def beside(self, value: Any, client: Client, survivors: Survivors | None) -> Any:
        """What becomes of an element that no path leads to."""
        raise NotImplementedError

    def compile(self, node: Node) -> Cut:
        raise NotImplementedError

    def of_element(self, node: Node) -> Callable[[Any, Client], Cut]:
        """From an element of an array that `node` was reached with, to what becomes of it."""
        conditions, in_doubt = node.conditions, self.in_doubt

        def choose(element: Any, client: Client) -> Cut:
            matching = [child for condition, child in conditions if holds(condition, element, client, in_doubt)]
            found = node.of_element(matching)
            return self.beside if found is None else self.cut(found)

        return choose

    def always(self, node: Node) -> Cut | None:
        """What becomes of every element, where no condition decides."""
        if node.conditions:
            return None
        found = node.of_element([])
        return self.beside if found is None else self.cut(found)

    def flat(self, node: Node) -> tuple[str, ...]:
        """The members that paths end at in elements, if paths do nothing else there."""
        found = None if node.conditions else node.of_element([])
        if found is None or found.any or not all(child.is_end for child in found.names.values()):
            return ()
        return tuple(found.names)


class _Rewriting(_Compiler):
    in_doubt = True

    def __init__(self, value_of: Rewrite | None) -> None:
        super().__init__()
        self._value_of = value_of

    def end(self, value: Any, client: Client, survivors: Survivors | None) -> Any:
        return GONE if self._value_of is None else self._value_of(value)

    def beside(self, value: Any, client: Client, survivors: Survivors | None) -> Any:
        return value

    def compile(self, node: Node) -> Cut:
        drops = self._value_of is None
        gone = tuple(name for name, child in node.names.items() if child.is_end and drops)
        below = tuple((name, self.cut(child)) for name, child in node.names.items() if name not in gone)
        others = None if node.any is None else self.cut(node.any)
        elements: Cut | None = None

        def cut(value: Any, client: Client, survivors: Survivors | None) -> Any:
            nonlocal elements
            if not isinstance(value, dict):
                if not isinstance(value, list):
                    return value
                if elements is None:
                    elements = self._elements(node)
                return elements(value, client, survivors)
            copy: Doc | None = None
            for name in gone:
                if name in value:
                    if copy is None:
                        copy = value.copy()
                    del copy[name]
            for name, cut_member in below:
                if name in value:
                    old = value[name]
                    new = cut_member(old, client, survivors)
                    if new is not old:
                        if copy is None:
                            copy = value.copy()
                        _put(copy, name, new)
            if others is not None:
                for name in node.other_names(value):
                    new = others(value[name], client, survivors)
                    if new is not value[name]:
                        if copy is None:
                            copy = value.copy()
                        _put(copy, name, new)
            return value if copy is None else copy

        return cut

    def _elements(self, node: Node) -> Cut:
        always, choose = self.always(node), self.of_element(node)
        flat = self.flat(node)
        if flat and always is not None and self._value_of is None:
            return _without(flat, always)

        def elements(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
            if always is not None:
                cuts = [always(element, client, survivors) for element in value]
            else:
                cuts = [choose(element, client)(element, client, survivors) for element in value]
            return _present(cuts, survivors) if any(map(is_not, cuts, value)) else value

        return elements


class _Keeping(_Compiler):
    in_doubt = False

    def end(self, value: Any, client: Client, survivors: Survivors | None) -> Any:
        return value

    def beside(self, value: Any, client: Client, survivors: Survivors | None) -> Any:
        return GONE

    def compile(self, node: Node) -> Cut:
        whole = tuple(name for name, child in node.names.items() if child.is_end)
        below = tuple((name, self.cut(child)) for name, child in node.names.items() if not child.is_end)
        others = None if node.any is None else self.cut(node.any)
        elements: Cut | None = None

        def cut(value: Any, client: Client, survivors: Survivors | None) -> Any:
            nonlocal elements
            if not isinstance(value, dict):
                if not isinstance(value, list):
                    return GONE
                if elements is None:
                    elements = self._elements(node)
                return elements(value, client, survivors)
            kept = {name: value[name] for name in whole if name in value}
            for name, cut_member in below:
                if name in value:
                    part = cut_member(value[name], client, survivors)
                    if part is not GONE:
                        kept[name] = part
            if others is not None:
                for name in node.other_names(value):
                    part = others(value[name], client, survivors)
                    if part is not GONE:
                        kept[name] = part
            return kept

        return cut

    def _elements(self, node: Node) -> Cut:
        if not node.meets_arrays:
            return lambda value, client, survivors: GONE
        always, choose = self.always(node), self.of_element(node)
        flat = self.flat(node)
        if flat and always is not None:
            return _only(flat, always)

        def elements(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
            if always is not None:
                return _present([always(element, client, survivors) for element in value], survivors)
            cuts = [choose(element, client)(element, client, survivors) for element in value]
            return _present(cuts, survivors)

        return elements


def holds(condition: Expression, element: Any, client: Client, in_doubt: bool) -> bool:
    """Whether the condition is true for the element; `in_doubt` if that cannot be judged."""
    if condition.lacks(client) is not None:
        return in_doubt
    try:
        return condition.truthy(element, client)
    except (JMESPathError, ArithmeticError, TypeError, RecursionError):
        return in_doubt


def _without(names: Iterable[str], cut: Cut) -> Cut:
    """For arrays of objects that lose members: the work of `cut`, without a call for each element."""

    def elements(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
        rest: list[Any] | None = None
        for index, element in enumerate(value):
            if isinstance(element, dict):
                left = None
                for name in names:
                    if name in element:
                        if left is None:
                            left = element.copy()
                        del left[name]
                if left is None:
                    continue
            elif (left := cut(element, client, survivors)) is element:
                continue
            if rest is None:
                rest = value.copy()
            rest[index] = left
        return value if rest is None else rest

    return elements


def _only(names: Iterable[str], cut: Cut) -> Cut:
    """The same for arrays of objects of which some members are kept."""

    def elements(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
        kept: list[Any] = []
        for element in value:
            if isinstance(element, dict):
                kept.append({name: element[name] for name in names if name in element})
            else:
                kept.append(cut(element, client, survivors))
        return _present(kept, survivors) if GONE in kept else kept

    return elements


def _put(members: Doc, name: str, value: Any) -> None:
    if value is GONE:
        del members[name]
    else:
        members[name] = value


def _present(elements: list[Any], survivors: Survivors | None) -> list[Any]:
    """The elements that are not GONE; where they were is noted."""
    left = [element for element in elements if element is not GONE]
    if survivors is not None and len(left) < len(elements):
        survivors[id(left)] = [i for i, element in enumerate(elements) if element is not GONE]
    return left
