"""Attachments that go along with a document whose own revision is gone."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxy.config.model import Source
from proxy.errors import Forbidden, Unavailable
from proxy.upstream import Upstream
from proxy.view import View
from proxy.writing.lending import with_lent
from proxy.writing.rules import Send
from tests.reading.couch import Couch, revision, serving
from tests.reading.served import profile, view_of

STUB = {"content_type": "image/png", "digest": "md5-y==", "length": 3, "stub": True}
LENDER: dict[str, Any] = revision("photo", "a", owner="ann", _attachments={"i.bin": STUB})
EDITED = Send({"_id": "photo", "_attachments": {"i.bin": STUB}}, LENDER)


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    couch = Couch([LENDER])
    couch.bodies["photo", "i.bin"] = b"\0\1\2"
    async with serving(couch):
        yield couch


@pytest.fixture
async def view(couch: Couch) -> AsyncIterator[View]:
    upstream = Upstream(Source("main", couch.url), timeout=5.0)
    yield view_of(couch.url, upstream, profile())
    upstream.close()


async def test_they_are_sent_inline(view: View) -> None:
    entry = (await with_lent(view, EDITED, 3))["_attachments"]["i.bin"]
    assert base64.b64decode(entry["data"]) == b"\0\1\2"
    with pytest.raises(Forbidden, match="too large"):
        await with_lent(view, EDITED, 2)


@pytest.mark.parametrize("given", [b"", b"\0\1", b"\0\1\2\3" * 2**20], ids=len)
async def test_those_that_are_not_whole_are_not_stored(couch: Couch, view: View, given: bytes) -> None:
    couch.bodies["photo", "i.bin"] = given
    with pytest.raises((Unavailable, Forbidden)):
        await with_lent(view, EDITED, 3)
