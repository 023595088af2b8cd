"""What an expression reads, found without running it: fields of the document, and paths below the given names.

The walk follows what each part of the expression is applied to: the whole document (`DOCUMENT`), a path below a name
(a tuple such as `("client", "grants", "facility")`), or something else (None).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

Node = Mapping[str, Any]
Path = tuple[str | int, ...]
_At = Path | None

DOCUMENT: Final[Path] = ()


class Reads:
    """`fields`: the top-level fields of the document, None if it may be any. `paths`: those below given names."""

    def __init__(self, tree: Node, names: frozenset[str]) -> None:
        self._names = names
        self._fields: set[str] | None = set()
        self.paths: set[Path] = set()
        self._use(self._visit(tree, DOCUMENT, True))

    @property
    def fields(self) -> frozenset[str] | None:
        return None if self._fields is None else frozenset(self._fields)

    def _use(self, at: _At) -> None:
        """The value at `at` as a whole has a part in the result."""
        if at == DOCUMENT:
            self._fields = None
        elif at is not None:
            self.paths.add(at)

    def _use_below(self, at: _At) -> None:
        """As `_use`, for operations on arrays: applied to the document, they give null without reading it."""
        if at != DOCUMENT:
            self._use(at)

    def _visit(self, node: Node, at: _At, head: bool) -> _At:
        visit = _VISIT.get(node["type"])
        if visit is None:
            self._fields = None
            return None
        return visit(self, node, at, head)

    def _all(self, nodes: Iterable[Node], at: _At) -> None:
        for node in nodes:
            self._use(self._visit(node, at, True))

    def _field(self, node: Node, at: _At, head: bool) -> _At:
        name: str = node["value"]
        if head and name in self._names:
            return (name,)
        if at == DOCUMENT:
            if self._fields is not None:
                self._fields.add(name)
            return None
        return None if at is None else (*at, name)

    def _same(self, node: Node, at: _At, head: bool) -> _At:
        return at

    def _literal(self, node: Node, at: _At, head: bool) -> _At:
        return None

    def _index(self, node: Node, at: _At, head: bool) -> _At:
        return (*at, node["value"]) if at else None

    def _slice(self, node: Node, at: _At, head: bool) -> _At:
        self._use_below(at)
        return None

    def _chain(self, node: Node, at: _At, head: bool) -> _At:
        first, *rest = node["children"]
        at = self._visit(first, at, head)
        for child in rest:
            at = self._visit(child, at, node["type"] == "pipe")
        return at

    def _flatten(self, node: Node, at: _At, head: bool) -> _At:
        self._use_below(self._visit(node["children"][0], at, head))
        return None

    def _projection(self, node: Node, at: _At, head: bool) -> _At:
        base, right, *conditions = node["children"]
        used = self._use if node["type"] == "value_projection" else self._use_below
        used(self._visit(base, at, head))
        self._all(conditions, None)
        self._visit(right, None, False)
        return None

    def _operands(self, node: Node, at: _At, head: bool) -> _At:
        self._all(node["children"], at)
        return None

    def _selection(self, node: Node, at: _At, head: bool) -> _At:
        self._use_below(at)  # whether it is null decides whether there is a selection
        return self._operands(node, at, head)

    def _reference(self, node: Node, at: _At, head: bool) -> _At:
        self._all(node["children"], None)  # applied to elements of an array that another argument names
        return None


_Visit = Callable[[Reads, Node, _At, bool], _At]


def _table(entries: Sequence[tuple[_Visit, str]]) -> dict[str, _Visit]:
    return {kind: visit for visit, kinds in entries for kind in kinds.split()}


_VISIT = _table(
    [
        (Reads._field, "field"),
        (Reads._same, "current identity"),
        (Reads._literal, "literal"),
        (Reads._index, "index"),
        (Reads._slice, "slice"),
        (Reads._chain, "subexpression index_expression pipe"),
        (Reads._flatten, "flatten"),
        (Reads._projection, "projection value_projection filter_projection"),
        (
            Reads._operands,
            "comparator and_expression or_expression not_expression function_expression key_val_pair",
        ),
        (Reads._selection, "multi_select_list multi_select_dict"),
        (Reads._reference, "expref"),
    ]
)
