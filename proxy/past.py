"""What is remembered of how a user's devices were shown the documents of a database. `cuts.memory` fills it in.

A *strand* is what one device can be part of: a user under one name of a database, with a profile that the device has
chosen and what it says of itself. What a device is shown can change within its strand only: with the rules, or with
the user's roles.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from time import monotonic
from typing import Any, NamedTuple

from proxy.contract import Client, Doc
from proxy.core.cut import Cut
from proxy.core.lens import Chain, Withheld

TO_WRITE, TO_READ = 10.0, 600.0
"""Seconds for which it is relied on. Other nodes may have shown the user something else meanwhile, which matters to
what is written; of what is read it need only be known that it is recorded. So what is shown may not be the last cut in
the record, or the database another one that has no record, for no longer than TO_READ."""


class Stint(NamedTuple):
    """Of a cut: the turn in which it was first shown, and the last one (see `cuts.record`). Of the present cut `first`
    is that of those that show the same documents, too. Of a former one `ended`: the source's sequence when it was shown
    last, None if that is not known.
    """

    first: int = 0
    last: int = 0
    ended: Any = None


def comes_after(these: Iterable[Stint], those: Iterable[Stint]) -> bool:
    """Whether one of these cuts was the present one after one of those had begun. True where that is not known."""
    first = min([each.first for each in those], default=math.inf)
    return any(each.last >= first for each in these)


class Former(NamedTuple):
    """By what a strand was shown documents of the source before. `hides`: whether these were other documents than by
    the present cut; `dresses`: whether they may have looked otherwise, since the user had other roles. `same_keys`:
    whether documents have the keys that they have by the present rules; `same_rules`: whether these are the rules.
    """

    chain: Chain
    client: Client
    stint: Stint
    hides: bool
    dresses: bool
    same_keys: bool
    same_rules: bool

    def look(self, body: Doc) -> Doc | None:
        """What was shown of a document of the source, without protocol members; None: nothing."""
        try:
            return self.chain.show(body, self.client)
        except Withheld:
            return None


class Return(NamedTuple):
    """A revision that the user was shown again, for the time of this `number`; in which turn, of a strand of a kind."""

    number: int
    turn: int
    kind: str = ""


class Returns:
    """The returns that were shown in a strand, and in those of other kinds, as far as this process has read the record:
    the last one of each revision, by document id. `read`: entries of the record.
    """

    def __init__(self) -> None:
        self.of: dict[str, dict[str, Return]] = {}
        self.read = 0
        self.lock = asyncio.Lock()


class Strand:
    """One strand, as this process knows it. `place`, `kind` and `user`: what tells it from others, of which `kind` is
    by what devices say of themselves, and can change; `key`: secret, of all nodes: what others show in front of the
    same source has nothing to do with it.
    """

    def __init__(self, place: str = "", kind: str = "", user: str = "", key: bytes = b"") -> None:
        self.kind = kind
        self._name = f"{place}\0{kind}\0{user}"
        self._of_all_kinds = f"{place}\0{user}"
        self._key = key
        self.reading: asyncio.Future[None] | None = None
        """Under way, where the record at the source is being read."""
        self.showing: IsCut | None = None
        """The cut that it was shown last, as far as this process knows; None: it knows nothing."""
        self.cuts: Sequence[Cut] = ()
        """Those other than that one."""
        self.lost_rules = False
        """Whether there are others whose rules cannot be had."""
        self.formers: Sequence[Former] = ()
        """By what it was shown documents otherwise."""
        self.stint = Stint()
        """Of the present one."""
        self.returns = Returns()
        self.read_at = 0.0
        self.since_is_lost = False
        """Whether the source cannot tell what came after the sequence that is recorded: it needs another one."""

    def own_id(self, purpose: str, *of: str, all_kinds: bool = False) -> str:
        """The id of a local document of the proxy's own: no client's begins so (`View.local_prefix`). `all_kinds`: the
        same for strands of all kinds.
        """
        text = "\0".join([purpose, self._of_all_kinds if all_kinds else self._name, *of])
        digest = blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16)
        return f"_local/tailor-{purpose}-{digest.hexdigest()}"


IsCut = tuple[object, ...]
"""What a cut is called in the record."""


class Past:
    """What is known for one view: what else its devices may have."""

    def __init__(self, strand: Strand | None = None) -> None:
        self.strand = Strand() if strand is None else strand
        self.is_cut: IsCut | None = None
        """What the view shows; None: nobody has asked yet."""
        self._cuts: Sequence[Cut] = ()
        self._lost_rules = False
        self._formers: Sequence[Former] = ()
        self._stint = Stint()
        self._known_at = monotonic()

    @property
    def cuts(self) -> Sequence[Cut]:
        """Those other than the present one by which the strand was shown documents, the newest first."""
        return self.strand.cuts if self.strand.showing == self.is_cut else self._cuts

    @property
    def lost_rules(self) -> bool:
        """Whether it was also shown documents by rules that cannot be had again."""
        return self.strand.lost_rules if self.strand.showing == self.is_cut else self._lost_rules

    @property
    def formers(self) -> Sequence[Former]:
        """By what the strand was shown documents otherwise, the newest first, as far as it can be had."""
        return self.strand.formers if self.strand.showing == self.is_cut else self._formers

    @property
    def epoch(self) -> int:
        """That of the view's tokens, where the strand was shown documents otherwise before; 0: the first one."""
        return self.stint.last if self.formers and self.stint.last > 1 else 0

    @property
    def dresses(self) -> bool:
        """Whether there can be documents that looked otherwise, since the user had other roles."""
        return any(former.dresses for former in self.formers)

    @property
    def may_return(self) -> bool:
        """Whether there can be documents that were shown, then hidden, and are shown again."""
        formers = [former for former in self.formers if former.hides]
        return any(
            comes_after([each.stint], [self.stint, *(other.stint for other in formers if other is not each)])
            for each in formers
            if not each.chain.passes_all
        )

    @property
    def stint(self) -> Stint:
        """Of the cut that the view shows."""
        return self.strand.stint if self.strand.showing == self.is_cut else self._stint

    @property
    def is_clear(self) -> bool:
        """Whether nothing but the present cut was shown."""
        return not self.cuts and not self.lost_rules

    @property
    def age(self) -> float:
        """Seconds since it was found at the source that what the view shows is recorded."""
        return monotonic() - self._known_at

    def is_fresh(self, seconds: float) -> bool:
        """Whether it is known from no longer ago, and nothing else was shown here since."""
        strand = self.strand
        return self.is_cut is not None and strand.showing == self.is_cut and monotonic() - strand.read_at < seconds

    def hold(self) -> None:
        """Go by what is known of the view now, whatever other devices of the strand are shown next."""
        strand = self.strand
        if strand.showing == self.is_cut:
            self._cuts, self._lost_rules = strand.cuts, strand.lost_rules
            self._formers, self._stint = strand.formers, strand.stint

    def is_known(self, cuts: Sequence[Cut], formers: Sequence[Former], stint: Stint, *, lost_rules: bool) -> None:
        """What was found at the source; from now on it is this view's cut that the strand is shown."""
        strand = self.strand
        strand.cuts, strand.lost_rules = cuts, lost_rules
        strand.formers, strand.stint = formers, stint
        strand.showing, strand.read_at = self.is_cut, monotonic()
        self._known_at = strand.read_at
        self.hold()
