"""`validate`: refuse writes that do not meet a condition.

Options: `where`, a JMESPath expression over the document as it is to be stored, with `old` for what it replaces
(null when a document is created; its deletion when it is made anew over that) and `client`; `message`, the reason that
a client is given.

As with CouchDB's own `validate_doc_update`, deletions are judged too: a condition about fields begins with
`_deleted ||` if documents may be deleted. A condition that cannot be judged, or that names an attribute that the
client lacks, is not met. Documents go out untouched. The condition sees documents as they are at its place in the
chain: whole, if it comes first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from filters.options import text
from proxy.contract import Client, Doc, Filter, Refused
from proxy.rules import Expression, compile_expression


class Validate(Filter):
    """Refuses writes for which `where` is not true, with `message`."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True
    passes_all: ClassVar[bool] = True

    def __init__(self, *, where: str, message: str | None = None) -> None:
        self._where = compile_expression(where, option="where", names=("client", "old"))
        self._message = f"not allowed: {where}" if message is None else text("message", message)

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return [("where", self._where)]

    def depends_on_client(self) -> bool:
        return False  # documents go out untouched

    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        if not self._is_met(edited, original, client):
            raise Refused(self._message)
        return edited

    def _is_met(self, edited: Doc, original: Doc | None, client: Client) -> bool:
        if self._where.lacks(client) is not None:
            return False
        try:
            return self._where.truthy(edited, client, {"old": original})
        except (ValueError, TypeError, ArithmeticError):
            return False
