"""The parameters of `_all_docs` and its like, and the layout of their replies (couch_mrview_http)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.core import jsonio
from proxy.core.query import Query
from proxy.errors import BadRequest

_KEYS = {"startkey": "start", "start_key": "start", "endkey": "end", "end_key": "end", "key": "key", "keys": "keys"}
_FLAGS = frozenset(
    ["include_docs", "conflicts", "attachments", "att_encoding_info", "update_seq", "descending", "inclusive_end"]
)
_WHOLE = frozenset(["limit", "skip"])
_MOST = 2**63 - 1


@dataclass(frozen=True)
class ListOptions:
    """What a client wants to have listed. Keys are JSON values; `has_start` and `has_end` say whether they are set."""

    start: Any = None
    end: Any = None
    has_start: bool = False
    has_end: bool = False
    keys: list[Any] | None = None
    inclusive_end: bool = True
    descending: bool = False
    limit: int | None = None
    skip: int = 0
    include_docs: bool = False
    conflicts: bool = False
    attachments: bool = False
    att_encoding_info: bool = False
    update_seq: bool = False

    @property
    def selected_keys(self) -> list[Any]:
        """The keys that are left of `keys` by order, skip and limit: each has a row, found or not."""
        keys = (self.keys or [])[::-1] if self.descending else self.keys or []
        return keys[self.skip :] if self.limit is None else keys[self.skip : self.skip + self.limit]


def parse_list_options(query: Query, body: Mapping[str, Any] | None = None, *, body_first: bool = False) -> ListOptions:
    """The options of the query string and of a POST body. Raises BadRequest as CouchDB does.

    The query string has the last word, but for the single queries of `/queries`, where it only gives the defaults.
    """
    given, sent = _from_query(query), _from_body(body or {})
    options = given | sent if body_first else sent | given
    if options.get("keys") is not None:
        _check_keys(options)
    return ListOptions(**options, has_start="start" in options, has_end="end" in options)


def _check_keys(options: dict[str, Any]) -> None:
    """Raises BadRequest for `keys` beside other bounds, which CouchDB accepts beside none, and drops them otherwise."""
    keys, bounds = options["keys"], [options.pop(name) for name in ("start", "end") if name in options]
    if keys and any(bound != keys[0] or len(keys) > 1 for bound in bounds):
        raise BadRequest("`keys` is incompatible with `key`, `start_key` and `end_key`", error="query_parse_error")


def _set_key(options: dict[str, Any], name: str, value: Any) -> None:
    """The later of several counts; a single one of `keys` is as good as `key`."""
    role = _KEYS[name]
    if role != "key":
        options[role] = value
    if role == "keys" and isinstance(value, list) and len(value) == 1:
        [value] = value
        role = "key"
    if role == "key":
        options["start"] = options["end"] = value


def _from_query(query: Query) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, text in query.pairs:
        if name in _KEYS:
            _set_key(options, name, _json(text))
        elif name in _WHOLE:
            options[name] = _whole(int(text) if _is_integer(text) else text)
        elif name in _FLAGS:
            options[name] = _flag(text)
    if not isinstance(options.get("keys", []), list):
        raise BadRequest("`keys` parameter must be an array.")
    return options


def _from_body(body: Mapping[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, value in body.items():
        if name in _KEYS:
            _set_key(options, name, value)
        elif name in _WHOLE:
            options[name] = _whole(value)
        elif name in _FLAGS:
            options[name] = _flag(value)
    if not isinstance(options.get("keys", []), list):
        raise BadRequest("`keys` body member must be an array.")
    return options


def _json(text: str) -> Any:
    try:
        return jsonio.loads(text.encode())
    except ValueError:
        raise BadRequest("invalid UTF-8 JSON") from None


def _flag(value: Any) -> bool:
    folded = value.lower() if isinstance(value, str) else value
    if folded is True or folded == "true":
        return True
    if folded is False or folded == "false":
        return False
    raise BadRequest(f"Invalid boolean parameter: {_shown(value)}", error="query_parse_error")


def _whole(value: Any) -> int:
    """A count; what 64 bits do not hold is as good as the most that they do."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"Invalid value for integer: {_shown(value)}", error="query_parse_error")
    if value < 0:
        raise BadRequest(f"Invalid value for positive integer: {_shown(str(value))}", error="query_parse_error")
    return min(value, _MOST)


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 4000


def _shown(value: Any) -> str:
    return jsonio.dumps(value).decode()


class ListEncoder:
    """One list being written, row by row: the bytes to send, possibly none."""

    def __init__(self) -> None:
        self._separator = b""

    def head(self, total: Any, offset: Any, update_seq: Any = None) -> bytes:
        """What opens the list. `update_seq` is left out if it is None."""
        head = {"total_rows": total, "offset": offset}
        if update_seq is not None:
            head["update_seq"] = update_seq
        return jsonio.dumps(head)[:-1] + b',"rows":[\r\n'

    def rows(self, rows: Iterable[bytes]) -> bytes:
        """Rows as JSON."""
        text = b",\r\n".join(rows)
        if not text:
            return b""
        separator, self._separator = self._separator, b",\r\n"
        return separator + text

    def begin_row(self) -> bytes:
        """What precedes a row that is written in pieces."""
        separator, self._separator = self._separator, b",\r\n"
        return separator

    def tail(self) -> bytes:
        """What closes the list; a line end belongs behind it, unless it is one of several."""
        return b"\r\n]}"
