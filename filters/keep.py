"""`keep`: show nothing but some parts of documents.

Options: `paths`. `_id`, `_rev`, `_deleted` and `_attachments` always stay: those are for `attachments` to cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from filters.options import document_paths
from proxy.contract import Client, Doc, Filter
from proxy.rules import Expression, Survivors, compile_paths, restore_structurally

_ALWAYS = ("_id", "_rev", "_deleted", "_attachments")


class Keep(Filter):
    """Shows what `paths` lead to, with the objects and arrays on the way; the rest stays hidden."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(self, *, paths: Sequence[str]) -> None:
        document_paths("paths", paths)
        self._paths = compile_paths([*paths, *_ALWAYS], option="paths")

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return self._paths.conditions

    def shape(self, doc: Doc, client: Client) -> Doc:
        return self._paths.keep(doc, client)

    def by_fields(self) -> bool:
        return True

    def hides_by_place(self) -> bool:
        return self._paths.keep_by_place

    def depends_on_client(self) -> bool:
        return self._paths.uses_client

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if original is None:
            return edited
        survivors: Survivors = {}
        shaped = self._paths.keep(original, client, survivors)
        return restore_structurally(edited, shaped, original, survivors=survivors)
