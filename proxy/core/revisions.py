"""Revisions."""

from __future__ import annotations

from typing import NamedTuple


class Revisions(NamedTuple):
    """`_revisions` on the wire: the hashes from the newest (of generation `start`) towards the root."""

    start: int
    ids: tuple[str, ...]
