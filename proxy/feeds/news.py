"""What was new lately, and for which keys: so that feeds which wait are told at the cost of what is new.

A feed that waited has read everything up to a move of the index. Of the keys that its client holds it has to look after
those alone that found something new since, and these are few, and many clients hold the same: what is read for one of
them is there for all. It may be older than the index by then; what changed meanwhile comes with the next move.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import NamedTuple

from proxy.feeds.index import IndexReader, Row
from proxy.feeds.waiting import Keys

_MOVES_KEPT = 8
_PAGES_KEPT = 64


class _Move(NamedTuple):
    """The index went from one position to another. `keys`: of whom finds something new there; None: of anybody."""

    start: int
    end: int
    keys: Keys


class News:
    """Of one index, while it is the same."""

    def __init__(self) -> None:
        self._moves: deque[_Move] = deque(maxlen=_MOVES_KEPT)
        self._pages: OrderedDict[tuple[Keys, int, int, int], list[Row]] = OrderedDict()

    def moved(self, start: int, end: int, keys: Keys) -> None:
        self._moves.append(_Move(start, end, keys))

    def clear(self) -> None:
        """Another index will take this one's place."""
        self._moves.clear()
        self._pages.clear()

    def rows(self, index: IndexReader, keys: Keys, after: int, until: int, limit: int) -> list[Row]:
        """As `IndexReader.rows`; a document that has moved on since `until` may be told of here, and will be there.

        Raises Damaged, Full.
        """
        if keys is not None:
            keys = self._concerned(keys, after)
            if not keys:
                return []
        if not self._moves or after < self._moves[0].start:
            return index.rows(keys, after, until, limit)
        page = keys, after, until, limit
        found = self._pages.get(page)
        if found is None:
            found = self._pages[page] = index.rows(keys, after, until, limit)
            if len(self._pages) > _PAGES_KEPT:
                self._pages.popitem(last=False)
        return found

    def _concerned(self, keys: frozenset[int], after: int) -> frozenset[int]:
        """Those of the keys that may find something new after a position."""
        concerned: frozenset[int] = frozenset()
        for move in reversed(self._moves):
            if move.end <= after:
                break
            if move.keys is None:
                return keys
            concerned |= keys & move.keys
            if move.start <= after:
                return concerned
        return keys
