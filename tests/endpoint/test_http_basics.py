"""Requests and replies as such: paths, methods, bodies, framing, errors."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest

from tests.endpoint.http_client import ADMIN, JSON, Wire, serving


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving(max_body=100_000) as wire:
        assert (await wire("PUT", "/db")).status == 201
        yield wire


@pytest.mark.parametrize(
    ("target", "doc_id"),
    [
        ("/db/x", "x"),
        ("//db///x/", "x"),
        ("/db/%78", "x"),
        ("/%64b/x", "x"),
        ("/db/a%2Fb", "a/b"),
        ("/db/a+b", "a b"),
        ("/db/a%2Bb", "a+b"),
        ("/db/%C3%BC", "ü"),
        ("/db/..", ".."),
        ("http://elsewhere.test/db/x", "x"),
    ],
)
async def test_paths_are_split_first_and_decoded_then(wire: Wire, target: str, doc_id: str) -> None:
    assert (await wire("PUT", target, {})).json["id"] == doc_id
    assert (await wire("GET", target)).json["_id"] == doc_id


@pytest.mark.parametrize("target", ["/db/%zz", "/db/%e4", "/db/x?a=%q"])
async def test_bad_escapes_are_refused(wire: Wire, target: str) -> None:
    assert (await wire("PUT", target, {}, {})).status in (400, 201 if "?" in target else 400)
    assert (await wire("GET", target)).status == 400


@pytest.mark.parametrize("query", ["q=0", "q=x", "q=", "q=0&q=1", "n=1.5", "n=-1", "partitioned=", "placement=a:0,b:1"])
async def test_a_database_that_cannot_be_sharded_so_is_not_made(wire: Wire, query: str) -> None:
    answer = await wire("PUT", f"/new?{query}")
    assert (answer.status, answer.json["error"]) == (400, "bad_request")
    assert (await wire("GET", "/new")).status == 404


@pytest.mark.parametrize("query", ["q=1&q=0", "q=8&n=%2B3", "partitioned=false", "placement=a:1,b:2", "w=x"])
async def test_sharding_has_no_effect(wire: Wire, query: str) -> None:
    assert (await wire("PUT", f"/new?{query}")).status == 201


async def test_method_override_counts_on_post_only(wire: Wire) -> None:
    await wire("PUT", "/db/x", {})
    assert (await wire("POST", "/db/x", b"", {"X-HTTP-Method-Override": "GET"})).json["_id"] == "x"
    assert (await wire("POST", "/db/x", b"", {"X-HTTP-Method-Override": "get"})).status == 400
    assert (await wire("GET", "/db/x", None, {"X-HTTP-Method-Override": "DELETE"})).json["_id"] == "x"


@pytest.mark.parametrize("target", ["/db/x", "/db/x?attachments=true", "/db/x/a.txt", "/db/_changes", "/db/none", "/"])
async def test_head_by_override_is_answered_with_the_body_of_get(wire: Wire, target: str) -> None:
    await wire("PUT", "/db/x", {"_attachments": {"a.txt": {"content_type": "text/plain", "data": "aGVsbG8="}}})
    related = {"Accept": "multipart/related"} if "?" in target else {"Accept": "application/json"}
    async with wire.open() as connection:
        got = await connection("GET", target, None, related)
        head = await connection("POST", target, b"", {**related, "X-HTTP-Method-Override": "HEAD"})
        again = await connection("GET", "/_up")
    assert (head.status, len(head.body), head.complete) == (got.status, len(got.body), True)
    assert head.headers.get("content-length") == got.headers.get("content-length")
    assert again.json["status"] == "ok"


async def test_head_has_the_length_and_no_body(wire: Wire) -> None:
    await wire("PUT", "/db/x", {"a": 1})
    async with wire.open() as connection:
        full = await connection("GET", "/db/x")
        head = await connection("HEAD", "/db/x")
        again = await connection("GET", "/db/x")  # had a body followed the head, this would read it
    assert head.headers["content-length"] == full.headers["content-length"] == str(len(full.body))
    assert head.headers["etag"] == full.headers["etag"]
    assert again.body == full.body


async def test_head_of_a_stream_says_zero(wire: Wire) -> None:
    async with wire.open() as connection:
        for target in ("/db/_all_docs", "/db/_changes", "/db/_changes?feed=continuous"):
            assert (await connection("HEAD", target)).headers["content-length"] == "0"
        assert (await connection("GET", "/db")).status == 200


async def test_request_id_echoes_a_fit_one(wire: Wire) -> None:
    assert (await wire("GET", "/", None, {"X-Couch-Request-ID": "my-Id_1"})).headers["x-couch-request-id"] == "my-Id_1"
    for unfit in ("x" * 37, "a b", "é"):
        got = (await wire("GET", "/", None, {"X-Couch-Request-ID": unfit})).headers["x-couch-request-id"]
        assert len(got) == 10


async def test_locations_name_the_host_that_was_asked(wire: Wire) -> None:
    answer = await wire("PUT", "/db/a%2Fb%20c", {}, {"Host": "couch.example:81"})
    assert answer.headers["location"] == "http://couch.example:81/db/a%2Fb%20c"


async def test_gzipped_json_is_inflated(wire: Wire) -> None:
    body = gzip.compress(json.dumps({"docs": [{"_id": "z"}]}).encode())
    answer = await wire("POST", "/db/_bulk_docs", body, {**JSON, "Content-Encoding": "gzip"})
    assert (answer.status, answer.json[0]["id"]) == (201, "z")


@pytest.mark.parametrize(
    ("body", "coding", "status", "error"),
    [
        (gzip.compress(b"[" + b" " * 10_000_000 + b"]", mtime=0), "gzip", 413, "too_large"),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", 400, "bad_request"),
        (b"{}", "gzip", 400, "bad_request"),
        (b"{}", "deflate", 415, "bad_content_type"),
        (b"[" + b" " * 100_000 + b"]", None, 413, "too_large"),
    ],
)
async def test_unfit_bodies(wire: Wire, body: bytes, coding: str | None, status: int, error: str) -> None:
    headers = {**JSON, **({"Content-Encoding": coding} if coding else {})}
    answer = await wire("POST", "/db/_bulk_docs", body, headers)
    assert (answer.status, answer.json["error"]) == (status, error)


async def test_a_chunked_body_without_length_is_limited_too(wire: Wire) -> None:
    async with wire.open() as connection:
        await connection.send("POST", "/db/_bulk_docs", None, {**JSON, "Transfer-Encoding": "chunked"})
        connection.writer.write(b"1\r\n[\r\n" + b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        connection.writer.write((b"8000\r\n" + b" " * 0x8000 + b"\r\n") * 4)
        answer = await connection.receive()
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


async def test_a_body_is_asked_for_when_it_is_wanted(wire: Wire) -> None:
    async with wire.open() as connection:
        await connection.send("PUT", "/db/x", None, {**JSON, "Content-Length": "7", "Expect": "100-continue"})
        assert (await connection.head())[0] == 100
        connection.writer.write(b'{"a":1}')
        assert (await connection.receive()).status == 201


async def test_a_body_that_is_not_wanted_is_not_asked_for(wire: Wire) -> None:
    async with wire.open() as connection:
        headers = {**JSON, "Content-Length": "7", "Expect": "100-continue"}
        await connection.send("PUT", "/db/_illegal", None, headers)
        answer = await connection.receive()
    assert (answer.status, answer.headers["connection"]) == (400, "close")


async def test_pipelined_requests_are_answered_in_order(wire: Wire) -> None:
    for number in range(20):
        await wire("PUT", f"/db/p{number}", {})
    async with wire.open() as connection:
        for number in range(20):
            await connection.send("GET", f"/db/p{number}")
        ids = [(await connection.receive()).json["_id"] for _ in range(20)]
    assert ids == [f"p{number}" for number in range(20)]


async def test_http_10_gets_a_length_or_a_closed_connection(wire: Wire) -> None:
    for target in ("/db", "/db/_all_docs"):
        reader, writer = await asyncio.open_connection(wire.running.host, wire.running.port)
        writer.write(f"GET {target} HTTP/1.0\r\nAuthorization: {ADMIN['Authorization']}\r\n\r\n".encode())
        raw = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert b"chunked" not in raw
        assert raw.startswith(b"HTTP/1.1 200")
        json.loads(raw.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PATCH", "/db/x", "DELETE,GET,HEAD,POST,PUT,COPY"),
        ("POST", "/db/x/att", "DELETE,GET,HEAD,PUT"),
        ("GET", "/db/_bulk_get", "POST"),
        ("PUT", "/db/_changes", "GET,POST,HEAD"),
        ("PUT", "/db/_all_docs", "GET,HEAD,POST"),
        ("PATCH", "/db", "DELETE,GET,HEAD,POST"),
        ("PUT", "/_session", "GET,HEAD,POST,DELETE"),
        ("POST", "/_uuids", "GET"),
        ("POST", "/db/_security", "PUT,GET"),
        ("GET", "/db/_all_docs/queries", "POST"),
    ],
)
async def test_methods_that_are_not_allowed(wire: Wire, method: str, target: str, allowed: str) -> None:
    answer = await wire(method, target)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.json == {"error": "method_not_allowed", "reason": f"Only {allowed} allowed"}


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "words"),
    [
        ("GET", "/nosuch", None, 404, ("not_found", "Database does not exist.")),
        ("GET", "/_nosuch", None, 404, ("not_found", "Database does not exist.")),
        ("GET", "/db/_nosuch", None, 404, ("not_found", "missing")),
        ("GET", "/db/_all_docs/x", None, 404, ("not_found", "missing")),
        ("GET", "/db/_local", None, 400, ("bad_request", "Invalid _local document id.")),
        ("PUT", "/db/_local/x/y", b"{}", 400, ("bad_request", "_local documents do not accept attachments.")),
        ("POST", "/db", b"{}", 415, ("bad_content_type", "Content-Type must be application/json")),
        ("POST", "/db/_revs_diff", b"{}", 415, ("bad_content_type", "Content-Type must be application/json")),
        ("POST", "/db/_revs_diff", [], 400, ("bad_request", "Request body must be a JSON object")),
        ("POST", "/db/_revs_diff", {"a": ["x"]}, 400, ("bad_request", "Invalid rev format")),
        ("POST", "/db/_bulk_docs", {}, 400, ("bad_request", "POST body must include `docs` parameter.")),
        ("POST", "/db/_bulk_docs", {"docs": 1}, 400, ("bad_request", "`docs` parameter must be an array.")),
        ("POST", "/db/_bulk_docs", {"docs": [1]}, 400, ("bad_request", "Document must be a JSON object")),
        ("POST", "/db/_bulk_get", {}, 400, ("bad_request", "Missing JSON list of 'docs'.")),
        ("POST", "/db/_bulk_get?rev=1-a", {}, 400, ("bad_request", '"rev" query parameter is not acceptable')),
        ("PUT", "/db/x?rev=bad", b"{}", 400, ("bad_request", "Invalid rev format")),
        ("PUT", "/db/x", b"{", 400, ("bad_request", "invalid UTF-8 JSON")),
        ("PUT", "/db/x", b'{"a":NaN}', 400, ("bad_request", "invalid UTF-8 JSON")),
        ("GET", "/_uuids?count=abc", None, 400, ("bad_request", "count must be a positive integer")),
        ("GET", "/_uuids?count=100000", None, 400, ("bad_request", "count parameter too large")),
        ("POST", "/db/x", b"{}", 400, ("bad_request", "Referer header required.")),
        ("COPY", "/db/x", None, 400, ("bad_request", "Destination header is mandatory for COPY.")),
    ],
)
async def test_errors_in_couchdbs_words(
    wire: Wire, method: str, target: str, body: bytes | dict[str, object] | None, status: int, words: tuple[str, str]
) -> None:
    answer = await wire(method, target, body)
    assert (answer.status, (answer.json["error"], answer.json["reason"])) == (status, words)
    assert answer.body.endswith(b"}\n")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "must-revalidate"


async def test_a_failing_handler_says_nothing_about_itself(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError("the secret cause")

    monkeypatch.setattr(wire.running.server, "uuids", fail)
    answer = await wire("GET", "/_uuids")
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "the secret cause" in caplog.text


async def test_a_stream_that_fails_drops_the_connection(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from proxy.endpoint.http import listing

    docs = [{"_id": f"d{number:03}", "text": "x" * 3000} for number in range(30)]
    await wire("POST", "/db/_bulk_docs", {"docs": docs})
    await wire("POST", "/db/_bulk_docs", {"docs": [{**doc, "_id": doc["_id"] + "b"} for doc in docs]})
    original = listing._row

    async def fail(database: object, row: object, asked: object) -> bytes:
        if getattr(row, "id", "") == "d029b":
            raise RuntimeError("the disk is gone")
        return await original(database, row, asked)  # type: ignore[arg-type]

    monkeypatch.setattr(listing, "_row", fail)
    answer = await wire("GET", "/db/_all_docs?include_docs=true")
    assert answer.status == 200
    assert answer.body
    assert not answer.complete


async def test_a_write_goes_on_when_its_client_is_gone(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    database = wire.running.server.database("db")
    begun, may_go_on = asyncio.Event(), asyncio.Event()
    original = type(database).put

    async def slow(self: object, *arguments: object, **named: object) -> object:
        begun.set()
        await may_go_on.wait()
        return await original(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(type(database), "put", slow)
    async with wire.open() as connection:
        await connection.send("PUT", "/db/x", {"a": 1})
        await begun.wait()
    await asyncio.sleep(0.05)
    may_go_on.set()
    while (answer := await wire("GET", "/db/x")).status == 404:
        await asyncio.sleep(0.01)
    assert answer.json["a"] == 1


async def test_stopping_breaks_off_feeds() -> None:
    async with serving() as wire:
        await wire("PUT", "/db")
        async with wire.open() as connection:
            await connection.send("GET", "/db/_changes?feed=continuous&heartbeat=60000")
            await connection.head()
            await wire.running.stop()
            assert not (await connection.reader.read()).endswith(b"0\r\n\r\n")  # not the end of a whole answer


@pytest.mark.parametrize(
    ("method", "target", "header", "status"),
    [
        ("PUT", "/db/x", "If-Match: 1-\xff", 400),
        ("PUT", "/db/x/y", "Content-Type: \xff", 415),
        ("POST", "/db/_bulk_docs", "Content-Type: application/json\r\nContent-Encoding: \xff", 415),
        ("POST", "/db/_bulk_docs", "Content-Type: \xff", 415),
        ("COPY", "/db/x", "Destination: \xff", 404),
        ("GET", "/db/_changes?feed=eventsource", "Last-Event-ID: \xff", 400),
        ("PUT", "/db/x", "Host: \xff", 201),
    ],
)
async def test_a_header_need_not_be_text(wire: Wire, method: str, target: str, header: str, status: int) -> None:
    host = "" if header.startswith("Host") else "Host: x\r\n"
    sent = f"{method} {target} HTTP/1.1\r\n{host}Authorization: {ADMIN['Authorization']}\r\n{header}\r\n"
    async with wire.open() as connection:
        connection.writer.write(sent.encode("latin-1") + b"Content-Length: 2\r\n\r\n{}")
        answer = await connection.receive()
    assert answer.status == status
    assert status == 201 or answer.json.keys() == {"error", "reason"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["_users", "a", "b", "db"]),
        ("key=%22b%22", ["b"]),
        ("key=1", []),
        ("endkey=%22b%22&inclusive_end=false", ["_users", "a"]),
        ("startkey=%22db%22&descending=true&limit=2&skip=1", ["b", "a"]),
    ],
)
async def test_all_dbs_takes_the_options_of_all_docs(wire: Wire, query: str, expected: list[str]) -> None:
    for name in "ab":
        await wire("PUT", f"/{name}")
    assert (await wire("GET", f"/_all_dbs?{query}")).json == expected
