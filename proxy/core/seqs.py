"""Whether one update sequence of a source includes another: all changes up to the one come before the other.

Sequences are opaque, and those of a cluster are not in one order: each reading of a feed interleaves the shards in its
own way. What can be compared, nevertheless, is

  - the same text, and integers (CouchDB 1.x, PouchDB Server) or `N-tag` with the same tag (the embedded endpoint);
  - CouchDB's own since 2.0: `N-` and base64 of a packed Erlang term, a list of `{node, [from, to], {seq, uuid, node}}`
    for the shards. One includes another if it is as far or further in each shard, where both speak of the same copy.

Whatever else there may be includes nothing but itself: whoever asks must then do without (`includes` is False).
"""

from __future__ import annotations

import re
import zlib
from base64 import urlsafe_b64decode
from binascii import Error
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from zlib import crc32

from proxy.core import jsonio

_SEQ = re.compile(r"([0-9]{1,30})(?:-([A-Za-z0-9_-]*))?\Z")
_MOST = 64 * 1024
"""Bytes of an unpacked sequence: a cluster of 64 shards needs 6 KiB."""

Shards = Mapping[Any, tuple[Any, int]]
"""Of each shard, by its range, the copy that was read (the file's uuid and node), and how far."""


def as_text(seq: Any) -> str:
    """A sequence as the parameter `since` of a request: a source may give integers, or arrays (BigCouch)."""
    return seq if isinstance(seq, str) else jsonio.dumps(seq).decode()


def includes(seq: Any, earlier: Any) -> bool:
    """Whether all changes up to `earlier` are known to be among those up to `seq`. False where nobody can say."""
    if earlier in (0, "0") or seq == earlier:
        return True
    mine, others = shards(seq), shards(earlier)
    if mine is None or others is None or mine.keys() != others.keys():
        return False
    return all(
        last == 0 or (mine[shard][0] == copy and mine[shard][1] >= last) for shard, (copy, last) in others.items()
    )


def includes_change(seq: Any, at: Any, doc_id: str, *, partitioned: bool = False) -> bool | None:
    """Whether the change of a document that a feed has `at` a sequence is among those up to `seq`; None: nobody knows.

    That of its own shard decides, which its id tells (CouchDB's mem3: crc32, of the partition where there are any).
    """
    mine, others = shards(seq), shards(at)
    if seq == at or mine is None or others is None or mine.keys() != others.keys():
        return True if seq == at else None
    hashed = crc32((doc_id.partition(":")[0] if partitioned else doc_id).encode("utf-8", "surrogatepass"))
    for shard, (copy, last) in others.items():
        if shard == "" or shard[0] <= hashed <= shard[1]:
            its, mine_last = mine[shard]
            return mine_last >= last if its == copy else (None if mine_last else False)
    return None


def fell_back(seq: Any, earlier: Any) -> bool:
    """Whether a copy of a shard is known to be less far at `seq` than it was at `earlier`, as when older files took the
    place of its own. Other copies are no measure: they can lag.
    """
    mine, others = shards(seq), shards(earlier)
    if mine is None or others is None:
        return False
    return any(
        shard in mine and mine[shard][0] == copy and mine[shard][1] < last for shard, (copy, last) in others.items()
    )


def is_total(seq: Any) -> bool:
    """Whether all sequences that can be compared with this one are in one order: there is one shard."""
    found = shards(seq)
    return found is not None and len(found) == 1


def number(seq: Any) -> int:
    """The integer at the front of a sequence, 0 if it has none."""
    match = _SEQ.match(str(seq))
    return int(match[1]) if match else 0


def shards(seq: Any) -> Shards | None:
    """What a sequence says of each shard; None if it cannot be read."""
    if type(seq) is int:
        return {"": ("", seq)}
    return _read(seq) if isinstance(seq, str) else None


@lru_cache(maxsize=256)
def _read(seq: str) -> Shards | None:
    match = _SEQ.match(seq)
    if match is None:
        return None
    digits, packed = match.groups()
    if not packed:
        return {"": ("", int(digits))}
    try:
        return _shards(_unpack(packed))
    except (ValueError, IndexError, KeyError, TypeError, zlib.error, Error):
        return {"": (packed, int(digits))}  # a tag of the database, as the embedded endpoint has it


def _unpack(packed: str) -> Any:
    data = urlsafe_b64decode(packed + "=" * (-len(packed) % 4))
    if data[:1] != b"\x83":
        raise ValueError("no external term")
    if data[1:2] == b"P":
        inflater = zlib.decompressobj()
        term = inflater.decompress(data[6:], _MOST)
        if inflater.unconsumed_tail or len(term) != int.from_bytes(data[2:6], "big"):
            raise ValueError("not as long as it says")
    else:
        term = data[1:]
    return _Terms(term).whole()


def _shards(entries: Any) -> Shards:
    found: dict[Any, tuple[Any, int]] = {}
    for node, (start, end), last in entries:
        seq, copy = (last, node) if isinstance(last, int) else (last[0], tuple(last[1:]))
        if not isinstance(seq, int):
            raise ValueError("no sequence of a shard")
        found[start, end] = (copy, seq)
    if not found:
        raise ValueError("no shards")
    return found


class _Terms:
    """Erlang's external term format, as far as sequences need it: integers, atoms, binaries, tuples and lists."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def whole(self) -> Any:
        term = self._term()
        if self._at != len(self._data):
            raise ValueError("more than one term")
        return term

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise ValueError("cut off")
        self._at += count
        return taken

    def _size(self, count: int) -> int:
        return int.from_bytes(self._take(count), "big")

    def _term(self) -> Any:
        tag = self._size(1)
        if tag == 97:
            return self._size(1)
        if tag == 98:
            return int.from_bytes(self._take(4), "big", signed=True)
        if tag == 110:
            size, sign = self._size(1), self._size(1)
            magnitude = int.from_bytes(self._take(size), "little")
            return -magnitude if sign else magnitude
        if tag in _TEXTS:
            return self._take(self._size(_TEXTS[tag]))
        if tag == 104:
            return tuple(self._term() for _ in range(self._size(1)))
        if tag == 106:
            return ()
        if tag == 108:
            items = tuple(self._term() for _ in range(self._size(4)))
            if self._size(1) != 106:
                raise ValueError("an improper list")
            return items
        raise ValueError(f"a term of type {tag}")


_TEXTS = {100: 2, 118: 2, 119: 1, 107: 2, 109: 4}
"""Atoms, strings (lists of small integers, as in `[0, 255]`) and binaries: the bytes of their length."""
