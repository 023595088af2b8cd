"""Grafts: revisions that the proxy adds to a client's tree, never to the source.

A document that leaves a view is announced to the client as deleted. The deletion cannot carry the id of the source's
live revision: clients never fetch a revision again, so the document could not come back at that revision. It is
therefore a child of the newest revision that the client has, with a keyed and reproducible hash, a *departure*:

    source   1-a ── 2-b ── 3-c (hidden) ── 4-d (visible again)
    client   1-a ── 2-b ─┬ 3-departure (deleted)
                         └ 3-c ── 4-d                 a live leaf beats the deleted graft: no conflict

Where rules or roles have taken away a document that did not change, what departs is the source's own leaf. If they
give it back, the client already has that revision, with a deletion behind it: only another live revision brings the
document back, a *return*. It is a sibling of whatever the source puts there next, with a hash that is less than any
other, so it never beats that. For each time that the same revision returns there is one; what must not go on as a
second live leaf (it would win again over a deletion) ends with its *closing*:

    source   1-a ── 2-b ──────────────────── 3-c
    client   1-a ── 2-b ─┬ 3-departure
                         ├ 3-return 1 ── 4-closing 1
                         └ 3-c

Every node computes the same grafts from the same secret. A graft that a client pushes back is never written to the
source, through whatever profile it comes: a device may have changed it. By then the secret may have changed as well,
so it is known by its form; only what is to be read must have been made with the key. An edit of a return goes to the
source with its path as it is: there the return is an ancestor without a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

MOST_RETURNS = 0xFFF
"""How often the same revision returns."""

_LEAST = "00000000"
"""What the hashes of grafts begin with. Then come as many digits of the hash of the revision that they grew out of (so
that returns are in its order; see `_digits`), what it is, and the number of the return. The rest is keyed.
"""
_RETURN, _CLOSING, _DEPARTURE = "a", "b", "c"
_KIND = 2 * len(_LEAST)
_NUMBER = slice(_KIND + 1, _KIND + 4)


def may_be_graft(rev: str) -> bool:
    """Whether a revision looks like a graft, of any database."""
    generation, _, digest = rev.partition("-")
    return _mark(digest) is not None and generation.isascii() and generation.isdigit() and int(generation) > 1


def may_be_return(rev: str) -> bool:
    """Whether a revision looks like a return."""
    mark = _mark(rev.partition("-")[2])
    return mark is not None and mark[0] == _RETURN


class Graft(NamedTuple):
    """A graft, recognised. `held`: the source's revision that it grew out of; `path`: hashes from its parent on, newest
    first.
    """

    held: str
    path: list[str]
    returns: bool = False
    """Whether it shows that revision again; otherwise it is a deletion."""
    closes: bool = False
    """Whether it is the deletion of one that does."""


class Grafts:
    """The grafts of one database. `key`: secret, per database."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key[:64], digest_size=16, person=b"return")

    def departure(self, doc_id: str, last_seen: str) -> str:
        """The revision that deletes `doc_id` for a client whose newest visible revision was `last_seen`."""
        generation, _, digest = last_seen.partition("-")
        return f"{int(generation) + 1}-{self._marked(_DEPARTURE, doc_id, digest, 0)}"

    def returned(self, doc_id: str, rev: str, number: int) -> str:
        """The revision that shows `rev` of `doc_id` again, for the time of this number, from 1 on."""
        generation, _, digest = rev.partition("-")
        return f"{int(generation) + 1}-{self._marked(_RETURN, doc_id, digest, number)}"

    def closing(self, doc_id: str, rev: str, number: int) -> str:
        """The revision that deletes what `returned` gives."""
        generation, _, digest = rev.partition("-")
        return f"{int(generation) + 2}-{self._marked(_CLOSING, doc_id, digest, number)}"

    def find(self, doc_id: str, rev: str, start: int, ids: list[str]) -> Graft | None:
        """The graft `rev`, if it grew out of the path `start`, `ids` (hashes, newest first)."""
        generation, _, digest = rev.partition("-")
        marked = _mark(digest)
        if marked is None:
            return None
        kind, number = marked
        below = int(generation) - (2 if kind == _CLOSING else 1)
        index = start - below
        if not 0 <= index < len(ids):
            return None
        parent, path = ids[index], ids[index:]
        if digest != self._marked(kind, doc_id, parent, number):
            return None
        held = f"{below}-{parent}"
        if kind == _CLOSING:
            return Graft(held, [self._marked(_RETURN, doc_id, parent, number), *path], closes=True)
        return Graft(held, path, returns=kind == _RETURN)

    def _marked(self, kind: str, doc_id: str, parent: str, number: int) -> str:
        keyed = self._keyed.copy()
        keyed.update(f"{len(doc_id)}:{doc_id}{kind}{number}:{parent}".encode())
        head = f"{_LEAST}{_digits(parent)}{kind}{number:03x}"
        return head + keyed.hexdigest()[len(head) :]


def graft_in(ids: Sequence[str]) -> int | None:
    """The index of the newest deletion that is a graft in a path (hashes, newest first), or 0 if the first one is a
    return; None: there is none. A graft is known together with what it grew out of, so the last one is none.
    """
    for index, digest in enumerate(ids):
        if digest.startswith(_LEAST) and _is_marked(ids, index):
            return index
    return None


def _is_marked(ids: Sequence[str], index: int) -> bool:
    """Whether there is a departure or closing in a path, or, as the first, a return."""
    marked = _mark(ids[index])
    if marked is None:
        return False
    parent = index + (2 if marked[0] == _CLOSING else 1)
    is_one = parent < len(ids) and ids[index][len(_LEAST) : _KIND] == _digits(ids[parent])
    return is_one and (marked[0] != _RETURN or index == 0)


def _digits(parent: str) -> str:
    """Those that a graft has of the hash that it grew out of: the first, or of one that is plain text the hash's own.

    The source may have such (`1-x`); of 32 characters a hash has to be hexadecimal.
    """
    if len(parent) == 32:
        return parent[: len(_LEAST)]
    return blake2b(parent.encode(), digest_size=len(_LEAST) // 2).hexdigest()


def _mark(digest: str) -> tuple[str, int] | None:
    """Of a hash that may be that of a graft: what it is, and the number of the return."""
    if not digest.startswith(_LEAST) or len(digest) != 32:
        return None
    kind, number = digest[_KIND], digest[_NUMBER]
    if kind not in (_RETURN, _CLOSING, _DEPARTURE) or not set(number) <= set("0123456789abcdef"):
        return None
    return kind, int(number, 16)
