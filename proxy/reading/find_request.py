"""The body of a `_find` request, read as CouchDB reads it (mango_opts)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.selector import SortKey, compile_selector, finds_nothing, project_fields, sort_key
from proxy.errors import BadRequest

_DEFAULT_LIMIT = 25
MOST_SORTED = 10_000
"""Documents that are held to sort them: `skip` and `limit` together."""


@dataclass(frozen=True)
class FindRequest:
    """What to look for. `sort` is None where the order of ids is wanted."""

    matches: Callable[[Doc], bool]
    in_vain: bool
    """Nothing is found, whatever matches (selector.finds_nothing)."""
    fields: list[str]
    sort: SortKey | None
    descending: bool
    limit: int
    skip: int
    bookmark: str | None
    conflicts: bool
    execution_stats: bool


def parse_find(body: Mapping[str, Any]) -> FindRequest:
    """Raises BadRequest, SelectorError among them, in CouchDB's words.

    What chooses an index or a replica (`use_index`, `r`, `stable`, ...) is checked and without effect.
    """
    if "selector" not in body:
        raise BadRequest("Missing required key: selector", error="missing_required_key")
    for name, value in body.items():
        if name not in _CHECKS:
            raise BadRequest(f"Invalid key {name} for this request.", error="invalid_key")
        _CHECKS[name](value)
    sort = sort_key(body.get("sort", []))
    by_id = sort.fields in ((), (("_id",),))
    request = FindRequest(
        matches=compile_selector(body["selector"]),
        in_vain=finds_nothing(body["selector"]),
        fields=_fields(body.get("fields", [])),
        sort=None if by_id else sort,
        descending=sort.descending,
        limit=body.get("limit", _DEFAULT_LIMIT),
        skip=body.get("skip", 0),
        bookmark=_bookmark(body.get("bookmark")),
        conflicts=body.get("conflicts", False),
        execution_stats=body.get("execution_stats", False),
    )
    if request.sort is not None and request.skip + request.limit > MOST_SORTED:
        raise BadRequest(f"With a sort, skip and limit may add up to {MOST_SORTED}; use the bookmark to go further.")
    return request


def _fields(fields: Any) -> list[str]:
    project_fields({}, fields)  # raises for what is no list of fields
    return list(fields)


def _bookmark(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise bad_bookmark(value)
    return value


def bad_bookmark(value: Any) -> BadRequest:
    return BadRequest(f"Invalid bookmark value: {_text(value)}", error="invalid_bookmark")


def _is_count(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        reason = f"{_text(value)} is not an integer greater than or equal to zero"
        raise BadRequest(reason, error="invalid_non_neg_integer")


def _is_positive(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadRequest(f"{_text(value)} is not an integer greater than zero", error="invalid_pos_integer")


def _is_flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise BadRequest(f"Invalid boolean value: {_text(value)}", error="invalid_boolean")


def _is_index(value: Any) -> None:
    names = value if isinstance(value, list) else [value]
    if len(names) > 2 or not all(isinstance(name, str) for name in names):
        raise BadRequest(f"Invalid index name: {_text(value)}", error="invalid_index_name")


def _is_staleness(value: Any) -> None:
    if value not in ("ok", False):
        raise BadRequest(f"Invalid value for stale: {_text(value)}", error="invalid_ok_or_false_value")


def _is_partition(value: Any) -> None:
    raise BadRequest("`partition` parameter is not supported on this db", error="query_parse_error")


def _is_anything(value: Any) -> None:
    """Checked where it is read."""


def _text(value: Any) -> str:
    return jsonio.dumps(value).decode()


_CHECKS: dict[str, Callable[[Any], None]] = {
    "selector": _is_anything,
    "use_index": _is_index,
    "bookmark": _is_anything,
    "limit": _is_count,
    "skip": _is_count,
    "sort": _is_anything,
    "fields": _is_anything,
    "partition": _is_partition,
    "r": _is_positive,
    "conflicts": _is_flag,
    "stale": _is_staleness,
    "update": _is_flag,
    "stable": _is_flag,
    "execution_stats": _is_flag,
    "allow_fallback": _is_flag,
}
