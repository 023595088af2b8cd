"""What revisions somebody was shown again, after rules or roles had taken them away: recorded at the source before any
is shown, for their closings to be told of whatever comes next (see `core.grafts`).

The record is a list that only grows, in local documents of some entries each. A device's tokens tell how much of it
there was when the device was told of any: a process that has read less reads on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from proxy import own
from proxy.contract import Doc
from proxy.past import Return, Returns
from proxy.view import View

log = logging.getLogger("couch_tailor.cuts")

RETURNS = "returns"
"""What `Strand.own_id` calls the record."""
_ENTRIES = 500
"""Entries of one document."""
MOST = 100_000
"""Entries: a revision beyond these is not shown again."""
_TRIES = 5
SETTLE_SECONDS = 0.1
"""After which what was written is looked at again: the devices of a user begin anew all at once, on several nodes."""

Entry = list[Any]
"""As JSON: the document's id, the revision, the number of the return, the turn, and the kind of the strand."""


async def read(view: View, least: int = 0) -> Returns:
    """What is recorded, at least so many entries of it. Raises the source's error."""
    returns = view.past.strand.returns
    if returns.read < least or not least:
        async with returns.lock:
            await _read_from(view, returns, returns.read // _ENTRIES)
    return returns


async def add(view: View, shown: Mapping[tuple[str, str], Return]) -> None:
    """Record what is about to be shown again, by (id, revision). Raises the source's error."""
    returns = view.past.strand.returns
    async with returns.lock:
        left: list[Entry] = [
            [doc_id, rev, *each] for (doc_id, rev), each in shown.items() if returns.of.get(doc_id, {}).get(rev) != each
        ]
        for _ in range(_TRIES):
            if not left:
                return
            first, rest = returns.read // _ENTRIES, left
            while rest:
                rest = await _append(view, returns, rest)
            # CouchDB does not say if somebody else has written a local document meanwhile; who had read it before this
            # was written has written it by then
            await asyncio.sleep(SETTLE_SECONDS)
            there = await _read_from(view, returns, first)
            left = [entry for entry in left if entry not in there]
    log.warning("what %s is shown again of %s is not recorded", view.client.name, view.database.name)


async def _read_from(view: View, returns: Returns, number: int) -> list[Entry]:
    """Read a document of the record and those after it: what is in them. Others go by what was known meanwhile."""
    found: list[Entry] = []
    last = number
    while len(entries := _entries(await own.read(view, _place(view, last)))) == _ENTRIES:
        found += entries
        last += 1
    found += entries
    end = last * _ENTRIES + len(entries)
    if end < returns.read and number:
        return await _read_from(view, returns, 0)
    if end < returns.read:  # another database, or an older one
        returns.of = {}
    _learn(returns, found)
    returns.read = end
    return found


async def _append(view: View, returns: Returns, entries: list[Entry]) -> list[Entry]:
    """Append entries to the last document; those for which there is no room in it."""
    number = returns.read // _ENTRIES
    room = 0

    def longer(held: Doc | None) -> Doc:
        nonlocal room
        there = _entries(held)
        room = _ENTRIES - len(there)
        return {"returns": [*there, *entries[:room]]}

    there = _entries(await own.update(view, _place(view, number), longer))
    _learn(returns, there)
    returns.read = number * _ENTRIES + len(there)
    return entries[room:]


def _learn(returns: Returns, entries: list[Entry]) -> None:
    for doc_id, rev, *each in entries:
        returns.of.setdefault(doc_id, {})[rev] = Return(*each)


def _place(view: View, number: int) -> str:
    return view.past.strand.own_id(RETURNS, str(number), all_kinds=True)


def _entries(held: Doc | None) -> list[Entry]:
    entries = held.get("returns") if held else None
    return [each for each in entries if _is_entry(each)] if isinstance(entries, list) else []


def _is_entry(each: Any) -> bool:
    return isinstance(each, list) and [type(part) for part in each] == [str, str, int, int, str]
