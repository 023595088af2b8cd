"""JSON in and out, without changing a number on the way.

orjson is the codec. It turns integers outside 64 bits into floats, though, and CouchDB keeps them: text that could
hold one (19 digits where a number can stand) goes through the standard library instead. NaN, Infinity and lone
surrogates are refused in both directions, as CouchDB does; of duplicate keys the last wins.
"""

from __future__ import annotations

import json
import sys
from math import isinf
from typing import Any

import orjson

_RUN = b"0" * 19
_DIGITS = bytes(0x30 if 0x30 <= char <= 0x39 else 0x20 for char in range(256))
_BEFORE_NUMBER = b":,["
_WHITE = b" \t\r\n"

# orjson reads 1024 levels. What was read must also be judged, compared and written, which takes a few calls for each.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 5 * 1024))

_ROOM = 16
_ROOMY = 1024 - _ROOM
_SHORT = 16 * 1024

JSONDecodeError = orjson.JSONDecodeError
"""Raised by `loads`; a ValueError."""


def loads(data: bytes | bytearray | memoryview) -> Any:
    """The value of UTF-8 JSON text. Raises JSONDecodeError (a ValueError) if it is not JSON as CouchDB accepts it."""
    try:
        value = orjson.loads(data)
    except JSONDecodeError as error:
        if not any(word in str(error) for word in ("limit", "infinity")):
            raise
        return _beyond(bytes(data), error)
    return _with_long_integers(value, data)


def _beyond(data: bytes, given_up: JSONDecodeError) -> Any:
    """What is nested more deeply than orjson reads, or has an integer that is larger than any float, as a source's
    document may: one must not stop all others.
    """
    try:
        value = json.loads(data.decode(), parse_constant=_refuse_constant, parse_float=_finite)
        dumps(value)  # refuses lone surrogates, which the library reads
        return value
    except RecursionError:
        raise given_up from None
    except ValueError as error:
        raise JSONDecodeError(str(error), "", 0) from None


def loads_sent(data: bytes) -> Any:
    """As `loads`, of what a client sends: refuses what could be stored, but not read again within a list of others.

    A single document that the source has and the proxy cannot parse would stop every feed that comes upon it.
    """
    # no level without a bracket; to count them in a long batch would not be worth the while
    if len(data) <= _SHORT and data.count(b"[") + data.count(b"{") <= _ROOMY:
        return loads(data)
    value = orjson.loads(b"[" * _ROOM + data + b"]" * _ROOM)
    for _ in range(_ROOM):
        if len(value) != 1:
            raise ValueError("more than one JSON value")
        [value] = value
    return _with_long_integers(value, data)


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON text of a value. Raises ValueError for what JSON cannot hold."""
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, RecursionError, UnicodeEncodeError) as error:
            raise ValueError(f"not representable as JSON: {error}") from None


def weight(text: bytes) -> int:
    """About how many bytes of memory it takes to hold what was decoded from JSON, from two to fifty times the text."""
    return len(text) + _OBJECT * text.count(b"{") + 90 * text.count(b"[") + 60 * text.count(b",")


_OBJECT = 200


def weighs_more(text: bytes, most: int) -> bool:
    """Whether that is more than `most` bytes. To count costs as much as to decode, so small texts are not looked at."""
    return len(text) * (1 + _OBJECT) > most and weight(text) > most


def _with_long_integers(value: Any, data: bytes | bytearray | memoryview) -> Any:
    """`value`, which orjson has read from `data` and so is proven: orjson is the strict judge of syntax."""
    if isinstance(data, memoryview):
        data = bytes(data)
    return json.loads(data, parse_constant=_refuse_constant) if _may_hold_long_integer(data) else value


def _may_hold_long_integer(data: bytes | bytearray) -> bool:
    """Whether some run of 19 digits or more stands where a number can: runs are frequent within revision ids.

    Written for speed: this looks at every byte that comes in, and a regular expression costs more than the parsing.
    """
    digits = data.translate(_DIGITS)
    at = digits.find(_RUN)
    while at >= 0:
        before = at - 1
        if data[before : before + 1] == b"-":
            before -= 1
        while before >= 0 and data[before] in _WHITE:
            before -= 1
        if before < 0 or data[before] in _BEFORE_NUMBER:
            return True
        end = digits.find(b" ", at)
        at = digits.find(_RUN, end) if end >= 0 else -1
    return False


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text} is beyond what a number can be")
    return number


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
