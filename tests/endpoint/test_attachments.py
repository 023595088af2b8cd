"""Attachments: inline, stubs, following bytes, standalone; digests, revision positions, gzip, ranges."""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from proxy.core import jsonio
from proxy.endpoint.attachments import CHUNK, Upload, gunzip
from proxy.endpoint.database import Database
from proxy.endpoint.server import Server
from proxy.errors import BadRequest, Conflict, NotFound, PreconditionFailed

PNG = bytes(range(150))
LARGE = bytes(range(256)) * 4096
SIZES = {"small": PNG, "in a file": LARGE}


@pytest.fixture(params=["memory", "sqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    server = Server(None if request.param == "memory" else tmp_path)
    yield await server.create("db")
    await server.close()


def inline(data: bytes, **members: Any) -> dict[str, Any]:
    return {"data": base64.b64encode(data).decode(), **members}


def digest(data: bytes) -> str:
    return "md5-" + base64.b64encode(hashlib.md5(data).digest()).decode()


async def upload_of(database: Database, data: bytes) -> Upload:
    upload = database.new_upload()
    for at in range(0, len(data), 10_000):
        await upload.write(data[at : at + 10_000])
    assert upload.length == len(data)
    return upload


async def put(database: Database, doc: dict[str, Any], **options: Any) -> str:
    updated = await database.put("a", doc, **options)
    assert updated.rev is not None
    return updated.rev


def stubs(database: Database, rev: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = jsonio.loads(database.get("a", rev).json()).get("_attachments", {})
    return found


async def data_of(database: Database, name: str, rev: str | None = None) -> bytes:
    [attachment] = [one for one in database.get("a", rev).attachments if one.name == name]
    return await database.attachment_data(attachment)


@pytest.mark.parametrize("data", SIZES.values(), ids=SIZES)
async def test_inline(database: Database, data: bytes) -> None:
    rev = await put(database, {"_attachments": {"x": inline(data, content_type="image/png", revpos=9)}})
    stub = {"content_type": "image/png", "revpos": 1, "digest": digest(data), "length": len(data), "stub": True}
    assert stubs(database) == {"x": stub}
    assert await data_of(database, "x") == data

    again = await put(database, {"_rev": rev, "n": 1, "_attachments": {"x": {"stub": True}, "y": inline(b"")}})
    assert stubs(database)["x"] == stub
    assert stubs(database)["y"]["revpos"] == 2
    assert stubs(database)["y"]["content_type"] == "application/octet-stream"
    await put(database, {"_rev": again})
    assert stubs(database) == {}
    assert await data_of(database, "x", again) == data


@pytest.mark.parametrize("text", ["aGVs\nbG8=", "aG\r\nVsbG8=\r\n", " aGVs\tbG8= ", "a G V s b G 8 ="])
async def test_white_space_in_base64_does_not_count(database: Database, text: str) -> None:
    attachment = {"data": text, "content_type": "image/png"}
    updated = await database.put("a", {"_attachments": {"x": attachment}})
    assert updated.rev == "1-e1a6bf987d674d57f6ad37fcee8a1c03"
    [stored] = database.get("a").attachments
    assert await database.attachment_data(stored) == b"hello"


@pytest.mark.parametrize("text", ["aGVsbG8", "aGVs\x0bbG8=", "aGVs\xa0bG8=", "aGVsbG8-", "aGVsbG8=aGVsbG8=", "a", 5])
async def test_what_is_no_base64_is_refused(database: Database, text: object) -> None:
    with pytest.raises(BadRequest, match="Invalid attachment data for x"):
        await database.put("a", {"_attachments": {"x": {"data": text}}})


async def test_hashes_are_couchdbs_for_what_it_does_not_gzip(database: Database) -> None:
    rev = await put(database, {"_attachments": {"a.png": inline(b"PNG" * 50, content_type="image/png")}})
    assert rev == "1-ac89f123bf945ef566413e2f24823e2a"


@pytest.mark.parametrize("stub", [{"stub": True}, {"stub": True, "revpos": 1}])
async def test_stubs_that_stand_for_nothing(database: Database, stub: dict[str, Any]) -> None:
    for options in ({}, {"new_edits": False, "rev": "2-abc"}):
        with pytest.raises(PreconditionFailed) as caught:
            await put(database, {"_attachments": {"x": stub}}, **options)
        assert caught.value.error == "missing_stub"
        assert caught.value.reason == "Invalid attachment stub in a for x"
    rev = await put(database, {"_attachments": {"y": inline(b"1")}})
    with pytest.raises(PreconditionFailed):
        await put(database, {"_rev": rev, "_attachments": {"x": stub}})
    with pytest.raises(PreconditionFailed):
        await put(database, {"_rev": rev, "_attachments": {"y": {"stub": True, "revpos": 2}}})
    assert database.update_seq == 1


async def test_replicated_stubs_stand_for_the_nearest_ancestors(database: Database) -> None:
    first = await put(database, {"_attachments": {"x": inline(b"1")}})
    other = {"_attachments": {"x": inline(b"2", revpos=2)}, "_revisions": {"start": 2, "ids": ["b", "a"]}}
    await put(database, other, new_edits=False)
    doc = {
        "_revisions": {"start": 4, "ids": ["d", "unknown", "b", "a"]},
        "_attachments": {"x": {"stub": True, "revpos": 2}, "new": inline(b"3", revpos=3), "late": inline(b"4")},
    }
    await put(database, doc, new_edits=False)
    assert await data_of(database, "x") == b"2"
    assert {name: stub["revpos"] for name, stub in stubs(database).items()} == {"x": 2, "new": 3, "late": 4}
    assert await data_of(database, "x", first) == b"1"


@pytest.mark.parametrize("data", SIZES.values(), ids=SIZES)
async def test_following(database: Database, data: bytes) -> None:
    async with await upload_of(database, data) as upload:
        announced = {"follows": True, "length": len(data), "digest": digest(data), "content_type": "image/png"}
        await put(database, {"_attachments": {"x": announced}}, uploads={"x": upload})
    assert await data_of(database, "x") == data
    assert stubs(database)["x"]["digest"] == digest(data)


@pytest.mark.parametrize(
    ("announced", "error", "reason"),
    [
        ({"length": 5}, "bad_request", "attachment shorter than expected"),
        ({"length": 3}, "bad_request", "attachment longer than expected"),
        ({"length": 9, "encoding": "gzip", "encoded_length": 5}, "bad_request", "attachment shorter than expected"),
        ({"digest": digest(b"")}, "content_md5_mismatch", "Possible message corruption."),
        ({"length": "4"}, "bad_request", "Invalid attachment data for x"),
    ],
)
async def test_following_bytes_that_are_not_what_was_announced(
    database: Database, announced: dict[str, Any], error: str, reason: str
) -> None:
    async with await upload_of(database, b"1234") as upload:
        with pytest.raises(BadRequest) as caught:
            await put(database, {"_attachments": {"x": {"follows": True, **announced}}}, uploads={"x": upload})
    assert (caught.value.error, caught.value.reason) == (error, reason)
    assert database.update_seq == 0


async def test_gzip_stays_gzip(database: Database) -> None:
    packed = gzip.compress(LARGE)
    announced = {
        "follows": True,
        "length": len(LARGE),
        "encoding": "gzip",
        "encoded_length": len(packed),
        "digest": digest(packed),
    }
    async with await upload_of(database, packed) as upload:
        await put(database, {"_attachments": {"x": announced}}, uploads={"x": upload})
    [attachment] = database.get("a").attachments
    assert (attachment.length, attachment.stored_length) == (len(LARGE), len(packed))
    assert b"".join([chunk async for chunk in database.read_attachment(attachment)]) == packed
    assert await database.attachment_data(attachment) == LARGE
    shown = jsonio.loads(database.get("a").json(encoding_info=True))["_attachments"]["x"]
    assert (shown["encoding"], shown["encoded_length"], shown["length"]) == ("gzip", len(packed), len(LARGE))


@pytest.mark.parametrize("data", SIZES.values(), ids=SIZES)
async def test_standalone(database: Database, data: bytes) -> None:
    first = await database.put_attachment("a", "x", await upload_of(database, data), rev=None, content_type="image/png")
    assert stubs(database)["x"]["length"] == len(data)
    second = await database.put_attachment(
        "a", "sub/y", await upload_of(database, b"2"), rev=first.rev, content_type="t/p"
    )
    assert list(stubs(database)) == ["sub/y", "x"]
    third = await database.put_attachment("a", "x", await upload_of(database, b"3"), rev=second.rev, content_type="t/p")
    assert {name: stub["revpos"] for name, stub in stubs(database).items()} == {"x": 3, "sub/y": 2}
    assert await data_of(database, "x", second.rev) == data
    await database.delete_attachment("a", "x", rev=third.rev)
    assert list(stubs(database)) == ["sub/y"]


async def test_standalone_keeps_the_body(database: Database) -> None:
    rev = await put(database, {"n": 12345678901234567890123, "_attachments": {"x": inline(b"1")}})
    updated = await database.put_attachment("a", "y", await upload_of(database, b"2"), rev=rev, content_type="t/p")
    assert database.get("a").body == b'{"n":12345678901234567890123}'
    assert updated.rev == database.get("a").rev


async def test_standalone_mistakes(database: Database) -> None:
    rev = await put(database, {"_attachments": {"x": inline(b"1")}})

    async def add(name: str = "y", rev: str | None = rev, doc_id: str = "a") -> None:
        async with await upload_of(database, b"2") as upload:
            await database.put_attachment(doc_id, name, upload, rev=rev, content_type="t/p")

    with pytest.raises(Conflict):
        await add(rev=None)
    with pytest.raises(NotFound, match="missing_rev"):
        await add(rev="2-abc")
    with pytest.raises(BadRequest, match="Attachment name '_y' starts with prohibited character '_'"):
        await add("_y")
    with pytest.raises(BadRequest, match="Only reserved document ids"):
        await add(doc_id="_y", rev=None)
    with pytest.raises(NotFound, match="Document is missing attachment"):
        await database.delete_attachment("a", "y", rev=rev)
    with pytest.raises(NotFound, match="missing_rev"):
        await database.delete_attachment("a", "x", rev="2-abc")
    with pytest.raises(NotFound, match="missing"):
        await database.delete_attachment("none", "x", rev=None)
    with pytest.raises(Conflict):
        await database.delete_attachment("a", "x", rev=None)
    await add()
    with pytest.raises(Conflict):
        await add()


@pytest.mark.parametrize("data", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize(("start", "end"), [(0, None), (0, 1), (3, 100), (100, 10**9), (149, None), (5, 5)])
async def test_ranges(database: Database, data: bytes, start: int, end: int | None) -> None:
    await put(database, {"_attachments": {"x": inline(data)}})
    [attachment] = database.get("a").attachments
    chunks = [chunk async for chunk in database.read_attachment(attachment, start=start, end=end)]
    assert b"".join(chunks) == data[start:end]
    assert all(len(chunk) <= CHUNK for chunk in chunks)


async def test_an_upload_keeps_little_in_memory(tmp_path: Path) -> None:
    upload = Upload(tmp_path)
    for _ in range(40):
        await upload.write(b"x" * 100_000)
        assert len(upload.data) < CHUNK + 100_000
    await upload.finish()
    await upload.finish()
    assert upload.path is not None
    assert upload.path.stat().st_size == upload.length == 4_000_000
    assert upload.digest == digest(b"x" * 4_000_000)
    assert upload.key == Upload.of(b"x" * 4_000_000).key
    await upload.discard()
    assert list(tmp_path.iterdir()) == []


async def chunked(data: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def test_gunzip_in_bounded_chunks() -> None:
    zeros = bytes(20_000_000)
    packed = gzip.compress(zeros)
    chunks = [chunk async for chunk in gunzip(chunked(packed, 1000))]
    assert b"".join(chunks) == zeros
    assert max(map(len, chunks)) <= CHUNK
    with pytest.raises(BadRequest, match="ends early"):
        [chunk async for chunk in gunzip(chunked(packed[:-1], 1000))]
    with pytest.raises(BadRequest, match="not valid gzip"):
        [chunk async for chunk in gunzip(chunked(b"plain", 3))]
