"""What is kept of how one user was shown a database: an entry for each cut, as JSON and back. No I/O.

Entries are in the order in which they began. Those of one *strand* follow each other: a user's roles, or the rules,
were changed. Strands are side by side: devices that say something else of themselves, or name another profile. But a
device can begin to say something else, too: one strand goes on with the edits of another that has ended by then.

Rules are named by their fingerprint; they are kept apart, once for all users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from proxy.contract import Client, Doc

MOST = 32
"""Entries of a user: of more, the oldest are forgotten."""


@dataclass(frozen=True)
class Entry:
    """One cut. `since`: the source's sequence when it began; `began`, `last`: the days of its use, as in ISO 8601."""

    profile: str
    rules: str
    roles: tuple[str, ...] = ()
    device: tuple[tuple[str, str], ...] = ()
    strand: str = ""
    since: Any = None
    began: str = ""
    last: str = ""

    @property
    def is_cut(self) -> tuple[object, ...]:
        """What tells it from other cuts."""
        return self.strand, self.profile, self.rules, self.roles, self.device

    def client(self, name: str | None) -> Client:
        """The client that was shown it."""
        return Client(name, frozenset(self.roles), self.profile, dict(self.device))

    def json(self) -> Doc:
        return {
            "profile": self.profile,
            "rules": self.rules,
            "roles": list(self.roles),
            "device": dict(self.device),
            "strand": self.strand,
            "since": self.since,
            "began": self.began,
            "last": self.last,
        }


def entry_of(client: Client, rules: str, *, depends_on_client: bool, by_header: bool) -> Entry:
    """The entry of what a client is shown now. `by_header`: the profile is the device's choice."""
    roles, device = tuple(sorted(client.roles)), tuple(sorted(client.device.items()))
    if not depends_on_client:
        roles = device = ()
    beside = [client.profile if by_header else "", *device]
    strand = "" if beside == [""] else blake2b(repr(beside).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    return Entry(client.profile, rules, roles, device, strand)


def read(doc: Doc | None) -> list[Entry]:
    """The entries in a document. What is none is left out: nothing can be done with it."""
    cuts = doc.get("cuts") if doc else None
    found = [_read_one(each) for each in cuts] if isinstance(cuts, list) else []
    return [entry for entry in found if entry is not None]


def _read_one(each: Any) -> Entry | None:
    if not isinstance(each, dict):
        return None
    try:
        roles, device = tuple(each["roles"]), tuple(sorted(each["device"].items()))
        strand, days = each["strand"], (each["began"], each["last"])
        entry = Entry(each["profile"], each["rules"], roles, device, strand, each["since"], *days)
    except (AttributeError, KeyError, TypeError):
        return None
    texts = [entry.profile, entry.rules, strand, *days, *roles, *(text for pair in device for text in pair)]
    return entry if all(isinstance(text, str) for text in texts) else None


def written(entries: Sequence[Entry]) -> Doc:
    return {"cuts": [entry.json() for entry in entries]}


def present(entries: Sequence[Entry], cut: Entry) -> Entry | None:
    """The entry that stands for `cut`, if it is the present one of its strand; None: it begins now."""
    strand = [entry for entry in entries if entry.strand == cut.strand]
    return strand[-1] if strand and strand[-1].is_cut == cut.is_cut else None


def former(entries: Sequence[Entry], mine: Entry) -> list[Entry]:
    """The entries of what a device that is shown `mine`, which is one of them, may have been shown before; the newest
    first.
    """
    others = [entry for entry in entries if entry.is_cut != mine.is_cut]
    return [entry for entry in reversed(others) if entry.strand == mine.strand or entry.last <= mine.began]


def with_present(entries: Sequence[Entry], cut: Entry, since: Any, today: str, oldest: str) -> list[Entry]:
    """The entries with `cut` as the present one of its strand, without those last given before the day `oldest`.

    `since` is that of an entry that begins now.
    """
    known = present(entries, cut)
    began = replace(cut, since=since, began=today) if known is None else known
    mine = replace(began, last=today)
    kept = [each for each in entries if each.is_cut != cut.is_cut and each.last >= oldest]
    if known is None:
        return [*kept, mine][-MOST:]
    return [mine if each is known else each for each in entries if each is known or each in kept]
