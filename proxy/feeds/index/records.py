"""What an index holds of a document, and how leaves and keys are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A document at its position. `leaves`: as `join_leaves` makes them; `seq`: the source's, there, as JSON."""

    at: int
    doc_id: str
    leaves: str
    seq: bytes


class Trace(NamedTuple):
    """What is kept of a revision: JSON of what decides whom it is shown to. `ancestors`: those above it, nearest first,
    as far as they are known.
    """

    rev: str
    text: bytes
    ancestors: Sequence[str] = ()


class Entry(NamedTuple):
    """What is to be stored of a document. `seq`: of its row at the source; `earlier`: keys of its ancestors; `traces`:
    of its leaves, and of those ancestors.
    """

    doc_id: str
    leaves: str
    seq: Any
    keys: frozenset[int]
    earlier: frozenset[int] = frozenset()
    traces: Sequence[Trace] = ()


class Known(NamedTuple):
    """What an index knows of a document already."""

    leaves: str
    keys: frozenset[int]


def join_leaves(leaves: Iterable[tuple[str, bool]]) -> str:
    """Leaves, winner first, as text: (revision, deleted) pairs become `3-abc 2-def!`."""
    return " ".join(f"{rev}!" if deleted else rev for rev, deleted in leaves)


def split_leaves(text: str) -> list[tuple[str, bool]]:
    """The opposite of `join_leaves`."""
    return [(leaf[:-1], True) if leaf.endswith("!") else (leaf, False) for leaf in text.split(" ")]


def has_leaf(text: str, rev: str) -> bool:
    """Whether a revision is among leaves as `join_leaves` makes them."""
    return text == rev or any(leaf == rev for leaf, _ in split_leaves(text))


def generation_of(rev: str) -> int:
    """The generation of a revision; 0 for what is none."""
    number = rev.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else 0


def key_number(key: str) -> int:
    """A key as it is stored: 64 bits of a digest. Two that are alike only cost a look at a document more."""
    return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big", signed=True)


def incarnation_digest(incarnation: str) -> bytes:
    """The part of an index's id by which its nodes know each other's tokens to be of the same database."""
    return blake2b(incarnation.encode(), digest_size=4).digest()
