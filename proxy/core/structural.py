"""Structural restore: apply the difference between what a client was shown and what it sent to the whole document.

Three values are walked in step: what the client `edited`, what it was `shaped`, and the `original`. The rules:

  1. What the client left as it was comes from the original, with everything that is hidden in it. What the filter
     made up for which the original has nothing, and the client left as it was, goes.
  2. A changed scalar is the client's. (A filter that shows part of a scalar says itself how to sew it: `sew`.)
  3. Objects are merged by name. A member of the original that was not shown stays, even if the client sends one of
     that name: it cannot know it. What was shown and is gone is removed. New members follow the old ones.
  4. Arrays are aligned: the shown elements with those of the original, then those sent with those shown (see
     `alignment`). A sent element that has a partner is merged with it; one that has none is the client's own.
  5. An element that was not shown stays behind the one that it followed, or the nearest before it that is left.
  6. What the client removes goes with the fields hidden in it, as a deleted document does. But array elements that
     were not shown, and an object of which nothing was shown, stay: the client cannot mean what it never saw. It
     then reads back something it did not send, and the write is refused or its surplus discarded. An array element
     that was shown goes with all that is in it, if it was surely removed: there is no new or changed element that it
     could have become.
     Where it cannot be told which of the shown elements were changed into which of those sent, and anything is hidden
     in them, the edit is refused: what is hidden in one would get into another, or lost.
  7. `_attachments`: the client's entries come first and as they are, since the parts of a multipart body belong to
     them by order; hidden ones follow as stubs without `revpos`, which the source fills in.

Restoring an untouched shape gives the original exactly, the order of members included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from proxy.core.alignment import Effort, align, embed, gone
from proxy.core.equality import same
from proxy.core.refused import Refused

Doc = dict[str, Any]

Sew = Callable[[Any, Any, Any], Any]
"""From (edited, shaped, original) at one place to the value to store: for changed values that cannot be merged."""

Stays = Callable[[Any, Any], bool]
"""From (shaped, original) to whether a member stays although the client removed it, as one that was masked may."""

_GONE: Final = object()


def restore_structurally(
    edited: Doc,
    shaped: Doc,
    original: Doc,
    *,
    survivors: Mapping[int, Sequence[int]] | None = None,
    sew: Sew | None = None,
    stays: Stays | None = None,
) -> Doc:
    """`original` with the changes that lead from `shaped` to `edited`. Arguments are not changed.

    `survivors` gives, by `id` of an array in `shaped`, the indices of its elements in the original's array, where
    the filter knows them (`Paths` records them); without it they are found by comparing. `sew` is asked for the value
    to store where a changed value is not an object or array in all three; the default takes the client's. `stays` is
    asked about members that are neither and that the client removed; by default they go.

    Raises Refused if it cannot be told which elements of a large array are which.
    """
    if edited is shaped or same(edited, shaped):
        return original
    if shaped is original:
        return edited
    try:
        return _Restore(survivors or {}, sew or _take_edited, stays or _never).document(edited, shaped, original)
    except _Unclear as error:
        raise Refused(UNCLEAR, error.field) from None


UNCLEAR = "too many elements were changed to tell which they were: give them an `id`, or change fewer at once"


class _Unclear(Exception):
    """It cannot be told which elements of an array are which; it is in this field."""

    def __init__(self, field: str | None = None) -> None:
        super().__init__()
        self.field = field


class _Restore:
    def __init__(self, survivors: Mapping[int, Sequence[int]], sew: Sew, stays: Stays) -> None:
        self._survivors = survivors
        self._sew = sew
        self._stays = stays
        self._effort = Effort()

    def document(self, edited: Doc, shaped: Doc, original: Doc) -> Doc:
        if "_attachments" not in original:
            return self._members(edited, shaped, original)
        rest = [_without_attachments(doc) for doc in (edited, shaped, original)]
        whole = self._members(*rest)
        attachments = _attachments(edited, shaped, original)
        if attachments:
            whole["_attachments"] = attachments
        return whole

    def _value(self, edited: Any, shaped: Any, original: Any) -> Any:
        if edited is shaped or same(edited, shaped):
            return original
        if isinstance(edited, dict) and isinstance(shaped, dict) and isinstance(original, dict):
            return self._members(edited, shaped, original)
        if isinstance(edited, list) and isinstance(shaped, list) and isinstance(original, list):
            return self._elements(edited, shaped, original)
        left = self._left_of_member(shaped, original)
        return self._sew(edited, shaped, original) if left is _GONE else left

    def _members(self, edited: Doc, shaped: Doc, original: Doc) -> Doc:
        whole = original.copy()
        for name, new in edited.items():
            old = shaped.get(name, _GONE)
            if new is old or (type(new) is str and new == old):
                continue  # as it was shown
            if name in original:
                if old is not _GONE:
                    try:
                        whole[name] = self._value(new, old, original[name])
                    except _Unclear:
                        raise _Unclear(name) from None
            elif old is _GONE or not same(new, old):
                whole[name] = new
        if not shaped.keys() <= edited.keys():
            self._remove([name for name in shaped if name not in edited and name in original], shaped, original, whole)
        return whole

    def _remove(self, names: Iterable[str], shaped: Doc, original: Doc, whole: Doc) -> None:
        """Take what the client removed from `whole`, as far as it goes."""
        for name in names:
            if self._is_leaf(shaped[name], original[name]) and self._stays(shaped[name], original[name]):
                continue
            left = self._left_of_member(shaped[name], original[name])
            if left is _GONE:
                del whole[name]
            else:
                whole[name] = left

    @staticmethod
    def _is_leaf(shaped: Any, original: Any) -> bool:
        """Whether the two cannot be walked in step."""
        return not isinstance(shaped, dict | list) or type(shaped) is not type(original)

    def _elements(self, edited: list[Any], shaped: list[Any], original: list[Any]) -> list[Any]:
        if shaped is original or same(shaped, original):
            return edited
        origins = self._origins(shaped, original)
        partners, unsure = align(edited, shaped, self._effort)
        for index in unsure:
            origin = origins[index]
            if origin is not None and not same(shaped[index], original[origin]):
                raise _Unclear
        merged: list[Any] = []
        at: dict[int, int] = {}  # index in the original → position in `merged`
        for element, partner in zip(edited, partners, strict=True):
            if partner is not None:
                origin = origins[partner]
                if origin is not None:
                    at[origin] = len(merged)
                    element = self._value(element, shaped[partner], original[origin])
                elif same(element, shaped[partner]):
                    continue  # made by the filter, and untouched
            merged.append(element)
        staying = self._unshown(shaped, original, origins, set(at), gone(edited, shaped, partners))
        return _with_followers(merged, at, staying)

    def _origins(self, shaped: list[Any], original: list[Any]) -> Sequence[int | None]:
        known = self._survivors.get(id(shaped))
        if known is not None:
            return known
        origins, unsure = embed(shaped, original, self._effort)
        if unsure:
            raise _Unclear
        return origins

    def _unshown(
        self,
        shaped: list[Any],
        original: list[Any],
        origins: Sequence[int | None],
        merged: set[int],
        is_gone: Callable[[int], bool],
    ) -> dict[int, Any]:
        """What stays of the original's elements that have no partner in what the client sent, by index."""
        shown = {origin: index for index, origin in enumerate(origins) if origin is not None}
        staying: dict[int, Any] = {}
        for index, element in enumerate(original):
            if index in merged:
                continue
            if index not in shown:
                staying[index] = element
            elif not is_gone(shown[index]):
                left = self._left_of(shaped[shown[index]], element)
                if left is not _GONE:
                    staying[index] = left
        return staying

    def _left_of(self, shaped: Any, original: Any) -> Any:
        """What stays of a value that the client removed (rule 6)."""
        if shaped is original:
            return _GONE
        if isinstance(shaped, list) and isinstance(original, list):
            return self._elements([], shaped, original) or _GONE
        if not (isinstance(shaped, dict) and isinstance(original, dict)):
            return _GONE
        left = {n: self._left_of_member(value, original[n]) for n, value in shaped.items() if n in original}
        return {n: value for n, value in left.items() if value is not _GONE} or _GONE

    def _left_of_member(self, shaped: Any, original: Any) -> Any:
        if shaped == {} and isinstance(original, dict) and original:
            return original
        return self._left_of(shaped, original)


def _with_followers(merged: list[Any], at: Mapping[int, int], staying: Mapping[int, Any]) -> list[Any]:
    """`merged` with each of the elements `staying` behind the nearest one before it in the original."""
    behind: dict[int, list[Any]] = {}
    position = -1
    for index in sorted([*at, *staying]):
        if index in staying:
            behind.setdefault(position, []).append(staying[index])
        else:
            position = at[index]
    whole = behind.get(-1, [])[:]
    for position, element in enumerate(merged):
        whole.append(element)
        whole.extend(behind.get(position, ()))
    return whole


def _attachments(edited: Doc, shaped: Doc, original: Doc) -> Doc:
    shown = shaped.get("_attachments") or {}
    hidden = [name for name in original["_attachments"] if name not in shown]
    own = {name: entry for name, entry in (edited.get("_attachments") or {}).items() if name not in hidden}
    return {**own, **{name: _stub(original["_attachments"][name]) for name in hidden}}


def _stub(entry: Doc) -> Doc:
    """A hidden attachment as it goes back: CouchDB finds it by name, PouchDB Server by digest. A `revpos` would have to
    match an ancestor that the source still has.
    """
    return {**{key: entry[key] for key in ("content_type", "digest", "length") if key in entry}, "stub": True}


def _without_attachments(doc: Doc) -> Doc:
    return {name: value for name, value in doc.items() if name != "_attachments"}


def _never(shaped: Any, original: Any) -> bool:
    return False


def _take_edited(edited: Any, shaped: Any, original: Any) -> Any:
    return edited
