"""Documents of one database that were read lately, by id and revision: a revision's body never changes.

What is asked for while it is being read is read once. These are the source's bodies, of no use to anybody but the
proxy's own code: who may see one is judged by the profile's filters. What they make of it is kept with it, for profiles
that show all clients the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from proxy.contract import Doc
from proxy.core import jsonio

Key = tuple[str, str]
Found = dict[Key, Doc]


class TooMany(Exception):
    """So many documents are not to be held at once, as has just turned out."""


class _Kept:
    """A document, what profiles make of it, and the bytes that this takes."""

    __slots__ = ("doc", "shaped", "size")

    def __init__(self, doc: Doc) -> None:
        self.doc = doc
        self.shaped: dict[str, Doc | None] = {}
        self.size = 0


class Bodies:
    """Keeps up to `room` bytes of documents, those used last."""

    def __init__(self, room: int) -> None:
        self.hits = 0
        self.misses = 0
        self.size = 0
        """Bytes that are taken."""
        self._room = room
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._coming: dict[Key, asyncio.Task[Found]] = {}
        self._cleared = 0

    async def fetch(self, wanted: Iterable[Key], read: Callable[[list[Key]], Awaitable[Found]]) -> Found:
        """Those of (id, revision) pairs that are kept, or that `read` gives. Raises what that raises.

        If what others are reading is too much for them, the same is read again: it may not be too much here.
        """
        found: Found = {}
        waited: dict[asyncio.Task[Found], list[Key]] = {}
        missing: list[Key] = []
        for key in wanted:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                found[key] = kept.doc
            elif key in self._coming:
                waited.setdefault(self._coming[key], []).append(key)
            else:
                missing.append(key)
        self.misses += len(missing)
        self.hits += len(found) + sum(map(len, waited.values()))
        if missing:
            task = asyncio.ensure_future(self._read(missing, read))
            task.add_done_callback(_seen_to)
            self._coming |= dict.fromkeys(missing, task)
            waited[task] = missing
        for task, keys in waited.items():
            try:
                # whoever hangs up leaves the others waiting for the same
                documents = await asyncio.shield(task)
            except TooMany:
                if keys is missing:
                    raise
                documents = await read(keys)
            found |= {key: documents[key] for key in keys if key in documents}
        return found

    def get(self, key: Key) -> Doc | None:
        """A document, if it is kept."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self._kept.move_to_end(key)
        self.hits += 1
        return kept.doc

    def shaped(self, doc: Doc, profile: str, shape: Callable[[Doc], Doc | None]) -> Doc | None:
        """`shape(doc)`, or what that was before for the same document and profile. Only for profiles that show all
        clients the same.
        """
        kept = self._kept.get((doc["_id"], doc["_rev"]))
        if kept is None or kept.doc is not doc:  # the revision as it was asked for otherwise has other members
            return shape(doc)
        if profile in kept.shaped:
            return kept.shaped[profile]
        shaped = shape(doc)
        try:
            size = 0 if shaped is None or shaped is doc else _size(shaped)
        except ValueError:  # no JSON: whoever sends it will say so
            return shaped
        kept.shaped[profile] = shaped
        self._take(kept, size)
        return shaped

    @property
    def keeper(self) -> Callable[[Key, Doc], None]:
        """`keep` for what is being read from now on: without effect after the next `clear`."""
        cleared = self._cleared

        def keep(key: Key, doc: Doc) -> None:
            if cleared == self._cleared:
                self.keep(key, doc)

        return keep

    def clear(self) -> None:
        """Forget everything, as when the database is another one or documents were purged: also what is being read."""
        self._cleared += 1
        self._kept.clear()
        self._coming.clear()
        self.size = 0

    async def _read(self, keys: list[Key], read: Callable[[list[Key]], Awaitable[Found]]) -> Found:
        task = asyncio.current_task()
        try:
            documents = await read(keys)
        finally:
            known = [key for key in keys if self._coming.get(key) is task]
            for key in known:
                del self._coming[key]
        for key in known:
            if key in documents:
                self.keep(key, documents[key])
        return documents

    def keep(self, key: Key, doc: Doc) -> None:
        """Keep a document with its `_revisions`, as long as there is room."""
        if key in self._kept:
            return
        size = _size(doc)
        if size > self._room // 16:
            return
        kept = self._kept[key] = _Kept(doc)
        self._take(kept, size)

    def _take(self, kept: _Kept, size: int) -> None:
        kept.size += size
        self.size += size
        while self.size > self._room:
            _, dropped = self._kept.popitem(last=False)
            self.size -= dropped.size


def _size(doc: Doc) -> int:
    return jsonio.weight(jsonio.dumps(doc)) + 200


def _seen_to(task: asyncio.Task[Found]) -> None:
    """What a reading raises is for those who wait for it; if nobody does any more, it is nobody's trouble."""
    if not task.cancelled():
        task.exception()
