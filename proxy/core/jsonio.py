"""JSON in and out, without changing a number on the way.

orjson is the codec. It turns integers outside 64 bits into floats, though, and CouchDB keeps them: text that could
hold one (a run of 19 digits) goes through the standard library instead. NaN, Infinity and lone surrogates are refused
in both directions, as CouchDB does; of duplicate keys the last wins.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONG_NUMBER = re.compile(rb"[0-9]{19}")

JSONDecodeError = orjson.JSONDecodeError
"""Raised by `loads`; a ValueError."""


def loads(data: bytes | bytearray | memoryview) -> Any:
    """The value of UTF-8 JSON text. Raises JSONDecodeError (a ValueError) if it is not JSON as CouchDB accepts it."""
    if _LONG_NUMBER.search(data) is None:
        return orjson.loads(data)
    orjson.loads(data)  # the strict judge of syntax: refuses what the standard library would let pass
    return json.loads(bytes(data), parse_constant=_refuse_constant)


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON text of a value. Raises ValueError for what JSON cannot hold."""
    try:
        return orjson.dumps(value)
    except TypeError:
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, RecursionError, UnicodeEncodeError) as error:
            raise ValueError(f"not representable as JSON: {error}") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
