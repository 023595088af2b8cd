"""The options of `_all_docs` and its kin, from a query string or a POST body; the query string wins.

Unlike elsewhere names must match exactly while `TRUE` is as good as `true`. Keys may be any JSON: a bound that is no
string comes before all ids, even an array or object, by the order of Erlang's terms, not that of views.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from proxy.core import jsonio
from proxy.core.query import Query
from proxy.endpoint.http.call import INVALID_JSON
from proxy.endpoint.http.render import STUBS, Shown
from proxy.errors import BadRequest

_JSON = ("key", "keys", "startkey", "start_key", "endkey", "end_key")
_FLAGS = (
    "descending",
    "inclusive_end",
    "include_docs",
    "conflicts",
    "attachments",
    "att_encoding_info",
    "update_seq",
)


@dataclass(frozen=True, slots=True)
class Options:
    """`start` and `end` are ids in the direction of reading, or empty, which is before all of them."""

    start: str | None = None
    end: str | None = None
    inclusive_end: bool = True
    keys: tuple[Any, ...] | None = None
    descending: bool = False
    skip: int = 0
    limit: int | None = None
    include_docs: bool = False
    conflicts: bool = False
    update_seq: bool = False
    shown: Shown = STUBS

    def covers(self, doc_id: str) -> bool:
        """Whether an id is between the bounds."""
        low, high = (self.end, self.start) if self.descending else (self.start, self.end)
        if (low is not None and doc_id < low) or (high is not None and doc_id > high):
            return False
        return self.inclusive_end or doc_id != self.end

    def chosen_keys(self) -> tuple[Any, ...]:
        """Those of `keys` that are asked for, in the direction of reading."""
        keys = self.keys or ()
        end = None if self.limit is None else self.skip + self.limit
        return (keys[::-1] if self.descending else keys)[self.skip : end]

    def within(self, first: str, after: str) -> Options:
        """These options, for the ids from `first` to before `after` only. Other keys count for `skip` and `limit`."""
        if self.keys is not None:
            inside = [key for key in self.chosen_keys() if isinstance(key, str) and first <= key < after]
            return replace(self, keys=tuple(inside), descending=False, skip=0, limit=None)
        if self.descending:
            start = after if self.start is None or self.start > after else self.start
            end = first if self.end is None or self.end < first else self.end
        else:
            start = first if self.start is None or self.start < first else self.start
            end = after if self.end is None or self.end > after else self.end
        return replace(self, start=start, end=end)


def from_query(query: Query) -> Options:
    return _options(_from_pairs(query))


def from_body(body: Mapping[str, Any], query: Query | None = None) -> Options:
    keys = body.get("keys")
    if keys is not None and not isinstance(keys, list):
        raise BadRequest("`keys` body member must be an array.")
    return _options({**body, **(_from_pairs(query) if query is not None else {})})


def _from_pairs(query: Query) -> dict[str, Any]:
    """Query parameters with the types that a body would have; the last of duplicates, but the first `keys`."""
    given = dict(query.pairs)
    keys = query.first("keys")
    if keys is not None:
        given["keys"] = keys
    values: dict[str, Any] = dict(given)
    for name in _JSON:
        if name in given:
            values[name] = _json(given[name])
    if "keys" in values and not isinstance(values["keys"], list):
        raise BadRequest("`keys` parameter must be an array.")
    return values


def _json(text: str) -> Any:
    try:
        return jsonio.loads(text.encode())
    except ValueError:
        raise BadRequest(INVALID_JSON) from None


def _options(given: Mapping[str, Any]) -> Options:
    _refuse_reduce(given)
    flags = {name: _flag(given[name]) for name in _FLAGS if name in given}
    descending = flags.get("descending", False)
    start, end = _bounds(given)
    keys = given.get("keys")
    return Options(
        start=start,
        end=end,
        inclusive_end=flags.get("inclusive_end", True),
        keys=None if keys is None else tuple(keys),
        descending=descending,
        skip=_whole(given.get("skip", 0)),
        limit=None if given.get("limit") is None else _whole(given["limit"]),
        include_docs=flags.get("include_docs", False),
        conflicts=flags.get("conflicts", False),
        update_seq=flags.get("update_seq", False),
        shown=Shown(flags.get("attachments", False), flags.get("att_encoding_info", False)),
    )


def _refuse_reduce(given: Mapping[str, Any]) -> None:
    if _flag(given.get("reduce", False)):
        raise BadRequest("Reduce is invalid for map-only views.", error="query_parse_error")
    if "group_level" in given or _flag(given.get("group", False)):
        raise BadRequest("Invalid use of grouping on a map view.", error="query_parse_error")


def _bounds(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Start and end as ids. `key` is both, and so is the only one of `keys`; the later of several counts."""
    bounds: dict[str, Any] = {}
    keys = given.get("keys")
    for name, value in given.items():
        if name == "keys" and value and len(value) == 1:
            bounds = {"start": value[0], "end": value[0]}
        for side in _SIDES.get(name, ()):
            bounds[side] = value
    if keys and any(keys != [bound] for bound in bounds.values()):
        raise BadRequest("`keys` is incompatible with `key`, `start_key` and `end_key`", error="query_parse_error")
    return _bound(bounds, "start"), _bound(bounds, "end")


def _bound(bounds: Mapping[str, Any], side: str) -> str | None:
    if side not in bounds:
        return None
    key = bounds[side]
    return key if isinstance(key, str) else ""


_SIDES = {
    "key": ("start", "end"),
    **dict.fromkeys(("startkey", "start_key"), ("start",)),
    **dict.fromkeys(("endkey", "end_key"), ("end",)),
}


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise BadRequest(f"Invalid boolean parameter: {_shown(value)}", error="query_parse_error")


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadRequest(f"Invalid value for integer: {_shown(value)}", error="query_parse_error")
    try:
        number = int(value) if len(str(value)) <= 18 else 10**18
    except ValueError:
        raise BadRequest(f"Invalid value for integer: {_shown(value)}", error="query_parse_error") from None
    if number < 0:
        raise BadRequest(f"Invalid value for positive integer: {_shown(value)}", error="query_parse_error")
    return number


def _shown(value: Any) -> str:
    return jsonio.dumps(value).decode()
