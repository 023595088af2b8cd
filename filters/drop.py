"""`drop`: leave out parts of documents.

Options: `paths`. What they lead to is not shown; what a client writes there is not taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from filters.options import document_paths
from proxy.contract import Client, Doc, Filter
from proxy.rules import Expression, Survivors, restore_structurally


class Drop(Filter):
    """Leaves out what `paths` lead to. An element of an array goes as a whole, the others move up."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    sews: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(self, *, paths: Sequence[str]) -> None:
        self._paths = document_paths("paths", paths)

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return self._paths.conditions

    def shape(self, doc: Doc, client: Client) -> Doc:
        return self._paths.drop(doc, client)

    def by_fields(self) -> bool:
        return True

    def hides_by_place(self) -> bool:
        return self._paths.drop_by_place

    def depends_on_client(self) -> bool:
        return self._paths.uses_client

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if original is None:
            return edited
        survivors: Survivors = {}
        shaped = self._paths.drop(original, client, survivors)
        return restore_structurally(edited, shaped, original, survivors=survivors)
