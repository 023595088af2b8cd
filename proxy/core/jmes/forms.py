"""By what the two sides of a comparison know a value: texts that they have in common where the comparison is true."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

Forms = Callable[[Any], Iterable[str]]
"""From the value of one side to its texts."""

_LONG = 64
"""Characters beyond which a value is known by its digest."""
_WITHIN: Final = "~"
"""Stands for every text that is within another one."""


def as_equal(value: Any) -> Iterable[str]:
    """By `==`, true and false equal no number, unless within an array or object."""
    yield str(value).lower() if isinstance(value, bool) else _form(value)


def as_element(value: Any) -> Iterable[str]:
    yield _form(value)


def as_elements(value: Any) -> Iterable[str]:
    if isinstance(value, list):
        return map(_form, value)
    return (_WITHIN,) if isinstance(value, str) else ()


def as_element_or_part(value: Any) -> Iterable[str]:
    yield _form(value)
    if isinstance(value, str):
        yield _WITHIN


def _form(value: Any) -> str:
    """A text that values have in common if Python has them equal, so that true is 1."""
    form = _whole_form(value)
    return form if len(form) <= _LONG else "#" + blake2b(form.encode(), digest_size=16).hexdigest()


def _whole_form(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if value is None:
        return "null"
    if isinstance(value, int | float):
        return format(int(value), "x") if isinstance(value, int) or value.is_integer() else repr(value)
    if isinstance(value, list):
        return f"[{','.join(map(_whole_form, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(name)}:{_whole_form(value[name])}' for name in sorted(value))}}}"
    return "?"  # a reference to an expression
