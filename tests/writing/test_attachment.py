"""PUT and DELETE of attachments, over real sockets."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from proxy.core.lens import Chain
from tests.writing.filters import PHONE, NoBinaries, Owned, Stamped, Validated, Without, chain, profile
from tests.writing.world import World, break_after, world

TEXT = {"Content-Type": "text/plain"}
ENTRIES = {
    "t": {"content_type": "text/plain", "data": "aGVsbG8="},
    "i": {"content_type": "image/png", "data": "cG5n"},
}
ANN = {"_id": "p1", "owner": "ann", "ssn": "1-2-3", "_attachments": ENTRIES}
REV = "2-" + "f" * 32


async def test_an_attachment_is_added_and_nothing_else_changes() -> None:
    async with world() as there:
        first = await there.put(ANN)
        answer = await there.ask("PUT", f"/p1/sub/n?rev={first}", data=b"note", headers=TEXT)
        assert (answer.status, answer.json) == (201, {"ok": True, "id": "p1", "rev": answer.json["rev"]})
        assert answer.headers["Location"] == f"{there.proxy}/db-phone/p1/sub%2Fn"
        assert "ETag" not in answer.headers
        stored = await there.stored("p1")
        assert (stored["ssn"], stored["_rev"]) == ("1-2-3", answer.json["rev"])
        assert set(stored["_attachments"]) == {"t", "i", "sub/n"}
        assert (await there.source("GET", "/p1/sub/n")).body == b"note"
        assert [request.path.endswith("/p1/sub/n") for request in there.tap.writes] == [True]


async def test_the_type_that_goes_with_it_arrives() -> None:
    async with world() as there:
        first = await there.put(ANN)
        await there.ask("PUT", f"/p1/n?rev={first}", data=b"note", headers={"Content-Type": "text/x-note"})
        assert (await there.stored("p1"))["_attachments"]["n"]["content_type"] == "text/x-note"


async def test_gzip_is_stored_as_it_comes() -> None:
    async with world() as there:
        first = await there.put(ANN)
        data = gzip.compress(b"hello hello hello hello")
        headers = {**TEXT, "Content-Encoding": "gzip"}
        answer = await there.ask("PUT", f"/p1/n?rev={first}", data=data, headers=headers)
        assert answer.status == 201
        assert there.tap.writes[0].body == data
        assert (await there.source("GET", "/p1/n")).body == b"hello hello hello hello"
    async with world(profile(chain(Owned(), Stamped()))) as there:
        first = await there.put(ANN)
        assert (await there.ask("PUT", f"/p1/n?rev={first}", data=data, headers=headers)).status == 201
        assert (await there.source("GET", "/p1/n")).body == b"hello hello hello hello"


async def test_an_attachment_replaces_one_that_is_seen_and_none_that_is_not() -> None:
    async with world() as there:
        first = await there.put(ANN)
        refused = await there.ask("PUT", f"/p1/i?rev={first}", data=b"text", headers=TEXT)
        assert refused.status == 403
        assert there.tap.writes == []
        answer = await there.ask("PUT", f"/p1/t?rev={first}", data=b"text", headers=TEXT)
        assert answer.status == 201
        assert (await there.source("GET", "/p1/t")).body == b"text"


@pytest.mark.parametrize("discard", ["refuse", "discard"])
async def test_what_the_client_would_not_be_shown_is_refused(discard: str) -> None:
    async with world(profile(on_surplus=discard)) as there:
        first = await there.put(ANN)
        for data, headers in [(b"png", {"Content-Type": "image/png"}), (b"x" * 101, TEXT), (b"png", {})]:
            answer = await there.ask("PUT", f"/p1/n?rev={first}", data=data, headers=headers)
            assert (answer.status, "_attachments.n" in answer.json["reason"]) == (403, True)
        assert there.tap.writes == []


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_without_a_length_it_is_read_first() -> None:
    async with world(max_body=50) as there:
        first = await there.put(ANN)
        answer = await there.ask("PUT", f"/p1/n?rev={first}", data=_pieces(b"a" * 20, b"b" * 20), headers=TEXT)
        assert answer.status == 201
        assert (await there.source("GET", "/p1/n")).body == b"a" * 20 + b"b" * 20
        rev = answer.json["rev"]
        large = await there.ask("PUT", f"/p1/m?rev={rev}", data=_pieces(b"a" * 30, b"b" * 30), headers=TEXT)
        assert large.error[:2] == (411, "length_required")


async def test_without_filters_it_streams_whatever_its_length() -> None:
    async with world(profile(Chain()), max_body=50) as there:
        answer = await there.ask("PUT", "/p1/n", data=_pieces(b"a" * 100_000, b"b" * 100_000))
        assert answer.status == 201
        assert (await there.source("GET", "/p1/n")).body == b"a" * 100_000 + b"b" * 100_000
        gone = await there.ask("DELETE", f"/p1/n?rev={answer.json['rev']}")
        assert (gone.status, [request.method for request in there.tap.writes]) == (200, ["PUT", "DELETE"])


async def test_with_a_stamp_the_document_goes_along() -> None:
    async with world(profile(chain(Owned(), Without("ssn"), Stamped()))) as there:
        first = await there.put(ANN)
        answer = await there.ask("PUT", f"/p1/n?rev={first}", data=b"note", headers=TEXT)
        assert answer.status == 201
        stored = await there.stored("p1")
        assert (stored["by"], stored["ssn"], set(stored["_attachments"])) == ("ann", "1-2-3", {"t", "i", "n"})
        assert (await there.source("GET", "/p1/n")).body == b"note"
        assert (await there.source("GET", "/p1/i")).body == b"png"


async def test_a_filter_that_refuses_documents_refuses_attachments() -> None:
    async with world(profile(chain(Validated()))) as there:
        first = await there.put({"_id": "p1", "bad": 1})
        answer = await there.ask("PUT", f"/p1/n?rev={first}", data=b"note", headers=TEXT)
        assert answer.error == (403, "forbidden", "bad is not good (at bad)")


async def test_an_attachment_creates_a_document_only_if_it_would_be_seen() -> None:
    async with world() as there:
        answer = await there.ask("PUT", "/new/n", data=b"note", headers=TEXT)
        assert answer.status == 403
        assert there.tap.writes == []
    async with world(profile(chain(Without("ssn"), NoBinaries()))) as there:
        answer = await there.ask("PUT", "/new/n", data=b"note", headers=TEXT)
        assert (answer.status, answer.json["id"]) == (201, "new")
        assert (await there.source("GET", "/new/n")).body == b"note"


async def test_revisions_are_checked_as_couchdb_does() -> None:
    async with world() as there:
        await there.put(ANN)
        await there.put({"_id": "b", "owner": "bob"})
        for path, expected in [
            ("/p1/n?rev=x", (400, "bad_request", "Invalid rev format")),
            ("/p1/_n", (400, "bad_request", "Attachment name '_n' starts with prohibited character '_'")),
        ]:
            assert (await there.ask("PUT", path, data=b"note", headers=TEXT)).error == expected
        answer = await there.ask("PUT", "/p1/n", data=b"note", headers=TEXT)
        assert answer.error == (409, "conflict", "Document update conflict.")
        answer = await there.ask("PUT", f"/p1/n?rev={REV}", data=b"note", headers=TEXT)
        assert answer.error == (409, "not_found", "missing_rev")
        answer = await there.ask("PUT", "/b/n", data=b"note", headers=TEXT)
        none = await there.ask("PUT", "/none/n", data=b"note", headers=TEXT)
        assert answer.error == none.error
        assert answer.error[:2] == (403, "forbidden")
        answer = await there.ask("PUT", "/p1/n", data=b"x", headers={**TEXT, "Content-Encoding": "br"})
        assert answer.status == 415


async def test_a_removed_attachment_leaves_the_others() -> None:
    async with world() as there:
        first = await there.put(ANN)
        answer = await there.ask("DELETE", f"/p1/t?rev={first}")
        assert (answer.status, answer.json) == (200, {"ok": True, "id": "p1", "rev": answer.json["rev"]})
        stored = await there.stored("p1")
        assert (stored["ssn"], set(stored["_attachments"])) == ("1-2-3", {"i"})
        assert (await there.source("GET", "/p1/i")).body == b"png"


async def test_what_is_not_seen_cannot_be_removed() -> None:
    async with world() as there:
        first = await there.put(ANN)
        of_bob = await there.put({**ANN, "_id": "b", "owner": "bob"})
        gone = await there.put({**ANN, "_id": "gone"})
        await there.put({"_id": "gone", "_rev": gone, "owner": "ann", "_deleted": True})
        for path, expected in [
            (f"/p1/i?rev={first}", (404, "not_found", "Document is missing attachment")),
            (f"/p1/nope?rev={first}", (404, "not_found", "Document is missing attachment")),
            ("/p1/t", (409, "conflict", "Document update conflict.")),
            ("/p1/i", (404, "not_found", "Document is missing attachment")),
            ("/p1/nope", (404, "not_found", "Document is missing attachment")),
            ("/b/t", (404, "not_found", "missing")),
            ("/nope/t", (404, "not_found", "missing")),
            ("/gone/t", (404, "not_found", "deleted")),
            (f"/p1/t?rev={REV}", (409, "not_found", "missing_rev")),
            (f"/b/t?rev={of_bob}", (409, "not_found", "missing_rev")),
            (f"/b/t?rev={REV}", (409, "not_found", "missing_rev")),
            (f"/nope/t?rev={REV}", (409, "not_found", "missing_rev")),
            (f"/gone/t?rev={REV}", (409, "not_found", "missing_rev")),
        ]:
            assert (await there.ask("DELETE", path)).error == expected
        assert there.tap.writes == []


async def test_an_old_revision_is_a_conflict_and_others_are_missing() -> None:
    """CouchDB's answers for revisions that it has and has not; what is hidden is missing."""
    async with world() as there:
        old = await there.put(ANN)
        new = await there.put({**ANN, "_rev": old, "n": 2})
        hidden_old = await there.put({**ANN, "_id": "b", "owner": "bob"})
        hidden = await there.put({**ANN, "_id": "b", "owner": "bob", "_rev": hidden_old, "n": 2})
        branch = f"2-{'0' * 32}"  # a conflict that the client does not see
        path = {"start": 2, "ids": [branch[2:], old[2:]]}
        await there.replicate({**ANN, "_rev": branch, "_revisions": path, "owner": "bob"})
        missing = (409, "not_found", "missing_rev")
        for method, data in (("PUT", b"note"), ("DELETE", None)):
            answer = await there.ask(method, f"/p1/t?rev={old}", data=data, headers=TEXT)
            assert answer.error == (409, "conflict", "Document update conflict.")
            assert (await there.ask(method, f"/p1/t?rev={REV}", data=data, headers=TEXT)).error == missing
            none = (await there.ask(method, f"/none/t?rev={REV}", data=data, headers=TEXT)).error
            for rev in (hidden_old, hidden):
                assert (await there.ask(method, f"/b/t?rev={rev}", data=data, headers=TEXT)).error == none
        assert none == missing
        assert (await there.ask("DELETE", f"/p1/t?rev={branch}")).error == missing
        assert (await there.stored("p1"))["_rev"] == new


async def test_a_profile_that_only_reads() -> None:
    async with world(profile(PHONE, write=False)) as there:
        first = await there.put(ANN)
        for method in ("PUT", "DELETE"):
            answer = await there.ask(method, f"/p1/t?rev={first}", headers=TEXT)
            assert answer.error == (403, "forbidden", "This profile only reads.")


async def test_a_break_leaves_it_unknown() -> None:
    async with world() as there:
        first = await there.put(ANN)
        there.tap.fail("PUT", "/p1/n", break_after)
        answer = await there.ask("PUT", f"/p1/n?rev={first}", data=b"note", headers=TEXT)
        assert (answer.status, "unknown" in answer.json["reason"]) == (502, True)


async def raw(there: World, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(there.proxy)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"{head}\r\nHost: x\r\nContent-Type: text/plain\r\n".encode())
    return reader, writer


async def test_a_client_that_waits_is_told_to_go_on_once_it_may_write() -> None:
    async with world() as there:
        first = await there.put(ANN)
        reader, writer = await raw(there, f"PUT /db-phone/p1/n?rev={first} HTTP/1.1")
        writer.write(b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"note")
        assert (await reader.readline()).startswith(b"HTTP/1.1 201 ")
        writer.close()
        reader, writer = await raw(there, f"PUT /db-phone/p1/i?rev={first} HTTP/1.1")
        writer.write(b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 409 ")
        writer.close()


async def test_an_upload_that_breaks_off_is_not_stored() -> None:
    async with world() as there:
        first = await there.put(ANN)
        _, writer = await raw(there, f"PUT /db-phone/p1/n?rev={first} HTTP/1.1")
        writer.write(b"Content-Length: 40\r\n\r\nhalf of it")
        await writer.drain()
        while "PUT" not in there.tap.open:
            await asyncio.sleep(0.01)
        writer.close()
        while "PUT" in there.tap.open:
            await asyncio.sleep(0.01)
        assert there.tap.requests[-1].complete is False
        assert (await there.stored("p1"))["_rev"] == first
