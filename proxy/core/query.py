"""Query strings, read the way CouchDB reads them: percent-decoded keys, and a rule per parameter for duplicates."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote_to_bytes

from proxy.core import jsonio
from proxy.errors import BadRequest

Pairs = list[tuple[str, str]]


def parse(raw: str) -> Pairs:
    """`a=1&b=%222%22` → pairs, decoded as UTF-8. Raises BadRequest for bad escapes."""
    pairs: Pairs = []
    for piece in raw.split("&"):
        if piece:
            key, _, value = piece.partition("=")
            pairs.append((decode(key), decode(value)))
    return pairs


def decode(text: str) -> str:
    """Percent-decoded text, `+` as space. Raises BadRequest for bad escapes and for what is not UTF-8."""
    if "%" not in text:
        return text.replace("+", " ")
    if any(not _is_hex(piece[:2]) for piece in text.split("%")[1:]):
        raise BadRequest("Invalid percent-encoding in the request target.")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise BadRequest("The request target is not UTF-8.") from None


def escape(piece: str) -> str:
    """A piece of a path as CouchDB writes it in Location: colons stay, a tilde does not."""
    return quote(piece, safe=":").replace("~", "%7E")


def encode(pairs: Pairs) -> str:
    """The canonical query string of pairs, without the question mark."""
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)


class Query:
    """The parameters of one request. CouchDB takes the last of duplicates in some places and the first in others."""

    def __init__(self, pairs: Pairs, *, fold: bool = False) -> None:
        self.pairs = [(key.lower(), value) for key, value in pairs] if fold else pairs
        self._last = dict(self.pairs)

    def __contains__(self, name: str) -> bool:
        return name in self._last

    def last(self, name: str, default: str | None = None) -> str | None:
        return self._last.get(name, default)

    def last_of(self, *names: str) -> str | None:
        """The last that has one of the names, for a parameter that has several."""
        return next((value for key, value in reversed(self.pairs) if key in names), None)

    def first(self, name: str, default: str | None = None) -> str | None:
        return next((value for key, value in self.pairs if key == name), default)

    def all(self, name: str) -> list[str]:
        """All that have the name, in their order."""
        return [value for key, value in self.pairs if key == name]

    def sticky(self, name: str) -> bool:
        """A flag of document GET and `_changes`: once `true`, it stays so."""
        return name in self._last and any(key == name and value == "true" for key, value in self.pairs)

    def flag(self, name: str, default: bool = False) -> bool:
        """A flag of `_all_docs` and views: true or false in any case. Raises BadRequest for another value."""
        value = self._last.get(name)
        if value is None:
            return default
        if value.lower() not in ("true", "false"):
            raise BadRequest(f"Invalid boolean parameter: {value!r}", error="query_parse_error")
        return value.lower() == "true"

    def json(self, *names: str) -> Any:
        """The JSON value of the last of `names`, None where there is none. Raises BadRequest."""
        value = None
        for key, text in self.pairs:
            if key in names:
                value = text
        if value is None:
            return None
        try:
            return jsonio.loads(value.encode())
        except (ValueError, UnicodeEncodeError):
            raise BadRequest(f"Invalid JSON in the query parameter {names[0]!r}.") from None

    def whole(self, name: str) -> int | None:
        """A non-negative integer, None where there is none. Raises BadRequest."""
        value = self._last.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 18):
            raise BadRequest(
                f"Invalid value for {name}: {value!r} is not a non-negative integer.",
                error="query_parse_error",
            )
        return int(value)


def _is_hex(digits: str) -> bool:
    return len(digits) == 2 and all(digit in "0123456789abcdefABCDEF" for digit in digits)
