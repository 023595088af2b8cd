"""The four layouts of `_changes` as one: rows, and what follows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.traffic.content import Content, Json, Lines


@dataclass(frozen=True, slots=True)
class Feed:
    rows: list[dict[str, Any]]
    end: dict[str, Any]
    """`last_seq`, `pending`; empty where an endless feed was cut."""


def feed_of(content: Content) -> Feed | None:
    """The feed in a reply to `_changes`; None if it is something else, as an error."""
    if isinstance(content, Json):
        value = content.value
        if not isinstance(value, dict):
            return None
        if isinstance(value.get("results"), list):
            rest = {name: item for name, item in value.items() if name != "results"}
            return _feed(value["results"], rest)
        if "error" in value:
            return None
        return _lines([value])  # a continuous feed of one line
    return _lines(content.values) if isinstance(content, Lines) else Feed([], {}) if _is_silent(content) else None


def _is_silent(content: Content) -> bool:
    """Whether there is nothing in it, or heartbeats alone."""
    return not getattr(content, "data", b"x").strip()


def _lines(values: list[Any]) -> Feed | None:
    end = values[-1] if values and isinstance(values[-1], dict) and "id" not in values[-1] else None
    return _feed(values if end is None else values[:-1], end or {})


def _feed(rows: list[Any], end: dict[str, Any]) -> Feed | None:
    return Feed(rows, end) if all(isinstance(row, dict) and "id" in row for row in rows) else None
