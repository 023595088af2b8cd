"""What is remembered of how a user was shown the documents of a database. `cuts.memory` fills it in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import blake2b
from time import monotonic
from typing import Any

from proxy.core.cut import Cut

TO_WRITE, TO_READ = 60.0, 3600.0
"""Seconds for which it is relied on. Other nodes may have shown the user something else meanwhile, which matters to
what is written; of what is read it need only be known that it is recorded."""


class Past:
    """The former cuts of one user in a view. `key`: secret, per user and name of the database."""

    def __init__(self, key: bytes = b"") -> None:
        self._key = key
        self._read_at: float | None = None
        self.reading: asyncio.Future[None] | None = None
        """Under way, where it is being read."""
        self.cuts: Sequence[Cut] = ()
        """Those other than the present one by which the user may have been shown documents, the newest first."""
        self.since: Any = None
        """The source's sequence when the present one began; None: unknown."""

    def is_fresh(self, seconds: float) -> bool:
        """Whether it is known, from no longer ago."""
        return self._read_at is not None and monotonic() - self._read_at < seconds

    def is_known(self, cuts: Sequence[Cut], since: Any) -> None:
        """What was found at the source."""
        self.cuts, self.since, self._read_at = cuts, since, monotonic()

    def own_id(self, purpose: str, of: str = "") -> str:
        """The id of a local document of the proxy's own: no client's begins so (`View.local_prefix`)."""
        digest = blake2b(f"{purpose}\0{of}".encode("utf-8", "surrogatepass"), key=self._key, digest_size=12)
        return f"_local/tailor-{purpose}-{digest.hexdigest()}"
