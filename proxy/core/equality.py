"""Equality of JSON values. Python's own takes `True` for `1`, and so `[1]` for `[True]`."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable
from typing import Any

import orjson

from proxy.core import jsonio


def same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal. `1` and `1.0` are: JavaScript clients cannot tell them apart."""
    if a is b:
        return True
    if a != b:
        return False
    if isinstance(a, str):
        return True
    if isinstance(a, dict | list):
        return _same_text(a, b) or _same_booleans(a, b)
    return isinstance(a, bool) is isinstance(b, bool)


def _same_text(a: Any, b: Any) -> bool:
    """Whether two values have the same text: a quick way to tell that they are the same, not that they differ."""
    try:
        return jsonio.dumps(a) == jsonio.dumps(b)
    except ValueError:
        return False


def _same_booleans(a: Any, b: Any) -> bool:
    """Of two values that Python takes as equal, whether the booleans are where the booleans are."""
    if isinstance(a, dict):
        return all(_same_booleans(value, b[name]) for name, value in a.items())
    if isinstance(a, list):
        return all(map(_same_booleans, a, b))
    return isinstance(a, bool) is isinstance(b, bool)


def key_of(value: Any) -> str:
    """Text that two JSON values share exactly if they are the `same`: for large ones, which are compared with many.

    It is a copy of what orjson gives, which has room for a kilobyte and more, whatever is in it.
    """
    try:
        text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        if _MAY_BE_WHOLE.search(text) is None:
            return text.decode()
        return orjson.dumps(_whole(value), option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # a long integer, or deeper than that
        return json.dumps(_whole(value), ensure_ascii=False, sort_keys=True)


_MAY_BE_WHOLE = re.compile(rb"\.0|[0-9]e")
"""Of text in which there may be a float that is a whole number."""


def _whole(value: Any) -> Any:
    """The value, with integers for floats that are whole numbers."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    return list(map(_whole, value)) if isinstance(value, list) else value


def canonical(value: Any) -> Hashable:
    """A hashable that two values share exactly if they are the `same`."""
    if isinstance(value, dict):
        return ("object", frozenset((name, canonical(member)) for name, member in value.items()))
    if isinstance(value, list):
        return ("array", *map(canonical, value))
    if isinstance(value, bool):
        return ("boolean", value)
    result: Hashable = value
    return result
