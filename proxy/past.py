"""What is remembered of how a user's devices were shown the documents of a database. `cuts.memory` fills it in.

A *strand* is what one device can be part of: a user under one name of a database, with a profile that the device has
chosen and what it says of itself. What a device is shown can change within its strand only: with the rules, or with
the user's roles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from time import monotonic

from proxy.core.cut import Cut

TO_WRITE, TO_READ = 10.0, 600.0
"""Seconds for which it is relied on. Other nodes may have shown the user something else meanwhile, which matters to
what is written; of what is read it need only be known that it is recorded. So what is shown may not be the last cut in
the record, or the database another one that has no record, for no longer than TO_READ."""


class Strand:
    """One strand, as this process knows it. `name`: what tells it from others, the user's name among it; `key`: secret,
    of all nodes: what others show in front of the same source has nothing to do with it.
    """

    def __init__(self, name: str = "", key: bytes = b"") -> None:
        self._name = name
        self._key = key
        self.reading: asyncio.Future[None] | None = None
        """Under way, where the record at the source is being read."""
        self.showing: IsCut | None = None
        """The cut that it was shown last, as far as this process knows; None: it knows nothing."""
        self.cuts: Sequence[Cut] = ()
        """Those other than that one."""
        self.lost_rules = False
        """Whether there are others whose rules cannot be had."""
        self.read_at = 0.0
        self.since_is_lost = False
        """Whether the source cannot tell what came after the sequence that is recorded: it needs another one."""

    def own_id(self, purpose: str, *of: str) -> str:
        """The id of a local document of the proxy's own: no client's begins so (`View.local_prefix`)."""
        text = "\0".join([purpose, self._name, *of])
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

    def is_known(self, cuts: Sequence[Cut], *, lost_rules: bool) -> None:
        """What was found at the source; from now on it is this view's cut that the strand is shown."""
        strand = self.strand
        self._cuts = strand.cuts = cuts
        self._lost_rules = strand.lost_rules = lost_rules
        strand.showing, strand.read_at = self.is_cut, monotonic()
        self._known_at = strand.read_at
