"""Syntax trees as text again, for people. What is rare is left out: it stands as `...`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Node = Mapping[str, Any]

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_LOOSE = ("and_expression", "or_expression", "comparator", "pipe")
"""What stands in parentheses within another expression."""


def text_of(node: Node) -> str:
    """The expression of which `node` is the syntax tree, or something like it."""
    write = _WRITE.get(node["type"])
    return "..." if write is None else write(node)


def _field(node: Node) -> str:
    name: str = node["value"]
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def _literal(node: Node) -> str:
    value = node["value"]
    return (
        "'" + value.replace("'", "\\'") + "'"
        if isinstance(value, str)
        else f"`{json.dumps(value, ensure_ascii=False)}`"
    )


def _projection(node: Node) -> str:
    base, right, *conditions = node["children"]
    of = text_of(base)
    if conditions:
        of += f"[?{text_of(conditions[0])}]"
    elif base["type"] != "flatten" and not _ends_in_slice(base):
        of += "[*]"
    return of if right["type"] == "identity" else f"{of}.{text_of(right)}"


def _ends_in_slice(node: Node) -> bool:
    return [child["type"] for child in node["children"]][-1:] == ["slice"]


def _joined(sign: str) -> Callable[[Node], str]:
    return lambda node: f" {sign} ".join(map(_within, node["children"]))


def _within(node: Node) -> str:
    return f"({text_of(node)})" if node["type"] in _LOOSE else text_of(node)


def _operands(node: Node) -> str:
    """Of `&&` and `||`: comparisons need no parentheses there, nor does `a && b` before `&& c`."""
    first, second = node["children"]
    bare = ("comparator",)
    left = text_of(first) if first["type"] in (*bare, node["type"]) else _within(first)
    right = text_of(second) if second["type"] in bare else _within(second)
    return f"{left} {'&&' if node['type'] == 'and_expression' else '||'} {right}"


def _slice(node: Node) -> str:
    start, stop, step = ("" if child is None else str(child) for child in node["children"])
    return f"[{start}:{stop}{':' if step else ''}{step}]"


_WRITE: Mapping[str, Callable[[Node], str]] = {
    "field": _field,
    "literal": _literal,
    "current": lambda node: "@",
    "subexpression": lambda node: ".".join(map(text_of, node["children"])),
    "index_expression": lambda node: "".join(map(text_of, node["children"])),
    "index": lambda node: f"[{node['value']}]",
    "slice": _slice,
    "flatten": lambda node: f"{text_of(node['children'][0])}[]",
    "projection": _projection,
    "filter_projection": _projection,
    "comparator": lambda node: _joined(_SIGNS[node["value"]])(node),
    "and_expression": _operands,
    "or_expression": _operands,
    "not_expression": lambda node: f"!{_within(node['children'][0])}",
    "function_expression": lambda node: f"{node['value']}({', '.join(map(text_of, node['children']))})",
}
