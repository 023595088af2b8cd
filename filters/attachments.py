"""`attachments`: show only some of a document's attachments.

Options: `allow` and `deny`, content types with `*` as in `image/*`; `allow_names` and `deny_names`, patterns of names
as in `*.pdf`; `max_size`, in bytes. An attachment is shown if it meets all that are given; `allow = []` shows none.
Of one without a known type the type is `application/octet-stream`; one without a known size is too large for any
`max_size`. `allow_names` are compared with their case, `deny_names` without it: either way a slip hides more.

Hidden attachments stay with the document when it is written. A client cannot store one that it would not be shown, and
is told which rule it does not meet: by what it sent alone, whether or not there is a hidden one by that name. One that
meets all of them and has the name of a hidden one has to be refused, in words that say no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import translate
from typing import Any, ClassVar

from filters.content_types import content_type, content_types
from filters.options import count, texts
from proxy.contract import Client, Doc, Filter, OptionError, Refused
from proxy.rules import quote, restore_structurally


class Attachments(Filter):
    """Leaves out attachments by type, name and size."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(
        self,
        *,
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        allow_names: Sequence[str] | None = None,
        deny_names: Sequence[str] = (),
        max_size: int | None = None,
    ) -> None:
        if allow is None and allow_names is None and max_size is None and not deny and not deny_names:
            raise OptionError("allow", "is missing: give allow, deny, allow_names, deny_names or max_size")
        self._allow = None if allow is None else content_types("allow", allow)
        self._deny = content_types("deny", deny)
        self._allow_names = None if allow_names is None else _patterns("allow_names", allow_names)
        self._deny_names = _patterns("deny_names", deny_names, re.IGNORECASE)
        self._max_size = None if max_size is None else count("max_size", max_size)

    def shape(self, doc: Doc, client: Client) -> Doc:
        attachments = _entries(doc)
        shown = {name: entry for name, entry in attachments.items() if self._shows(name, entry)}
        if len(shown) == len(attachments) and (attachments or "_attachments" not in doc):
            return doc
        rest = {name: value for name, value in doc.items() if name != "_attachments"}
        return {**rest, "_attachments": shown} if shown else rest

    def by_fields(self) -> bool:
        return True

    def hides_by_place(self) -> bool:
        return True

    def depends_on_client(self) -> bool:
        return False

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        shaped = {} if original is None else self.shape(original, client)
        had, shown, sent = _entries(original or {}), _entries(shaped), _entries(edited)
        for name, entry in sent.items():
            unchanged = name in shown and isinstance(entry, dict) and bool(entry.get("stub"))
            if not unchanged and (fault := self._fault(name, entry)) is not None:
                raise _refused(fault, name)
        for name in sent:  # told last: what could not be stored in any case is refused as if there were none
            if name in had and name not in shown:
                raise _refused("such as this one", name)
        return edited if original is None else restore_structurally(edited, shaped, original)

    def _shows(self, name: str, entry: Any) -> bool:
        return self._fault(name, entry) is None

    def _fault(self, name: str, entry: Any) -> str | None:
        """What rule an attachment does not meet, in words that follow "an attachment"; None: it meets all."""
        if not _is_described(entry):
            return "such as this one"
        kind = content_type(entry.get("content_type"))
        if (self._allow is not None and not _matches(self._allow, kind)) or _matches(self._deny, kind):
            return f"of the type {kind}"
        names = self._allow_names
        if (names is not None and not _matches(names, name)) or _matches(self._deny_names, name):
            return "by this name"
        if self._max_size is not None and _size(entry, self._max_size) > self._max_size:
            return f"of more than {self._max_size} bytes"
        return None


def _refused(which: str, name: str) -> Refused:
    return Refused(f"this client may not store an attachment {which}", f"_attachments.{quote(name)}")


def _entries(doc: Doc) -> Mapping[str, Any]:
    entries = doc.get("_attachments")
    return entries if isinstance(entries, dict) else {}


def _patterns(option: str, value: object, flags: int = 0) -> list[re.Pattern[str]]:
    return [re.compile(translate(pattern), flags) for pattern in texts(option, value)]


def _matches(patterns: Iterable[re.Pattern[str]], name: str) -> bool:
    return any(pattern.match(name) for pattern in patterns)


def _is_described(entry: Any) -> bool:
    """A bare stub says nothing of its attachment; the source never sends one, and judged as it is it would pass."""
    return isinstance(entry, Mapping) and any(
        name in entry for name in ("content_type", "digest", "length", "data", "follows")
    )


def _size(entry: Mapping[str, Any], limit: int) -> int:
    """The size in bytes; more than `limit` if it is not known."""
    data = entry.get("data")
    if isinstance(data, str):
        return len(data.rstrip("=")) * 3 // 4
    length = entry.get("length")
    return length if isinstance(length, int) else limit + 1
