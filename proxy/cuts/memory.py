"""Remembers by which rules, and with which roles, users' devices were shown documents: at the source, for all nodes.

What is shown is recorded before it is shown, in a local document for each strand (see `past`). The rules themselves are
kept once for each database, as `config.archive` makes them. Where the source has no such documents, nothing is
remembered, and the log says so.

CouchDB does not say if somebody else has written a local document meanwhile. What matters can only be lost if two nodes
show a strand different cuts in the same instant: then both will do so again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic

from proxy import own
from proxy.config.archive import Archive
from proxy.config.model import Config
from proxy.contract import Client
from proxy.core.audience import audience_of
from proxy.core.cut import Cut, Kept, former_cuts
from proxy.core.hooks import depends_on_client
from proxy.core.lens import Chain
from proxy.cuts import touches
from proxy.cuts.record import RECORD, Entry, entry_of, present, read, with_present, written
from proxy.errors import CouchError, NotDone
from proxy.past import TO_READ, TO_WRITE, Former, Past, Stint, Strand
from proxy.view import View

log = logging.getLogger("couch_tailor.cuts")

_RULES = "_local/tailor-rules-"
_NO_SUCH = (400, 405, 501)
"""How a source answers that has no local documents; other errors are about this request."""
_MOST_DAYS = 36500
_SETTLING = 60.0 + 120.0 + TO_READ
"""Seconds by which clocks of nodes may differ, and for which they rely on what they have read of a record, feeds for a
minute or two longer: once a minute they see to it."""


class Memory:
    """What is remembered of all users of a configuration."""

    def __init__(self, config: Config) -> None:
        self._days = timedelta(days=min(math.ceil(config.server.remember / 86400), _MOST_DAYS))
        self._refuses = config.server.lost_rules == "refuse"
        self._settled = _SETTLING + 2 * config.server.session_ttl
        """Seconds after which no node shows by what it knew before: roles, or a record."""
        self._archive = Archive(config)
        self._kept = {profile.name: self._archive.rules_of(profile) for profile in config.profiles.values()}
        """The profiles' rules, as they are kept."""
        self._named = {name: self._archive.fingerprint(rules) for name, rules in self._kept.items()}
        """The fingerprints of the profiles' rules."""
        self._present = {
            self._named[profile.name]: (self._kept[profile.name], profile.chain) for profile in config.profiles.values()
        }
        self._stored: dict[tuple[str, str], float] = {}
        """When rules were last known to be at the source, by database and profile."""
        self._former: dict[tuple[str, str], list[Kept] | None] = {}
        """What is known of rules, by database and fingerprint; None: they cannot be had."""
        self._missed: set[tuple[str, str]] = set()
        """Those of which the log says so."""
        self._told: set[str] = set()

    async def recall(self, view: View, *, to_write: bool) -> None:
        """See that the view's past is known, and what it shows recorded. Raises the source's error if that fails."""
        past, seconds = view.past, TO_WRITE if to_write else TO_READ
        if past.is_cut is None:
            past.is_cut = self._cut(view).is_cut
        await self._see(view, past, seconds)
        past.hold()

    async def _see(self, view: View, past: Past, seconds: float) -> None:
        while self._days and not past.is_fresh(seconds):
            strand = past.strand
            own_turn = strand.reading is None
            if strand.reading is None:
                strand.reading = asyncio.ensure_future(self._recall(view, past))
                strand.reading.add_done_callback(partial(_ended, strand))
            await asyncio.shield(strand.reading)
            if own_turn:
                return

    async def recall_again(self, view: View, *, now: bool = False) -> None:
        """The same for who is shown documents all the time: if that was long ago. In between devices of the same strand
        are shown other cuts, which is recorded as well. `now`: however short that is ago, since the client was shown
        something else by another node.
        """
        if self._days and now:
            await self._see(view, view.past, 0.0)
            view.past.hold()
        elif self._days and view.past.age >= TO_READ:
            await self.recall(view, to_write=True)

    async def _recall(self, view: View, past: Past) -> None:
        cut = self._cut(view)
        try:
            entries = read(await own.read(view, past.strand.own_id(RECORD)))
        except CouchError as error:
            if error.status not in _NO_SUCH:
                raise
            self._tell(view, error)
            entries = []
        try:
            entries = await self._record(view, past, entries, cut)
        except CouchError as error:
            if error.status == 404:  # no such database: the request itself will tell
                return
            if error.status not in (*_NO_SUCH, 403) and not isinstance(error, NotDone):
                raise
            self._tell(view, error)
        await self._tell_past(view, entries, cut)

    def _cut(self, view: View) -> Entry:
        """What a view shows."""
        profile = view.profile
        return entry_of(view.client, self._named[profile.name], depends_on_client=profile.depends_on_client)

    async def _record(self, view: View, past: Past, entries: list[Entry], cut: Entry) -> list[Entry]:
        """See that `cut` is the last of the entries at the source: what they are then. Raises the source's error."""
        known, today, strand = present(entries, cut), datetime.now(UTC).date(), past.strand
        await self._keep(view, cut, anew=not entries)
        since = ended = None
        if known is None:
            since = await self._since_touched(view, entries, cut)
            ended = (await view.info())["update_seq"] if entries else None
        elif (known.since is None or strand.since_is_lost) and time.time() - known.began >= self._settled:
            since = (await view.info())["update_seq"]
        elif known.last == today.isoformat():
            return entries
        cut = replace(cut, began=time.time(), since=since, last=today.isoformat())
        oldest = (today - self._days).isoformat()
        where, anew = strand.own_id(RECORD), strand.since_is_lost
        change = partial(with_present, cut=cut, oldest=oldest, anew=anew, ended=ended)
        stored = await own.update(view, where, lambda held: written(change(read(held))))
        strand.since_is_lost = False
        return read(stored)

    async def _since_touched(self, view: View, entries: list[Entry], cut: Entry) -> object:
        """The source's sequence since when nothing else was shown, if that was before `cut` is: its documents were
        written anew for its rules, and nothing but the rules has changed.
        """
        last = entries[-1] if entries else None
        if last is None or (last.profile, last.roles, last.device) != (cut.profile, cut.roles, cut.device):
            return None
        others = [touches.named(each.profile, each.rules) for each in entries if each.is_cut != cut.is_cut]
        return await touches.since(view, touches.named(cut.profile, cut.rules), others)

    async def _keep(self, view: View, cut: Entry, *, anew: bool) -> None:
        """Store the rules of a cut, if they are not there. `anew`: also if they were a moment ago: it may be another
        database by now.
        """
        name = touches.named(cut.profile, cut.rules)
        if anew or self._stored.get((view.database.name, name), -math.inf) < monotonic() - TO_READ:
            await touches.end(view, name)
            rules = self._kept[cut.profile]
            await own.update(view, _RULES + cut.rules, lambda held: None if held else {"rules": rules})
            self._stored[view.database.name, name] = monotonic()

    async def _tell_past(self, view: View, entries: list[Entry], cut: Entry) -> None:
        """Tell the view's past of the cuts of the other entries, the newest first, as far as their rules can be had."""
        present = list(zip(view.profile.chain.links, self._kept[view.profile.name], strict=True))
        cuts: list[Cut] = []
        formers: list[Former] = []
        lost = False
        mine = next((entry for entry in entries if entry.is_cut == cut.is_cut), cut)
        first = mine.first
        for entry in reversed(entries):
            if entry.is_cut == cut.is_cut:
                continue
            rules, client = await self._rules(view, entry), entry.client(view.client.name)
            if rules is None:
                lost = True
                continue
            cuts += former_cuts(rules, client, present, view.client)
            former = _former(entry, rules, client, cut, present, view.client)
            if not former.hides:
                first = min(first, entry.first)
            if former.hides or former.dresses:
                formers.append(former)
        stint = Stint(first, mine.turn)
        view.past.is_known(cuts, formers, stint, lost_rules=lost and self._refuses)

    async def _rules(self, view: View, entry: Entry) -> list[Kept] | None:
        """An entry's rules; None if they cannot be had."""
        key = (view.database.name, entry.rules)
        if key in self._former:
            return self._former[key]
        rules, chain = self._present.get(entry.rules, (None, None))
        held = None if chain is not None else await own.read(view, _RULES + entry.rules)
        if held is not None:
            rules = held.get("rules")
            chain = self._archive.build(rules, entry.rules)
        found = None if chain is None or rules is None else list(zip(chain.links, rules, strict=True))
        if found is not None or held is not None:
            self._former[key] = found
        if found is None and key not in self._missed:
            self._missed.add(key)
            log.warning(
                "the rules by which profile %s showed documents of %s until %s cannot be had again (a filter, or a "
                "secret of one, is another by now): edits of what they showed are %s. "
                "`couch-tailor touch` gives devices everything anew",
                entry.profile,
                view.database.name,
                entry.last,
                "refused" if self._refuses else "read by those of today",
            )
        return found

    def _tell(self, view: View, error: CouchError) -> None:
        if view.database.name not in self._told:
            self._told.add(view.database.name)
            log.warning(
                "what users are shown of %s is not remembered, since the source does not let it be stored: %s",
                view.database.name,
                error,
            )


def _former(
    entry: Entry, rules: Sequence[Kept], client: Client, cut: Entry, present: Sequence[Kept], now: Client
) -> Former:
    """By what `entry` stands for, beside the present `cut`."""
    chains = [Chain([link for link, _ in kept]) for kept in (rules, present)]
    then, today = (
        audience_of(chain, [rule for _, rule in kept]) for chain, kept in zip(chains, (rules, present), strict=True)
    )
    deciding = _deciding(rules)
    same = client == now
    return Former(
        chains[0],
        client,
        Stint(entry.first, entry.turn, ended=entry.ended),
        hides=deciding != _deciding(present)
        or not (same or not any(depends_on_client(link.filter) for link, _ in rules[: len(deciding)])),
        dresses=(entry.profile, entry.roles, entry.device) != (cut.profile, cut.roles, cut.device),
        same_keys=then is not None and today is not None and then.identity == today.identity,
        same_rules=[rule for _, rule in rules] == [rule for _, rule in present],
    )


def _deciding(kept: Sequence[Kept]) -> list[str]:
    """The rules by which a chain decides whether a document is shown: those up to the last that may hide it."""
    hiding = [place for place, (link, _) in enumerate(kept) if not link.filter.passes_all]
    return [rule for _, rule in kept[: hiding[-1] + 1 if hiding else 0]]


def _ended(strand: Strand, reading: asyncio.Future[None]) -> None:
    strand.reading = None
    if not reading.cancelled():
        reading.exception()  # nobody may be left to hear of it: its clients may have hung up
