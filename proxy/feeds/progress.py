"""How a long reading of a source gets on: told in the log, and kept in the index for whoever wants to know."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from proxy.core import jsonio
from proxy.feeds.index import IndexReader, IndexWriter

log = logging.getLogger("couch_tailor.follower")

KEPT_EVERY = 2.0
"""Seconds between two notes in the index."""
_LOGGED_EVERY = 5.0
_META = "progress"


class Progress(NamedTuple):
    """`read`: changes so far; `left`: those to come, None if the source does not say; `rate`: of a second; `at`: when,
    in seconds of Unix time.
    """

    read: int
    left: int | None
    rate: float
    at: float

    def __str__(self) -> str:
        text = f"{self.read:,} changes read, {self.rate:,.0f} a second"
        if self.left is None:
            return text
        seconds = f", about {_in_words(self.left / self.rate)} to go" if self.rate else ""
        return f"{text}, {self.left:,} left{seconds}"


class Reading:
    """One reading, from its first row on. `left`: how many rows there are, as far as anybody knows."""

    def __init__(
        self, name: str, index: IndexWriter, left: int | None, told: Callable[[Progress | None], None]
    ) -> None:
        self.left = left
        self._name = name
        self._index = index
        self._tell = told
        self._began = self._kept = self._logged = time.monotonic()
        self._read = 0
        self._noted = False

    def rows(self, count: int) -> None:
        """So many rows were read."""
        self._read += count
        if self.left is not None:
            self.left = max(self.left - count, 0)
        now = time.monotonic()
        if now - self._kept < KEPT_EVERY:
            return
        self._kept = now
        progress = Progress(self._read, self.left, self._read / (now - self._began), time.time())
        self._index.set_meta(_META, jsonio.dumps(progress._asdict()))
        self._noted = True
        self._tell(progress)
        if now - self._logged >= _LOGGED_EVERY:
            self._logged = now
            log.info("the index of %s: %s", self._name, progress)

    def end(self) -> None:
        """There are no more rows."""
        if self._noted:
            self._index.set_meta(_META, None)
            self._tell(None)


def progress_of(index: IndexReader) -> Progress | None:
    """What was noted last, unless the reading came to its end. Raises Damaged."""
    noted = index.meta(_META)
    return None if noted is None else Progress(**jsonio.loads(noted))


def _in_words(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
