"""The tests of PouchDB's suite that fail, by reason: `known.toml`, read."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("known.toml")


@dataclass(frozen=True)
class Known:
    """Tests that fail for one reason: `proxy` only through the proxy, otherwise against the endpoint as well."""

    proxy: bool
    reason: str
    titles: tuple[str, ...]


def known() -> list[Known]:
    """As in the file."""
    sections = tomllib.loads(FILE.read_text())
    return [
        Known(where == "proxy", entry["reason"], tuple(entry["titles"]))
        for where in ("endpoint", "proxy")
        for entry in sections[where]
    ]


def races() -> set[str]:
    """Those that cannot be relied on, whatever the server."""
    return {title for entry in tomllib.loads(FILE.read_text())["race"] for title in entry["titles"]}


def titles(*, proxy: bool) -> set[str]:
    """Those that fail against the endpoint, or with `proxy` through the proxy in front of it."""
    return {title for entry in known() if proxy or not entry.proxy for title in entry.titles}
