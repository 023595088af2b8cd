"""Calls of JMESPath functions: the library's own, with short cuts for common ones on arguments of the right type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from jmespath.functions import Functions
from jmespath.visitor import _Expression

_Run = Callable[[Any, Mapping[str, Any]], Any]

_LIBRARY = Functions()

ARITY: Mapping[str, tuple[int, bool]] = {
    name: (len(entry["signature"]), bool(entry["signature"][-1].get("variadic")))
    for name, entry in _LIBRARY.FUNCTION_TABLE.items()
}
"""Number of arguments by function, and whether there may be more."""


def takes_reference(name: str, position: int) -> bool:
    """Whether an argument of a function is to be an expression reference."""
    signature = _LIBRARY.FUNCTION_TABLE[name]["signature"]
    return "expref" in signature[min(position, len(signature) - 1)]["types"]


def reference(run: _Run, names: Mapping[str, Any]) -> Any:
    """An expression reference (`&...`) in the form that the library's functions take it: they visit it."""
    return _Expression(run, _Visitor(names))


class _Visitor:
    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def visit(self, run: _Run, value: Any) -> Any:
        return run(value, self._names)


def call_function(name: str, arguments: Sequence[_Run]) -> _Run:
    """The closure that calls a function. It raises the library's JMESPathError for an argument of the wrong type."""
    shortcut = _SHORTCUTS.get(name) if len(arguments) == ARITY[name][0] else None
    if shortcut is not None:
        return shortcut(*arguments)
    call = _LIBRARY.call_function
    if name not in _BEYOND:
        return lambda value, names: call(name, [argument(value, names) for argument in arguments])

    def finite(value: Any, names: Mapping[str, Any]) -> Any:
        found = call(name, [argument(value, names) for argument in arguments])
        return None if isinstance(found, float) and not isfinite(found) else found

    return finite


_BEYOND = ("to_number", "sum", "avg")
"""Functions that can make of JSON's numbers what is none; that is as good as none."""


def _contains(subject: _Run, search: _Run) -> _Run:
    def run(value: Any, names: Mapping[str, Any]) -> Any:
        within, what = subject(value, names), search(value, names)
        if isinstance(within, str | list):
            return what in within
        return _LIBRARY.call_function("contains", [within, what])

    return run


def _starts_with(subject: _Run, prefix: _Run) -> _Run:
    def run(value: Any, names: Mapping[str, Any]) -> Any:
        text, start = subject(value, names), prefix(value, names)
        if isinstance(text, str) and isinstance(start, str):
            return text.startswith(start)
        return _LIBRARY.call_function("starts_with", [text, start])

    return run


def _ends_with(subject: _Run, suffix: _Run) -> _Run:
    def run(value: Any, names: Mapping[str, Any]) -> Any:
        text, end = subject(value, names), suffix(value, names)
        if isinstance(text, str) and isinstance(end, str):
            return text.endswith(end)
        return _LIBRARY.call_function("ends_with", [text, end])

    return run


def _length(subject: _Run) -> _Run:
    def run(value: Any, names: Mapping[str, Any]) -> Any:
        found = subject(value, names)
        if isinstance(found, str | list | dict):
            return len(found)
        return _LIBRARY.call_function("length", [found])

    return run


_SHORTCUTS: Mapping[str, Callable[..., _Run]] = {
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "length": _length,
}
