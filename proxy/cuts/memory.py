"""Remembers by which rules, and with which roles, each user was shown documents: at the source, so that all nodes do.

What a user is shown now is recorded before it is shown: a local document for each user and name of a database. The
rules themselves are kept once for each database, as `config.archive` makes them. Where the source does not let that be
stored, nothing is remembered, and the log says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from proxy import own
from proxy.config.archive import Archive
from proxy.config.model import Config, Profile
from proxy.contract import Doc
from proxy.core.cut import Cut
from proxy.core.lens import Chain
from proxy.cuts import touches
from proxy.cuts.record import Entry, entry_of, former, present, read, with_present, written
from proxy.errors import CouchError, Unavailable
from proxy.past import TO_READ, TO_WRITE, Past
from proxy.view import View

log = logging.getLogger("couch_tailor.cuts")

_RECORD = "cuts"
_RULES = "_local/tailor-rules-"


class Memory:
    """What is remembered of all users of a configuration."""

    def __init__(self, config: Config) -> None:
        self._days = timedelta(seconds=config.server.remember)
        self._archive = Archive(config)
        self._kept: dict[str, list[str]] = {
            profile.name: self._archive.rules_of(profile) for profile in config.profiles.values()
        }
        self._stored: set[tuple[str, str]] = set()
        """Database and fingerprint of rules that are known to be at the source."""
        self._former: dict[tuple[str, str], Chain | None] = {}
        self._told: set[str] = set()

    async def recall(self, view: View, *, to_write: bool) -> None:
        """See that the view's past is known, and what it shows recorded. Raises Unavailable if it cannot be told."""
        past, seconds = view.past, TO_WRITE if to_write else TO_READ
        if past.is_fresh(seconds) or not self._days:
            return
        if past.reading is None:
            past.reading = asyncio.ensure_future(self._recall(view, past))
            past.reading.add_done_callback(partial(_ended, past))
        await asyncio.shield(past.reading)

    async def _recall(self, view: View, past: Past) -> None:
        profile = view.profile
        rules = self._archive.fingerprint(self._kept[profile.name])
        cut = entry_of(
            view.client,
            rules,
            depends_on_client=profile.depends_on_client,
            by_header=profile.header is not None and view.name != profile.virtual_name(view.database.name),
        )
        try:
            entries = await self._record(view, past, profile, cut)
        except CouchError as error:
            if error.status >= 500 or error.status == 401:
                raise
            if error.status != 404:  # such a database: the request itself will tell
                self._tell(view, error)
            past.is_known((), None)
            return
        mine = present(entries, cut)
        if mine is None:
            raise Unavailable("The source does not keep local documents as they are written.")
        cuts = [each async for each in self._cuts(view, former(entries, mine))]
        past.is_known(cuts, mine.since)

    async def _record(self, view: View, past: Past, profile: Profile, cut: Entry) -> list[Entry]:
        """The user's entries, with `cut` among them. Raises the source's error."""
        today, where = datetime.now(UTC).date(), past.own_id(_RECORD)
        entries = read(await own.read(view, where))
        known = present(entries, cut)
        if known is not None and known.last == today.isoformat():
            return entries
        await self._keep(view, cut.rules, self._kept[profile.name])
        since = None if known is not None else await self._beginning(view, entries, cut)
        change = partial(_with_present, cut=cut, since=since, today=today, oldest=today - self._days)
        return read(await own.update(view, where, change))

    async def _beginning(self, view: View, entries: list[Entry], cut: Entry) -> Any:
        """The source's sequence since when nothing was shown by other cuts."""
        strand = [entry for entry in entries if entry.strand == cut.strand]
        if strand and strand[-1].roles == cut.roles:  # it is the rules that have changed
            touched = await touches.since(view, cut.rules)
            if touched is not None:
                return touched
        return (await view.info())["update_seq"]

    async def _keep(self, view: View, fingerprint: str, rules: list[str]) -> None:
        """Store rules, if they are not there."""
        database = view.database.name
        if (database, fingerprint) not in self._stored:
            await touches.end(view, fingerprint)
            await own.update(view, _RULES + fingerprint, lambda held: None if held else {"rules": rules})
            self._stored.add((database, fingerprint))

    async def _cuts(self, view: View, entries: list[Entry]) -> AsyncIterator[Cut]:
        """The cuts of entries, as far as their rules can be had."""
        for entry in entries:
            chain = await self._chain(view, entry)
            if chain is not None:
                yield Cut(chain, entry.client(view.client.name))

    async def _chain(self, view: View, entry: Entry) -> Chain | None:
        """What an entry's rules show."""
        key = (view.database.name, entry.rules)
        if key in self._former:
            return self._former[key]
        chain = self._archive.present(entry.rules)
        if chain is None and (held := await own.read(view, _RULES + entry.rules)):
            chain = self._archive.build(held.get("rules"), f"former rules {entry.rules}")
        self._former[key] = None if chain is None else chain.shaping()
        if chain is None:
            log.warning(
                "the rules by which profile %s showed documents of %s until %s cannot be had again (a filter, or a "
                "secret of one, is another by now): edits of what they showed are read by those of today. "
                "`couch-tailor touch` gives devices everything anew",
                entry.profile,
                view.database.name,
                entry.last,
            )
        return self._former[key]

    def _tell(self, view: View, error: CouchError) -> None:
        if view.database.name not in self._told:
            self._told.add(view.database.name)
            log.warning(
                "what users are shown of %s is not remembered, since the source does not let it be stored: %s",
                view.database.name,
                error,
            )


def _ended(past: Past, reading: asyncio.Future[None]) -> None:
    past.reading = None
    if not reading.cancelled():
        reading.exception()  # nobody may be left to hear of it: its clients may have hung up


def _with_present(held: Doc | None, *, cut: Entry, since: object, today: date, oldest: date) -> Doc:
    return written(with_present(read(held), cut, since, today.isoformat(), oldest.isoformat()))
