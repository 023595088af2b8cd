"""Attachments by themselves and within documents: whole, or not at all."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientPayloadError

from proxy.core.endpoints import Kind
from proxy.reading.attachments import get_attachment
from proxy.reading.bulk_get import post_bulk_get
from proxy.reading.document import get_document
from tests.reading.couch import Couch, revision, serving
from tests.reading.served import front

ENTRY = {"content_type": "image/png", "revpos": 1, "digest": "md5-y==", "length": 3, "stub": True}
HANDLERS: dict[Any, Any] = {
    Kind.ATTACHMENT: get_attachment,
    Kind.BULK_GET: post_bulk_get,
    Kind.DOCUMENT: get_document,
}


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    couch = Couch([revision("photo", "a", owner="ann", _attachments={"i.bin": ENTRY})])
    couch.bodies["photo", "i.bin"] = b"\0\1\2"
    async with serving(couch):
        yield couch


@pytest.mark.parametrize("given", [b"\0\1\2", b"", b"\0\1", b"\0\1\2\3"], ids=len)
async def test_an_attachment_of_another_length_is_not_given_as_a_whole(couch: Couch, given: bytes) -> None:
    couch.bodies["photo", "i.bin"] = given
    async with front(couch, HANDLERS) as ann:
        for method, path, body in (
            ("GET", "/db-phone/photo/i.bin", None),
            ("GET", "/db-phone/photo?attachments=true", None),
            ("POST", "/db-phone/_bulk_get?attachments=true", {"docs": [{"id": "photo"}]}),
        ):
            try:
                status, text, _ = await ann.raw(method, path, body)
            except ClientPayloadError:  # it had begun
                assert len(given) != 3
                continue
            if len(given) == 3:
                assert status == 200
                assert given in text or base64.b64encode(given) in text
            else:
                assert status == 502, path
                assert b"not of the length that it announced" in text


async def test_an_attachment_of_no_known_revision_is_sent_as_well(couch: Couch) -> None:
    """CouchDB stores a `revpos` of 0 where a replicator sends none, and sends such attachments."""
    couch.docs["photo"] = [revision("photo", "a", owner="ann", _attachments={"i.bin": {**ENTRY, "revpos": 0}})]
    async with front(couch, HANDLERS) as ann:
        found = await ann.json("POST", "/db-phone/_bulk_get?attachments=true", {"docs": [{"id": "photo"}]})
        whole = found["results"][0]["docs"][0]["ok"]
        assert base64.b64decode(whole["_attachments"]["i.bin"]["data"]) == b"\0\1\2"
