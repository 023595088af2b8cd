"""COPY, and POST of a form, over real sockets."""

from __future__ import annotations

import pytest

from proxy.core.lens import Chain
from tests.writing.filters import profile
from tests.writing.world import World, world

ENTRIES = {
    "t": {"content_type": "text/plain", "data": "aGVsbG8="},
    "i": {"content_type": "image/png", "data": "cG5n"},
}
ANN = {"_id": "p1", "owner": "ann", "ssn": "1-2-3", "_attachments": ENTRIES}
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}


async def copy(there: World, path: str, destination: str | None) -> object:
    headers = {} if destination is None else {"Destination": destination}
    answer = await there.ask("COPY", path, headers=headers)
    return answer.status if answer.status < 400 else answer.error


async def test_a_copy_is_what_the_client_sees() -> None:
    async with world() as there:
        await there.put(ANN)
        answer = await there.ask("COPY", "/p1", headers={"Destination": "a%2Fb"})
        assert (answer.status, answer.json["id"]) == (201, "a/b")
        assert answer.headers["ETag"] == f'"{answer.json["rev"]}"'
        assert answer.headers["Location"] == f"{there.proxy}/db-phone/a%2Fb"
        stored = await there.stored("a%2Fb")
        assert (stored["owner"], "ssn" in stored, set(stored["_attachments"])) == ("ann", False, {"t"})
        assert (await there.source("GET", "/a%2Fb/t")).body == b"hello"


async def test_a_copy_without_filters_is_whole() -> None:
    async with world(profile(Chain())) as there:
        await there.put(ANN)
        assert await copy(there, "/p1", "x") == 201
        assert (await there.source("GET", "/x/i")).body == b"png"
        assert (await there.stored("x"))["ssn"] == "1-2-3"


async def test_a_copy_over_a_document_is_an_edit_of_it() -> None:
    async with world() as there:
        await there.put({"_id": "from", "owner": "ann", "name": "F"})
        first = await there.put(ANN)
        assert await copy(there, "/from", "p1") == (409, "conflict", "Document update conflict.")
        assert await copy(there, "/from", f"p1?rev={first}") == 201
        stored = await there.stored("p1")
        assert (stored["name"], stored["ssn"], set(stored["_attachments"])) == ("F", "1-2-3", {"i"})


async def test_copies_that_are_refused() -> None:
    async with world() as there:
        await there.put(ANN)
        await there.put({"_id": "b", "owner": "bob"})
        for path, destination, expected in [
            ("/b", "x", (404, "not_found", "missing")),
            ("/p1", "b", (403, "forbidden", "The document is not visible to this client.")),
            ("/p1", None, (400, "bad_request", "Destination header is mandatory for COPY.")),
            ("/p1", "http://host/x", (400, "bad_request", "Destination URL must be relative.")),
            ("/p1", "_x", (400, "illegal_docid", "Only reserved document ids may start with underscore.")),
            ("/p1", "x?rev=y", (400, "bad_request", "Invalid rev format")),
            (
                "/p1",
                "_design/x",
                (403, "forbidden", "Design documents cannot be written through this proxy."),
            ),
        ]:
            assert await copy(there, path, destination) == expected
        for destination in ("_local/x", "x?y=1"):
            answer = await there.ask("COPY", "/p1", headers={"Destination": destination})
            assert answer.status == 400
        assert there.tap.writes == []


def form(*fields: tuple[str, bytes]) -> bytes:
    parts = [
        f"--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n" for head, value in fields
    ]
    return b"".join(parts) + b"--edge--\r\n"


async def post(there: World, path: str, data: bytes, **headers: str) -> object:
    sent = {**FORM, "Referer": f"{there.proxy}/somewhere", **headers}
    answer = await there.ask("POST", path, data=data, headers=sent)
    if answer.status >= 400:
        return answer.error
    assert answer.headers["ETag"] == f'"{answer.json["rev"]}"'
    assert "Location" not in answer.headers
    return answer.status


async def test_a_form_with_a_document() -> None:
    async with world() as there:
        body = form(
            ('name="_doc"', b'{"owner":"ann"}'),
            ('name="_attachments"; filename="n.txt"\r\nContent-Type: text/plain', b"note"),
        )
        assert await post(there, "/new", body) == 201
        assert (await there.source("GET", "/new/n.txt")).body == b"note"


async def test_a_form_adds_to_a_revision() -> None:
    async with world() as there:
        first = await there.put(ANN)
        body = form(
            ('name="_rev"', first.encode()),
            ('name="_attachments"; filename="n.txt"\r\nContent-Type: text/plain', b"note"),
        )
        assert await post(there, "/p1", body) == 201
        stored = await there.stored("p1")
        assert (stored["ssn"], set(stored["_attachments"])) == ("1-2-3", {"t", "i", "n.txt"})


async def test_forms_that_are_refused() -> None:
    async with world() as there:
        of_bob = await there.put({"_id": "b", "owner": "bob"})
        body = form(('name="_rev"', of_bob.encode()))
        assert await post(there, "/b", body) == (404, "not_found", "missing")
        assert await post(there, "/b", form(('name="_doc"', b'{"owner":"ann"}'))) == (
            403,
            "forbidden",
            "The document is not visible to this client.",
        )
        nobodys = form(('name="_doc"', b"{}"))
        assert await post(there, "/b", nobodys) == await post(there, "/none", nobodys)
        for data, headers, expected in [
            (body, {"Referer": "http://elsewhere/"}, (400, "bad_request", "Referer header must match host.")),
            (
                body,
                {"Content-Type": "application/json"},
                (415, "bad_content_type", "Content-Type must be multipart/form-data"),
            ),
            (form(('name="_doc"', b"{")), {}, (400, "bad_request", "invalid UTF-8 JSON")),
            (form(('name="_doc"', b"[]")), {}, (400, "bad_request", "Document must be a JSON object")),
            (form(('name="x"', b"")), {}, (400, "bad_request", "The form needs a field _doc or _rev.")),
        ]:
            assert await post(there, "/b", data, **headers) == expected
        answer = await there.ask("POST", "/b", data=body, headers=FORM)
        assert answer.error == (400, "bad_request", "Referer header required.")
        assert [write.json for write in there.tap.writes] == [{"_id": "b", "owner": "ann"}]  # for the source to refuse
        assert list(await there.leaves("b")) == [of_bob]


@pytest.mark.parametrize("method", ["COPY", "POST"])
async def test_a_profile_that_only_reads(method: str) -> None:
    async with world(profile(write=False)) as there:
        headers = {**FORM, "Destination": "x", "Referer": f"{there.proxy}/x"}
        answer = await there.ask(method, "/p1", data=form(('name="_doc"', b"{}")), headers=headers)
        assert answer.error == (403, "forbidden", "This profile only reads.")
        assert there.tap.requests == []
