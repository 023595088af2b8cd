"""What a follower tells of: the methods are called in the follower's event loop."""

from __future__ import annotations

from pathlib import Path


class Watcher:
    """Somebody who wants to know about an index. This one does nothing."""

    def opened(self, path: Path) -> None:
        """There is a complete index at `path`."""

    def closed(self) -> None:
        """There is none at present: it is being built, or the source has no such database."""

    def moved(self, end: int, keys: set[int]) -> None:
        """The index has positions up to `end`, and `keys` find something new there."""
