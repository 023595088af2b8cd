"""A tree of paths compiled to closures: `rewriter` for what is dropped or replaced, `keeper` for what is kept.

This runs for each document of a feed, so each place in the tree gets a closure of its own that knows at compile time
what can happen there. What happens in arrays is compiled when the first array is met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_not
from typing import Any, Final

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

    def cut(self, node: Node | None) -> Cut:
        """What becomes of a value that `node` is reached with; None for one that no path leads to."""
        if node is None:
            return self.beside
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

    def each(self, node: Node) -> Cut:
        """Gives a list of what becomes of each element of an array that `node` is reached with; GONE among them."""
        always = self.cut(node.of_element([]))
        if not node.conditions:
            return lambda value, client, survivors: [always(element, client, survivors) for element in value]
        if len(node.conditions) == 1:
            [(condition, child)] = node.conditions
            return self._each_by(condition, self.cut(node.of_element([child])), always)

        def cuts(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
            judges = [(condition.judge(client, self.in_doubt), child) for condition, child in node.conditions]
            matching = [[child for judge, child in judges if judge(element)] for element in value]
            return [
                self.cut(node.of_element(children))(element, client, survivors)
                for element, children in zip(value, matching, strict=True)
            ]

        return cuts

    def _each_by(self, condition: Expression, cut: Cut, otherwise: Cut) -> Cut:
        def cuts(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
            judge = condition.judge(client, self.in_doubt)
            return [(cut if judge(element) else otherwise)(element, client, survivors) for element in value]

        return cuts

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
        flat, each = self.flat(node), self.each(node)
        if flat and self._value_of is None:
            return _without(flat, self.cut(node.of_element([])))
        if self._value_of is None and len(node.conditions) == 1 and node.of_element([]) is None:
            [(condition, child)] = node.conditions
            if child.is_end:
                return _unless(condition)

        def elements(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
            cuts = each(value, client, survivors)
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
            kept: Doc = {}
            for name in whole:
                if name in value:
                    kept[name] = value[name]
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
        flat, each = self.flat(node), self.each(node)
        if flat:
            return _only(flat, self.cut(node.of_element([])))
        return lambda value, client, survivors: _present(each(value, client, survivors), survivors)


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


def _unless(condition: Expression) -> Cut:
    """For arrays that lose the elements for which a condition holds, and nothing else."""

    def elements(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
        holds = condition.judge(client, True)
        left = [element for element in value if not holds(element)]
        if len(left) == len(value):
            return value
        if survivors is not None:
            survivors[id(left)] = [index for index, element in enumerate(value) if not holds(element)]
        return left

    return elements


def _only(names: Iterable[str], cut: Cut) -> Cut:
    """The same for arrays of objects of which some members are kept."""

    def elements(value: list[Any], client: Client, survivors: Survivors | None) -> list[Any]:
        kept: list[Any] = []
        others = False
        for element in value:
            if isinstance(element, dict):
                part = {}
                for name in names:
                    if name in element:
                        part[name] = element[name]
                kept.append(part)
            else:
                others = True
                kept.append(cut(element, client, survivors))
        return _present(kept, survivors) if others else kept

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
