"""A filter that somebody wrote, kept from harming what it is given and those who use what it gives.

Documents are shared: with what is kept of them, with other profiles, with what a write is restored onto. A filter that
changed one in place would show, or store, something else than what was judged. So unless it promises not to (`pure`), a
filter works on a copy of its own; and what it returns is read as the JSON that it would be on the wire. Members that
begin with an underscore belong to the protocol: it can leave them out, not make them up.
"""

from __future__ import annotations

from typing import Any, ClassVar

from proxy.contract import Client, Doc, Filter, promises
from proxy.core import jsonio
from proxy.core.marks import copied


class Guarded(Filter):
    """`filter_` on copies. Its methods raise what the filter raises, and TypeError or ValueError for what it returns
    that is no document.
    """

    pure: ClassVar[bool] = True

    def __init__(self, filter_: Filter) -> None:
        self._filter = filter_
        self._restores = restores(filter_)

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        text = jsonio.dumps(doc)
        shaped = self._filter.shape(jsonio.loads(text), client)
        if shaped is None:
            return None
        given = _text("shape", shaped)
        return doc if given == text else _without_made_up(_read(given), doc)

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if not self._restores:
            return super().restore(edited, original, client)
        own = None if original is None else _copied(original)
        whole = _read(_text("restore", self._filter.restore(_copied(edited), own, client)))
        return _without_made_up(whole, {**(original or {}), **edited})


class _ByReference(Filter):
    """As Guarded, for looking only: what a filter hands on are the very objects that it was given."""

    pure: ClassVar[bool] = True

    def __init__(self, filter_: Filter) -> None:
        self._filter = filter_

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        shaped = self._filter.shape(copied(doc), client)
        if shaped is None:
            return None
        _text("shape", shaped)
        return _without_made_up(copied(shaped), doc)


def restores(filter_: Filter) -> bool:
    """Whether a filter has a `restore` of its own: the default leaves what a client creates as it is."""
    return getattr(filter_.restore, "__func__", None) is not Filter.restore


def guarded(filter_: Filter) -> Filter:
    """The filter, as it is if it promises to be pure."""
    return filter_ if promises(filter_, "pure", "shape", "restore") and filter_.pure else Guarded(filter_)


def by_reference(filter_: Filter) -> Filter:
    """The filter as `guarded`, to see which of the objects that it is given it hands on."""
    return filter_ if guarded(filter_) is filter_ else _ByReference(filter_)


def _copied(doc: Doc) -> Doc:
    return _read(jsonio.dumps(doc))


def _read(text: bytes) -> Doc:
    doc: Doc = jsonio.loads(text)
    return doc


def _without_made_up(doc: Doc, given: Doc) -> Doc:
    made_up = [name for name in doc if name.startswith("_") and name not in given]
    return {name: value for name, value in doc.items() if name not in made_up} if made_up else doc


def _text(method: str, returned: Any) -> bytes:
    if not isinstance(returned, dict):
        raise TypeError(f"{method} returned {type(returned).__name__}, not a document")
    return jsonio.dumps(returned)
