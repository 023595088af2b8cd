"""Mango selectors, as CouchDB 3.5 evaluates them (mango_selector.erl)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from proxy.contract import Doc
from proxy.errors import BadRequest


class SelectorError(BadRequest):
    """The selector, field list or sort is invalid: CouchDB's own `error` and `reason`, status 400."""


def compile_selector(selector: Any, *, trusted: bool = False) -> Callable[[Doc], bool]:
    """A predicate on documents. Raises SelectorError.

    `trusted`: whether `$regex` may hold any expression; if False (a client's selector), one that could
    backtrack without bound is refused.
    """
    raise NotImplementedError


def fields_of(selector: Any) -> tuple[tuple[str, ...], ...]:
    """The paths of all fields that the selector looks at, each once, in order; the empty path is the whole
    document.
    """
    raise NotImplementedError


def project_fields(doc: Doc, fields: Sequence[str]) -> Doc:
    """`doc` with these fields only (paths as in a selector); all of it if `fields` is empty. Raises
    SelectorError.
    """
    raise NotImplementedError


class SortKey:
    """A compiled `sort`: use as `sorted(docs, key=sort, reverse=sort.descending)`. Missing fields come
    before null.
    """

    fields: tuple[str, ...]
    descending: bool

    def __call__(self, doc: Doc) -> tuple[Any, ...]:
        raise NotImplementedError


def sort_key(sort: Any) -> SortKey:
    """The compiled form of Mango's `sort` (`["a", {"b": "asc"}]`). Raises SelectorError; one direction for
    all.
    """
    raise NotImplementedError
