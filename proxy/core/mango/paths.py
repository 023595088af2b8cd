"""Field names of selectors, `a.b.0`: names of members and places in arrays, with `\\.` for a dot within a name."""

from __future__ import annotations

import re
from typing import Any, Final

from proxy.core.mango import SelectorError

Path = tuple[str, ...]


class _Absent:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


MISSING: Final[Any] = _Absent("MISSING")
"""The object that should have the member has none of that name: what `{"$exists": false}` asks for."""
NO_PATH: Final[Any] = _Absent("NO_PATH")
"""There is nothing that could have such a member: no condition matches."""

_DOT = re.compile(r"(?<!\\)\.")
_PLACE = re.compile(r"[+-]?[0-9]{1,18}\Z", re.ASCII)


def parse_path(field: str) -> Path:
    """The names in a field. Raises SelectorError if one of them is empty."""
    parts = _DOT.split(field)
    if "" in parts:
        raise SelectorError(f"Invalid field name: {field}", error="invalid_field_name")
    return tuple(part.replace("\\", "") for part in parts)


def get(value: Any, path: Path) -> Any:
    """What is at `path` in a JSON value: may be MISSING or NO_PATH."""
    for name in path:
        if type(value) is dict:
            value = value.get(name, MISSING)
            if value is MISSING:
                return MISSING
        else:
            place = _place(value, name)
            if place is None:
                return NO_PATH
            value = value[place]
    return value


def put(target: dict[str, Any], path: Path, value: Any) -> None:
    """Sets what is at `path`, creating objects on the way; where something else is in the way nothing happens.

    `target` and what `put` created in it are changed, values that were put in are not.
    """
    parent: Any = target
    for place, name in enumerate(path[:-1]):
        if name not in parent:
            parent[name] = {}
        elif type(parent[name]) is not dict:
            parent[name] = _with(parent[name], path[place + 1 :], value)
            return
        else:
            parent[name] = dict(parent[name])
        parent = parent[name]
    parent[path[-1]] = value


def _with(value: Any, path: Path, new: Any) -> Any:
    """A copy of `value`, which is no object, with `new` at `path` if it has that path; else `value`."""
    place = _place(value, path[0])
    if place is None:
        return value
    items = list(value)
    if len(path) == 1:
        items[place] = new
    elif type(items[place]) is dict:
        items[place] = dict(items[place])
        put(items[place], path[1:], new)
    else:
        items[place] = _with(items[place], path[1:], new)
    return items


def _place(value: Any, name: str) -> int | None:
    if type(value) is not list or _PLACE.match(name) is None:
        return None
    place = int(name)
    return place if 0 <= place < len(value) else None
