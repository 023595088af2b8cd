"""GET of a document: what CouchDB answers to parameters that go together with others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from proxy.core.endpoints import Kind
from proxy.reading.attachments import get_attachment
from proxy.reading.document import get_document
from tests.reading.couch import Couch, rev, revision, serving
from tests.reading.served import Front, front
from tests.reading.test_multipart import BODIES, PHOTO

JSON = {"Accept": "application/json"}
TAG = f'"{rev(2, "b")}"'


@pytest.fixture
async def ann() -> AsyncIterator[Front]:
    torn = [revision("torn", "ba", owner="ann"), revision("torn", "ca", owner="ann")]
    half = [revision("half", "ba", owner="ann"), revision("half", "ca", owner="bob")]
    couch = Couch([PHOTO, *torn, *half])
    couch.bodies = dict(BODIES)
    async with serving(couch), front(couch, get_document) as ann:
        yield ann


@pytest.mark.parametrize("accept", ["application/json", "multipart/related"])
@pytest.mark.parametrize("query", ["attachments=true", "atts_since=[]", f'atts_since=["{rev(2, "b")}"]', "revs=true"])
async def test_a_client_that_has_the_revision_is_told_so_whatever_goes_with_it(
    ann: Front, query: str, accept: str
) -> None:
    for asked in ("GET", "HEAD"):
        status, body, headers = await ann.raw(
            asked, f"/db-phone/p?{query}", headers={"Accept": accept, "If-None-Match": TAG}
        )
        assert (status, body, headers["ETag"]) == (304, b"", TAG)
    other = {"Accept": accept, "If-None-Match": f'"{rev(1, "a")}"'}
    status, body, headers = await ann.raw("GET", f"/db-phone/p?{query}", headers=other)
    assert (status, bool(body), headers["ETag"]) == (200, True, TAG)


@pytest.mark.parametrize("name", ["conflicts", "deleted_conflicts"])
async def test_without_conflicts_there_is_an_etag(ann: Front, name: str) -> None:
    for doc_id in ("p", "half"):
        path = f"/db-phone/{doc_id}?{name}=true"
        tag = (await ann.raw("GET", path, headers=JSON))[2]["ETag"]
        assert tag == TAG
        assert (await ann.raw("GET", path, headers={**JSON, "If-None-Match": tag}))[0] == 304


@pytest.mark.parametrize("query", ["conflicts=true", "revs_info=true", "meta=true"])
async def test_what_depends_on_more_than_the_revision_has_no_etag(ann: Front, query: str) -> None:
    winner = f'"{rev(2, "c")}"'
    status, _, headers = await ann.raw("GET", f"/db-phone/torn?{query}", headers={**JSON, "If-None-Match": winner})
    assert (status, "ETag" in headers) == (200, False)


async def test_encodings_are_told_of_in_json_if_they_are_asked_for(ann: Front) -> None:
    for since in ("[]", f'["{rev(1, "a")}"]', f'["{rev(2, "b")}"]'):
        for more, told in (("", False), ("&att_encoding_info=true", True)):
            _, text, _ = await ann.raw("GET", f"/db-phone/p?atts_since={since}{more}", headers=JSON)
            entry = json.loads(text)["_attachments"]["sub/late.txt"]
            assert ("encoding" in entry, "encoded_length" in entry) == (told, told)
    # where a part could follow, as in CouchDB
    _, text, _ = await ann.raw("GET", f'/db-phone/p?atts_since=["{rev(2, "b")}"]', headers={"Accept": "*/*"})
    assert json.loads(text)["_attachments"]["sub/late.txt"]["encoding"] == "gzip"


async def test_of_revisions_in_a_query_the_last_counts_and_none_may_be_malformed() -> None:
    first, second = rev(1, "a"), rev(2, "b")
    entry = {"content_type": "x/y", "revpos": 1, "digest": "md5-y==", "length": 1, "stub": True}
    with_it, without = revision("d", "ba", owner="ann", _attachments={"f": entry}), revision("d", "a", owner="ann")
    couch = Couch([with_it, without])
    couch.bodies["d", "f"] = b"x"
    handlers = {Kind.DOCUMENT: get_document, Kind.ATTACHMENT: get_attachment}
    async with serving(couch), front(couch, handlers) as ann:
        for path in ("/db-phone/d", "/db-phone/d/f"):
            assert (await ann.raw("GET", f"{path}?rev={first}&rev={second}"))[0] == 200
            for pair in (f"rev=bad&rev={second}", f"rev={second}&rev=bad", f"rev={second}&rev="):
                assert await ann.error("GET", f"{path}?{pair}") == (400, "bad_request", "Invalid rev format")
        older = f"rev={second}&rev={first}"
        assert (await ann.json("GET", f"/db-phone/d?{older}"))["_rev"] == first
        assert (await ann.error("GET", f"/db-phone/d/f?{older}"))[0] == 404


async def test_revisions_are_listed_as_couchdb_lists_them_in_whatever_order_they_are_asked_for() -> None:
    docs = [revision("d", path, owner="ann") for path in ("b", "c", "da")]
    leaves = [rev(1, "b"), rev(1, "c"), rev(2, "d")]
    missing = [rev(1, "e"), rev(1, "f"), rev(2, "0")]
    async with serving(Couch(docs)) as couch, front(couch, get_document) as ann:
        for asked in ([*missing, *leaves], [*leaves[::-1], *missing[::-1]], [*missing[1:], *leaves, missing[0]]):
            found = await ann.json("GET", f"/db-phone/d?open_revs={json.dumps(asked)}", headers=JSON)
            assert [each["ok"]["_rev"] if "ok" in each else each["missing"] for each in found] == [*leaves, *missing]
