"""The Range header, as CouchDB reads it."""

from __future__ import annotations

import re

from proxy.errors import RangeNotSatisfiable

_MOST = 9
_RANGE = re.compile("[0-9]{1,1000}-[0-9]{0,1000}|-[0-9]{1,1000}")


def parse_ranges(header: str | None, length: int) -> list[tuple[int, int]] | None:
    """Half-open byte ranges; None if the whole is to be sent: for no header, another unit, what is malformed, none or
    more than nine ranges, and one from 0 on.

    An end beyond `length` is cut, and so is a number of last bytes. Raises RangeNotSatisfiable for a range that begins
    beyond it, or after its own end.
    """
    if header is None or not header.startswith("bytes="):
        return None
    texts = [text for piece in header[6:].split(",") if (text := piece.strip())]
    if not all(map(_RANGE.fullmatch, texts)):
        return None
    ranges = []
    for text in texts:
        first, _, last = text.partition("-")
        if first and not last and int(first) == 0:
            return None
        ranges.append(_range(first, last, length))
    return ranges if 0 < len(ranges) <= _MOST else None


def _range(first: str, last: str, length: int) -> tuple[int, int]:
    if first == "":
        start, end = max(length - int(last), 0), length
    else:
        start, end = int(first), min(int(last) + 1, length) if last else length
    if start >= end:
        raise RangeNotSatisfiable("Requested range not satisfiable")
    return start, end
