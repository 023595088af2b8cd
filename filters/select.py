"""`select`: show a client only the documents for which a condition is true.

Options: `where`, a JMESPath expression over the document and `client`; `audience_fields`, the top-level fields that it
reads, if it is not plain from the expression; `optional`, client attributes that a client may lack.

It fails closed: a document is withheld also if the condition cannot be judged (a function is given a value of the
wrong type), and a client that lacks an attribute that the expression names gets no document at all, since null equals
null: without a facility of its own it would otherwise be given the documents that have none.

Where the condition compares the document with the client (`facility == client.facility`, `contains(members,
client.name)`, and what `&&` and `||` make of such), feeds find a client's documents by the values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from filters.options import texts
from proxy.contract import Client, Doc, Filter, OptionError
from proxy.rules import Expression, compile_expression, sharing


class Select(Filter):
    """Withholds documents for which `where` is not true."""

    pure: ClassVar[bool] = True
    thread_safe: ClassVar[bool] = True

    def __init__(
        self, *, where: str, audience_fields: Sequence[str] | None = None, optional: Sequence[str] = ()
    ) -> None:
        self._where = compile_expression(where, option="where")
        self._optional = frozenset(texts("optional", optional))
        if audience_fields is not None:
            self._audience_fields = frozenset(texts("audience_fields", audience_fields))
        elif self._where.fields is not None:
            self._audience_fields = self._where.fields
        else:
            message = "may read any field: name those that it reads in audience_fields, for tombstones to keep them"
            raise OptionError("where", message, text=where)
        self._judge = None if self._where.uses_client else self._where.judge(None, False)
        self._sharing = sharing(self._where)
        self.declares_audience = self._sharing is not None

    def expressions(self) -> Iterable[tuple[str, Expression]]:
        return [("where", self._where)]

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        if self._judge is not None:
            return doc if self._judge(doc) else None
        if self._where.lacks(client, self._optional) is not None:
            return None
        try:
            return doc if self._where.truthy(doc, client) else None
        except (ValueError, TypeError, ArithmeticError):
            return None

    def audience_fields(self) -> Iterable[str]:
        return self._audience_fields

    def by_fields(self) -> bool:
        return self._where.fields is not None and self._where.fields <= self._audience_fields

    def hides_by_place(self) -> bool:
        return True

    def audience(self, doc: Doc) -> Iterable[str] | None:
        return None if self._sharing is None else self._sharing.of_document(doc)

    def client_keys(self, client: Client) -> Iterable[str]:
        if self._sharing is None or self._where.lacks(client, self._optional) is not None:
            return ()
        return self._sharing.of_client(client)

    def depends_on_client(self) -> bool:
        return self._where.uses_client

    def describe_audience(self) -> str:
        return "" if self._sharing is None else self._sharing.text
