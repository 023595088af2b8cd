"""`project`: show a body made by a JMESPath expression.

Options: `body`, an expression over the document and `client` that gives an object; where it gives anything else, null
included, the document is withheld. Members that are null are left out: that is what JMESPath has for a path that leads
nowhere. `_id`, `_rev`, `_deleted` and `_attachments` stay beside the body. `writes`: what happens if a client sends
another value of a computed member: "ignore" (the default) or "refuse", as in `compute`.

Edits find their way back where the expression is a multi-select hash, `{name: person.name, total: sum(items[].price)}`:
members that are plain paths (`name`) can be written; others (`total`) are computed. Any change is refused of paths that
overlap, and where the expression has another form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from filters.options import choice
from proxy.contract import Client, Doc, Filter, Refused
from proxy.rules import Expression, compile_expression, quote, same

_KEPT = ("_id", "_rev", "_deleted", "_attachments")

Steps = tuple[str, ...]


class Project(Filter):
    """Shows what `body` gives."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True

    def __init__(self, *, body: str, writes: str = "ignore") -> None:
        self._body = compile_expression(body, option="body")
        self._paths = _plain_paths(self._body)
        self._computed = _members(self._body).keys() - self._paths.keys()
        ignores = choice("writes", writes, ("ignore", "refuse")) == "ignore"
        self._ignored = {name for name, node in _members(self._body).items() if ignores and _steps(node) is None}

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return [("body", self._body)]

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        body = self._body.search(doc, client)
        if not isinstance(body, dict):
            return None
        kept = {name: doc[name] for name in _KEPT if name in doc}
        shown = {n: value for n, value in body.items() if value is not None and not n.startswith("_")}
        return {**kept, **shown}

    def depends_on_client(self) -> bool:
        return self._body.uses_client

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        shaped = {} if original is None else self.shape(original, client)
        if shaped is None:
            raise Refused("the document is not visible to this client")
        whole = {n: value for n, value in (original or {}).items() if n not in _KEPT}
        whole = {**{name: edited[name] for name in _KEPT if name in edited}, **whole}
        for name in self._paths:
            if name in edited and not (name in shaped and same(edited[name], shaped[name])):
                if edited[name] is None:
                    raise Refused(f"{name} cannot be null: leave it out instead", name)
                whole = _put(whole, self._paths[name], edited[name], name)
            elif name not in edited and name in shaped:
                whole = _remove(whole, self._paths[name])
        self._check(edited, shaped, whole, client)
        return whole if original is None else {**{n: whole[n] for n in original if n in whole}, **whole}

    def _check(self, edited: Doc, shaped: Doc, whole: Doc, client: Client) -> None:
        """What is not a plain path has to be what was shown, or what would be shown now."""
        now: Doc | None = None
        for name, value in edited.items():
            if name.startswith("_") or name in self._paths or name in self._ignored:
                continue
            if name in shaped and same(value, shaped[name]):
                continue
            now = now or self.shape(whole, client) or {}
            if name not in now or not same(value, now[name]):
                raise Refused(f"{name} is computed and cannot be changed", name)

    def sets_fields(self) -> Iterable[str]:
        return [quote(name) for name in self._computed]

    def origins(self) -> Mapping[str, Iterable[str]]:
        computed = dict.fromkeys(self._computed, tuple(self._body.fields or ()))
        return {**computed, **{name: (steps[0],) for name, steps in self._paths.items()}}


def _members(body: Expression) -> dict[str, Mapping[str, Any]]:
    """The members of a multi-select hash, by name; none for other expressions."""
    pairs = body.tree["children"] if body.tree["type"] == "multi_select_dict" else ()
    return {pair["value"]: pair["children"][0] for pair in pairs if not pair["value"].startswith("_")}


def _plain_paths(body: Expression) -> dict[str, Steps]:
    """The members of a multi-select hash that are paths of names, and that no other such member overlaps."""
    found = {name: steps for name, node in _members(body).items() if (steps := _steps(node))}
    return {name: steps for name, steps in found.items() if not _overlaps(name, steps, found)}


def _steps(node: Mapping[str, Any]) -> Steps | None:
    nodes = node["children"] if node["type"] == "subexpression" else [node]
    if any(child["type"] != "field" for child in nodes) or nodes[0]["value"] == "client":
        return None
    steps = tuple(child["value"] for child in nodes)
    return None if steps[0].startswith("_") else steps


def _overlaps(name: str, steps: Steps, found: Mapping[str, Steps]) -> bool:
    others = (other for key, other in found.items() if key != name)
    return any(a == b for a, b in ((steps[: len(o)], o[: len(steps)]) for o in others))


def _put(members: Doc, steps: Sequence[str], value: Any, name: str) -> Doc:
    """A copy with the value at the path; objects that are missing on the way are made."""
    first, *rest = steps
    if rest:
        below = members.get(first)
        if below is not None and not isinstance(below, dict):
            raise Refused(f"{name} cannot be stored: the document has something else there", name)
        value = _put(below or {}, rest, value, name)
    return {**members, first: value}


def _remove(members: Doc, steps: Sequence[str]) -> Doc:
    first, *rest = steps
    if rest:
        below = members.get(first)
        return {**members, first: _remove(below, rest)} if isinstance(below, dict) else members
    return {name: value for name, value in members.items() if name != first}
