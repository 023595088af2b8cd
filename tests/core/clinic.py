"""A document of a clinic, and the chain through which a nurse sees it."""

from __future__ import annotations

from typing import Any

from filters.attachments import Attachments
from filters.drop import Drop
from filters.rename import Rename
from filters.select import Select
from proxy.contract import Client, Doc, Filter
from proxy.core.lens import Chain, Link

ANN = Client("ann", frozenset({"facility:f7"}))
BOB = Client("bob", frozenset({"facility:f8"}))

DOC: Doc = {
    "_id": "p1",
    "_rev": "3-c",
    "type": "patient",
    "facility": "f7",
    "name": "Ann",
    "ssn": "123",
    "notes": [{"text": "a"}, {"text": "b", "private": True}],
    "_attachments": {
        "a.txt": {"content_type": "text/plain", "length": 3, "digest": "md5-a==", "revpos": 1, "stub": True},
        "b.png": {"content_type": "image/png", "length": 9, "digest": "md5-b==", "revpos": 2, "stub": True},
    },
}


def chain(*filters: Filter) -> Chain:
    return Chain([Link(type(filter_).__name__, filter_) for filter_ in filters])


CLINIC = chain(
    Select(where="facility == client.facility"),
    Drop(paths=["ssn", "notes[?private]"]),
    Rename(fields={"name": "label"}),
    Attachments(deny=["image/*"]),
)
SHAPED: Doc = {
    "_id": "p1",
    "_rev": "3-c",
    "type": "patient",
    "facility": "f7",
    "label": "Ann",
    "notes": [{"text": "a"}],
    "_attachments": {"a.txt": DOC["_attachments"]["a.txt"]},
}


def deletion(**fields: Any) -> Doc:
    return {"_id": "p1", "_rev": "4-d", "_deleted": True, **fields}
