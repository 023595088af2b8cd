"""The options of `_all_docs` and its kin, from a query string or a POST body; the query string wins.

Unlike elsewhere names must match exactly while `TRUE` is as good as `true`. Keys may be any JSON: a bound that is no
string comes before all ids, even an array or object, by the order of Erlang's terms, not that of views. What chooses
a replica, or how fresh an index is to be, is checked, and without effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    "sorted",
)
_NUMBERS = ("limit", "skip", "group_level")
_CHOICES = {
    "stale": (b'"ok"', b'"update_after"'),
    "stable": (b"true", b"false", b'"true"', b'"false"'),
    "update": (b"true", b"false", b'"true"', b'"false"', b'"lazy"'),
}
_MOST = 10**18  # there are no more rows than that
_INTEGER = re.compile("[+-]?[0-9]+")


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


def from_body(body: Mapping[str, Any], query: Query) -> Options:
    """The query's options are on top; a single one of `keys` that it names is a bound, as in `/queries`."""
    keys = body.get("keys")
    if keys is not None and not isinstance(keys, list):
        raise BadRequest("`keys` body member must be an array.")
    return _options({**body, **_bounding(_from_pairs(query))})


def from_queries(queries: Sequence[Mapping[str, Any]], query: Query) -> list[Options]:
    """The options of each of `/queries`, in which a single one of `keys` is a bound.

    The URL's parameters hold where a query says nothing, except for `keys` and grouping.
    """
    common = {name: value for name, value in _bounding(_from_pairs(query)).items() if name not in _NOT_COMMON}
    _options(common)  # what is wrong with it is told even if there are no queries
    found = []
    for one in map(_bounding, queries):
        rest = {name: value for name, value in common.items() if name not in one}
        found.append(_options({**rest, **one}))
    return found


_NOT_COMMON = ("keys", "group", "group_level")


def _bounding(given: Mapping[str, Any]) -> dict[str, Any]:
    """Options in which a single one of `keys` is a `key`. The later of both counts."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name == "keys" and not isinstance(value, list):
            raise BadRequest("`keys` must be an array of strings.", error="query_parse_error")
        option, chosen = ("key", value[0]) if name == "keys" and len(value) == 1 else (name, value)
        found.pop(option, None)
        found[option] = chosen
    return found


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
    for name in _NUMBERS:
        if name in given:
            values[name] = _integer(given[name])
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
    _check_choices(given)
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
        limit=_whole(given["limit"]) if "limit" in given else None,
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


def _check_choices(given: Mapping[str, Any]) -> None:
    for name, allowed in _CHOICES.items():
        if name in given and jsonio.dumps(given[name]) not in allowed:
            raise BadRequest(f"Invalid value for `{name}`.", error="query_parse_error")
    if "partition" in given:
        raise BadRequest("`partition` parameter is not supported on this db", error="query_parse_error")


def _bounds(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Start and end as ids. `key` is both, and so is the only one of `keys`; the later of several counts.

    Where there is neither, `startkey_docid` and `endkey_docid` are.
    """
    bounds: dict[str, Any] = {}
    keys = given.get("keys")
    for name, value in given.items():
        if name == "keys" and value and len(value) == 1:
            bounds = {"start": value[0], "end": value[0]}
        for side in _SIDES.get(name, ()):
            bounds[side] = value
    if keys and any(keys != [bound] for bound in bounds.values()):
        raise BadRequest("`keys` is incompatible with `key`, `start_key` and `end_key`", error="query_parse_error")
    return _bound(bounds, "start", given), _bound(bounds, "end", given)


def _bound(bounds: Mapping[str, Any], side: str, given: Mapping[str, Any]) -> str | None:
    if side in bounds:
        key = bounds[side]
        return key if isinstance(key, str) else ""
    ids = [value for name, value in given.items() if name in (f"{side}key_docid", f"{side}_key_doc_id")]
    return None if not ids else ids[-1] if isinstance(ids[-1], str) else _shown(ids[-1])


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


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise _no_number("integer", text)
    number = int(text[:18])
    if number < 0:
        raise _no_number("positive integer", text)
    return number


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _no_number("integer", value)
    if value < 0:
        raise _no_number("positive integer", value)
    return min(value, _MOST)


def _no_number(kind: str, value: Any) -> BadRequest:
    return BadRequest(f"Invalid value for {kind}: {_shown(value)}", error="query_parse_error")


def _shown(value: Any) -> str:
    return jsonio.dumps(value).decode()
