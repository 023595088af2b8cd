"""A tree of paths compiled to functions: `rewriter` for what is dropped or replaced, `keeper` for what is kept.

This runs for each document of a feed, so each place in the tree gets a function of its own in which what can happen
there is written out. What happens in arrays is compiled when the first array is met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import is_not
from typing import Any, Final

from proxy.contract import Client, Doc
from proxy.core.jmes import Expression
from proxy.core.pathtree import Node
from proxy.core.unrolled import Scope, define, indented

GONE: Final = object()
"""Given by a rewriting function: the value is left out."""

Survivors = dict[int, list[int]]
"""By `id` of an array in a result that has lost elements: the indices that the others had."""

Cut = Callable[[Any, Client, Survivors | None], Any]
Rewrite = Callable[[Any, Survivors | None], Any]
"""From a value that a path leads to, and where elements that are left are to be noted, to what takes its place."""


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

    def elements(self, node: Node) -> Cut:
        """What becomes of an array that `node` is reached with."""
        raise NotImplementedError

    def scope(self, node: Node) -> Scope:
        """What the function for a node refers to by name: `elements`, for arrays."""
        scope: Scope = {"GONE": GONE}

        def first(value: Any, client: Client, survivors: Survivors | None) -> Any:
            elements: Cut = self.elements(node)
            scope["elements"] = elements
            return elements(value, client, survivors)

        scope["elements"] = first
        return scope

    def named(self, node: Node, scope: Scope) -> str:
        """The name under which a text can call the function for another node."""
        name = f"cut_{len(scope)}"
        scope[name] = self.cut(node)
        return name

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
        return GONE if self._value_of is None else self._value_of(value, survivors)

    def beside(self, value: Any, client: Client, survivors: Survivors | None) -> Any:
        return value

    def compile(self, node: Node) -> Cut:
        scope = self.scope(node)
        gone = [name for name, child in node.names.items() if child.is_end and self._value_of is None]
        lines = [
            "if not isinstance(value, dict):",
            "    return elements(value, client, survivors) if isinstance(value, list) else value",
            "copy = None",
        ]
        for name in gone:
            lines += _leave_out(name, "value", "copy")
        for name, child in node.names.items():
            if name not in gone:
                lines += _replace(name, self.named(child, scope))
        if node.any is not None:
            scope["others"] = self._others(node, self.cut(node.any))
            lines.append("copy = others(value, copy, client, survivors)")
        lines.append("return value if copy is None else copy")
        return _function(lines, scope)

    def _others(self, node: Node, cut: Cut) -> Callable[[Doc, Doc | None, Client, Survivors | None], Doc | None]:
        """For the members that no path names: gives the copy that is made of the object, if there is one."""

        def others(value: Doc, copy: Doc | None, client: Client, survivors: Survivors | None) -> Doc | None:
            for name in node.other_names(value):
                new = cut(value[name], client, survivors)
                if new is not value[name]:
                    if copy is None:
                        copy = value.copy()
                    if new is GONE:
                        del copy[name]
                    else:
                        copy[name] = new
            return copy

        return others

    def elements(self, node: Node) -> Cut:
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
        scope = self.scope(node)
        lines = [
            "if not isinstance(value, dict):",
            "    return elements(value, client, survivors) if isinstance(value, list) else GONE",
            "kept = {}",
        ]
        for name, child in node.names.items():
            if child.is_end:
                lines += _take(name, "value", "kept")
        for name, child in node.names.items():
            if not child.is_end:
                lines += _take_part(name, self.named(child, scope))
        if node.any is not None:
            scope["others"] = self._others(node, self.cut(node.any))
            lines.append("others(value, kept, client, survivors)")
        lines.append("return kept")
        return _function(lines, scope)

    def _others(self, node: Node, cut: Cut) -> Callable[[Doc, Doc, Client, Survivors | None], None]:
        """For the members that no path names: what is kept of them is put into `kept`."""

        def others(value: Doc, kept: Doc, client: Client, survivors: Survivors | None) -> None:
            for name in node.other_names(value):
                part = cut(value[name], client, survivors)
                if part is not GONE:
                    kept[name] = part

        return others

    def elements(self, node: Node) -> Cut:
        if not node.meets_arrays:
            return lambda value, client, survivors: GONE
        flat, each = self.flat(node), self.each(node)
        if flat:
            return _only(flat, self.cut(node.of_element([])))
        return lambda value, client, survivors: _present(each(value, client, survivors), survivors)


def _function(lines: Iterable[str], scope: Scope) -> Cut:
    """The function of which these lines of text are the body."""
    made: Cut = define("def cut(value, client, survivors)", lines, scope)
    return made


def _leave_out(name: str, value: str, copy: str) -> list[str]:
    """Text: the copy of an object, made if there is none, loses a member."""
    return [
        f"if {name!r} in {value}:",
        f"    if {copy} is None:",
        f"        {copy} = {value}.copy()",
        f"    del {copy}[{name!r}]",
    ]


def _replace(name: str, cut: str) -> list[str]:
    """Text: a member of an object is what `cut` makes of it."""
    return [
        f"if {name!r} in value:",
        f"    old = value[{name!r}]",
        f"    new = {cut}(old, client, survivors)",
        "    if new is not old:",
        "        if copy is None:",
        "            copy = value.copy()",
        "        if new is GONE:",
        f"            del copy[{name!r}]",
        "        else:",
        f"            copy[{name!r}] = new",
    ]


def _take(name: str, value: str, kept: str) -> list[str]:
    """Text: a member of an object is kept."""
    return [f"if {name!r} in {value}:", f"    {kept}[{name!r}] = {value}[{name!r}]"]


def _take_part(name: str, cut: str) -> list[str]:
    """Text: of a member of an object is kept what `cut` gives."""
    return [
        f"if {name!r} in value:",
        f"    part = {cut}(value[{name!r}], client, survivors)",
        "    if part is not GONE:",
        f"        kept[{name!r}] = part",
    ]


def _without(names: Iterable[str], otherwise: Cut) -> Cut:
    """For arrays of objects that lose members: the work of `otherwise`, without a call for each element."""
    lines = [
        "rest = None",
        "for index, element in enumerate(value):",
        "    if isinstance(element, dict):",
        "        left = None",
        *indented([line for name in names for line in _leave_out(name, "element", "left")], 2),
        "        if left is None:",
        "            continue",
        "    elif (left := otherwise(element, client, survivors)) is element:",
        "        continue",
        "    if rest is None:",
        "        rest = value.copy()",
        "    rest[index] = left",
        "return value if rest is None else rest",
    ]
    return _function(lines, {"otherwise": otherwise})


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


def _only(names: Iterable[str], otherwise: Cut) -> Cut:
    """The same for arrays of objects of which some members are kept."""
    lines = [
        "kept = []",
        "others = False",
        "for element in value:",
        "    if isinstance(element, dict):",
        "        part = {}",
        *indented([line for name in names for line in _take(name, "element", "part")], 2),
        "        kept.append(part)",
        "    else:",
        "        others = True",
        "        kept.append(otherwise(element, client, survivors))",
        "return present(kept, survivors) if others else kept",
    ]
    return _function(lines, {"otherwise": otherwise, "present": _present})


def _present(elements: list[Any], survivors: Survivors | None) -> list[Any]:
    """The elements that are not GONE; where they were is noted."""
    left = [element for element in elements if element is not GONE]
    if survivors is not None and len(left) < len(elements):
        survivors[id(left)] = [i for i, element in enumerate(elements) if element is not GONE]
    return left
