"""What is kept of one strand: an entry for each cut, in the order in which they began; the last one is the present one.
As JSON and back. No I/O.

Rules are named by their fingerprint; they are kept apart, once for all users.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from proxy.contract import Client, Doc

RECORD = "cuts"
"""What `Strand.own_id` calls it."""
MOST = 32
"""Entries: of more, the oldest are forgotten."""


@dataclass(frozen=True)
class Entry:
    """One cut. `began`: seconds since 1970; `since`: the source's sequence after which nothing else was shown, None
    while that is not known; `last`: the day on which it was last given, as in ISO 8601. `turn`: cuts take turns, which
    are numbered; `first`: that in which this one was shown first. 0: not known. `ended`: the source's sequence when the
    last one ended.
    """

    profile: str
    rules: str
    roles: tuple[str, ...] = ()
    device: tuple[tuple[str, str], ...] = ()
    began: float = 0.0
    since: Any = None
    last: str = ""
    turn: int = 0
    first: int = 0
    ended: Any = None

    @property
    def is_cut(self) -> tuple[object, ...]:
        """What tells it from other cuts."""
        return self.profile, self.rules, self.roles, self.device

    def client(self, name: str | None) -> Client:
        """The client that was shown it."""
        return Client(name, frozenset(self.roles), self.profile, dict(self.device))

    def json(self) -> Doc:
        return {
            "profile": self.profile,
            "rules": self.rules,
            "roles": list(self.roles),
            "device": dict(self.device),
            "began": self.began,
            "since": self.since,
            "last": self.last,
            "turn": self.turn,
            "first": self.first,
            "ended": self.ended,
        }


def entry_of(client: Client, rules: str, *, depends_on_client: bool) -> Entry:
    """The entry of what a client is shown now."""
    if not depends_on_client:
        return Entry(client.profile, rules)
    return Entry(client.profile, rules, tuple(sorted(client.roles)), tuple(sorted(client.device.items())))


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
        entry = Entry(
            each["profile"],
            each["rules"],
            roles,
            device,
            each["began"],
            each["since"],
            each["last"],
            turn=int(each.get("turn", 0)),
            first=int(each.get("first", 0)),
            ended=each.get("ended"),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    texts = [entry.profile, entry.rules, entry.last, *roles, *(text for pair in device for text in pair)]
    return entry if all(isinstance(text, str) for text in texts) and isinstance(entry.began, int | float) else None


def written(entries: Sequence[Entry]) -> Doc:
    return {"cuts": [entry.json() for entry in entries]}


def present(entries: Sequence[Entry], cut: Entry) -> Entry | None:
    """The entry that stands for `cut`, if it is the present one; None: it begins now."""
    return entries[-1] if entries and entries[-1].is_cut == cut.is_cut else None


def with_present(
    entries: Sequence[Entry], cut: Entry, oldest: str, *, anew: bool = False, ended: Any = None
) -> list[Entry]:
    """The entries with `cut` as the present one, without those last given before the day `oldest`.

    `cut` tells when it began, and since what nothing else was shown, if it is not the present one already; else what
    has become known of that meanwhile. `anew`: the sequence that is known is of no use any more. `ended`: the source's
    sequence, at which the one before ends.
    """
    known = present(entries, cut)
    if known is not None:
        since = cut.since if anew or known.since is None else known.since
        cut = replace(cut, began=known.began, since=since, turn=known.turn, first=known.first)
    else:
        entries = [*entries[:-1], *(replace(each, ended=ended) for each in entries[-1:])]
        turn = 1 + max([each.turn for each in entries], default=0)
        first = next((each.first for each in entries if each.is_cut == cut.is_cut), turn)
        cut = replace(cut, turn=turn, first=first)
    return [*(each for each in entries if each.is_cut != cut.is_cut and each.last >= oldest), cut][-MOST:]
