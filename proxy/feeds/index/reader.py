"""Reading an index."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proxy.core.seqs import includes, is_total
from proxy.core.tokens import Position
from proxy.feeds.index.damage import Damaged, damage
from proxy.feeds.index.file import AT_ONCE, File, placeholders
from proxy.feeds.index.records import Row
from proxy.feeds.index.sealing import unpack_keys, unpack_pairs, unseal, whole, whole_seq, whole_trace

_MOST_COUNTED = 10_000
_COUNTS_KEPT = 200

_ROWS = "SELECT at, id, leaves, seq, keys, lost, sum FROM docs LEFT JOIN marks USING (at)"


class IndexReader(File):
    """Reads an index, also while it is being written. All methods raise Damaged."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, read_only=True)
        self._counted: dict[frozenset[int] | None, tuple[int, int, int]] = {}
        """By keys: how many rows there are between two positions, as counted last."""
        self._last: Position | None = None
        """The position that was asked for last: those who wait are all at the same."""
        try:
            self.index_id = self.id
        except BaseException:
            self.close()
            raise

    def rows(self, keys: Collection[int] | None, after: int, until: int, limit: int) -> list[Row]:
        """Up to `limit` documents with one of the keys (None: all), of positions `after < at <= until`, in order."""
        with damage(), self._snapshot():
            if keys is None:
                found = self._db.execute(f"{_ROWS} WHERE at > ? AND at <= ? ORDER BY at LIMIT ?", (after, until, limit))
                return [_row(*row) for row in found]
            held, rows = frozenset(keys), list[Row]()
            while len(rows) < limit:
                wanted = limit - len(rows)
                places = _merged([self._entries(key, after, until, wanted) for key in held], wanted)
                rows.extend(self._last_places(places, held))
                if len(places) < wanted:
                    break
                after = places[-1][0]
            return rows

    def rows_down(self, keys: Collection[int] | None, before: int, limit: int) -> list[Row]:
        """As `rows`, downwards from the position below `before`."""
        with damage(), self._snapshot():
            if keys is None:
                found = self._db.execute(f"{_ROWS} WHERE at < ? ORDER BY at DESC LIMIT ?", (before, limit))
                return [_row(*row) for row in found]
            held, rows = frozenset(keys), list[Row]()
            while len(rows) < limit:
                wanted = limit - len(rows)
                places = _merged([self._entries_down(key, before, wanted) for key in held], wanted, down=True)
                rows.extend(self._last_places(places, held))
                if len(places) < wanted:
                    break
                before = places[-1][0]
            return rows

    def rows_of(self, doc_ids: Sequence[str], after: int, until: int) -> list[Row]:
        """The documents by these ids that changed after a position, in order."""
        rows: list[Row] = []
        with damage(), self._snapshot():
            for start in range(0, len(doc_ids), AT_ONCE):
                ids = doc_ids[start : start + AT_ONCE]
                found = self._db.execute(
                    f"{_ROWS} WHERE id IN ({placeholders(ids)}) AND at > ? AND at <= ?",
                    (*ids, after, until),
                )
                rows.extend(_row(*row) for row in found)
        return sorted(set(rows))

    def leaves_of(self, doc_ids: Sequence[str]) -> dict[str, str]:
        """The leaves of documents, as `join_leaves` makes them, by id."""
        with damage():
            return {doc_id: leaves for _, doc_id, _, leaves, _, _ in self._stored(doc_ids)}

    def traces(self, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], bytes]:
        """What is left of revisions, (id, revision), of which something is: the text that was stored."""
        ids = list({doc_id for doc_id, _ in wanted})
        found: dict[tuple[str, str], bytes] = {}
        with damage(), self._snapshot():
            for start in range(0, len(ids), AT_ONCE):
                some = ids[start : start + AT_ONCE]
                rows = self._db.execute(
                    f"SELECT id, rev, trace FROM docs JOIN traces USING (doc) WHERE id IN ({placeholders(some)})", some
                )
                found.update({(doc_id, rev): whole_trace(rev, trace) for doc_id, rev, trace in rows})
        return {each: found[each] for each in wanted if each in found}

    def count(self, keys: Collection[int] | None, after: int, until: int) -> int:
        """How many rows there are to come, as far as it is worth counting: no more than _MOST_COUNTED are told apart.

        Who reads page by page asks for each: then only what was read since is counted, and taken off.
        """
        held = None if keys is None else frozenset(keys)
        began, end, counted = self._counted.pop(held, (0, -1, 0))
        if end == until and began <= after and counted < _MOST_COUNTED:
            counted -= self._count(held, began, after, _MOST_COUNTED)
        else:
            counted = self._count(held, after, until, _MOST_COUNTED)
        self._counted[held] = after, until, counted
        if len(self._counted) > _COUNTS_KEPT:
            del self._counted[next(iter(self._counted))]
        return counted

    def recount(self) -> None:
        """Documents were removed: what was counted is of no use."""
        self._counted.clear()

    def fills(self, keys: Collection[int] | None, after: int, until: int, number: int) -> bool:
        """Whether there are so many rows to come."""
        return self._count(keys, after, until, number) >= number

    def fingerprint(self, keys: Collection[int] | None, after: int, until: int) -> tuple[int, int]:
        """What is the same as before only if `rows` between two positions are, and their documents.

        That is how many entries there are, and the sum of the positions at which their documents are. For to a passed
        range none is ever added, and a document that changes goes to a higher position: as long as the number is the
        same, all entries are, and then as long as the sum is, their documents.
        """
        if keys is None:
            query = "SELECT count(*), sum(at) FROM docs WHERE docs.at > ? AND docs.at <= ?"
            asked: list[tuple[int, ...]] = [(after, until)]
        else:
            query = (
                "SELECT count(*), sum(docs.at) FROM entries JOIN docs USING (doc) "
                "WHERE key = ? AND entries.at > ? AND entries.at <= ?"
            )
            asked = [(key, after, until) for key in keys]
        number = total = 0
        with damage(), self._snapshot():
            for values in asked:
                some, their = self._db.execute(query, values).fetchone()
                number += some
                total += their or 0
        return number, total

    def _count(self, keys: Collection[int] | None, after: int, until: int, most: int) -> int:
        if keys is None:
            queries = [("SELECT 1 FROM docs WHERE at > ? AND at <= ? LIMIT ?", (after, until, most))]
        else:
            of_key = "SELECT 1 FROM entries WHERE key = ? AND at > ? AND at <= ? LIMIT ?"
            queries = [(of_key, (key, after, until, most)) for key in keys]  # type: ignore[misc]
        with damage():
            counts: list[int] = [
                self._db.execute(f"SELECT count(*) FROM ({text})", values).fetchone()[0] for text, values in queries
            ]
        return min(sum(counts), most)

    def position(self, at: int) -> Position:
        """A position with the source's sequence there, or before: what comes after the one comes after the other."""
        if self._last is None or self._last.at != at:
            with damage():
                found = self._db.execute(
                    "SELECT at, seq FROM marks WHERE at <= ? ORDER BY at DESC LIMIT 1", (at,)
                ).fetchone()
            self._last = Position(self.index_id, at, unseal(*found) if found else 0)
        return self._last

    def position_of(self, seq: Any) -> int | None:
        """The position that stands for exactly what the source's sequence `seq` includes; None if none is known to."""
        at = self._included(seq)
        if is_total(seq):
            return at
        with damage():
            found = self._db.execute("SELECT seq FROM marks WHERE at = ?", (at,)).fetchone()
        return at if found is not None and includes(unseal(at, found[0]), seq) else None

    def moved_on(self, keys: Collection[int], at: int) -> bool:
        """Whether a document that the keys lost up to a position has changed after it.

        To a reader of this index, that is settled. Elsewhere the document is found at its last change alone: a reader
        that comes from there, with what this position includes, was not told yet.
        """
        of_key = "SELECT 1 FROM entries JOIN docs USING (doc) WHERE entries.key = ? AND entries.at <= ? AND docs.at > ?"
        with damage():
            return any(self._db.execute(f"{of_key} LIMIT 1", (key, at, at)).fetchone() for key in keys)

    def _included(self, seq: Any) -> int:
        """The last position of which `seq` is known to include everything."""
        low, high = 0, self.end
        while low < high:
            middle = (low + high + 1) // 2
            with damage():
                found = self._db.execute(
                    "SELECT at, seq FROM marks WHERE at <= ? ORDER BY at DESC LIMIT 1", (middle,)
                ).fetchone()
                if found is None or found[0] <= low:
                    # no mark in the lower half: try the first one above
                    found = self._db.execute(
                        "SELECT at, seq FROM marks WHERE at > ? AND at <= ? ORDER BY at LIMIT 1", (low, high)
                    ).fetchone()
            if found is None:
                return low
            if includes(seq, unseal(*found)):
                low = found[0]
            else:
                high = found[0] - 1
        return low

    def _entries(self, key: int, after: int, until: int, limit: int) -> list[tuple[int, int]]:
        return self._db.execute(
            "SELECT at, doc FROM entries WHERE key = ? AND at > ? AND at <= ? ORDER BY at LIMIT ?",
            (key, after, until, limit),
        ).fetchall()

    def _entries_down(self, key: int, before: int, limit: int) -> list[tuple[int, int]]:
        return self._db.execute(
            "SELECT at, doc FROM entries WHERE key = ? AND at < ? ORDER BY at DESC LIMIT ?", (key, before, limit)
        ).fetchall()

    def _last_places(self, places: Sequence[tuple[int, int]], held: frozenset[int]) -> Iterator[Row]:
        """The rows of those places that are the last at which a holder of the keys finds the document."""
        docs: dict[int, tuple[Any, ...]] = {}
        for start in range(0, len(places), AT_ONCE):
            some = [doc for _, doc in places[start : start + AT_ONCE]]
            found = self._db.execute(
                f"SELECT doc, seq, at, id, leaves, keys, lost, sum FROM docs LEFT JOIN marks USING (at) "
                f"WHERE doc IN ({placeholders(some)})",
                some,
            )
            docs.update({row[0]: row for row in found})
        for at, doc in places:
            if doc not in docs:
                raise Damaged("an entry leads to no document")
            _, seq, *row = docs[doc]
            last, doc_id, leaves, keys, lost = whole(*row)
            found_by_key = not held.isdisjoint(unpack_keys(keys))
            if at != last or not found_by_key:
                gone = {place for key, place in unpack_pairs(lost) if key in held}
                if at not in gone:
                    raise Damaged("an entry leads to another document")
                if at != last:
                    if found_by_key or max(gone) > at:
                        continue
                    seq = self._seq(at)
            yield Row(at, doc_id, leaves, whole_seq(at, seq))

    def _seq(self, at: int) -> Any:
        found = self._db.execute("SELECT seq FROM marks WHERE at = ?", (at,)).fetchone()
        return None if found is None else found[0]

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")


def _row(at: Any, doc_id: Any, leaves: Any, seq: Any, keys: Any, lost: Any, checksum: Any) -> Row:
    whole(at, doc_id, leaves, keys, lost, checksum)
    return Row(at, doc_id, leaves, whole_seq(at, seq))


def _merged(runs: list[list[tuple[int, int]]], limit: int, *, down: bool = False) -> list[tuple[int, int]]:
    """The first `limit` different places of sorted runs."""
    if len(runs) == 1:
        return runs[0]
    found: list[tuple[int, int]] = []
    for place in heapq.merge(*runs, reverse=down):
        if not found or found[-1] != place:
            if len(found) == limit:
                break
            found.append(place)
    return found
