"""Pages of feeds as they were written, for the next client that asks for the same: devices of a profile that shows all
clients the same begin at the same place, and go on in the same steps.

A page holds as long as the documents that were read for it are where they were (`IndexReader.fingerprint`): they have
the same leaves then, and what such a profile shows of a leaf never changes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

from proxy.core.tokens import Position
from proxy.feeds.index import IndexReader
from proxy.feeds.waiting import Keys

MOST_ROWS = 2000
MOST_READ = 4000
"""Pages of more rows, or for which more documents had to be read, are not kept: they have to be held meanwhile."""
_OVERHEAD = 250
"""Bytes that Python takes for a document's id and its leaves, beside their text, about."""


@dataclass(frozen=True)
class Asked:
    """What a client asks for: up to `limit` rows after a position."""

    profile: str
    style: str
    keys: Keys
    after: int
    limit: int
    number: int = 0
    """Of the time, as in `Tokens.numbered`."""


@dataclass(frozen=True)
class Page:
    """What was read and written in answer to that."""

    until: int
    """The position up to which was read."""
    leaves: dict[str, str]
    """The documents that were read, as `join_leaves` makes them, by id."""
    rows: bytes
    """What was written of those that are shown, between the head and the tail of the feed."""
    reached: Position
    """Of the last row that was written."""
    unread: int
    """Documents after that one, which may be shown."""

    @cached_property
    def size(self) -> int:
        """Bytes that this takes, about."""
        text = sum(len(doc_id) + len(leaves) for doc_id, leaves in self.leaves.items())
        return len(self.rows) + text + _OVERHEAD * (len(self.leaves) + 1)


class _Kept:
    """A page, and the end of the index when it was known to hold."""

    __slots__ = ("end", "fingerprint", "page")

    def __init__(self, page: Page, fingerprint: tuple[int, int], end: int) -> None:
        self.page = page
        self.fingerprint = fingerprint
        self.end = end


class Pages:
    """Keeps up to `room` bytes of pages, those used last. They are of one index: `clear` when there is another one."""

    def __init__(self, room: int) -> None:
        self.hits = 0
        self.size = 0
        """Bytes that are taken, about."""
        self._room = room
        self._kept: OrderedDict[Asked, _Kept] = OrderedDict()

    def get(self, asked: Asked, index: IndexReader) -> Page | None:
        """The page that was written in answer to the same, if it holds. Raises Damaged, Full."""
        kept = self._kept.get(asked)
        if kept is None:
            return None
        end = index.end
        if kept.end != end:
            if index.fingerprint(asked.keys, asked.after, kept.page.until) != kept.fingerprint:
                self._drop(asked)
                return None
            kept.end = end
        self._kept.move_to_end(asked)
        self.hits += 1
        return kept.page

    def keep(self, asked: Asked, page: Page, index: IndexReader, end: int) -> None:
        """Keep a page that was read when the index had this end, if it still has. Raises Damaged, Full."""
        if page.size > self._room // 4:
            return
        fingerprint = index.fingerprint(asked.keys, asked.after, page.until)
        if index.end != end:
            return
        if asked in self._kept:
            self._drop(asked)
        self._kept[asked] = _Kept(page, fingerprint, end)
        self.size += page.size
        while self.size > self._room:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.size = 0

    def _drop(self, asked: Asked) -> None:
        self.size -= self._kept.pop(asked).page.size
