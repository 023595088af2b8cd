"""Keeps the feed index of one database: reads the source's changes once, for all devices.

Rules:
  - the index holds all changes up to its `since`; both are stored in one transaction, so a follower that is killed goes
    on where it stopped;
  - rows that repeat or come out of order, as from a cluster, change nothing: a row counts if its leaves are not those
    that the index has;
  - a document is under the keys of all its leaves. It was lost by the keys that it had, and by those of its ancestors
    that came and went between two looks, as far as the source has their bodies;
  - what cannot be read or judged is under the key of everybody: a look at a document too many, never one too few;
  - another database by the same name, known by its `instance_start_time` or by sequences that fall back where there is
    none, gets another index; and so does one that was replaced by an older copy of itself (`restored`). Whether it is
    the same is asked after each failure, before anything else is read, and from time to time;
  - what was purged at the source (`purges`) is forgotten between two readings: what was read before is forgotten with
    it, what is read later the source has;
  - `catch_up` returns when all is in the index that the source had acknowledged when it was called.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from random import uniform
from typing import Any

from proxy.ahead import ahead
from proxy.core import jsonio
from proxy.core.audience import Audience
from proxy.core.seqs import fell_back, number
from proxy.core.wire import WireError
from proxy.core.wire.rows import ArraySplitter
from proxy.elements import elements
from proxy.errors import CouchError, Unavailable
from proxy.feeds.asking import ask_feed, behind, changed, incarnation, still_there
from proxy.feeds.index import Damaged, Entry, Full, IndexWriter, remove
from proxy.feeds.looks import Change, Looks, changes, is_news
from proxy.feeds.pace import Pace
from proxy.feeds.progress import Reading
from proxy.feeds.purges import Counts, added, counts_of, purged_ids, together
from proxy.feeds.purges import fell_back as are_fewer
from proxy.feeds.restored import LOOKED_AT, has_one_copy, lacks
from proxy.feeds.watcher import Watcher
from proxy.place import Place

log = logging.getLogger("couch_tailor.follower")

_PAGE = 10_000
_SMALL_PAGE = 1000
"""Of a reading that gives way: a source has much to do for a page, and does it at once."""
_BEGUN = 2
"""Batches of rows whose bodies are asked for while those of another are judged and stored."""
_LOOK_SECONDS = 30.0
"""How often the source is asked whether the database is still the same, and whether something was purged."""
_LOOK_AFTER_CHANGE_SECONDS = 3.0
"""How often at most, when there was a change: a database that changes is looked at sooner."""
_PAUSES = (0.2, 1.0, 3.0, 10.0)
"""The most that is waited before something is tried again that failed."""
_LONGEST_AWAITED = 2.0
"""While feeds wait: so much later than the source is back they hear of what is new. It costs the source a small request
for each database."""
_MOST_LOST = 100
"""Former indexes of which is remembered that they are of no use."""
_sleep = asyncio.sleep


class Follower:
    """Follows one database. `path`: the index; `audiences`: those of the profiles that show it."""

    def __init__(self, place: Place, path: Path, audiences: Iterable[Audience], watcher: Watcher) -> None:
        self._place = place
        self._path = path
        self._looks = Looks(place, audiences)
        self._watcher = watcher
        self._index: IndexWriter | None = None
        self._looked = 0.0
        self._in_doubt = True
        """Whether the source may have become another one since it was looked at."""
        self._lost: dict[str, Any] = {}
        """As `File.lost`, for the next index."""
        self._unpurged: Any = 0
        """A sequence of the source that it had before anything was purged of which nobody has heard yet."""
        self._alarm = asyncio.Event()
        self._trouble: Exception = Damaged("it cannot be read")
        """Why the alarm was set."""
        self._purged = asyncio.Event()
        """Whether there may be something in the index that was purged at the source."""
        self._exclusive = asyncio.Lock()
        """Of whoever reads the source into the index, or sees to what is in it."""
        self._reading: asyncio.Task[None] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._name = place.database.name
        self._failures = 0
        self._complaint: str | None = None
        """What the log says is the trouble."""
        self._is_open = False
        """Whether others read the index."""
        self._no_room = False
        """Nobody is to read an index that could not be written, until it has caught up."""

    @property
    def settings(self) -> dict[str, str]:
        """What decides on the content of the index: the database that is followed, and what is kept of documents."""
        database = self._place.database
        source = f"{database.source.url}/{database.source_db}"
        return {"source": source, "rules": self._looks.rules, "fields": ",".join(self._looks.traced)}

    # ---- for whom it works

    async def run(self) -> None:
        """Follow until cancelled; failures are logged and tried again."""
        while True:
            try:
                await self._follow()
            except Damaged as error:
                self._make_anew("the index of %s is made anew: %s", error)
            except Full as error:
                self._leave_it(error)
            except CouchError as error:
                self._in_doubt = True
                if error.status == 404:
                    self._complain(logging.WARNING, "%s cannot be followed until it is there: %s", self._missing(error))
                    self._drop()
                else:
                    self._complain(logging.WARNING, "%s cannot be followed, trying again: %s", error)
            except _Renewed as error:
                if self._make_anew("%s %s: its index is made anew", error):
                    continue
            except Exception:
                log.exception("%s cannot be followed, trying again", self._name)
                self._in_doubt = True
                self._drop()
            await _sleep(self._pause())
            self._failures += 1

    def _make_anew(self, text: str, why: Exception) -> bool:
        """Begin with another index, which the log says; False if there is no deleting the present one."""
        self._drop()
        try:
            remove(self._path)
        except OSError as error:
            self._leave_it(error)
            return False
        log.warning(text, self._name, why)
        return True

    def _leave_it(self, error: Exception) -> None:
        """The index stays as it is, and nobody is to read it."""
        self._complain(logging.ERROR, "the index of %s cannot be written, feeds are read from the source: %s", error)
        self._no_room = True
        self._drop()

    def _pause(self) -> float:
        """Seconds until it is tried again: not the same for all who follow, nor long while feeds wait for the index."""
        longest = _PAUSES[min(self._failures, len(_PAUSES) - 1)]
        if self._index is not None and self._watcher.awaited:
            longest = min(longest, _LONGEST_AWAITED)
        return longest * uniform(0.5, 1.0)

    def _missing(self, error: CouchError) -> str:
        database = self._place.database
        missing = f"sources.{database.source.name} has no database {database.source_db} ({error})"
        return f"{missing}; make it there, or mend databases.{database.name}"

    def _complain(self, level: int, text: str, error: Exception | str) -> None:
        """Log a trouble, once until it is over."""
        if text != self._complaint:
            log.log(level, text, self._name, error)
            self._complaint = text

    def _succeed(self) -> None:
        """All is in the index: what was the trouble is over."""
        if self._complaint is not None:
            log.warning("%s is followed again", self._name)
        self._failures, self._complaint, self._no_room = 0, None, False

    async def build(self) -> None:
        """Bring the index to the source's present end, and no further. Raises CouchError, Damaged, Full."""
        try:
            await self._open()
            await self._read_on()
            self._held().finish()
        except _Renewed as error:
            raise Damaged(f"the database {error}") from None
        finally:
            self._drop()

    async def catch_up(self) -> None:
        """Wait until all is in the index that the source acknowledged before this call.

        Raises CouchError, also where the index has to be made anew. Whoever comes while the source is being read waits
        for the next reading, together with all others who do.
        """
        if self._index is None:
            raise Unavailable("There is no index.")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._serve())
        await done

    def renew(self, index_id: bytes) -> None:
        """Make the index of this id anew: somebody found it damaged. Whoever tells of an earlier one is late."""
        if self._index is not None and self._index.index_id == index_id:
            self._raise_alarm(Damaged("it cannot be read"))

    def close(self) -> None:
        """Close the index."""
        if self._reading is not None:
            self._reading.cancel()
        self._drop()

    def _raise_alarm(self, trouble: Exception) -> None:
        self._trouble = trouble
        self._alarm.set()

    # ---- the loop

    async def _follow(self) -> None:
        await self._open()
        looking = asyncio.ensure_future(self._keep_looking())
        try:
            await self._go_on()
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    async def _go_on(self) -> None:
        index = self._index
        assert index is not None
        complete = bool(index.meta("complete"))
        usable = complete and not self._no_room
        if usable:
            self._open_to_all()
        else:
            self._watcher.closed()
        await self._catch_up()
        if not complete:
            index.finish()
            log.info("the index of %s is complete: %s documents", self._name, f"{index.count_documents():,}")
        if not usable:
            self._open_to_all()
        while True:
            self._succeed()
            await self._change()
            if time.monotonic() - self._looked > _LOOK_AFTER_CHANGE_SECONDS:
                await self._look()
            await self._catch_up()

    def _open_to_all(self) -> None:
        self._is_open = True
        self._watcher.opened(self._path)

    async def _keep_looking(self) -> None:
        """Look at the source from time to time, whatever else is going on: a purge ends no longpoll."""
        while True:
            await asyncio.sleep(max(self._looked + _LOOK_SECONDS - time.monotonic(), 0))
            try:
                await self._look()
            except CouchError:
                self._looked = time.monotonic()  # whoever reads or waits hears of it as well
            except Exception as error:
                self._raise_alarm(error)
                return

    async def _catch_up(self) -> None:
        """As `catch_up`, for the loop, which sees to the index. Raises what reading and storing raise."""
        try:
            await self.catch_up()
        except CouchError:
            if not self._alarm.is_set():
                raise
        if self._alarm.is_set():
            raise self._trouble

    async def _change(self) -> None:
        """Wait for a change or a purge. Raises what is the trouble with the index when somebody comes upon it."""
        waiting: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(self._longpoll()),
            asyncio.ensure_future(self._alarm.wait()),
            asyncio.ensure_future(self._purged.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._alarm.is_set():
                raise self._trouble
            if waiting[0].done():
                waiting[0].result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _open(self) -> None:
        if self._index is None:
            info = await self._ask_info()
            self._alarm.clear()
            self._index = IndexWriter(self._path, {**self.settings, "incarnation": incarnation(info)})
            self._index.check()
            if self._index.meta("purges") is None:
                self._index.set_meta("purges", jsonio.dumps(counts_of(info.get("purge_seq"))))
            if not self._index.meta("complete") and not self._index.end:
                self._index.begin()
                self._index.set_meta("lost", jsonio.dumps(self._lost))
            self._in_doubt = True
        async with self._exclusive:
            await self._settle_doubt()

    async def _settle_doubt(self) -> None:
        """See that the source is the one that the index is of, if it may be another one by now. Raises _Renewed."""
        if not self._in_doubt:
            return
        index = self._held()
        info = await self._look()
        await self._forget_what_was_purged(index)
        self._still(index)
        rows = index.last_rows(LOOKED_AT) if has_one_copy(info) else []
        if rows and await lacks(self._place, rows, index.since):
            self._still(index)
            raise self._is_older(index)
        self._in_doubt = False

    def _drop(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None
        self._is_open = False
        self._watcher.closed()

    async def _ask_info(self) -> dict[str, Any]:
        info = await self._place.info()
        self._looked = time.monotonic()
        return info

    async def _look(self) -> dict[str, Any]:
        """What the source says of the database. Raises _Renewed if it is another one."""
        since = None if self._index is None else self._index.since  # the source is as far as this, or further
        info, index = await self._ask_info(), self._index
        if index is None or incarnation(info) != index.meta("incarnation"):
            raise _Renewed
        counts, known = counts_of(info.get("purge_seq")), _counts(index)
        if fell_back(info.get("update_seq"), since) or are_fewer(counts, known):
            raise self._is_older(index)
        if counts and together(known, counts) != known:
            self._purged.set()
        elif not self._purged.is_set():
            self._unpurged = since
        return info

    def _is_older(self, index: IndexWriter) -> _Renewed:
        self._lose(index, 0)
        return _Renewed("was replaced by an older copy of itself")

    def _lose(self, index: IndexWriter, since: Any) -> None:
        """Who comes from this index may have missed something after the source's sequence `since`."""
        lost = {**index.lost, index.index_id.hex(): since}
        self._lost = dict([*lost.items()][-_MOST_LOST:])

    async def _longpoll(self) -> None:
        """A request that ends when there is a change. It only tells of it: rows are read by `_read` alone."""
        index = self._held()
        began = time.monotonic()
        if not await changed(self._place, index.since) and time.monotonic() - began < 1:
            await self._look()
            await asyncio.sleep(1.0)  # a source that does not wait must not be asked in a tight loop

    async def _serve(self) -> None:
        """Read for those who wait, for all of them at once, until nobody does."""
        waiting: list[asyncio.Future[None]] = []
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                failed: CouchError | None = None
                try:
                    async with self._exclusive:
                        await self._settle_doubt()
                        await self._read_on(gently=True)
                except CouchError as error:
                    self._in_doubt = True
                    failed = error
                except Exception as error:  # for the loop: those who wait did nothing wrong
                    self._raise_alarm(error)
                    failed = Unavailable("The index of this database has to be seen to.")
                for done in waiting:
                    if not done.done():
                        if failed is None:
                            done.set_result(None)
                        else:
                            done.set_exception(failed)
        finally:
            self._reading = None
            for done in (*waiting, *self._waiting):
                done.cancel()  # without effect on those that have their answer

    async def _read_on(self, *, gently: bool = False) -> None:
        """Read the source's feed from where the index is to its end, page by page.

        `gently`: an index that nobody uses yet is not built at the cost of requests.
        """
        index = self._held()
        left = None if index.meta("complete") else await self.behind(index.since)
        reading = Reading(self._name, index, left, self._watcher.progressed)
        pace = Pace(self._watcher.serving) if gently and not index.meta("complete") else None
        rows, remaining = 1, 1
        while rows and remaining:
            await self._forget_what_was_purged(index)
            rows, remaining = await self._read(reading, pace)
        if index is self._index:
            reading.end()

    # ---- purges

    async def _forget_what_was_purged(self, index: IndexWriter) -> None:
        """Raises _Renewed if nobody can say what that is."""
        if not self._purged.is_set():
            return
        counts = counts_of((await self._ask_info()).get("purge_seq"))
        self._still(index)
        known = _counts(index)
        number, after = added(counts, known), together(known, counts)
        if not number:  # another copy, which has nothing new to tell
            index.set_meta("purges", jsonio.dumps(after))
            self._purged.clear()
            return
        ids = await purged_ids(self._place, number)
        self._still(index)
        if ids is None:
            self._lose(index, self._unpurged)  # what was put back since was no news to it
            raise _Renewed("has purged documents, and does not say which")
        held = [*index.known(ids)]
        there = await self._looks.entries(await still_there(self._place, held, index.since), {})
        self._still(index)
        index.forget(held, there, jsonio.dumps(after))
        self._purged.clear()
        text = "documents of %s were purged: its index forgets %d, of which the source has %d again"
        log.warning(text, self._name, len(held), len(there))
        if self._is_open:
            self._watcher.opened(self._path)  # to let go of what they keep

    # ---- reading

    def _held(self) -> IndexWriter:
        if self._index is None:
            raise Unavailable("There is no index.")
        return self._index

    def _still(self, index: IndexWriter) -> None:
        """Raises Unavailable if the index was closed meanwhile."""
        if index is not self._index:
            raise Unavailable("The index was closed.")

    async def behind(self, since: Any) -> int | None:
        """How many changes the source has after a sequence; None if it does not say. Raises CouchError."""
        return await behind(self._place, since)

    async def _read(self, reading: Reading, pace: Pace | None) -> tuple[int, int]:
        """Put a page of rows into the index: how many there were, and how many are left."""
        index = self._held()
        since, count = index.since, 0
        limit = _SMALL_PAGE if pace is not None and pace.is_slow else _PAGE
        splitter = ArraySplitter("results")

        async def load(found: Sequence[Change]) -> tuple[list[Entry], Any, int]:
            if pace is not None:
                await pace.begin()
            return await self._load(found)

        async with await ask_feed(self._place, since, [("limit", str(limit))]) as reply:
            try:
                async with aclosing(ahead(changes(elements(reply, splitter)), load, _BEGUN)) as batches:
                    async for entries, seq, rows in batches:
                        count += rows
                        await self._apply(index, entries, seq)
                        reading.rows(rows)
                        if pace is not None:
                            await pace.end()
            except WireError as error:
                raise Unavailable(f"The source's _changes is not of CouchDB's form: {error.reason}") from error
        end = {**splitter.head, **splitter.tail}
        await self._apply(index, [], end.get("last_seq", index.since))
        pending = end.get("pending")
        if not isinstance(pending, int):
            return count, count
        reading.left = pending
        return count, pending

    async def _apply(self, index: IndexWriter, entries: list[Entry], seq: Any) -> None:
        self._still(index)
        if not entries and seq == index.since:
            return
        if number(seq) < number(index.since):
            await self._look()
            if index.meta("incarnation") == "0":
                raise _Renewed  # nothing else tells a new database from a node that has fallen behind
        keys = index.apply(entries, seq)
        self._watcher.moved(index.end, keys)

    async def _load(self, found: Sequence[Change]) -> tuple[list[Entry], Any, int]:
        """What is to be stored for changes, the last one's sequence, and how many they are."""
        known = self._held().known([change.doc_id for change in found])
        last = {change.doc_id: change for change in found if is_news(change, known)}
        in_order = [change for change in found if last.get(change.doc_id) is change]
        return await self._looks.entries(in_order, known), found[-1].seq, len(found)


class _Renewed(Exception):
    """The database is not the one that the index is of. Its text says what became of it."""

    def __init__(self, what: str = "is another database now") -> None:
        super().__init__(what)


def _counts(index: IndexWriter) -> Counts:
    counts: Counts = jsonio.loads(index.meta("purges", b"{}"))
    return counts
