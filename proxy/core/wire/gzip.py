"""Request bodies with a content coding, inflated within a limit (a small body can inflate to a thousand
times its size).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from proxy.errors import BadRequest, TooLarge

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 256 * 1024
"""Bytes that are inflated at once: a fraction of a millisecond."""
_PIECE_OF_DATA = 64 * 1024
_MAX_MEMBERS = 16
"""Nobody compresses a request in so many."""


def inflate(data: bytes, limit: int) -> bytes:
    """The content of gzip `data`, of one or more members.

    Raises TooLarge if it has more than `limit` bytes (no more than that is ever held), BadRequest if it is
    not gzip, is cut short, something follows it, or it is in more than 16 members.
    """
    return b"".join(inflated(data, limit))


def inflated(data: bytes, limit: int) -> Iterator[bytes]:
    """As `inflate`, piece by piece, so that others can have their turn: what comes before an error is to no use."""
    at, room = 0, limit
    for _ in range(_MAX_MEMBERS):
        stream = zlib.decompressobj(_GZIP)
        while not stream.eof:
            given = data[at : at + _PIECE_OF_DATA]
            try:
                piece = stream.decompress(given, min(_PIECE, room + 1))
            except zlib.error:
                raise _not_gzipped() from None
            if not (given or piece):
                raise _not_gzipped()
            at += len(given) - len(stream.unused_data if stream.eof else stream.unconsumed_tail)
            room -= len(piece)
            if room < 0:
                raise TooLarge("the request entity is too large")
            yield piece
        if at == len(data):
            return
    raise _not_gzipped()


def _not_gzipped() -> BadRequest:
    return BadRequest("Request body is not properly gzipped.")
