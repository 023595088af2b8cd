"""The rows of `_all_docs` that a view shows.

Rules:
  - a row is decided on the document that it stands for: bodies are fetched whether or not the client wants them;
  - the winner of the source may be invisible while another leaf is not: then that is the view's winner, and the row's;
  - a range has live documents only; a key that was asked for also gets the deletion that the view shows, or not_found;
  - `skip` and `limit` count rows that the view shows: with a limit the source is asked page by page until it is full;
  - a view that hides nothing leaves all of that to the source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, Final, NamedTuple

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.core.wire import WireError
from proxy.core.wire.rows import ArraySplitter
from proxy.elements import elements
from proxy.errors import Unavailable
from proxy.fetch import attachments_of, fetch_leaves
from proxy.reading.listing import ListOptions
from proxy.resolve import Shown, judge
from proxy.sizes import at_once, in_parts
from proxy.turns import Turn, in_turns
from proxy.upstream import JSON_HEADERS
from proxy.view import View

PAGE = 1000
"""Rows of a page of the source."""
_FIRST_PAGE = 50
"""At least so many rows are asked for: some of them may not be visible."""
_GROWTH = 4
"""By how much a page is larger than the one before, up to PAGE."""
_KEYS = 500
"""Keys of one request to the source."""

Row = dict[str, Any]


class Listed(NamedTuple):
    """A row. `shown`: the view's winner, None for a key without one. `conflicts`: the other live leaves, if wanted."""

    key: Any
    shown: Shown | None
    conflicts: Sequence[str] = ()


_DOUBTFUL: Final = Listed(None, None)
"""Stands for a row that takes a look at the document's leaves."""


class Scan:
    """One list of one view. `endpoint`: `_all_docs` or `_design_docs`."""

    def __init__(self, view: View, options: ListOptions, endpoint: str = "_all_docs") -> None:
        self.view = view
        self.options = options
        self._designs = endpoint == "_design_docs"
        self.hides = view.hides and not self._designs
        self.head: dict[str, Any] = {}
        """The source's `total_rows` and `offset`, known with the first batch."""
        self._path = view.path(endpoint)

    async def batches(self) -> AsyncGenerator[list[Listed], None]:
        """The rows in order; at least one batch, which may be empty."""
        if self.options.keys is not None:
            source = self._by_key()
        elif self.hides:
            limit = self.options.limit
            source = self._visible(self.pages(None if limit is None else self.options.skip + limit))
        else:
            source = self._all()
        async with aclosing(source):
            async for batch in source:
                yield batch

    async def raw(self) -> AsyncGenerator[list[bytes], None]:
        """The source's own rows, for a view that hides nothing and a client that wants no documents."""
        async with aclosing(self._read("GET", [*self._range(), *self._part()], None, decoded=False)) as rows:
            async for batch in rows:
                yield batch

    # ---- kinds of lists

    async def _all(self) -> AsyncGenerator[list[Listed], None]:
        """A range of a view that hides nothing: the source counts."""
        pairs = [*self._range(), *self._part(), *self._with_docs(self.options.conflicts)]
        async with aclosing(self._read("GET", pairs, None)) as batches:
            async for rows in batches:
                yield [listed for listed in await in_turns(rows, self._taken) if listed is not None]

    async def pages(self, first: int | None) -> AsyncGenerator[list[Listed], None]:
        """All visible rows of the range, whatever `skip` and `limit` are.

        `first`: how many are likely to be enough; None: all are wanted, and the source gives them in one reply.
        """
        if first is None:
            async with aclosing(self._read("GET", [*self._range(), *self._with_docs(True)], None)) as batches:
                async for rows in batches:
                    yield [listed for listed in await self._judged(rows, keyed=False) if listed is not None]
            return
        size = min(PAGE, max(_FIRST_PAGE, first)) if first else 1
        last: str | None = None
        while True:
            # the last row is asked for again, not skipped: it may be gone by now
            limit = size if last is None else size + 1
            pairs = [*self._range(last), ("limit", str(limit)), *self._with_docs(True)]
            count, before = 0, last
            async with aclosing(self._read("GET", pairs, None)) as batches:
                async for rows in batches:
                    count += len(rows)
                    fresh = rows[1:] if rows and rows[0]["key"] == last else rows
                    if fresh:
                        last = fresh[-1]["key"]
                    yield [listed for listed in await self._judged(fresh, keyed=False) if listed is not None]
            if count < limit:
                return
            if last == before:
                raise Unavailable("The source's _all_docs does not get on from a startkey.")
            size = min(PAGE, _GROWTH * size)

    async def _visible(self, batches: AsyncGenerator[list[Listed], None]) -> AsyncGenerator[list[Listed], None]:
        """`batches` without the rows that are skipped, and up to the limit."""
        skip, left = self.options.skip, self.options.limit
        async with aclosing(batches):
            async for batch in batches:
                skipped = min(skip, len(batch))
                skip -= skipped
                wanted = batch[skipped:] if left is None else batch[skipped : skipped + left]
                yield wanted
                if left is not None:
                    left -= len(wanted)
                    if left <= 0:
                        return

    async def _by_key(self) -> AsyncGenerator[list[Listed], None]:
        """A row for each key."""
        keys = self.options.selected_keys
        if self._designs:
            keys = [key for key in keys if isinstance(key, str) and key.startswith("_design/")]
        for start in range(0, len(keys) or 1, _KEYS):
            some = keys[start : start + _KEYS]
            async with aclosing(self._of_keys(some)) as listed:
                async for rows in listed:
                    yield rows

    async def _of_keys(self, keys: Sequence[Any]) -> AsyncGenerator[list[Listed], None]:
        """The rows of some keys, each as soon as it and those before it are known: sources give them in this order."""
        left = Counter([key for key in keys if _is_document(key)])
        known: dict[str, Listed] = {}
        doubtful: list[str] = []
        written = 0

        def ready(at_end: bool) -> list[Listed]:
            nonlocal written
            rows: list[Listed] = []
            for key in keys[written:]:
                if not _is_document(key):
                    rows.append(Listed(key, None))
                elif key in known or at_end:
                    left[key] -= 1
                    listed = known.get(key) if left[key] else known.pop(key, None)
                    rows.append(listed or Listed(key, None))
                else:
                    break
            written += len(rows)
            return rows

        async def look_up() -> None:
            for key, listed in zip(doubtful, await self._winners_of(doubtful, keyed=True), strict=True):
                known[key] = listed or Listed(key, None)
            doubtful.clear()

        turn = Turn()
        async with aclosing(self._read("POST", self._with_docs(self.hides or self.options.conflicts), [*left])) as read:
            async for batch in read:
                for row in batch:
                    if turn.is_over():
                        await turn.pass_on()
                    key = row["key"]
                    if "error" in row or not isinstance(key, str):
                        known[str(key)] = Listed(key, None)
                    elif (listed := self._glance(row, keyed=True)) is _DOUBTFUL:
                        doubtful.append(key)
                    else:
                        known[key] = listed or Listed(key, None)
                # what waits for them is held
                if doubtful and len(known) + len(doubtful) >= at_once(self.view):
                    await look_up()
                yield ready(at_end=False)
        await look_up()
        yield ready(at_end=True)

    # ---- judging

    async def _judged(self, rows: list[Row], *, keyed: bool) -> list[Listed | None]:
        """What the view makes of the source's rows, each; None: nothing."""
        glances = await in_turns(rows, partial(self._glance, keyed=keyed))
        again = [index for index, listed in enumerate(glances) if listed is _DOUBTFUL]
        winners = await self._winners_of([rows[index]["key"] for index in again], keyed)
        for index, winner in zip(again, winners, strict=True):
            glances[index] = winner
        return glances

    def _glance(self, row: Row, keyed: bool) -> Listed | None:
        """What the view makes of a row by the document in it; _DOUBTFUL if that leaves it open."""
        doc = row.get("doc")
        if doc is None:
            return _DOUBTFUL
        conflicts = doc.pop("_conflicts", None)
        shaped = self.view.shape(doc)
        if shaped is None:
            # an invisible winner without live rivals has no row in a range; only a key may get its deletion
            return _DOUBTFUL if keyed or conflicts is not None else None
        if conflicts is not None and self.options.conflicts and self.hides:
            return _DOUBTFUL
        return Listed(row["key"], Shown(shaped, doc["_rev"]), conflicts or ())

    async def _winners_of(self, ids: Sequence[str], keyed: bool) -> list[Listed | None]:
        winners: list[Listed | None] = []
        async with aclosing(in_parts(self.view, ids, partial(self._winners, keyed=keyed))) as parts:
            async for part in parts:
                winners += part
        return winners

    def _taken(self, row: Row) -> Listed | None:
        """The row as it is, if the source's winner is visible."""
        doc = row.get("doc")
        if doc is None:
            return None
        conflicts = doc.pop("_conflicts", ())
        shaped = self.view.shape(doc)
        return None if shaped is None else Listed(row["key"], Shown(shaped, doc["_rev"]), conflicts)

    async def _winners(self, ids: Sequence[str], *, keyed: bool) -> list[Listed | None]:
        """The rows of documents by the leaves that the view shows. Raises TooMany."""
        extra = [("att_encoding_info", "true")] if self.options.att_encoding_info else []
        leaves = await judge(self.view, await fetch_leaves(self.view, ids, extra=extra, at_once=len(ids) > 1))
        return [_winner(doc_id, leaves.get(doc_id, []), keyed) for doc_id in ids]

    # ---- asking the source

    def _range(self, after: str | None = None) -> Pairs:
        options, pairs = self.options, []
        if after is not None or options.has_start:
            pairs.append(("startkey", _text(options.start if after is None else after)))
        if options.has_end:
            pairs.append(("endkey", _text(options.end)))
            if not options.inclusive_end:
                pairs.append(("inclusive_end", "false"))
        if options.descending:
            pairs.append(("descending", "true"))
        return pairs

    def _part(self) -> Pairs:
        pairs = []
        if self.options.limit is not None:
            pairs.append(("limit", str(self.options.limit)))
        if self.options.skip:
            pairs.append(("skip", str(self.options.skip)))
        return pairs

    def _with_docs(self, conflicts: bool) -> Pairs:
        pairs = [("include_docs", "true")]
        if conflicts:
            pairs.append(("conflicts", "true"))
        if self.options.att_encoding_info:
            pairs.append(("att_encoding_info", "true"))
        return pairs

    async def _read(
        self, method: str, pairs: Pairs, keys: list[str] | None, *, decoded: bool = True
    ) -> AsyncGenerator[list[Any], None]:
        """The rows of one reply as they arrive; at least one batch."""
        async with await self.view.upstream.request(
            method,
            self._path,
            pairs,
            headers={**JSON_HEADERS, **self.view.headers},
            body=None if keys is None else jsonio.dumps({"keys": keys}),
        ) as reply:
            if reply.status != 200:
                raise await reply.error()
            splitter = ArraySplitter("rows")
            some = False
            try:
                async with aclosing(elements(reply, splitter, decoded=decoded)) as batches:
                    async for rows in batches:
                        self.head = self.head or splitter.head
                        some = True
                        yield _checked(rows) if decoded else rows
            except WireError as error:
                raise Unavailable(f"The source's list is not of CouchDB's form: {error.reason}") from error
            self.head = self.head or splitter.head
            if not some:
                yield []


def _winner(key: str, leaves: list[Shown], keyed: bool) -> Listed | None:
    """The row of a document by the leaves that the view shows, its winner first."""
    if not leaves or (leaves[0].deleted and not keyed):
        return None
    winner = leaves[0]
    doc: Doc = {name: value for name, value in winner.doc.items() if name != "_revisions"}
    return Listed(key, Shown(doc, winner.origin), [leaf.rev for leaf in leaves[1:] if not leaf.deleted])


def _checked(rows: list[Any]) -> list[Row]:
    """Rows of which code below may rely on the form. Raises Unavailable."""
    for row in rows:
        if not (isinstance(row, dict) and "key" in row):
            break
        doc = row.get("doc")
        if doc is not None and not (isinstance(doc, dict) and isinstance(doc.get("_id"), str) and "_rev" in doc):
            break
        if doc is not None and "_attachments" in doc:
            attachments_of(doc)
    else:
        return rows
    raise Unavailable("The source's list is not of CouchDB's form: a row without a key or a proper document.")


def _is_document(key: Any) -> bool:
    return isinstance(key, str) and key != "" and (not key.startswith("_") or key.startswith("_design/"))


def _text(key: Any) -> str:
    return jsonio.dumps(key).decode()
