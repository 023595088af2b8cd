"""CouchDB's view collation as a sort key."""

from __future__ import annotations

from typing import Any


def collation_key(value: Any) -> tuple[Any, ...]:
    """A key that orders JSON values as CouchDB's views do: null < false < true < numbers < strings < arrays
    < objects.
    """
    raise NotImplementedError
