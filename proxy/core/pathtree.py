"""The text of paths, and the tree that several paths are compiled into."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final, Literal

from proxy.contract import Doc, OptionError
from proxy.core.jmes import Expression, compile_expression

_PLAIN = re.compile(r'[^\s.\[\]"*?]+')
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_FOREIGN = re.compile(r"[$@]|#?/.*")
"""How paths of others begin: JSONPath (`$.a`), JMESPath (`@.a`), JSON Pointer (`/a`, `#/a`). Taken for names they would
lead nowhere, and so hide nothing.
"""

Step = tuple[Literal["name", "any", "items", "where"], Any]
"""One step of a path: `name` with the name, `where` with its Expression, `any` for `*`, `items` for `[]`."""


def parse_paths(texts: object, option: str) -> dict[str, list[Step]]:
    """The steps of each path by its text. Raises OptionError."""
    if isinstance(texts, str) or not isinstance(texts, list | tuple):
        raise OptionError(option, f'must be an array of paths, as ["a.b", "notes[].text"], not {texts!r}')
    if not texts:
        raise OptionError(option, "must name at least one path")
    return {text: _Parser(text, f"{option}[{i}]").parse() for i, text in enumerate(texts)}


def quote(name: str) -> str:
    """A member's name as it stands in a path: in quotes where it has to be."""
    is_plain = _PLAIN.fullmatch(name) and not _FOREIGN.fullmatch(name)
    return name if is_plain else json.dumps(name, ensure_ascii=False)


class _Parser:
    def __init__(self, text: object, option: str) -> None:
        if not isinstance(text, str):
            raise OptionError(option, f"must be a path (a string), not {type(text).__name__}")
        self._text = text
        self._option = option
        self._at = 0

    def parse(self) -> list[Step]:
        steps = [self._member()]
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                steps.append(self._brackets())
            elif self._text[self._at] == ".":
                self._at += 1
                steps.append(self._member())
            else:
                raise self._error("expected . or [")
        return steps

    def _member(self) -> Step:
        if self._text.startswith("*", self._at):
            self._at += 1
            return ("any", None)
        found = _QUOTED.match(self._text, self._at) or _PLAIN.match(self._text, self._at)
        if found is None:
            raise self._error('expected a name, a "quoted name" or *')
        if not found[0].startswith('"'):
            if self._at == 0 and _FOREIGN.fullmatch(found[0]):
                raise self._error(_told_to_write(self._text))
            self._at = found.end()
            return ("name", found[0])
        try:
            name = json.loads(found[0])
        except ValueError:
            raise self._error("expected a name in JSON quotes") from None
        self._at = found.end()
        return ("name", name)

    def _brackets(self) -> Step:
        for brackets in ("[]", "[*]"):
            if self._text.startswith(brackets, self._at):
                self._at += len(brackets)
                return ("items", None)
        if not self._text.startswith("[?", self._at):
            raise self._error("expected [], [*] or [?condition]")
        start, end = self._at + 2, self._closing()
        try:
            condition = compile_expression(self._text[start:end], option=self._option)
        except OptionError as error:
            at = start + (error.at or 0)
            raise OptionError(self._option, error.message, text=self._text, at=at) from None
        self._at = end + 1
        return ("where", condition)

    def _closing(self) -> int:
        """The offset of the bracket that closes the one here: brackets in strings of the condition do not count."""
        depth, quote, at = 0, "", self._at
        while at < len(self._text):
            character = self._text[at]
            if quote:
                at += character == "\\"
                quote = "" if character == quote else quote
            elif character in "'\"`":
                quote = character
            else:
                depth += (character == "[") - (character == "]")
                if not depth:
                    return at
            at += 1
        raise self._error("this bracket is not closed")

    def _error(self, message: str) -> OptionError:
        return OptionError(self._option, f"is not a path: {message}", text=self._text, at=self._at)


def _told_to_write(foreign: str) -> str:
    """What to do about a path of others."""
    notation = {"$": "JSONPath", "@": "JMESPath"}.get(foreign[0], "a JSON Pointer")
    path = foreign.lstrip("#/").replace("/", ".") if foreign[0] in "#/" else foreign[1:].removeprefix(".")
    own = path if path and path[0] not in ".[" else "a.b"
    return f'it begins as {notation} does; write "{own}" (or quotes around a name that begins so)'


class Node:
    """Where several paths go on from one place. An end swallows what would go on below it."""

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.any: Node | None = None
        self.items: Node | None = None
        self.conditions: list[tuple[Expression, Node]] = []
        self.is_end = False
        self.is_root = False
        self._unions: dict[frozenset[int], Node] = {}

    @classmethod
    def of(cls, paths: Iterable[Iterable[Step]]) -> Node:
        """The tree of paths."""
        root = cls()
        for steps in paths:
            node = root
            for step in steps:
                node = node._step(step)
            node.is_end = True
        root = _settled(root)
        root.is_root = True
        return root

    @cached_property
    def meets_arrays(self) -> bool:
        """Whether a path that comes here can go on into an array."""
        return bool(self.names or self.any or self.items or self.conditions)

    def uses_client(self) -> bool:
        """Whether a condition here or below may depend on the client."""
        below = self._below()
        return any(condition.uses_client or child.uses_client() for condition, child in self.conditions) or any(
            child.uses_client() for child in below
        )

    def _below(self) -> list[Node]:
        """Where paths go on, whatever is there."""
        return [*self.names.values(), *(node for node in (self.any, self.items) if node is not None)]

    def conditions_end(self, *, alone: bool = False) -> bool:
        """Whether paths end at their conditions, here and below; `alone`: and no others go on into the same array."""
        below = self._below()
        end = all(child.is_end for _, child in self.conditions) and not (self.conditions and alone and below)
        return end and all(node.conditions_end(alone=alone) for node in below)

    def members(self, members: Doc) -> Iterator[tuple[str, Node]]:
        """The members of an object that paths lead into."""
        for name, child in self.names.items():
            if name in members:
                yield name, child
        if self.any is not None:
            for name in self.other_names(members):
                yield name, self.any

    def other_names(self, members: Doc) -> list[str]:
        """The members of an object that `*` stands for: those that no path names, at the top none of CouchDB's."""
        others = [name for name in members if name not in self.names]
        return [name for name in others if not name.startswith("_")] if self.is_root else others

    def of_element(self, matching: list[Node]) -> Node | None:
        """What paths do in an element of an array for which the conditions of the nodes `matching` hold."""
        nodes = [node for node in (self.items, self._through, *matching) if node is not None]
        if len(nodes) <= 1:
            return nodes[0] if nodes else None
        key = frozenset(map(id, nodes))
        union = self._unions.get(key)
        if union is None:
            union = self._unions[key] = _settled(_union(nodes))
        return union

    @cached_property
    def _through(self) -> Node | None:
        """What names do that meet an array: they go on in its elements."""
        if not self.names and self.any is None:
            return None
        if self.items is None and not self.conditions:
            return self
        through = Node()
        through.names, through.any = self.names, self.any
        return through

    def _step(self, step: Step) -> Node:
        kind, argument = step
        if kind == "name":
            return self.names.setdefault(argument, Node())
        if kind == "any":
            self.any = self.any or Node()
            return self.any
        if kind == "items":
            self.items = self.items or Node()
            return self.items
        self.conditions.append((argument, Node()))
        return self.conditions[-1][1]


_END: Final = Node()
_END.is_end = True


def _union(nodes: list[Node]) -> Node:
    """One node for all that the nodes do."""
    if any(node.is_end for node in nodes):
        return _END
    union = Node()
    for name in dict.fromkeys(name for node in nodes for name in node.names):
        union.names[name] = _union([node.names[name] for node in nodes if name in node.names])
    union.any = _union_of([node.any for node in nodes])
    union.items = _union_of([node.items for node in nodes])
    union.conditions = [pair for node in nodes for pair in node.conditions]
    return union


def _union_of(nodes: list[Node | None]) -> Node | None:
    present = [node for node in nodes if node is not None]
    return _union(present) if present else None


def _settled(node: Node) -> Node:
    """The node with `*` taken into its names as well, so that one step decides what becomes of a member."""
    if node.is_end:
        return _END
    settled = Node()
    settled.any = None if node.any is None else _settled(node.any)
    settled.items = None if node.items is None else _settled(node.items)
    settled.conditions = [(condition, _settled(child)) for condition, child in node.conditions]
    for name, child in node.names.items():
        settled.names[name] = _settled(child if node.any is None else _union([child, node.any]))
    return settled
