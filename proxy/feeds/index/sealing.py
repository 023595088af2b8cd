"""How documents, keys and sequences are stored, with checksums: SQLite does not notice what the disk changes."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from zlib import crc32

from proxy.core import jsonio
from proxy.feeds.index.damage import Damaged

SINCE = -1
"""In the place of a position, for the sequence up to which all is in the index."""


def checksum_of(at: int, doc_id: str, leaves: str, keys: bytes, lost: bytes) -> int:
    return crc32(lost, crc32(keys, crc32(f"{at} {leaves} {doc_id}".encode())))


def whole(at: Any, doc_id: Any, leaves: Any, keys: Any, lost: Any, checksum: Any) -> tuple[int, str, str, bytes, bytes]:
    """What was stored of a document. Raises Damaged if it is not that any more."""
    if type(keys) is not bytes or type(lost) is not bytes or checksum_of(at, doc_id, leaves, keys, lost) != checksum:
        raise Damaged("a document is not as it was written")
    return at, doc_id, leaves, keys, lost


def seal(at: int, seq: bytes) -> bytes:
    """A sequence as it is stored, with a checksum."""
    return crc32(seq, at & 0xFFFFFFFF).to_bytes(4, "big") + seq


def whole_seq(at: int, sealed: Any) -> bytes:
    """The sequence that was stored. Raises Damaged."""
    if type(sealed) is not bytes or seal(at, sealed[4:]) != sealed:
        raise Damaged("a sequence is not as it was written")
    return sealed[4:]


def unseal(at: int, sealed: Any) -> Any:
    return jsonio.loads(whole_seq(at, sealed))


def seal_trace(rev: str, trace: bytes) -> bytes:
    """What is left of a revision, as it is stored."""
    return seal(crc32(rev.encode("utf-8", "surrogatepass")), trace)


def whole_trace(rev: Any, sealed: Any) -> bytes:
    """What was stored of a revision. Raises Damaged."""
    if type(rev) is not str or type(sealed) is not bytes or seal_trace(rev, sealed[4:]) != sealed:
        raise Damaged("what is left of a revision is not as it was written")
    return sealed[4:]


def pack_keys(keys: frozenset[int]) -> bytes:
    return _pack_few(keys) if len(keys) <= _FEW else _pack(keys)


def _pack(keys: frozenset[int]) -> bytes:
    return array("q", sorted(keys)).tobytes()


_FEW = 32
_pack_few = lru_cache(maxsize=10_000)(_pack)
"""Most documents share their keys with others; long lists of keys would take much memory."""


def unpack_keys(packed: bytes) -> array[int]:
    return array("q", packed)


def pack_pairs(lost: dict[int, int]) -> bytes:
    return array("q", [number for pair in lost.items() for number in pair]).tobytes()


def unpack_pairs(packed: bytes) -> Iterator[tuple[int, int]]:
    flat = iter(array("q", packed))
    return zip(flat, flat, strict=True)
