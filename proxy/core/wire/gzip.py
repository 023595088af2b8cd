"""Request bodies with a content coding, inflated within a limit (a small body can inflate to a thousand
times its size).
"""

from __future__ import annotations

import zlib

from proxy.errors import BadContentType, BadRequest, TooLarge

_GZIP = 16 + zlib.MAX_WBITS
_MAX_MEMBERS = 16
"""Each costs a copy of what follows it, and nobody compresses a request in pieces."""


def inflate(data: bytes, limit: int) -> bytes:
    """The content of gzip `data`, of one or more members.

    Raises TooLarge if it has more than `limit` bytes (no more than that is ever held), BadRequest if it is
    not gzip, is cut short, something follows it, or it is in more than 16 members.
    """
    parts: list[bytes] = []
    room = limit
    for _ in range(_MAX_MEMBERS):
        stream = zlib.decompressobj(_GZIP)
        try:
            part = stream.decompress(data, room + 1)
        except zlib.error:
            raise _not_gzipped() from None
        room -= len(part)
        if room < 0:
            raise TooLarge("the request entity is too large")
        if not stream.eof:
            raise _not_gzipped()
        parts.append(part)
        data = stream.unused_data
        if not data:
            return b"".join(parts)
    raise _not_gzipped()


def decode_body(data: bytes, coding: str | None, limit: int) -> bytes:
    """A JSON request body without its Content-Encoding, as CouchDB undoes it: `gzip` exactly, or none.

    Raises BadContentType for any other coding, TooLarge beyond `limit` bytes, BadRequest for what is not
    gzip.
    """
    if coding == "gzip":
        return inflate(data, limit)
    if coding not in (None, "identity"):
        raise BadContentType(f"{coding} is not a supported content encoding.")
    if len(data) > limit:
        raise TooLarge("the request entity is too large")
    return data


def _not_gzipped() -> BadRequest:
    return BadRequest("Request body is not properly gzipped.")
