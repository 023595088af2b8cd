"""Reading what clients send, and showing what is stored."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.core import jsonio
from proxy.core.revisions import Revisions
from proxy.endpoint import incoming
from proxy.endpoint.attachments import Attachment
from proxy.endpoint.documents import Document
from proxy.endpoint.incoming import read
from proxy.errors import BadRequest, TooLarge


@pytest.mark.parametrize(
    ("doc", "error", "reason"),
    [
        ([1], "bad_request", "Document must be a JSON object"),
        ({"_bad": 1}, "doc_validation", "Bad special document member: _bad"),
        ({"_removed": True}, "doc_validation", "Bad special document member: _removed"),
        ({"_deleted": 1}, "doc_validation", "Bad special document member: _deleted"),
        ({"_attachments": 5}, "doc_validation", "Bad special document member: _attachments"),
        ({"_revisions": 5}, "doc_validation", "Bad special document member: _revisions"),
        ({"_id": 5}, "illegal_docid", "Document id must be a string"),
        ({"_id": ""}, "illegal_docid", "Document id must not be empty"),
        ({"_id": "_x"}, "illegal_docid", "Only reserved document ids may start with underscore."),
        ({"_id": "_design/"}, "illegal_docid", "Illegal document id `_design/`"),
        ({"_id": "_local/"}, "illegal_docid", "Illegal document id `_local/`"),
        ({"_id": "\ud800"}, "illegal_docid", "Document id must be valid UTF-8"),
        ({"_rev": 5}, "bad_request", "Invalid rev format"),
        ({"_rev": "bad"}, "bad_request", "Invalid rev format"),
        ({"_revisions": {"start": "x"}}, "doc_validation", "_revisions.start isn't an integer."),
        ({"_revisions": {"start": 1, "ids": 5}}, "doc_validation", "_revisions.ids isn't a array."),
        ({"_revisions": {"start": 1, "ids": [5]}}, "doc_validation", "RevId isn't a string"),
        ({"_revisions": {"start": 1, "ids": ["z" * 32]}}, "doc_validation", "RevId isn't a valid hexadecimal"),
        (
            {"_revisions": {"start": 1, "ids": ["a", "b"]}},
            "doc_validation",
            "_revisions.ids has more entries than _revisions.start.",
        ),
        (
            {"_attachments": {"_a": {"data": ""}}},
            "bad_request",
            "Attachment name '_a' starts with prohibited character '_'",
        ),
        ({"_attachments": {"a": {"data": "a"}}}, "bad_request", "Invalid attachment data for a"),
        ({"_attachments": {"a": {}}}, "bad_request", "Invalid attachment data for a"),
        ({"_attachments": {"a": {"follows": True}}}, "bad_request", "Invalid attachment data for a"),
        (
            {"_attachments": {"a": {"data": "", "content_type": 5}}},
            "bad_request",
            "Invalid attachment data for a",
        ),
        ({"_attachments": {"a": {"stub": True, "revpos": "1"}}}, "bad_request", "Invalid attachment data for a"),
    ],
)
def test_what_is_refused(doc: Any, error: str, reason: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read(doc)
    assert (caught.value.error, caught.value.reason) == (error, reason)


def test_what_is_read() -> None:
    edit = read(
        {
            "_id": "a",
            "_rev": "2-b",
            "x": 1,
            "_conflicts": ["1-a"],
            "_revs_info": [],
            "_local_seq": 5,
            "_deleted": True,
            "_replication_state": "error",
            "_attachments": {"ignored": 5},
        }
    )
    assert edit.id == "a"
    assert edit.body == {"x": 1, "_replication_state": "error"}
    assert edit.text == b'{"x":1,"_replication_state":"error"}'
    assert edit.deleted
    assert edit.revisions == Revisions(2, ("b",))
    assert edit.attachments == ()


@pytest.mark.parametrize("order", [["_rev", "_revisions"], ["_revisions", "_rev"]])
def test_revisions_override_rev(order: list[str]) -> None:
    values = {"_rev": "2-x", "_revisions": {"start": 3, "ids": ["AB" * 16, "b"]}}
    edit = read({name: values[name] for name in order})
    assert edit.revisions == Revisions(3, ("ab" * 16, "b"))


def test_the_given_id_overrides_the_documents() -> None:
    assert read({"_id": "a"}, "b").id == "b"
    assert read({}).id == ""


def test_documents_have_a_greatest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MAX_DOCUMENT_SIZE", 20)
    assert read({"_id": "a", "x": "y" * 10}).id == "a"
    with pytest.raises(TooLarge) as caught:
        read({"_id": "a", "x": "y" * 20})
    assert (caught.value.error, caught.value.reason) == ("document_too_large", "a")


def test_members_are_in_couchdbs_order() -> None:
    attachment = Attachment("a.txt", "text/plain", 2, "md5-xyz==", 5, "key", "gzip", 25)
    document = Document(
        "a",
        "2-b",
        True,
        b'{"x":1}',
        (attachment,),
        Revisions(2, ("b", "a")),
        {"_local_seq": 7},
    )
    assert jsonio.loads(document.json()) == {
        "_id": "a",
        "_rev": "2-b",
        "x": 1,
        "_deleted": True,
        "_revisions": {"start": 2, "ids": ["b", "a"]},
        "_local_seq": 7,
        "_attachments": {
            "a.txt": {
                "content_type": "text/plain",
                "revpos": 2,
                "digest": "md5-xyz==",
                "length": 5,
                "stub": True,
            }
        },
    }
    assert list(jsonio.loads(document.json())) == [
        "_id",
        "_rev",
        "x",
        "_deleted",
        "_revisions",
        "_local_seq",
        "_attachments",
    ]


@pytest.mark.parametrize(
    ("options", "members"),
    [
        ({}, {"length": 5, "stub": True}),
        ({"follows": {"a"}}, {"length": 5, "follows": True}),
        ({"follows": {"b"}}, {"length": 5, "stub": True}),
        ({"data": {"a": b"hello"}}, {"data": "aGVsbG8="}),
        ({"encoding_info": True}, {"length": 5, "stub": True, "encoding": "gzip", "encoded_length": 25}),
    ],
)
def test_ways_to_show_an_attachment(options: dict[str, Any], members: dict[str, Any]) -> None:
    attachment = Attachment("a", "text/plain", 2, "md5-x", 5, "key", "gzip", 25)
    shown = jsonio.loads(Document("d", "2-b", False, b"{}", (attachment,)).json(**options))
    expected = {"content_type": "text/plain", "revpos": 2, "digest": "md5-x", **members}
    assert shown["_attachments"]["a"] == expected


def test_awkward_ids_and_revs_stay_json() -> None:
    document = Document('"\\☃', '1-"', False, b"{}")
    assert jsonio.loads(document.json()) == {"_id": '"\\☃', "_rev": '1-"'}
