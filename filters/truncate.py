"""`truncate`: show the beginning, or the end, of long arrays and texts.

Options: `paths`; `items`, how many elements of an array to show; `chars`, how many characters of a string (one of the
two, or both); `end`: "first" (the default) or "last".

What is hidden stays when the visible part is edited, as far as there is one way to do that: elements of an array that
was cut may be changed in place, not added, removed or reordered; a text that was cut may be changed into one of equal
length. Other changes of what was cut are refused. What was short enough to be shown whole can be changed freely,
within the limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from filters.options import choice, count, document_paths
from proxy.contract import Client, Doc, Filter, OptionError, Refused
from proxy.rules import Expression, Survivors, restore_structurally, same


class Truncate(Filter):
    """Cuts arrays to `items` and strings to `chars`."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(
        self, *, paths: Sequence[str], items: int | None = None, chars: int | None = None, end: str = "first"
    ) -> None:
        self._paths = document_paths("paths", paths)
        if items is None and chars is None:
            raise OptionError("items", "is missing: give items, chars or both")
        self._limits: dict[type, int | None] = {
            list: None if items is None else count("items", items, 1),
            str: None if chars is None else count("chars", chars, 1),
        }
        self._first = choice("end", end, ("first", "last")) == "first"
        self._cut_doc = self._paths.rewriter(self._cut)

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return self._paths.conditions

    def shape(self, doc: Doc, client: Client) -> Doc:
        return self._cut_doc(doc, client, None)

    def by_fields(self) -> bool:
        return True

    def depends_on_client(self) -> bool:
        return self._paths.uses_client

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        whole = edited
        if original is not None:
            survivors: Survivors = {}
            shaped = self._cut_doc(original, client, survivors)
            whole = restore_structurally(edited, shaped, original, survivors=survivors, sew=self._sew)
        read = self._paths.locate(self.shape(whole, client), client)
        for place, value in self._paths.locate(edited, client).items():
            if not same(read.get(place), value):
                raise Refused(f"{place} is shown in part, and cannot be changed so", place)
        return whole

    def _cut(self, value: Any, survivors: Survivors | None) -> Any:
        limit = self._limits.get(type(value))
        if limit is None or len(value) <= limit:
            return value
        start = 0 if self._first else len(value) - limit
        cut = value[start : start + limit]
        if survivors is not None and isinstance(value, list):
            survivors[id(cut)] = list(range(start, start + limit))
        return cut

    def _sew(self, edited: Any, shaped: Any, original: Any) -> Any:
        """A text of which a part was shown, with its hidden part; as it was if that is not to be told apart."""
        if same(shaped, original) or not isinstance(original, str):
            return edited
        if not isinstance(edited, str) or len(edited) != len(shaped):
            return original  # and so not what was sent, which is refused
        return edited + original[len(shaped) :] if self._first else original[: len(original) - len(shaped)] + edited
