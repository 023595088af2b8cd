"""The body of a `_find` request. What is wrong with it is told in CouchDB's order and words (mango_opts)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.selector import compile_selector, finds_nothing, limits_ids, project_fields, sort_key
from proxy.errors import BadRequest

_NO_INDEX = "No index exists for this sort, try indexing by the sort fields."
_NOT_NAMED = "You must specify an index with the `use_index` parameter."
_WARNING = "No matching index found, create an index to optimize query time."
_DESIGN = "_design/"


@dataclass(frozen=True, slots=True)
class FindQuery:
    """`after` is the bookmark: the id that was given out last. `given` is the bookmark as it came."""

    matches: Callable[[Doc], bool]
    in_vain: bool
    """Nothing is found, whatever matches (selector.finds_nothing)."""
    limit: int
    skip: int
    fields: list[str]
    descending: bool
    after: str | None
    given: str
    conflicts: bool
    execution_stats: bool
    warning: str


def parse(body: dict[str, Any]) -> FindQuery:
    """Raises BadRequest, SelectorError among them. What chooses a replica is checked, and without effect."""
    if "selector" not in body:
        raise BadRequest("Missing required key: selector", error="missing_required_key")
    selector = body["selector"]
    if not isinstance(selector, dict):
        raise BadRequest(f"Selector must be a JSON object, not: {_term(selector)}", error="invalid_selector_json")
    matches = compile_selector(selector)
    for name, check in _CHECKS.items():
        if name in body:
            check(body[name])
    for name in body:
        if name != "selector" and name not in _CHECKS:
            raise BadRequest(f"Invalid key {name} for this request.", error="invalid_key")
    descending = _is_descending(body.get("sort", []), selector)
    index = _index_named(body.get("use_index"))
    if not body.get("allow_fallback", True):
        suits = f"{_DESIGN}{', '.join(index)} specified by `use_index` could not be found or it is not suitable."
        raise BadRequest(suits if index else _NOT_NAMED, error="invalid_index")
    if body.get("partition", ""):
        raise BadRequest("`partition` parameter is not supported on this db", error="query_parse_error")
    return FindQuery(
        matches=matches,
        in_vain=finds_nothing(selector),
        limit=body.get("limit", 25),
        skip=body.get("skip", 0),
        fields=body.get("fields", []),
        descending=descending,
        after=_after(body.get("bookmark")),
        given=body.get("bookmark") or "nil",
        conflicts=body.get("conflicts", False),
        execution_stats=body.get("execution_stats", False),
        warning=_unused(index) + _WARNING,
    )


# Members.


def _check_index(value: Any) -> None:
    names = value if isinstance(value, list) else [] if value is None else [value]
    is_path = isinstance(value, str) and value.removeprefix(_DESIGN).count("/") > 1
    if is_path or len(names) > 2 or not all(isinstance(name, str) for name in names):
        raise BadRequest(f"Invalid index name: {_term(value)}", error="invalid_index_name")


def _check_bookmark(value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise _bad_bookmark(value)  # CouchDB fails with 500


def _check_count(value: Any) -> None:
    if not _is_whole(value) or value < 0:
        reason = f"{_term(value)} is not an integer greater than or equal to zero"
        raise BadRequest(reason, error="invalid_non_neg_integer")


def _check_fields(value: Any) -> None:
    if not isinstance(value, list):
        raise BadRequest(f"Fields must be an array of strings, not: {_term(value)}", error="invalid_fields")
    for field in value:
        if not isinstance(field, str):
            raise BadRequest(f"Invalid JSON for field spec: {_term(field)}", error="invalid_field")
    project_fields({}, value)


def _check_partition(value: Any) -> None:
    if not isinstance(value, str):
        raise BadRequest("Partition must be a string", error="illegal_partition")


def _check_positive(value: Any) -> None:
    if not _is_whole(value) or value < 1:
        raise BadRequest(f"{_term(value)} is not an integer greater than zero", error="invalid_pos_integer")


def _check_flag(value: Any) -> None:
    if not isinstance(value, bool):
        raise BadRequest(f"Invalid boolean value: {_term(value)}", error="invalid_boolean")


def _check_staleness(value: Any) -> None:
    if value is not False and value not in ("ok", "false"):  # CouchDB fails with 500
        raise BadRequest(f"Invalid value for stale: {_term(value)}", error="invalid_ok_or_false_value")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[Any], object]] = {
    "use_index": _check_index,
    "bookmark": _check_bookmark,
    "limit": _check_count,
    "skip": _check_count,
    "sort": sort_key,
    "fields": _check_fields,
    "partition": _check_partition,
    "r": _check_positive,
    "conflicts": _check_flag,
    "stale": _check_staleness,
    "update": _check_flag,
    "stable": _check_flag,
    "execution_stats": _check_flag,
    "allow_fallback": _check_flag,
}
"""In CouchDB's order: of several mistakes the first is told."""


# What they mean.


def _is_descending(sort: list[Any], selector: dict[str, Any]) -> bool:
    """The direction of `sort`. Raises BadRequest for one that is not by `_id` alone, or for which no index is used."""
    if not sort:
        return False
    key = sort_key(sort)
    if key.fields != (("_id",),) or not limits_ids(selector):
        raise BadRequest(_NO_INDEX, error="no_usable_index")
    return key.descending


def _index_named(value: Any) -> list[str]:
    """The index that a query is to use: its design document's name, and its own if it is given."""
    if not isinstance(value, str):
        design, *name = value or [""]
        return [design.removeprefix(_DESIGN), *name] if value else []
    return value.removeprefix(_DESIGN).split("/")


def _unused(index: list[str]) -> str:
    """What is said of an index that was to be used: here there is none."""
    if not index:
        return ""
    why = "it is not a valid index" if len(index) > 1 else "it does not contain a valid index"
    return f"{_DESIGN}{', '.join(index)} was not used because {why} for this query.\n"


def bookmark(doc_id: str) -> str:
    """The bookmark of what comes after an id."""
    return base64.urlsafe_b64encode(jsonio.dumps(doc_id)).rstrip(b"=").decode()


def _after(given: str | None) -> str | None:
    if not given:
        return None
    try:
        doc_id = jsonio.loads(base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)))
    except (ValueError, binascii.Error):
        doc_id = None
    if isinstance(doc_id, str):
        return doc_id
    raise _bad_bookmark(given)


def _bad_bookmark(value: Any) -> BadRequest:
    return BadRequest(f"Invalid bookmark value: {jsonio.dumps(value).decode()}", error="invalid_bookmark")


def _term(value: Any) -> str:
    """A value the way CouchDB prints it: as an Erlang term, in which strings are binaries."""
    match value:
        case str():
            return f"<<{','.join(str(byte) for byte in value.encode('utf-8', 'surrogatepass'))}>>"
        case list():
            return f"[{','.join(map(_term, value))}]"
        case dict():
            members = (f"{{{_term(name)},{_term(member)}}}" for name, member in value.items())
            return f"{{[{','.join(members)}]}}"
    return jsonio.dumps(value).decode()
