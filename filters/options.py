"""Checks of a filter's options: each gives the value in the form that the filter works with, or raises OptionError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from math import isfinite
from typing import Any

from proxy.contract import OptionError
from proxy.rules import Paths, compile_paths


def document_paths(option: str, value: object) -> Paths:
    """Paths into the body of a document. What CouchDB keeps in it for itself (`_id`, `_attachments`) is refused."""
    paths = compile_paths(value, option=option)
    for index, text in enumerate(paths.texts):
        if text.startswith(("_", '"_')):
            raise OptionError(f"{option}[{index}]", _reserved(text), text=text, at=0)
    return paths


def field_name(option: str, value: object) -> str:
    """The name of a top-level field of the body."""
    name = text(option, value)
    if name.startswith("_"):
        raise OptionError(option, _reserved(name))
    return name


def fields(option: str, value: object, example: str) -> Mapping[str, Any]:
    """A table with at least one field of the body."""
    if not isinstance(value, Mapping):
        raise OptionError(option, f"must be a table, as {example}, not {value!r}")
    if not value:
        raise OptionError(option, f"must name at least one field, as {example}")
    for name in value:
        field_name(option, name)
    return value


def text(option: str, value: object) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise OptionError(option, f"must be a string that is not empty, not {value!r}")
    return value


def texts(option: str, value: object) -> tuple[str, ...]:
    """An array of strings; it may be empty."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise OptionError(option, f"must be an array of strings, not {value!r}")
    return tuple(text(f"{option}[{index}]", item) for index, item in enumerate(value))


def choice(option: str, value: object, choices: Sequence[str]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        words = ", ".join(f'"{word}"' for word in choices)
        raise OptionError(option, f"must be one of {words}, not {value!r}")
    return value


def flag(option: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise OptionError(option, f"must be true or false, not {value!r}")
    return value


def count(option: str, value: object, least: int = 0) -> int:
    """A whole number, `least` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(option, f"must be a whole number of {least} or more, not {value!r}")
    return value


def json_value(option: str, value: object) -> Any:
    """What can be a value in a document: TOML has more than JSON."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            json_value(f"{option}.{name}", member)
    elif isinstance(value, list | tuple):
        for index, element in enumerate(value):
            json_value(f"{option}[{index}]", element)
    elif isinstance(value, date | time):
        raise OptionError(option, f'must be JSON, which has no dates: write it as a string, "{value}"')
    elif isinstance(value, float) and not isfinite(value):
        raise OptionError(option, f"must be JSON, which has no {value}")
    return value


def _reserved(name: str) -> str:
    hint = "; use the filter `attachments`" if "_attachments" in name else ""
    return f"{name} is CouchDB's own{hint}"
