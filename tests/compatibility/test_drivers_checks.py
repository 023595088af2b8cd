"""The drivers reject what the clients would: a driver that takes anything proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.compatibility.drivers import Rejected, multipart
from tests.compatibility.drivers.replica import Replica

KIND = 'multipart/related; boundary="b"'
DATA = b"some bytes"

Doc = dict[str, Any]


def built(entries: Doc, *parts: bytes, end: bytes = b"\r\n--b--") -> bytes:
    """A document with these `_attachments`, and these parts after it."""
    doc = {"_id": "d", "_rev": "1-a", "_attachments": entries}
    pieces = [b"Content-Type: application/json\r\n\r\n" + json.dumps(doc).encode()]
    pieces += [b"Content-Type: text/plain\r\n\r\n" + part for part in parts]
    return b"--b\r\n" + b"\r\n--b\r\n".join(pieces) + end


def entry(data: bytes = DATA, **changed: Any) -> Doc:
    return {"follows": True, "length": len(data), "digest": multipart.md5(data), **changed}


def test_what_is_right_is_taken() -> None:
    doc, data = multipart.document(KIND, built({"x": entry(), "old": {"stub": True}}, DATA))
    assert (doc["_id"], data) == ("d", {"x": DATA})


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (KIND, built({"x": entry(length=3)}, DATA)),
        (KIND, built({"x": entry(encoded_length=3)}, DATA)),
        (KIND, built({"x": entry(digest="md5-AAAA")}, DATA)),
        (KIND, built({"x": entry()}, DATA, DATA)),
        (KIND, built({"x": entry()})),
        (KIND, built({"x": entry(), "y": entry(b"other")}, b"other", DATA)),
        (KIND, built({"x": entry()}, DATA, end=b"")),
        (KIND, b"preamble" + built({"x": entry()}, DATA)),
        (KIND.replace("related", "mixed"), built({"x": entry()}, DATA)),
        (KIND.replace("boundary", "limit"), built({"x": entry()}, DATA)),
    ],
    ids=[
        "length",
        "encoded_length",
        "digest",
        "surplus",
        "missing",
        "order",
        "unended",
        "preamble",
        "type",
        "boundary",
    ],
)
def test_what_is_not_is_rejected(kind: str, body: bytes) -> None:
    with pytest.raises((Rejected, KeyError)):
        multipart.document(kind, body)


@pytest.mark.parametrize(
    "change",
    [
        lambda doc: doc.update(_shaped=True),
        lambda doc: doc.pop("_revisions"),
        lambda doc: doc.update(_rev="2-c"),
        lambda doc: doc.update(_attachments={"x": {"stub": True}}),
    ],
    ids=["unknown member", "no _revisions", "another _rev", "missing_stub"],
)
def test_documents_that_no_client_takes(change: Callable[[Doc], Any]) -> None:
    doc: Doc = {"_id": "d", "_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", "a"]}}
    Replica().insert(doc)
    change(doc)
    with pytest.raises(Rejected):
        Replica().insert(doc)
