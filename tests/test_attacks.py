"""What a malicious device tried, and must not get: each test is an attack by ann, a nurse of the facility f1."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from aiohttp import ClientPayloadError, ClientResponse, web
from yarl import URL

from filters.attachments import Attachments
from filters.drop import Drop
from filters.select import Select
from proxy.app import running
from proxy.config.model import Config, Database, Profile, Server, Source
from proxy.contract import Doc
from proxy.core import jsonio
from proxy.core.wire.gzip import inflate
from proxy.errors import BadRequest, Forbidden
from proxy.http_client import Connection, Sized
from proxy.http_server import served
from proxy.identify import towards
from proxy.listening import listen
from proxy.reading import changes
from tests.compatibility.sources import Asked, Forward, Given, world
from tests.support.inprocess import ADMIN, Site, basic, profile, site

PHONE = profile(
    "phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]), Attachments(deny=["image/*"])
)
ANN = basic(("ann", "ann"))

FILES = {
    "shown.txt": {"content_type": "text/plain", "data": "cGxhaW4gYW5kIHZpc2libGU="},
    "hidden.png": {"content_type": "image/png", "data": "SElEREVOQllURVM="},
}


async def raw(served: Site, *requests: tuple[str, dict[str, str]], body: bytes = b"") -> bytes:
    """What the proxy sends on one connection for pipelined requests (request line, headers), until it closes."""
    address = urlsplit(served.proxy_url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    for index, (line, headers) in enumerate(requests):
        last = {"Connection": "close"} if index == len(requests) - 1 else {}
        fields = {"Host": "x", **headers, **last}
        head = f"{line} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(head.encode("latin-1") + b"\r\n" + body)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


Lie = Callable[[str, str, Any], tuple[int, Any] | None]
"""From method, path and JSON of a request to what the source answers instead of the truth, as status and JSON."""


@asynccontextmanager
async def lying(view: Profile, lie: Lie, docs: Sequence[Doc] = (), **server: Any) -> AsyncIterator[Site]:
    """A proxy before a source that does not always tell the truth."""
    async with site(view, docs=docs) as honest:

        async def answer(request: web.BaseRequest) -> web.Response:
            body = await request.read()
            said = lie(request.method, request.raw_path, jsonio.loads(body) if body else None)
            if said is not None:
                return web.Response(status=said[0], body=jsonio.dumps(said[1]))
            url = URL(honest.source_url + request.raw_path, encoded=True)
            kept = {name: value for name, value in request.headers.items() if name not in ("Host", "Transfer-Encoding")}
            async with honest.session.request(request.method, url, data=body, headers=kept) as told:
                passed = {name: told.headers[name] for name in ("Content-Type", "ETag") if name in told.headers}
                return web.Response(status=told.status, body=await told.read(), headers=passed)

        liar = web.Server(answer, access_log=None)
        async with served(liar, listen("127.0.0.1", 0), seconds_to_end=0.1) as (host, port):
            source = Source("main", f"http://{host}:{port}", auth="service", username=ADMIN[0], password=ADMIN[1])
            clinic = Database("clinic", source, "clinic")
            settings = Server(port=0, secret=b"a secret of the tests", **server)
            config = Config(settings, {"main": source}, {"clinic": clinic}, {view.name: view})
            async with running(config) as (host, port):
                yield Site(honest.source_url, f"http://{host}:{port}", honest.session)


# ---- taking the proxy down


async def test_nobody_can_know_by_which_document_a_source_is_tried() -> None:
    """One that is there by that id would make the source look like none: every feed would fail."""
    tried: list[str] = []

    def listen(method: str, path: str, body: Any) -> None:
        if "_bulk_get" in path:
            tried.extend(entry["id"] for entry in body["docs"])

    for _ in range(2):
        async with lying(PHONE, listen, [{"_id": "a", "facility": "f1"}]) as served:
            assert (await served.ask("GET", "/clinic-phone/a?open_revs=all")).status == 200
    ids = [doc_id for doc_id in tried if doc_id != "a"]
    assert len(ids) == len(set(ids)) == 2


@pytest.mark.parametrize("members", [2, 16])
def test_a_body_of_a_few_gzip_members_is_read(members: int) -> None:
    assert inflate(gzip.compress(b"ab") * members, 100) == b"ab" * members


def test_a_body_of_countless_gzip_members_is_refused() -> None:
    """Each costs a copy of all that follows it: 64 MiB of empty ones would have taken hours."""
    with pytest.raises(BadRequest):
        inflate(gzip.compress(b"") * 1000, 100)


def nested(depth: int, big: bool) -> bytes:
    """A document with so many levels, and perhaps with a number that takes the slower codec."""
    number = b"12345678901234567890123" if big else b"1"
    return b'{"facility":"f1","n":%b,"x":%b%b}' % (number, b"[" * (depth - 1), b"]" * (depth - 1))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("shaped", [False, True])
async def test_what_can_be_written_can_be_read(shaped: bool, big: bool) -> None:
    """CouchDB stores any depth. One document that the proxy took, but could not read in a list, stopped all feeds."""
    stored: dict[str, Any] = {}

    def lie(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        """A source without limits."""
        name = path.rpartition("/")[2].partition("?")[0]
        if method == "PUT" and name.startswith("deep"):
            stored[name] = {"_id": name, "_rev": "1-" + "a" * 32, **body}
            return 201, {"ok": True, "id": name, "rev": "1-" + "a" * 32}
        if name == "_bulk_get":
            ids = [entry["id"] for entry in body["docs"]]
            missing = {"error": {"id": "x", "rev": "undefined", "error": "not_found", "reason": "missing"}}
            revisions = {"start": 1, "ids": ["a" * 32]}
            found = {i: {"ok": {**stored[i], "_revisions": revisions}} if i in stored else missing for i in ids}
            return 200, {"results": [{"id": i, "docs": [found[i]]} for i in ids]}
        if name == "_changes":
            rows = [{"seq": n, "id": i, "changes": [{"rev": "1-" + "a" * 32}]} for n, i in enumerate(stored, 1)]
            return 200, {"results": rows, "last_seq": len(rows), "pending": 0}
        if name == "_all_docs":
            rows = [{"id": i, "key": i, "value": {"rev": "1-" + "a" * 32}, "doc": d} for i, d in stored.items()]
            return 200, {"total_rows": len(rows), "offset": 0, "rows": rows}
        return (200, stored[name]) if name in stored else None

    async with lying(PHONE if shaped else profile("phone"), lie) as served:
        for depth in (250, 480, 500, 800, 960, 990, 1000, 1007, 1008, 1009, 1024, 1025, 5000):
            data = nested(depth, big)
            answer = await served.ask("PUT", f"/clinic-phone/deep{depth}", data=data)
            named = data.replace(b"{", b'{"_id":"q","_rev":"1-%b",' % (b"b" * 32), 1)
            bulk = b'{"new_edits":false,"docs":[%b]}' % named
            typed = {"Content-Type": "application/json"}
            assert answer.status == (201 if depth <= 1008 else 400), depth
            if depth > 1008:
                pushed = await served.ask("POST", "/clinic-phone/_bulk_docs", data=bulk, headers=typed)
                assert pushed.status == 400
        for path in ("_changes", "_changes?include_docs=true", "_all_docs?include_docs=true", "deep1008"):
            answer = await served.ask("GET", f"/clinic-phone/{path}")
            assert answer.status == 200, path
            assert answer.body.count(b"deep") >= len(stored) or path in stored, path
        for path, body in (
            ("_bulk_get", {"docs": [{"id": doc_id} for doc_id in stored]}),
            ("_find", {"selector": {"x": {"$gt": None}}, "sort": ["x"]}),
            ("_find", {"selector": {"x": {"$ne": [[]]}}}),
        ):
            answer = await served.ask("POST", f"/clinic-phone/{path}", body)
            assert answer.status == 200, path
            assert answer.body.count(b'"_id":"deep') == len(stored), path


@pytest.mark.parametrize(
    "selector",
    [
        {"n": {"$nin": [[number] for number in range(10_000)]}},
        {"n": {"$in": list(range(10_001))}},
        {"$or": [{"n": number} for number in range(6_000)]},
        {"$or": [{"n": {"$regex": f".*.*.*{number}"}} for number in range(20)]},
    ],
)
async def test_a_selector_of_very_many_parts_is_refused(selector: dict[str, Any]) -> None:
    """Each document costs all of it, and nobody else is served meanwhile."""
    async with site(PHONE) as served:
        find = await served.ask("POST", "/clinic-phone/_find", {"selector": selector})
        feed = await served.ask("POST", "/clinic-phone/_changes?filter=_selector", {"selector": selector})
        assert (find.status, find.json["error"]) == (400, "invalid_selector")
        assert (feed.status, feed.json) == (400, {**find.json, "error": "bad_request"})


async def test_a_selector_may_name_very_many_documents() -> None:
    async with site(PHONE, docs=[{"_id": "a7", "facility": "f1"}]) as served:
        named = {"_id": {"$in": [f"a{number}" for number in range(20_000)]}}
        assert [
            doc["_id"] for doc in (await served.ask("POST", "/clinic-phone/_find", {"selector": named})).json["docs"]
        ]


# ---- answers that are taken for those to somebody else


@pytest.mark.parametrize(
    "target", ["a/shown.txt", "a?attachments=true", "a", "_changes", "_all_docs", "_bulk_get", "_local/x", "nosuch"]
)
async def test_head_by_override_has_the_body_that_its_headers_announce(target: str) -> None:
    """A gateway sees a POST, and would take the next client's answer on the connection for this one's body."""
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1", "_attachments": FILES}]) as served:
        override = {**ANN, "X-HTTP-Method-Override": "HEAD", "Accept": "multipart/related", "Content-Length": "0"}
        answers = await raw(
            served, (f"POST /clinic-phone/{target}", override), ("GET /_uuids?count=2", {"X-Couch-Request-ID": "next"})
        )
        head, _, rest = answers.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"transfer-encoding") == b"chunked":
            rest = rest.partition(b"0\r\n\r\n")[2]
        else:
            rest = rest[int(fields[b"content-length"]) :]
        assert rest.startswith(b"HTTP/1.1 200 OK")
        assert b"uuids" in rest


# ---- getting hidden data out


async def test_a_stub_does_not_fetch_an_attachment_out_of_a_hidden_tombstone() -> None:
    """ann saw the document before it was moved and deleted, so she knows the revision of the tombstone."""
    async with site(PHONE) as served:
        first = await served.put({"_id": "a", "facility": "f1"})
        moved = await served.put({"_id": "a", "_rev": first, "facility": "f2", "_attachments": FILES})
        kept = {name: {"stub": True} for name in FILES}
        dead = {"_id": "a", "_rev": moved, "_deleted": True, "facility": "f2", "_attachments": kept}
        tomb = await served.put(dead)
        seen = (await served.ask("GET", "/clinic-phone/_changes?style=all_docs")).json["results"]
        assert seen[0]["changes"] == [{"rev": tomb}]
        path = ["3" * 32, *(rev.partition("-")[2] for rev in (tomb, moved, first))]
        stubs = {"shown.txt": {"stub": True, "content_type": "text/plain", "length": 1}}
        doc = {"_id": "a", "facility": "f1", "_attachments": stubs}
        for new_edits, place in ((True, {"_rev": tomb}), (False, {"_revisions": {"start": 4, "ids": path}})):
            pushed = await served.ask(
                "POST", "/clinic-phone/_bulk_docs", {"docs": [{**doc, **place}], "new_edits": new_edits}
            )
            assert [row["error"] for row in pushed.json] == ["missing_stub"]
        assert (await served.ask("GET", "/clinic-phone/a/shown.txt")).status == 404
        written = await served.ask("PUT", "/clinic-phone/a", {"facility": "f1"})
        assert written.status == 201


@pytest.mark.parametrize("digest", [True, False])
async def test_a_stub_by_another_name_does_not_fetch_a_hidden_attachment(digest: bool) -> None:
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1", "_attachments": FILES}]) as served:
        whole = (await served.at_source("GET", "/clinic/a")).json
        stub = {"stub": True, "content_type": "text/plain", "length": 11, "revpos": 1}
        if digest:
            stub["digest"] = whole["_attachments"]["hidden.png"]["digest"]
        for doc_id in ("a", "b"):
            named = {"_rev": whole["_rev"]} if doc_id == "a" else {}
            doc = {**named, "facility": "f1", "_attachments": {"mine.txt": stub}}
            refused = await served.ask("PUT", f"/clinic-phone/{doc_id}", doc)
            assert (refused.status, refused.json["error"]) == (412, "missing_stub")
        data = {"data": "AAAA", "content_type": "image/png"}  # such as the client may never store
        for claimed, status in (({"stub": True}, 412), (stub, 412), (data, 403)):
            answers = []
            for name in ("hidden.png", "absent.png"):
                doc = {"_rev": whole["_rev"], "facility": "f1", "_attachments": {name: claimed}}
                answers.append(await served.ask("PUT", "/clinic-phone/a", doc))
            assert [answer.status for answer in answers] == [status, status]
            assert answers[0].body.replace(b"hidden", b"absent") == answers[1].body
        doc = {
            "_rev": whole["_rev"],
            "facility": "f1",
            "_attachments": {"hidden.png": {**data, "content_type": "text/plain"}},
        }
        assert (await served.ask("PUT", "/clinic-phone/a", doc)).status == 403
        kept = (await served.at_source("GET", "/clinic/a?attachments=true")).json["_attachments"]
        assert {name: entry["data"] for name, entry in kept.items()} == {n: f["data"] for n, f in FILES.items()}


SEVERE = Drop(paths=["notes[?level > `3`].secret", "maps[?level > `3`].all.*"])
GRAVE: dict[str, Any] = {
    "_id": "a",
    "facility": "f1",
    "notes": [{"level": 5, "text": "seen", "secret": "SECRET-1"}],
    "maps": [{"level": 5, "all": {"SECRET-2": "SECRET-3"}}],
}
"""What is hidden in it depends on what is shown, and may be changed."""


@pytest.mark.parametrize("surplus", ["refuse", "discard"])
@pytest.mark.parametrize("deleted", [True, False])
@pytest.mark.parametrize("new_edits", [True, False])
async def test_what_a_write_would_uncover_stays_covered(surplus: str, deleted: bool, new_edits: bool) -> None:
    """Hidden is what belongs to a level of more than 3, and the level is ann's to change."""
    view = profile("phone", Select(where="facility == client.facility"), SEVERE, on_surplus=surplus)
    async with site(view, docs=[GRAVE]) as served:
        doc = (await served.ask("GET", "/clinic-phone/a?revs=true")).json
        assert doc["notes"] == [{"level": 5, "text": "seen"}]
        rev = doc["_rev"].partition("-")[2]
        for uncovered in (
            {"notes": [{"level": 1, "text": "seen"}], "maps": doc["maps"]},
            {"notes": doc["notes"], "maps": [{"level": 1, "all": {}}]},
            {"notes": [{"level": 1, "text": "seen"}, {"level": 9}], "maps": [{"level": 1}, {"all": {}}], "title": "x"},
        ):
            edited = {"_id": "a", "facility": "f1", **uncovered, **({"_deleted": True} if deleted else {})}
            place = {"_rev": doc["_rev"]} if new_edits else {"_revisions": {"start": 2, "ids": ["2" * 32, rev]}}
            body = {"docs": [{**edited, **place}], "new_edits": new_edits}
            answer = await served.ask("POST", "/clinic-phone/_bulk_docs", body)
            assert b"SECRET" not in answer.body
            assert [row["error"] for row in answer.json] == ["forbidden"]
        leaves = await served.ask("GET", "/clinic-phone/a?open_revs=all")
        assert b"SECRET" not in leaves.body
        assert [leaf["ok"]["_rev"] for leaf in leaves.json] == [doc["_rev"]]


@pytest.mark.parametrize("surplus", ["refuse", "discard"])
async def test_a_document_with_something_hidden_can_still_be_edited_and_deleted(surplus: str) -> None:
    view = profile("phone", Select(where="facility == client.facility"), SEVERE, on_surplus=surplus)
    async with site(view, docs=[GRAVE]) as served:
        doc = (await served.ask("GET", "/clinic-phone/a")).json
        doc["notes"][0]["text"] = "edited"
        edited = await served.ask("PUT", "/clinic-phone/a", {**doc, "maps": [*doc["maps"], {"level": 1}]})
        assert edited.status == 201
        whole = (await served.at_source("GET", "/clinic/a")).json
        assert whole["notes"] == [{"level": 5, "text": "edited", "secret": "SECRET-1"}]
        gone = {**doc, "_rev": edited.json["rev"], "_deleted": True}
        assert (await served.ask("PUT", "/clinic-phone/a", gone)).status == 200


_CRASH = '{badmatch,{doc,<<"a">>,{[{<<"ssn">>,<<"SECRET">>}]}}}'


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (500, "unknown_error", "unknown_error"),  # throw({anything: ...}) in a validate_doc_update
        (403, "forbidden", "forbidden"),
        (401, "unauthorized", "unauthorized"),
        (500, _CRASH, "unknown_error"),
        (418, "teapot", "teapot"),
    ],
)
async def test_no_error_of_the_source_quotes_what_is_hidden(status: int, error: str, told: str) -> None:
    words = {"error": error, "reason": _CRASH, "message": _CRASH, "stack": _CRASH}
    wants: list[str] = []

    def lie(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        if not any(part in f"{method} {path}" for part in wants):
            return None
        if path.endswith("_bulk_docs"):
            return 201, [{"id": doc["_id"], "rev": doc.get("_rev"), **words} for doc in body["docs"]]
        return status, words

    async with lying(PHONE, lie, [{"_id": "a", "facility": "f1", "ssn": "SECRET"}]) as served:
        rev = (await served.ask("GET", "/clinic-phone/a")).json["_rev"]
        doc = {"_id": "a", "_rev": rev, "facility": "f1"}
        new = {**doc, "_rev": "2-" + "c" * 32, "_revisions": {"start": 2, "ids": ["c" * 32, rev[2:]]}}
        wants += ["PUT /clinic/", "_bulk_docs"]
        for method, path, sent in (
            ("PUT", "a", doc),
            ("PUT", "a?new_edits=false", new),
            ("POST", "_bulk_docs", {"docs": [doc]}),
            ("POST", "_bulk_docs", {"docs": [new], "new_edits": False}),
            ("POST", "", {"facility": "f1"}),
            ("DELETE", f"a?rev={rev}", None),
            ("PUT", f"a/x.txt?rev={rev}", {"x": 1}),
        ):
            answer = await served.ask(method, f"/clinic-phone/{path}", sent)
            assert b"SECRET" not in answer.body, (method, path)
            row = answer.json[0] if isinstance(answer.json, list) else answer.json
            assert row["error"] == told, (method, path)
        if status == 500:
            wants[:] = ["GET", "POST"]
            for path in ("a", "a?open_revs=all", "_changes", "_all_docs", "_local/x", "", "a/x.txt", "a?meta=true"):
                answer = await served.ask("GET", f"/clinic-phone/{path}")
                assert answer.status == 500, path
                assert b"SECRET" not in answer.body, path
            for path, sent in (("_bulk_get", {"docs": [{"id": "a"}]}), ("_revs_diff", {"a": [rev]})):
                answer = await served.ask("POST", f"/clinic-phone/{path}", sent)
                assert answer.status == 500, path
                assert b"SECRET" not in answer.body, path


# ---- getting out of the database


async def test_no_name_climbs_out_of_the_database() -> None:
    """What stands between proxy and source may resolve dot segments, and the service account may do anything."""
    asked: list[str] = []

    def listen(method: str, path: str, body: Any) -> None:
        asked.append(path)

    async with lying(PHONE, listen, [{"_id": "a", "facility": "f1", "_attachments": FILES}]) as served:
        doc = {"facility": "f1"}
        entry = {"content_type": "text/plain", "data": "AAAA"}
        refused = []
        for name in ("..", ".", "../other", "x/../../../other/_all_docs", "_design/..", "_local/../../other"):
            quoted = quote(name, safe="")
            headers = {"Destination": quoted}
            refused += [
                await served.ask("POST", "/clinic-phone", {"_id": name, **doc}),
                await served.ask("POST", "/clinic-phone/_bulk_docs", {"docs": [{"_id": name, **doc}]}),
                await served.ask("COPY", "/clinic-phone/a", headers=headers),
                await served.ask("PUT", "/clinic-phone/c", {**doc, "_attachments": {name: entry}}),
            ]
            if "%2F" in quoted:  # or the client itself resolves it
                refused += [
                    await served.ask("PUT", f"/clinic-phone/{quoted}", doc),
                    await served.ask("GET", f"/clinic-phone/{quoted}"),
                    await served.ask("PUT", f"/clinic-phone/b/{quoted}", data=b"x"),
                ]
        assert {answer.status for answer in refused} == {400}
    assert not [path for path in asked if ".." in unquote(path) or "/." in unquote(path)]


async def test_an_attachment_whose_name_climbs_is_asked_for_in_one_piece() -> None:
    """Other ways lead to such names, and a document that cannot be read must not stop a feed."""
    asked: list[str] = []

    def listen(method: str, path: str, body: Any) -> None:
        asked.append(path)

    names = {"../../x": "UE9J", "..": "UE9K", ".": "UE9L", "a/b": "UE9M"}
    files = {name: {"content_type": "text/plain", "data": data} for name, data in names.items()}
    async with lying(PHONE, listen, [{"_id": "a", "facility": "f1", "_attachments": files}]) as served:
        answer = await served.ask("GET", "/clinic-phone/_all_docs?include_docs=true&attachments=true")
        [row] = answer.json["rows"]
        assert {name: entry["data"] for name, entry in row["doc"]["_attachments"].items()} == names
    assert not [path for path in asked if {".", ".."} & set(path.partition("?")[0].split("/"))]


# ---- being lied to about what was stored


@pytest.mark.parametrize("rev", ["2-\r\nX: y", "2-a\x00", "2-" + "g" * 32, "2-" + "ab " * 10 + "ab", "2-\x7f"])
async def test_a_revision_that_no_header_can_hold_is_not_stored(rev: str) -> None:
    """It was: then the answer failed, and so did every answer to whoever read the document."""
    async with site(PHONE) as served:
        doc = {"_id": "a", "facility": "f1", "_rev": rev}
        pushed = await served.ask("PUT", "/clinic-phone/a?new_edits=false", doc)
        assert pushed.status == 400
        pushed = await served.ask("POST", "/clinic-phone/_bulk_docs", {"new_edits": False, "docs": [doc]})
        assert pushed.status == 400
        path = {"_id": "a", "facility": "f1", "_revisions": {"start": 2, "ids": [rev[2:], "1" * 32]}}
        pushed = await served.ask("POST", "/clinic-phone/_bulk_docs", {"new_edits": False, "docs": [path]})
        assert pushed.status == 400
        assert (await served.at_source("GET", "/clinic/a")).status == 404


_MALFORMED: list[tuple[str, dict[str, str], bytes]] = [
    ("COPY /clinic-phone/a", {"Destination": "\xff\xfe"}, b""),
    ("COPY /clinic-phone/a", {"Destination": "%ff"}, b""),
    ("POST /clinic-phone/a", {"Referer": "http://[", "Content-Type": "multipart/form-data; boundary=x"}, b""),
    ("GET /clinic-phone/_changes?timeout=" + "9" * 5000, {}, b""),
    ("GET /clinic-phone/_changes?heartbeat=" + "9" * 5000, {}, b""),
    ("POST /clinic-phone/_bulk_get", {"Content-Encoding": "\xff", "Content-Type": "application/json"}, b"{}"),
    ("PUT /clinic-phone/a/x.txt?rev={rev}", {"Content-Type": "\xff\xfe"}, b"x"),
    *(
        (
            "PUT /clinic-phone/new",
            {"Content-Type": "multipart/related; boundary=x"},
            b'--x\r\n\r\n{"facility":"f1","_attachments":{"a":{"follows":true,"length":1,"content_type":"text/plain",'
            b'"encoding":%b}}}\r\n--x\r\n\r\na\r\n--x--' % encoding,
        )
        for encoding in (b"5", b'{"a":1}', b'["gzip"]', b"true")
    ),
]


@pytest.mark.parametrize(("line", "headers", "body"), _MALFORMED)
async def test_what_is_malformed_is_the_clients_mistake(line: str, headers: dict[str, str], body: bytes) -> None:
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1"}]) as served:
        rev = (await served.ask("GET", "/clinic-phone/a")).json["_rev"]
        sent = {**ANN, **headers, "Content-Length": str(len(body))}
        answer = await raw(served, (line.replace("{rev}", rev), sent), body=body)
        assert answer.split(b" ", 2)[1] in (b"400", b"415"), answer[:300]


async def test_a_feed_with_attachments_is_not_held_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of rows with the bodies of large attachments in them took more memory than there is."""
    sizes: list[int] = []
    write = web.StreamResponse.write

    async def spy(self: web.StreamResponse, data: Any) -> None:
        sizes.append(len(data))
        await write(self, data)

    monkeypatch.setattr(web.StreamResponse, "write", spy)
    large = {"x.txt": {"content_type": "text/plain", "data": "QUJD" * 100_000}}
    docs = [{"_id": f"a{n}", "facility": "f1", "_attachments": large} for n in range(8)]
    async with site(PHONE, docs=docs) as served:
        sizes.clear()
        feed = await served.ask("GET", "/clinic-phone/_changes?include_docs=true&attachments=true")
        rows = feed.json["results"]
        assert [row["doc"]["_attachments"]["x.txt"]["data"] for row in rows] == ["QUJD" * 100_000] * 8
        assert max(sizes) < 1_000_000


async def test_a_batch_does_not_make_the_proxy_copy_attachments_without_limit() -> None:
    """Each edit of a revision that is gone takes the document's attachments along, and edits cost a client nothing."""
    large = {"x.txt": {"content_type": "text/plain", "data": "QUJD" * 10_000}}
    doc = {"_id": "a", "facility": "f1", "_attachments": large}
    async with site(PHONE, docs=[doc], max_body=100_000) as served:
        stub = {"x.txt": {"stub": True, "content_type": "text/plain", "length": 30_000}}
        edits = [{**doc, "_rev": f"2-{n:032x}", "_attachments": stub} for n in range(1, 6)]
        pushed = await served.ask("POST", "/clinic-phone/_bulk_docs", {"new_edits": False, "docs": edits})
        assert [row["error"] for row in pushed.json] == ["forbidden"] * 2
        assert len((await served.ask("GET", "/clinic-phone/a?open_revs=all")).json) == 4


# ---- acting as somebody else


@pytest.mark.parametrize("sized", [False, True])
async def test_a_connection_with_half_a_request_on_it_is_not_used_again(sized: bool) -> None:
    """The source would take the next client's request, credentials and all, for the rest of this one's attachment."""

    async def answer_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\n\r\n{}")
        with suppress(ConnectionError):
            await reader.read()
        writer.close()
        gone.set()

    gone = asyncio.Event()
    server = await asyncio.start_server(answer_early, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    _, connection = await asyncio.get_running_loop().create_connection(Connection, host, port)

    async def broken_off() -> AsyncIterator[bytes]:
        yield b"half"
        while not connection.status:
            await asyncio.sleep(0)
        raise ValueError("the client's body ends here")

    head = b"PUT /clinic/a/x.txt HTTP/1.1\r\nHost: x\r\n\r\n"
    await connection.send(head, Sized(8, broken_off()) if sized else broken_off(), False)
    assert (connection.status, await connection.read()) == (409, b"{}")
    assert not connection.reusable
    connection.close()
    await gone.wait()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("name", [" bob", "bob ", "b\nob", "\tbob"])
def test_nobody_is_somebody_else_by_a_name_that_a_header_does_not_keep(name: str) -> None:
    """White space around a header is dropped: who may choose a name could have signed requests as bob."""
    source = Source("main", "http://127.0.0.1:1", auth="proxy")
    with pytest.raises(Forbidden):
        towards(source, name, frozenset(), {})


def test_roles_that_a_header_does_not_keep_are_not_sent() -> None:
    roles = frozenset(["nurse", "a,_admin", " _admin", "_admin\t", "b\nc", "facility:f1", ""])
    signed = towards(Source("main", "http://127.0.0.1:1", auth="proxy"), "ann", roles, {})
    assert signed["X-Auth-CouchDB-Roles"] == "facility:f1,nurse"


async def _ends(feed: str, answer: ClientResponse) -> None:
    """As if its time was over, which every client notices, or else by breaking off."""
    if feed == "longpoll":
        assert (await answer.json())["results"] == []
    else:
        with pytest.raises(ClientPayloadError):
            await answer.read()


@pytest.mark.parametrize("feed", ["continuous", "longpoll", "eventsource"])
@pytest.mark.parametrize(
    ("session", "ends"),
    [
        ((200, {"userCtx": {"name": "ann", "roles": ["nurse", "facility:f1"]}}), False),
        ((200, {"userCtx": {"name": "ann", "roles": ["facility:f1"]}}), True),
        ((200, {"userCtx": {"name": None, "roles": []}}), True),
        ((401, {"error": "unauthorized", "reason": "Name or password is incorrect."}), True),
        ((503, {"error": "unavailable", "reason": "later"}), False),
    ],
)
async def test_a_live_feed_ends_with_what_its_client_was(
    monkeypatch: pytest.MonkeyPatch, feed: str, session: tuple[int, Any], ends: bool
) -> None:
    """A role that is taken away, or an account, would otherwise be good for as long as the connection lasts."""
    monkeypatch.setattr(changes, "RECHECK_SECONDS", 0.01)
    asked: list[str] = []
    revoked = asyncio.Event()

    def lie(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        asked.append(path)
        return session if path == "/_session" and revoked.is_set() else None

    async with lying(PHONE, lie, session_ttl=0.0) as served:
        url = f"{served.proxy_url}/clinic-phone/_changes?feed={feed}&heartbeat=1000"
        async with served.session.get(url, headers=ANN) as answer:
            assert answer.status == 200
            revoked.set()
            if ends:
                await _ends(feed, answer)
            else:
                before = asked.count("/_session")
                while asked.count("/_session") < before + 3:
                    await asyncio.sleep(0.01)
                await served.put({"_id": "new", "facility": "f1"})
                await answer.content.readuntil(b'"id":"new"')


@pytest.mark.parametrize("feed", ["continuous", "longpoll", "eventsource"])
async def test_a_live_feed_tells_nothing_to_who_its_client_was(feed: str) -> None:
    """What comes after a role was taken away is not for the connection that is left."""
    revoked = asyncio.Event()

    def lie(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        told = (200, {"userCtx": {"name": "ann", "roles": []}})
        return told if path == "/_session" and revoked.is_set() else None

    async with lying(PHONE, lie, session_ttl=0.0) as served:
        url = f"{served.proxy_url}/clinic-phone/_changes?feed={feed}&heartbeat=1000&since=now"
        async with served.session.get(url, headers=ANN) as answer:
            assert answer.status == 200
            await answer.content.readany()  # it waits
            revoked.set()
            await served.put({"_id": "new", "facility": "f1"})
            told = []
            try:
                async for piece in answer.content.iter_any():
                    told.append(piece)
            except ClientPayloadError:
                told.append(b"broken off")
            assert (told[-1] == b"broken off") == (feed != "longpoll")  # which ends as if its time was over
            assert b"new" not in b"".join(told)


@pytest.mark.parametrize("user", [None, ("ann", "wrong")])
async def test_nobody_learns_which_databases_there_are(user: tuple[str, str] | None) -> None:
    async with site(PHONE) as served:
        names = ("clinic-phone", "clinic", "other", "x/y")
        answers = [await served.ask("GET", f"/{name}", user=user) for name in names]
        assert [answer.status for answer in answers] == [401] * 4
        assert len({answer.body for answer in answers}) == 1
        assert (await served.ask("GET", "/other")).status == 404


async def test_what_a_device_says_of_itself_is_bounded() -> None:
    """Views are remembered with it: some thousand long ones filled the memory."""
    view = profile("phone", Select(where="facility == client.facility"), device_headers={"model": "x-model"})
    async with site(view, docs=[{"_id": "a", "facility": "f1"}]) as served:
        for model, status in (("m" * 256, 200), ("m" * 257, 400), ("\udcff", 400)):
            value = model.encode("utf-8", "surrogateescape").decode("latin-1")
            answer = await raw(served, ("GET /clinic-phone/a", {**ANN, "X-Model": value}))
            assert int(answer.split(b" ", 2)[1]) == status


# ---- a source that lies

_A, _ONE = "1-" + "a" * 32, {"start": 1, "ids": ["a" * 32]}


@pytest.mark.parametrize("doc_id", ["h", "a", "_local/x", "_design/x"])
async def test_no_answer_to_another_question_is_shown_unjudged(doc_id: str) -> None:
    """Whatever is asked for, the source answers with a document that ann may not have, and adds others of its own."""
    facility = "f1" if doc_id.startswith("_") else "f2"
    hidden = {"_id": doc_id, "_rev": _A, "facility": facility, "ssn": "SECRET", "note": "SECRET", "_revisions": _ONE}

    def lie(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        name = path.rpartition("/")[2].partition("?")[0]
        change = {"id": "a", "changes": [{"rev": _A}]}
        rows = [{"id": given, "key": given, "value": {"rev": _A}, "doc": hidden} for given in ("a", doc_id)]
        answers: dict[str, Any] = {
            "_all_docs": {"total_rows": 2, "offset": 0, "rows": [*rows, {**rows[0], "doc": None}]},
            "_local_docs": {"rows": rows},
            "_changes": {"results": [{"seq": 1, **change, "doc": hidden}, {"seq": 2, **change}], "last_seq": 2},
            "_revs_diff": {"a": {"missing": [_A], "possible_ancestors": ["9-SECRET"]}},
        }
        if name == "_bulk_get":
            ids = [entry["id"] for entry in body["docs"]]
            if ids[0].startswith("tailor-"):
                return None
            results = [{"id": given, "docs": [{"ok": hidden}]} for given in (*ids, doc_id)]
            return 200, {"results": results}
        if name in answers:
            return 200, answers[name]
        if method != "GET" or "/clinic/" not in path:
            return None
        return 200, [{"ok": hidden}] if "open_revs" in path else hidden

    async with lying(PHONE, lie) as served:
        for path in (
            *("a", f"a?rev={_A}", "a?open_revs=all", f"a?open_revs=%5B%22{_A}%22%5D", "a?meta=true&local_seq=true"),
            *("_changes", "_changes?include_docs=true", "_changes?style=all_docs&include_docs=true&conflicts=true"),
            *("_all_docs", "_all_docs?include_docs=true&conflicts=true", "_all_docs?key=%22a%22&include_docs=true"),
            *("_local/x", "_local_docs?include_docs=true", "a/x.txt", "a?attachments=true"),
        ):
            said = await raw(served, (f"GET /clinic-phone/{path}", ANN))  # it may break off
            assert b"SECRET" not in said, path
            assert int(said.split()[1]) in (200, 404, 502), path
        entries = [{"id": "a"}, {"id": "a", "rev": _A}, {"id": "h"}]
        for path, body in (
            *((f"_bulk_get?{query}", {"docs": entries}) for query in ("", "revs=true", "latest=true")),
            ("_all_docs?include_docs=true", {"keys": ["a", "h"]}),
            ("_find", {"selector": {}, "sort": ["ssn"]}),
            ("_revs_diff", {"a": [_A, "2-" + "b" * 32]}),
        ):
            answer = await served.ask("POST", f"/clinic-phone/{path}", body)
            assert b"SECRET" not in answer.body, path
            assert answer.status in (200, 502), path


@pytest.mark.parametrize("reply", [{"results": []}, {"results": [], "pending": 0}])
async def test_a_feed_whose_end_is_unknown_does_not_end(reply: Any) -> None:
    """A client that was told to go on from the beginning would read everything anew, again and again."""

    def lie(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        return (200, reply) if "/_changes" in path else None

    async with lying(PHONE, lie) as served:
        url = f"{served.proxy_url}/clinic-phone/_changes"
        try:
            async with served.session.get(url, headers=ANN) as answer:
                text = await answer.read()
                assert answer.status == 502, text
        except ClientPayloadError:
            pass  # it had begun


ALIASES = ["/", "hidden.png/", "/hidden.png", "scans//hidden.png", "//"]
"""Names that a source takes for another attachment, or the document, once it has dropped their empty pieces."""


@pytest.mark.parametrize("name", ALIASES)
async def test_an_attachment_by_another_spelling_is_another_attachment(name: str) -> None:
    files = {**FILES, "scans/hidden.png": FILES["hidden.png"]}
    doc = {"_id": "a", "facility": "f1", "ssn": "417-23-9050", "_attachments": files}
    async with site(PHONE, docs=[doc]) as served:
        target = f"/clinic-phone/a/{quote(name, safe='')}"
        assert (await served.ask("GET", target)).status == 404
        seen = (await served.ask("GET", "/clinic-phone/a")).json
        taken = {"content_type": "text/plain", "data": "bWluZQ=="}
        sent = {**seen, "_attachments": {**seen["_attachments"], name: taken}}
        stored = await served.ask("PUT", "/clinic-phone/a", sent)
        assert stored.status == 201
        for form in ("application/json", "multipart/related"):
            whole = await served.ask("GET", "/clinic-phone/a?attachments=true", headers={"Accept": form})
            assert whole.status == 200
            assert b"417-23-9050" not in whole.body
            assert b"SElEREVOQllURVM=" not in whole.body
            assert b"HIDDENBYTES" not in whole.body
        assert (await served.ask("GET", target)).body == b"mine"
        rev = stored.json["rev"]
        json_type = {"Content-Type": "application/json"}
        put = await served.ask("PUT", f"{target}?rev={rev}", data=b'{"ssn": "PAST THE FILTERS"}', headers=json_type)
        assert put.status == 201
        held = (await served.at_source("GET", "/clinic/a?attachments=true")).json
        assert held["ssn"] == "417-23-9050"
        assert held["_attachments"]["hidden.png"]["data"] == "SElEREVOQllURVM="
        assert held["_attachments"]["scans/hidden.png"]["data"] == "SElEREVOQllURVM="
        gone = await served.ask("DELETE", f"{target}?rev={put.json['rev']}")
        assert gone.status == 200
        held = (await served.at_source("GET", "/clinic/a")).json
        assert sorted(held["_attachments"]) == ["hidden.png", "scans/hidden.png", "shown.txt"]


async def test_an_attachment_without_a_name_breaks_nothing_and_cannot_be_written() -> None:
    """CouchDB takes one; by no path can it be asked for."""
    entry = {"content_type": "text/plain", "data": "bWluZQ=="}
    async with site(PHONE, docs=[{"_id": "a", "facility": "f1", "_attachments": {**FILES, "": entry}}]) as served:
        whole = await served.ask("GET", "/clinic-phone/a?attachments=true", headers={"Accept": "application/json"})
        entries = whole.json["_attachments"]
        assert (entries[""]["stub"], "data" in entries["shown.txt"]) == (True, True)
        listed = await served.ask("GET", "/clinic-phone/_all_docs?include_docs=true&attachments=true")
        assert len(listed.json["rows"]) == 1
        sent = {"_id": "b", "facility": "f1", "_attachments": {"": entry}}
        assert (await served.ask("PUT", "/clinic-phone/b", sent)).status == 400


@pytest.mark.parametrize("instead", ["/clinic/a", "/clinic/a/hidden.png"])
async def test_what_is_not_the_attachment_that_was_judged_is_not_passed_on(instead: str) -> None:
    async def confuse(asked: Asked, forward: Forward) -> Given:
        return await forward(replace(asked, path=instead) if asked.endpoint == "shown.txt" else asked)

    async with world(confuse, PHONE, docs=[{"_id": "a", "facility": "f1", "_attachments": FILES}]) as served:
        answer = await served.ask("GET", "/clinic-phone/a/shown.txt")
        assert (answer.status, answer.json["error"]) == (502, "bad_gateway")
