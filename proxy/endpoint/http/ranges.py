"""The Range header, as CouchDB reads it."""

from __future__ import annotations

from proxy.errors import RangeNotSatisfiable

_MOST = 9


def parse_ranges(header: str | None, length: int) -> list[tuple[int, int]] | None:
    """Half-open byte ranges; None if the whole is to be sent: no header, another unit, more than nine ranges.

    An end beyond `length` is cut. Raises RangeNotSatisfiable for a range that begins beyond it or is malformed.
    """
    if header is None or not header.startswith("bytes="):
        return None
    ranges = [_range(text.strip(), length) for text in header[6:].split(",")]
    return ranges if len(ranges) <= _MOST else None


def _range(text: str, length: int) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not dash or not (_number(first) and _number(last)) or first == last == "":
        raise _unsatisfiable()
    if first == "":
        start, end = max(length - int(last), 0), length
    else:
        start, end = int(first), min(int(last) + 1, length) if last else length
    if start >= end:
        raise _unsatisfiable()
    return start, end


def _number(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdigit() and len(text) <= 18)


def _unsatisfiable() -> RangeNotSatisfiable:
    return RangeNotSatisfiable("Requested range not satisfiable")
