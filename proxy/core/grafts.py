"""Grafts: revisions that the proxy adds to a client's tree, never to the source.

A document that leaves a view is announced to the client as deleted. The deletion cannot carry the id of the source's
live revision: clients never fetch a revision again, so the document could not come back at that revision. It is
therefore a child of the newest revision that the client could see, with a keyed and reproducible hash:

    source   1-a ── 2-b ── 3-c (hidden) ── 4-d (visible again)
    client   1-a ── 2-b ─┬ 3-graft (deleted)
                         └ 3-c ── 4-d                 a live leaf beats the deleted graft: no conflict

Every node computes the same graft from the same secret; nothing is stored. A graft that a client pushes back is known
by its hash and never written to the source, through whatever profile it comes: a device may have changed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b


def may_be_graft(rev: str) -> bool:
    """Whether a revision looks like a departure: of a generation above 1, with a hash of 32 characters."""
    generation, _, digest = rev.partition("-")
    return len(digest) == 32 and generation.isascii() and generation.isdigit() and int(generation) > 1


class Grafts:
    """The grafts of one database. `key`: secret, per database."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key[:64], digest_size=16, person=b"departure")

    def departure(self, doc_id: str, last_seen: str) -> str:
        """The revision that deletes `doc_id` for a client whose newest visible revision was `last_seen`."""
        generation, _, digest = last_seen.partition("-")
        return f"{int(generation) + 1}-{self._after(doc_id, digest)}"

    def find_departure(self, doc_id: str, rev: str, start: int, ids: list[str]) -> list[str] | None:
        """The path (hashes, newest first) below the graft `rev`, if it grew out of the path `start`, `ids`."""
        generation, _, digest = rev.partition("-")
        index = start - (int(generation) - 1)
        return ids[index:] if 0 <= index < len(ids) and self._after(doc_id, ids[index]) == digest else None

    def in_path(self, doc_id: str, ids: Sequence[str]) -> int | None:
        """The index of the newest graft in a path (hashes, newest first), or None. A graft is known by its parent, so
        the last one is none.
        """
        of_document = self._of(doc_id)
        for index, parent in enumerate(ids[1:]):
            keyed = of_document.copy()
            keyed.update(parent.encode())
            if keyed.hexdigest() == ids[index]:
                return index
        return None

    def _after(self, doc_id: str, parent: str) -> str:
        """The hash of the departure that follows a revision of this hash."""
        keyed = self._of(doc_id)
        keyed.update(parent.encode())
        return keyed.hexdigest()

    def _of(self, doc_id: str) -> blake2b:
        """The digest of a document's departures, before the hash of what they follow."""
        keyed = self._keyed.copy()
        keyed.update(f"{len(doc_id)}:{doc_id}".encode())
        return keyed
