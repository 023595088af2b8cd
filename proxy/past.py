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

TO_WRITE, TO_READ = 10.0, 3600.0
"""Seconds for which it is relied on. Other nodes may have shown the user something else meanwhile, which matters to
what is written; of what is read it need only be known that it is recorded."""


class Strand:
    """One strand, as this process knows it. `name`: what tells it from others, the user's name among it."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self.reading: asyncio.Future[None] | None = None
        """Under way, where the record at the source is being read."""
        self.version: object = None
        """Another one whenever it was read, or something else is shown: by one view at a time."""
        self.read_at = 0.0

    def own_id(self, purpose: str, *of: str) -> str:
        """The id of a local document of the proxy's own: no client's begins so (`View.local_prefix`)."""
        text = "\0".join([purpose, self._name, *of])
        return f"_local/tailor-{purpose}-{blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


class Past:
    """What is known for one view: what else its devices may have."""

    def __init__(self, strand: Strand | None = None) -> None:
        self.strand = Strand() if strand is None else strand
        self._version: object = None
        self.cuts: Sequence[Cut] = ()
        """Those other than the present one by which the strand was shown documents, the newest first."""
        self.is_cut: tuple[object, ...] = ()
        """What the present one is called in the record."""

    def is_fresh(self, seconds: float) -> bool:
        """Whether it is known from no longer ago, and nothing else was shown here since."""
        strand = self.strand
        return self._version is not None and self._version is strand.version and monotonic() - strand.read_at < seconds

    def is_known(self, cuts: Sequence[Cut], is_cut: tuple[object, ...]) -> None:
        """What was found at the source; from now on it is this view's cut that the strand is shown."""
        self.cuts, self.is_cut = cuts, is_cut
        self._version = self.strand.version = object()
        self.strand.read_at = monotonic()
