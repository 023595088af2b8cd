"""Mango selectors, as CouchDB 3.5 evaluates them (mango_selector.erl).

A selector is first brought into a normal form, as in CouchDB, for its steps decide what a missing field means:

  1. Implicit operators become explicit: `{"a": 1, "b": {"$gt": 2}}` is an `$and` of an `$eq` and a `$gt`.
  2. Field names move down to the conditions: `{"a": {"b": 1}}` is `a.b` equal to 1.
  3. Negations move down: `{"$not": {"a": {"$gt": 1}}}` is `a` at most 1, so it does not match where `a` is missing.

Only `{"$exists": false}` matches a missing field. Where CouchDB crashes or is known to be wrong, this is stricter: a
`$mod` by zero, `$text` and fields with an empty name are refused; `$nor` within an `$elemMatch` is a `$nor`. Strings
are equal if their code points are (ICU ignores some); how they are ordered is told in `collation`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.collation import Key, collation_key
from proxy.core.mango import SelectorError
from proxy.core.mango.conditions import Compiler
from proxy.core.mango.normal import At, Every, Node, Op, Some, normalize
from proxy.core.mango.paths import MISSING, NO_PATH, Path, get, parse_path, put

_MAX_COST = 10_000
_REGEX_COST = 500
_RANGES = frozenset(("$lt", "$lte", "$eq", "$gt", "$gte", "$exists", "$beginsWith"))

__all__ = [
    "SelectorError",
    "SortKey",
    "compile_selector",
    "feed_fields",
    "feed_selector",
    "finds_nothing",
    "limits_ids",
    "project_fields",
    "sort_key",
]


def compile_selector(selector: Any, *, trusted: bool = False) -> Callable[[Doc], bool]:
    """A predicate on documents. Raises SelectorError.

    `trusted`: whether `$regex` may hold any expression (a selector in the configuration). If not (a client's), one
    that could take too long is refused, and so is a selector of which the parts could.
    """
    if not trusted:
        _check_cost(selector)
    return Compiler(trusted=trusted).condition(normalize(selector))


def finds_nothing(selector: Any) -> bool:
    """Whether `_find` gives no documents for it, though a filter by it lets all through: CouchDB has no range to read
    where nothing is left of a selector but an empty `$and`, `$or` or `$nor`. Raises SelectorError.
    """
    return bool(selector) and normalize(selector) in (Every(()), Some(()))


def limits_ids(selector: Any) -> bool:
    """Whether one of the conditions that must all hold is a range of ids: CouchDB's `_find` reads `_all_docs` for a
    `sort` by `_id` only then, though it could do so for any selector. Raises SelectorError.
    """
    nodes: list[Node] = [normalize(selector)]
    while nodes:
        match nodes.pop():
            case Every(inner):
                nodes += inner
            case At(("_id",), Op(name, _)) if name in _RANGES:
                return True
    return False


def project_fields(doc: Doc, fields: Sequence[str]) -> Doc:
    """`doc` with these fields only, in the order of `fields`; all of it if there are none. Raises SelectorError."""
    if type(fields) in (list, tuple) and not fields:
        return doc
    result: Doc = {}
    for path in map(parse_path, _strings(fields)):
        value = get(doc, path)
        if value is not MISSING and value is not NO_PATH:
            put(result, path, value)
    return result


def feed_selector(body: Any) -> Callable[[Doc], bool]:
    """The selector of a `_changes` request. Raises SelectorError, with the words of CouchDB's `_changes`, which are not
    those of its `_find`.
    """
    selector = body.get("selector") if type(body) is dict else None
    if type(selector) is not dict:
        raise SelectorError("Selector error: expected a JSON object", error="bad_request")
    try:
        return compile_selector(selector)
    except SelectorError as error:
        raise SelectorError(error.reason, error="bad_request") from None


def feed_fields(body: Any) -> list[str] | None:
    """The `fields` beside that selector; None: whole documents. Raises SelectorError, worded likewise."""
    if type(body) is not dict or "fields" not in body:
        return None
    fields = body["fields"]
    if type(fields) is not list:
        raise SelectorError("Selector error: fields must be JSON array", error="bad_request")
    try:
        project_fields({}, fields)
    except SelectorError as error:
        raise SelectorError(error.reason, error="bad_request") from None
    return fields or None


@dataclass(frozen=True)
class SortKey:
    """A compiled `sort`: use as `sorted(docs, key=sort, reverse=sort.descending)`. Missing comes before null.

    By `_id` alone documents come in the order of `_all_docs`, which is that of code points, and of `$gt`.
    """

    fields: tuple[Path, ...]
    descending: bool

    def __call__(self, doc: Doc) -> tuple[Key, ...]:
        """The values of the fields, by view collation."""
        if self.fields == (("_id",),):
            return ((doc["_id"],),)
        found = (get(doc, path) for path in self.fields)
        return tuple((-1,) if value is MISSING or value is NO_PATH else collation_key(value) for value in found)


def sort_key(sort: Any) -> SortKey:
    """The compiled form of Mango's `sort` (`["a", {"b": "asc"}]`). Raises SelectorError; one direction for all."""
    if type(sort) is not list:
        raise SelectorError(f"Sort must be an array of sort specs, not: {_text(sort)}", error="invalid_sort_json")
    specs = [_sort_spec(item) for item in sort]
    directions = {direction for _, direction in specs}
    if len(directions) > 1:
        reason = "Sorts currently only support a single direction for all fields."
        raise SelectorError(reason, error="unsupported_mixed_sort")
    return SortKey(tuple(path for path, _ in specs), "desc" in directions)


def _sort_spec(item: Any) -> tuple[Path, str]:
    spec = {item: "asc"} if type(item) is str else item
    if type(spec) is not dict or len(spec) != 1 or "" in spec:
        raise SelectorError(f"Invalid sort field: {_text(item)}", error="invalid_sort_field")
    ((field, direction),) = spec.items()
    if direction not in ("asc", "desc"):
        raise SelectorError(f"Invalid sort direction: {_text(direction)}", error="invalid_sort_dir")
    return parse_path(field), direction


def _strings(fields: Any) -> list[str]:
    if type(fields) not in (list, tuple):
        raise SelectorError(f"Fields must be an array of strings, not: {_text(fields)}", error="invalid_fields")
    for field in fields:
        if type(field) is not str:
            raise SelectorError(f"Invalid JSON for field spec: {_text(field)}", error="invalid_field")
    return list(fields)


def _check_cost(selector: Any) -> None:
    """Raises SelectorError for a selector that takes more than some milliseconds for each document."""
    cost, left = 0, [selector]
    while left:
        value = left.pop()
        if type(value) is dict:
            cost += len(value) + _REGEX_COST * ("$regex" in value)
            left += value.values()
        elif type(value) is list:
            others = [item for item in value if type(item) is not str]  # strings are found by their hash
            cost += len(others)
            left += others
        if cost > _MAX_COST:
            raise SelectorError(f"The selector has more than {_MAX_COST} parts.", error="invalid_selector")


def _text(value: Any) -> str:
    return jsonio.dumps(value).decode()
