"""`redact`: show that there is a value, but not which.

Options: `paths`; `mode`: "constant" (the default; shows `value`, "***" unless given), "hash" (a digest of the value
under `key`, a secret of at least 16 characters: equal values can be told, but not guessed) or "partial" (`value`, then
the last `keep` characters of a string or number, if it is longer than that); `writable`: whether a client may store a
new value in place of one that it cannot see.

A value that a client leaves as it was shown stays what it is. A changed one is refused, unless `writable`. What was
only ever a mask (in a copied array element, say) is not stored as if it were a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, ClassVar

from filters.options import choice, count, document_paths, flag, json_value, text
from proxy.contract import Client, Doc, Filter, OptionError, Refused
from proxy.rules import GONE, Expression, key_of, quote, restore_structurally, same

_DIGEST_BYTES = 16
_LEAST_KEY = 16


class Redact(Filter):
    """Shows masks for what `paths` lead to."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(
        self,
        *,
        paths: Sequence[str],
        mode: str = "constant",
        value: Any = "***",
        key: str | None = None,
        keep: int | None = None,
        writable: bool = False,
    ) -> None:
        self._paths = document_paths("paths", paths)
        choice("mode", mode, ("constant", "hash", "partial"))
        _only_with("key", key, mode, "hash")
        _only_with("keep", keep, mode, "partial")
        self._mode = mode
        if mode == "constant":
            mask = json_value("value", value)
            self._mask: Callable[[Any], Any] = lambda hidden: mask
        elif mode == "hash":
            self._mask = _hash(key)
        else:
            self._mask = _partial(count("keep", keep, 1), text("value", value))
        self._masked = self._paths.rewriter(lambda hidden, _: self._mask(hidden))
        self._writable = flag("writable", writable)

    def describe(self) -> str:
        """For listings: the key stays out of them."""
        return f"{', '.join(self._paths.texts)} ({self._mode}{', writable' if self._writable else ''})"

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return self._paths.conditions

    def shape(self, doc: Doc, client: Client) -> Doc:
        return self._masked(doc, client, None)

    def by_fields(self) -> bool:
        return True

    def hides_by_place(self) -> bool:
        return self._paths.drop_by_place

    def depends_on_client(self) -> bool:
        return self._paths.uses_client

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if original is None:
            self._check(edited, edited, [], client)
            return edited
        shown = self.shape(original, client)
        if self._writable or "_deleted" in edited:
            whole = restore_structurally(edited, shown, original)
        else:
            whole = _unless_overwritten(edited, shown, original)
        self._check(edited, whole, self._paths.locate(original, client).values(), client)
        return whole

    def _check(self, edited: Doc, whole: Doc, known: Iterable[Any], client: Client) -> None:
        keys: set[str] | None = None
        # by where it stands: a condition that leads to a value need not lead to its mask
        for place, (value, sent) in self._paths.locate_beside(whole, edited, client).items():
            removed = sent is GONE and "_deleted" not in edited  # a deletion removes everything
            changed = sent is not GONE and not same(sent, self._mask(value))
            if (removed or changed) and not self._writable:
                raise Refused(f"{place} is redacted and cannot be changed", place)
            if not same(self._mask(value), value):
                continue
            if keys is None:
                keys = set(map(key_of, known))
            if key_of(value) not in keys:
                raise Refused(f"{place} would be a mask instead of a value", place)

    def sets_fields(self) -> Iterable[str]:
        return self._paths.texts if self._writable else ()

    def writes_unseen(self) -> Iterable[str]:
        return self.sets_fields()


def _unless_overwritten(edited: Doc, shown: Doc, original: Doc) -> Doc:
    """The whole document. Raises Refused where a mask was changed: also one that would not be there any more, since the
    client has changed the condition for it.
    """
    overwritten = object()
    found = False

    def sew(sent: Any, shown: Any, original: Any) -> Any:
        nonlocal found
        if same(shown, original) or _has_members(shown, original):
            return sent
        found = True
        return overwritten

    whole = restore_structurally(edited, shown, original, sew=sew, stays=_is_masked)
    if found:
        place = next(_places_of(overwritten, whole))
        raise Refused(f"{place} is redacted and cannot be changed", place)
    return whole


def _has_members(shown: Any, original: Any) -> bool:
    """Whether it is something within it that is masked: who puts something else in its place removes that."""
    return isinstance(shown, dict | list) and type(shown) is type(original)


def _places_of(mark: object, value: Any, place: str = "") -> Iterator[str]:
    """Where an object is."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _places_of(mark, member, f"{place}.{quote(name)}" if place else quote(name))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _places_of(mark, element, f"{place}[{index}]")
    elif value is mark:
        yield place


def _is_masked(shaped: Any, original: Any) -> bool:
    return not same(shaped, original)


def _only_with(option: str, value: object, mode: str, its_mode: str) -> None:
    if mode == its_mode and value is None:
        raise OptionError(option, f'is missing: mode "{mode}" needs it')
    if mode != its_mode and value is not None:
        raise OptionError(option, f'has no meaning in mode "{mode}", only in "{its_mode}"')


def _hash(key: object) -> Callable[[Any], str]:
    secret = text("key", key).encode()
    if not _LEAST_KEY <= len(secret) <= blake2b.MAX_KEY_SIZE:
        raise OptionError("key", f"must have {_LEAST_KEY} to {blake2b.MAX_KEY_SIZE} bytes, not {len(secret)}")

    def mask(hidden: Any) -> str:
        try:
            canonical = json.dumps(hidden, sort_keys=True).encode()
        except RecursionError:  # deeper than Python goes: one mask for all of those
            canonical = b""
        return blake2b(canonical, key=secret, digest_size=_DIGEST_BYTES).hexdigest()

    return mask


def _partial(keep: int, mask: str) -> Callable[[Any], str]:
    def masked(hidden: Any) -> str:
        if isinstance(hidden, bool) or not isinstance(hidden, str | int | float):
            return mask
        shown = str(hidden)
        return mask + shown[-keep:] if len(shown) > keep else mask

    return masked
