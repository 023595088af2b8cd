"""Databases of sources that are never asked."""

from __future__ import annotations

from proxy.config.model import Database, Source
from proxy.place import Place
from proxy.upstream import Upstream


def source_of() -> Upstream:
    """Another one each time."""
    return Upstream(Source("main", "http://127.0.0.1:1"), 1.0)


def place_of(upstream: Upstream, source_db: str = "clinic", user: str = "ann", name: str = "db") -> Place:
    """A database that the proxy calls `name`, as a user asks for it."""
    return Place(database=Database(name, upstream.source, source_db), upstream=upstream, headers={"X-User": user})
