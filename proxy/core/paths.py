"""Paths to parts of documents, for rules such as "drop these". Compiled once, walked once per document.

    name            a top-level member                   a.b             a member of an object
    notes[].text    `text` in each element of an array   notes[*].text   the same
    *.secret        any member (at the top, none that begins with `_`)
    "odd.key"       a name in JSON quotes, where it has a dot, bracket, quote, asterisk or space,
                         or begins as paths do elsewhere: as "$", "@" or "/a"
    notes[?private]      the elements for which a JMESPath condition is true: it sees the element, and `client`,
                         as in notes[?author!=client.name].text

A name that meets an array reaches through it to its elements, however nested: `notes.text` is `notes[].text` and more,
so a rule that hides holds whether a document has one note or several. Brackets take nothing but arrays.

A condition that cannot be judged (a function on a value of the wrong type, a client without the attribute that it
names) counts as whatever hides more: true where things are dropped or replaced, false where they are kept.

Nothing is changed in place: what a rule leaves as it is, is shared with the document given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from proxy.contract import Client, Doc
from proxy.core.cutting import GONE, Cut, Rewrite, Survivors, keeper, rewriter
from proxy.core.jmes import Expression
from proxy.core.pathtree import Node, Step, parse_paths, quote

__all__ = ["GONE", "Paths", "Rewrite", "Survivors", "compile_paths", "compile_steps"]

CutDoc = Callable[[Doc, Client, Survivors | None], Doc]
"""From a document to what is left of it. The last argument, if given, is filled."""


class Paths:
    """Compiled paths. Immutable; made by `compile_paths`."""

    def __init__(self, texts: Sequence[str], root: Node, conditions: Sequence[tuple[str, Expression]] = ()) -> None:
        self.texts = tuple(texts)
        """As they were written; empty for those made of steps."""
        self.conditions = tuple(conditions)
        """Those in the texts, each behind the place of its path: `paths[2]` for the third of the option `paths`."""
        self._root = root

    @cached_property
    def uses_client(self) -> bool:
        """Whether where the paths lead may depend on the client."""
        return self._root.uses_client()

    @cached_property
    def drop_by_place(self) -> bool:
        """Whether members of objects that are dropped do not go by conditions, but whole elements of arrays alone."""
        return self._root.conditions_end()

    @cached_property
    def keep_by_place(self) -> bool:
        """The same of what is kept: no element is kept in part, unless all of its array are."""
        return self._root.conditions_end(alone=True)

    def __repr__(self) -> str:
        return f"<Paths {', '.join(self.texts)}>"

    @cached_property
    def _drop(self) -> Cut:
        return rewriter(self._root, None)

    @cached_property
    def _keep(self) -> Cut:
        return keeper(self._root)

    def drop(self, doc: Doc, client: Client, survivors: Survivors | None = None) -> Doc:
        """`doc` without what the paths lead to; `doc` itself if that is nothing. `survivors` is filled, if given."""
        cut: Doc = self._drop(doc, client, survivors)
        return cut

    def keep(self, doc: Doc, client: Client, survivors: Survivors | None = None) -> Doc:
        """Of `doc` only what the paths lead to, whole members first, in the order of the paths.

        Objects and arrays on the way stay, if empty; anything else that a path cannot be followed into goes.
        """
        kept: Doc = self._keep(doc, client, survivors)
        return kept

    def rewriter(self, value_of: Rewrite) -> CutDoc:
        """A function that gives documents with `value_of(value, survivors)` for each value that a path leads to.

        Where it gives GONE the value is left out; where it gives the value itself nothing is changed. Compiling takes
        much longer than what the function does: not for each document.
        """
        return rewriter(self._root, value_of)

    def locate(self, doc: Doc, client: Client) -> dict[str, Any]:
        """Each value that a path leads to, by its place (`notes[2].text`)."""
        return {place: value for place, value, _ in _locate(self._root, doc, client, "", GONE)}

    def locate_beside(self, doc: Doc, other: Doc, client: Client) -> dict[str, tuple[Any, Any]]:
        """The same, with what is in the same place of `other`, wherever the paths lead there; GONE for nothing."""
        return {place: (value, beside) for place, value, beside in _locate(self._root, doc, client, "", other)}


def compile_paths(texts: object, *, option: str) -> Paths:
    """The paths that an option lists. Raises OptionError (`option[2]` for the third) if they are not paths."""
    paths = parse_paths(texts, option)
    assert isinstance(texts, list | tuple)
    places = {text: f"{option}[{index}]" for index, text in enumerate(texts)}
    conditions = [(places[text], step[1]) for text, steps in paths.items() for step in steps if step[0] == "where"]
    return Paths(list(paths), Node.of(paths.values()), conditions)


def compile_steps(paths: Sequence[Sequence[Step]]) -> Paths:
    """The same from steps that `pathtree.parse_paths` gave."""
    return Paths([], Node.of(paths))


def _locate(node: Node, value: Any, client: Client, place: str, beside: Any) -> Iterator[tuple[str, Any, Any]]:
    if node.is_end:
        yield place, value, beside
    elif isinstance(value, dict):
        others = beside if isinstance(beside, dict) else {}
        for name, child in node.members(value):
            step = quote(name)
            below = f"{place}.{step}" if place else step
            yield from _locate(child, value[name], client, below, others.get(name, GONE))
    elif isinstance(value, list):
        elements = beside if isinstance(beside, list) else []
        for index, element in enumerate(value):
            matching = [child for condition, child in node.conditions if condition.judge(client, True)(element)]
            reached = node.of_element(matching)
            if reached is not None:
                other = elements[index] if index < len(elements) else GONE
                yield from _locate(reached, element, client, f"{place}[{index}]", other)
