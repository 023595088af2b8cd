"""What a follower tells of: the methods are called in the follower's event loop."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from proxy.feeds.progress import Progress


class Watcher:
    """Somebody who wants to know about an index. This one takes no notice."""

    def opened(self, path: Path) -> None:
        """There is a complete index at `path`; or the one there has forgotten documents, which nobody is to keep."""

    def closed(self) -> None:
        """There is none at present: it is being built, or the source has no such database."""

    def moved(self, end: int, keys: Iterable[int] | None) -> None:
        """The index has positions up to `end`, and `keys` (None: everybody) find something new there."""

    def progressed(self, progress: Progress | None) -> None:
        """A long reading gets on; None: it came to its end."""

    @property
    def awaited(self) -> bool:
        """Whether feeds wait for what is new, as far as anybody can say."""
        return False

    def serving(self) -> Iterable[int]:
        """The numbers of the processes that serve the index at present. Here it is the follower's own."""
        return (os.getpid(),)
