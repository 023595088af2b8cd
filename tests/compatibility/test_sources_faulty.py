"""A source that fails in ways of its own: clients get an error that says so, nothing that is hidden, and never wait."""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import replace
from random import Random
from typing import Any

import aiohttp
import pytest
from multidict import CIMultiDict

from proxy.app import running
from proxy.config.model import Config, Database, Server
from tests.compatibility.sources import PHONE, Asked, Forward, Given, Script, World, given_json, untouched, world
from tests.support.inprocess import Answer, basic, profile
from tests.support.sockets import connected

SECRET = "417-23-9050"
DOCS: list[dict[str, Any]] = [
    {"_id": "mine", "facility": "f1", "secret": SECRET},
    {"_id": "others", "facility": "f2", "secret": SECRET},
    {"_id": "kept", "facility": "f1", "n": 1, "secret": SECRET},
]

REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("GET", "/mine", None),
    ("GET", "/mine?open_revs=all", None),
    ("HEAD", "/mine", None),
    ("GET", "/mine/a.txt", None),
    ("GET", "/_all_docs?include_docs=true", None),
    ("GET", "/_changes?include_docs=true", None),
    ("GET", "/_changes?feed=longpoll&timeout=200&since=0", None),
    ("POST", "/_bulk_get", {"docs": [{"id": "mine"}, {"id": "others"}]}),
    ("POST", "/_find", {"selector": {}}),
    ("POST", "/_revs_diff", {"mine": ["2-" + "a" * 32]}),
    ("POST", "/_bulk_docs", {"docs": [{"_id": "kept2", "facility": "f1"}]}),
    ("PUT", "/new", {"facility": "f1"}),
    ("GET", "/_local/x", None),
]


async def crash(asked: Asked, forward: Forward) -> Given:
    """CouchDB's crashes quote what they were working on."""
    return given_json(500, {"error": "unknown_error", "reason": f'{{badmatch,{{doc,<<"others">>,"{SECRET}"}}}}'})


async def html_page(asked: Asked, forward: Forward) -> Given:
    return Given(503, b"<html>" + SECRET.encode() + b"</html>", CIMultiDict({"Content-Type": "text/html"}))


async def html_success(asked: Asked, forward: Forward) -> Given:
    return Given(200, b"<html>" + SECRET.encode() + b"</html>", CIMultiDict({"Content-Type": "text/html"}))


async def html_not_found(asked: Asked, forward: Forward) -> Given:
    return Given(404, b"<html>" + SECRET.encode() + b"</html>", CIMultiDict({"Content-Type": "text/html"}))


async def nothing(asked: Asked, forward: Forward) -> Given:
    return Given(200, b"")


async def other_json(asked: Asked, forward: Forward) -> Given:
    return given_json(200, {"hidden": SECRET})


async def list_of_secrets(asked: Asked, forward: Forward) -> Given:
    return given_json(200, [SECRET])


async def half(asked: Asked, forward: Forward) -> Given:
    given = await forward(asked)
    return replace(given, body=given.body[: len(given.body) // 2])


async def zipped(asked: Asked, forward: Forward) -> Given:
    given = await forward(asked)
    headers = CIMultiDict({**given.headers, "Content-Encoding": "gzip"})
    return Given(given.status, gzip.compress(given.body), headers)


FAULTS: list[Script] = [
    crash, html_page, html_success, html_not_found, nothing, other_json, list_of_secrets, half, zipped
]  # fmt: skip


def broken(fault: Script) -> Script:
    """The fault for everything but the question who the client is."""

    async def answer(asked: Asked, forward: Forward) -> Given:
        return await (forward if asked.endpoint == "_session" else lambda a: fault(a, forward))(asked)

    return answer


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_comes_is_an_error_or_right_and_never_a_secret(fault: Script) -> None:
    async with world(broken(fault), docs=DOCS) as site:
        for method, path, body in REQUESTS:
            async with asyncio.timeout(30):
                try:
                    answer = await site.ask(method, f"/clinic-phone{path}", body)
                except (aiohttp.ClientError, ConnectionError):
                    continue  # cut in the middle: not to be taken for a whole answer
            assert SECRET.encode() not in answer.body + gzip_free(answer.body), (method, path)
            if answer.status < 300 and method != "HEAD":
                assert "others" not in answer.body.decode(), (method, path)
            elif answer.body:
                assert answer.json.keys() == {"error", "reason"}, (method, path, answer.body)
        kept = await site.at_source("GET", "/clinic/kept")
        assert kept.json["secret"] == SECRET


def gzip_free(body: bytes) -> bytes:
    try:
        return gzip.decompress(body)
    except (OSError, EOFError):
        return b""


async def closed(asked: Asked, forward: Forward) -> Given:
    return Given(200, b"{}" * 100, cut=10)


def names_the_source(answer: Answer, url: str) -> bool:
    """Whether a client is told an address, or what was asked of the source."""
    text = answer.body.decode()
    return any(name in text for name in (url.rpartition(":")[2], "127.0.0.1", "/clinic", "GET ", "POST ", "PUT "))


@pytest.mark.parametrize("fault", [*FAULTS, closed])
async def test_what_clients_are_told_names_nothing_of_the_source(fault: Script) -> None:
    async with world(broken(fault), docs=DOCS) as site:
        for method, path, body in REQUESTS:
            try:
                answer = await site.ask(method, f"/clinic-phone{path}", body)
            except (aiohttp.ClientError, ConnectionError):
                continue
            assert answer.status < 400 or not names_the_source(answer, site.source.url), answer.body


async def test_who_cannot_log_in_is_not_told_where_the_source_is(caplog: pytest.LogCaptureFixture) -> None:
    async with world(closed, docs=DOCS) as site:
        url, database = site.source.url, Database("clinic", site.source, "clinic")
        for method, path in (("GET", "/"), ("GET", "/_session"), ("POST", "/_session"), ("GET", "/clinic-phone")):
            broken_off = await site.ask(method, path, {} if method == "POST" else None, user=("who", "knows"))
            assert (broken_off.status, broken_off.json["reason"]) == (502, "The source broke off.")
    config = Config(
        Server(port=0, secret=b"a secret of the tests"), {"main": database.source}, {"clinic": database}, {}
    )
    async with running(config) as (host, port), aiohttp.ClientSession(auto_decompress=False) as session:
        caplog.clear()
        away = await World(url, f"http://{host}:{port}", session).ask("GET", "/_session")
        assert (away.status, away.json["reason"]) == (502, "The source cannot be reached.")
    [logged] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert f"(GET /_session) cannot be reached: {url.removeprefix('http://')}: " in logged.getMessage()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async def away(asked: Asked, forward: Forward) -> Given:
        if asked.path.startswith("/elsewhere") or asked.endpoint == "_session":
            return await forward(asked)
        return Given(status, b"", CIMultiDict({"Location": "/elsewhere" + asked.path}))

    async with world(away, docs=DOCS) as site:
        for method, path, body in REQUESTS:
            answer = await site.ask(method, f"/clinic-phone{path}", body)
            assert answer.status == 502, (method, path)
            assert method == "HEAD" or "redirects are not followed" in answer.json["reason"]
        assert not any(asked.path.startswith("/elsewhere") for asked in site.asked)


async def test_the_content_type_of_json_does_not_matter() -> None:
    async def mislabelled(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        given.headers["Content-Type"] = "application/octet-stream"
        return given

    async with world(mislabelled, docs=DOCS) as site:
        answer = await site.ask("GET", "/clinic-phone/_changes?include_docs=true")
        assert {row["id"] for row in answer.json["results"]} == {"mine", "kept"}
        assert answer.headers["Content-Type"].startswith("application/json")
        assert SECRET not in answer.body.decode()


async def test_compressed_json_that_nobody_asked_for_is_named() -> None:
    async with world(broken(zipped), docs=DOCS, remember=0.0) as site:
        answer = await site.ask("GET", "/clinic-phone")
        assert answer.status == 502
        assert "compressed (gzip), which was not asked for" in answer.json["reason"]


async def test_a_source_that_is_silent_is_given_up() -> None:
    silent = asyncio.Event()

    async def wait(asked: Asked, forward: Forward) -> Given:
        if not silent.is_set() and asked.endpoint != "_session":
            await silent.wait()
        return await forward(asked)

    async with world(wait, timeout=0.5, remember=0.0) as site:
        asking = [site.ask(method, f"/clinic-phone{path}", body) for method, path, body in REQUESTS]
        answers = await asyncio.gather(*asking)
        assert {answer.status for answer in answers} == {504}
        unsure = [path for (_, path, _), answer in zip(REQUESTS, answers, strict=True) if b"unknown" in answer.body]
        assert unsure == ["/_bulk_docs", "/new"]  # it may yet store them
        silent.set()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_local_document_that_may_have_been_written_is_told_so(method: str) -> None:
    async def cut(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        return replace(given, cut=0) if asked.method == method and "-cp" in asked.path else given

    async with world(cut) as site:
        answer = await site.ask(method, "/clinic-phone/_local/cp", {"seq": 1} if method == "PUT" else None)
        assert (answer.status, "unknown whether" in answer.json["reason"]) == (502, True)


async def test_an_attachment_that_breaks_off_is_reset() -> None:
    """PouchDB's `fetch` for Node waits for ever for the rest of a body whose length it knows, after a mere close."""
    data = b"x" * 2**20

    async def cut(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        return replace(given, cut=2**16) if asked.endpoint == "a.bin" and asked.method == "GET" else given

    async with world(cut, docs=DOCS) as site:
        mine = (await site.at_source("GET", "/clinic/mine")).json
        path = f"/clinic/mine/a.bin?rev={mine['_rev']}"
        sent = {"Content-Type": "application/octet-stream"}
        assert (await site.at_source("PUT", path, data=data, headers=sent)).status == 201
        async with connected(site.proxy_url) as (reader, writer):
            credentials = basic(("ann", "ann"))["Authorization"]
            writer.write(b"GET /clinic-phone/mine/a.bin HTTP/1.1\r\nHost: x\r\n")
            writer.write(f"Authorization: {credentials}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Content-Length: 1048576" in head
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(len(data))


def _error(status: int, error: str) -> Given:
    return given_json(status, {"error": error, "reason": "of the source"})


NOT_A_FEED = {
    "cut": Given(200, b'{"results":[\n'),
    "page of a gateway": Given(503, b"<h1>Service Unavailable</h1>"),
    "node down": _error(500, "nodedown"),
    "gone": _error(404, "not_found"),
    "not allowed": _error(401, "unauthorized"),
    "forbidden": _error(403, "forbidden"),
    "busy": _error(503, "service_unavailable"),
}
"""What a source answers to a longpoll when something is wrong with it."""


@pytest.mark.parametrize("given", NOT_A_FEED.values(), ids=NOT_A_FEED.keys())
async def test_a_longpoll_ends_well_when_the_source_breaks_off(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost after its `last_seq`; a continuous feed breaks off, as it has no other way to say so."""
    monkeypatch.setattr("proxy.reading.changes.BREATH_SECONDS", 0.01)
    away = True

    async def answer(asked: Asked, forward: Forward) -> Given:
        if away and asked.query.get("feed") == "longpoll":
            return given
        return await forward(asked)

    async with world(answer, docs=DOCS) as site:
        polled = await site.ask("GET", "/clinic-phone/_changes?feed=longpoll&since=now&heartbeat=10000")
        assert (polled.status, polled.json["results"]) == (200, [])
        with pytest.raises(aiohttp.ClientPayloadError):
            await site.ask("GET", "/clinic-phone/_changes?feed=continuous&heartbeat=10000")
        away = False
        await site.put({"_id": "later", "facility": "f1"})
        again = await site.ask("GET", f"/clinic-phone/_changes?feed=longpoll&since={polled.json['last_seq']}")
        assert [row["id"] for row in again.json["results"]] == ["later"]


async def test_so_it_does_when_the_source_cannot_say_what_a_change_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.reading.changes.BREATH_SECONDS", 0.01)
    away, waits = False, asyncio.Event()

    async def answer(asked: Asked, forward: Forward) -> Given:
        if asked.query.get("feed") == "longpoll":
            waits.set()
        return _error(500, "nodedown") if away and asked.endpoint == "_bulk_get" else await forward(asked)

    async with world(answer, docs=DOCS) as site:
        path = "/clinic-phone/_changes?feed=longpoll&heartbeat=10000"
        since = (await site.ask("GET", "/clinic-phone/_changes")).json["last_seq"]
        rev = await site.put({"_id": "later", "facility": "f1"})
        since = (await site.ask("GET", f"{path}&since={since}")).json["last_seq"]
        waits.clear()
        waiting = asyncio.ensure_future(site.ask("GET", f"{path}&since={since}"))
        await waits.wait()
        away = True
        await site.put({"_id": "later", "_rev": rev, "facility": "f2"})  # whether the client had it takes a look-up
        polled = await waiting
        assert (polled.status, polled.json["results"]) == (200, [])
        away = False
        again = await site.ask("GET", f"{path}&since={polled.json['last_seq']}")
        assert [(row["id"], row["deleted"]) for row in again.json["results"]] == [("later", True)]


@pytest.mark.parametrize("share", [0.1, 0.3])
async def test_with_errors_now_and_then_a_client_gets_there(share: float) -> None:
    """What fails is not taken for what is not there: repeated until it works, a replication is complete."""
    random = Random(share)

    async def sometimes(asked: Asked, forward: Forward) -> Given:
        fails = asked.endpoint != "_session" and random.random() < share
        return await (crash if fails else lambda a, f: f(a))(asked, forward)

    docs = [{"_id": f"d{n:02}", "facility": ("f1", "f2")[n % 2], "secret": SECRET} for n in range(30)]
    async with world(sometimes, docs=docs) as site:
        found = await _replicate(site)
        assert sorted(found) == [doc["_id"] for doc in docs if doc["facility"] == "f1"]
        assert all("secret" not in doc for doc in found.values())


async def _replicate(site: World) -> dict[str, Any]:
    found: dict[str, Any] = {}
    since: Any = "0"
    for _ in range(200):
        page = await _whole(site, "GET", f"/clinic-phone/_changes?limit=4&since={since}")
        if page is None:
            continue
        docs = [{"id": row["id"], "rev": row["changes"][0]["rev"]} for row in page["results"]]
        if not docs:
            return found
        fetched = await _whole(site, "POST", "/clinic-phone/_bulk_get", {"docs": docs})
        if fetched is not None:
            found |= {result["id"]: result["docs"][0]["ok"] for result in fetched["results"]}
            since = page["last_seq"]
    raise AssertionError("The replication does not end.")


async def _whole(site: World, method: str, path: str, body: Any = None) -> Any:
    """The answer, None if it failed or broke off."""
    try:
        answer = await site.ask(method, path, body)
    except aiohttp.ClientError:
        return None
    return answer.json if answer.status == 200 else None


async def test_a_local_document_keeps_a_member_that_is_called_as_those_of_answers() -> None:
    async def untouched(asked: Asked, forward: Forward) -> Given:
        return await forward(asked)

    async with world(untouched) as site:
        assert (await site.ask("PUT", "/clinic-phone/_local/x", {"id": 5, "at": 1})).json["id"] == "_local/x"
        found = (await site.ask("GET", "/clinic-phone/_local/x")).json
        assert (found["_id"], found["id"]) == ("_local/x", 5)


async def test_an_attachment_is_not_fetched_from_elsewhere() -> None:
    async def away(asked: Asked, forward: Forward) -> Given:
        if asked.endpoint == "a.txt":
            return Given(302, SECRET.encode(), CIMultiDict({"Location": "http://127.0.0.1:1/"}))
        return await forward(asked)

    attached = {"_id": "a", "facility": "f1", "_attachments": {"a.txt": {"content_type": "text/plain", "data": "AAAA"}}}
    async with world(away, docs=[attached]) as site:
        answer = await site.ask("GET", "/clinic-phone/a/a.txt")
        assert (answer.status, answer.json["error"]) == (502, "bad_gateway")


ENTRY = {"content_type": "text/plain", "revpos": 1, "digest": "md5-4PKnIuJuRqSGGTbCcRUOSg==", "length": 3, "stub": True}
NO_ENTRIES: list[Any] = [5, [5], {"a.txt": 5}, {"a.txt": ENTRY, "b.txt": []}, {"a.txt": {**ENTRY, "revpos": "1"}}]
FIRST = f'["1-{"a" * 32}"]'


@pytest.mark.parametrize("hides", [True, False])
@pytest.mark.parametrize("entries", NO_ENTRIES, ids=repr)
async def test_attachments_that_are_none_are_a_lie(entries: Any, hides: bool, caplog: pytest.LogCaptureFixture) -> None:
    def lie(value: Any) -> Any:
        if isinstance(value, list):
            return [lie(each) for each in value]
        if isinstance(value, dict):
            return {name: entries if name == "_attachments" else lie(each) for name, each in value.items()}
        return value

    async def lying(asked: Asked, forward: Forward) -> Given:
        given = await forward(asked)
        return given.with_json(lie(given.json)) if b'"_attachments"' in given.body else given

    attached = {"_id": "a", "facility": "f1", "_attachments": {"a.txt": {"content_type": "text/plain", "data": "AAAA"}}}
    using = PHONE if hides else profile("phone")
    async with world(lying, using, docs=[attached]) as site:
        for method, path, body in (
            ("GET", "/a/a.txt", None),
            ("GET", "/a?attachments=true", None),
            ("GET", f"/a?atts_since={FIRST}", None),
            ("GET", "/a?open_revs=all&attachments=true", None),
            ("POST", "/_bulk_get?attachments=true", {"docs": [{"id": "a"}]}),
            ("POST", "/_bulk_get", {"docs": [{"id": "a", "atts_since": ["1-" + "a" * 32]}]}),
            ("GET", "/_changes?include_docs=true&attachments=true", None),
            ("GET", "/_all_docs?include_docs=true&attachments=true", None),
            ("PUT", "/a/b.txt", {}),
            ("COPY", "/a", None),
        ):
            headers = {"Destination": "b"} if method == "COPY" else {}
            try:
                answer = await site.ask(method, f"/clinic-phone{path}", body, headers=headers)
            except aiohttp.ClientPayloadError:  # it had begun
                continue
            told = 409 if method == "PUT" and not hides else 502  # the source's own word
            assert answer.status == told, (path, answer.status, answer.body)
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(("asked_range", "status"), [("bytes=5-9", 416), ("bytes=0-1", 206)])
async def test_head_of_a_part_that_is_not_there_is_what_get_is(asked_range: str, status: int) -> None:
    attached = {"_id": "a", "facility": "f1", "_attachments": {"a.bin": {"content_type": "a/b", "data": "AAAA"}}}
    async with world(untouched, docs=[attached]) as site:
        for method in ("GET", "HEAD"):
            answer = await site.ask(method, "/clinic-phone/a/a.bin", headers={"Range": asked_range})
            assert answer.status == status, method


@pytest.mark.parametrize(("status", "told"), [(404, 404), (412, 412), (503, 503), (401, 502), (403, 502), (302, 502)])
async def test_head_has_no_words_and_its_status_counts(status: int, told: int) -> None:
    async def refuse(asked: Asked, forward: Forward) -> Given:
        return Given(status, b"") if asked.method == "HEAD" else await forward(asked)

    attached = {"_id": "a", "facility": "f1", "_attachments": {"a.bin": {"content_type": "a/b", "data": "AAAA"}}}
    async with world(refuse, docs=[attached]) as site:
        assert (await site.ask("HEAD", "/clinic-phone/a/a.bin")).status == told
