"""What a request makes is freed by its last reference.

Otherwise it stays until Python looks for cycles: whole documents in memory, and looks that go through everything that
there is, so that every request pays for 10,000 feeds that do nothing.
"""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from filters.drop import Drop
from filters.select import Select
from proxy.errors import CouchError
from proxy.writing import bulk, originals
from tests.support.inprocess import Answer, Site, basic, profile, site

PHONE = profile("phone", Select(where="facility == client.facility"), Drop(paths=["ssn"]))
DOCS = [{"_id": f"p{number}", "facility": f"f{number % 3}", "ssn": "1"} for number in range(60)]
NAMES = [doc["_id"] for doc in DOCS]
RELATED = (
    b'--B\r\nContent-Type: application/json\r\n\r\n{"_id":"with","facility":"f1","_attachments":{"a":{"follows":true,'
    b'"content_type":"text/plain","length":3}}}\r\n--B\r\n\r\nabc\r\n--B--'
)


@contextmanager
def cycles() -> Iterator[list[str]]:
    """Of what types the proxy's objects are that only a look for cycles frees; documents are among them."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += [each for each in map(_described, gc.garbage) if each is not None]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def _described(thing: Any) -> str | None:
    kind = type(thing)
    if kind is dict and "_id" in thing:
        return "a document"
    module = kind.__module__
    is_ours = module.partition(".")[0] in ("proxy", "filters") and not module.startswith("proxy.endpoint")
    return f"{module}.{kind.__qualname__}" if is_ours else None


def revision(doc_id: str) -> dict[str, Any]:
    return {"_id": doc_id, "_rev": f"1-{'a' * 32}", "facility": "f1"}


async def succeed(there: Site, method: str, path: str, body: Any = None, **options: Any) -> Answer:
    answer = await there.ask(method, path, body, **options)
    assert answer.status in (200, 201), answer.body
    return answer


async def read_together(there: Site) -> None:
    answers = await asyncio.gather(*(there.ask("GET", f"/clinic-phone/{name}") for name in NAMES))
    assert Counter(answer.status for answer in answers) == {200: 20, 404: 40}


async def read_in_bulk(there: Site) -> None:
    for accept in ("application/json", "multipart/mixed"):
        body = {"docs": [{"id": name} for name in NAMES]}
        await succeed(there, "POST", "/clinic-phone/_bulk_get?revs=true", body, headers={"Accept": accept})


async def read_changes(there: Site) -> None:
    for query in ("", "include_docs=true", "feed=longpoll&timeout=10&since=now", "style=all_docs&limit=5"):
        answer = await there.ask("GET", f"/clinic-phone/_changes?{query}")
        assert answer.status == 200


async def listen_for_a_while(there: Site) -> None:
    url = f"{there.proxy_url}/clinic-phone/_changes?feed=continuous&heartbeat=50"
    async with there.session.get(url, headers=basic(("ann", "ann"))) as feed:
        async for line in feed.content:
            if line == b"\n":
                break
    await asyncio.sleep(0.05)


async def read_lists(there: Site) -> None:
    await succeed(there, "GET", "/clinic-phone/_all_docs?include_docs=true")
    await succeed(there, "POST", "/clinic-phone/_find", {"selector": {"facility": "f1"}})
    await succeed(there, "POST", "/clinic-phone/_revs_diff", {"p1": ["1-" + "b" * 32]})


async def read_revisions(there: Site) -> None:
    for accept in ("application/json", "multipart/mixed"):
        await succeed(there, "GET", "/clinic-phone/p1?open_revs=all&revs=true", headers={"Accept": accept})


async def write_in_bulk(there: Site) -> None:
    docs = [revision(f"r{number}") for number in range(600)]
    answer = await there.ask("POST", "/clinic-phone/_bulk_docs", {"docs": docs, "new_edits": False})
    assert answer.json == []
    rows = (await succeed(there, "POST", "/clinic-phone/_bulk_docs", {"docs": [{"_id": "p1", "facility": "f2"}]})).json
    assert [row["error"] for row in rows] == ["conflict"]


async def write_one(there: Site) -> None:
    kind = {"Content-Type": 'multipart/related; boundary="B"'}
    rev = (await succeed(there, "PUT", "/clinic-phone/with", data=RELATED, headers=kind)).json["rev"]
    related = {"Accept": "multipart/related"}
    whole = await succeed(there, "GET", "/clinic-phone/with?attachments=true", headers=related)
    assert whole.headers["Content-Type"].startswith("multipart/related")
    attachment = await there.ask("GET", "/clinic-phone/with/a")
    assert attachment.body == b"abc"
    assert (await there.ask("DELETE", f"/clinic-phone/with?rev={rev}")).status == 200


async def be_refused(there: Site) -> None:
    rev = f"1-{'a' * 32}"
    for method, path, body, status in (
        ("GET", "/clinic-phone/none", None, 404),
        ("GET", "/clinic-phone/_view", None, 403),
        ("PUT", "/clinic-phone/p0", {"facility": "f1"}, 403),
        ("PUT", "/clinic-phone/p1", {"facility": "f1"}, 409),
        ("PUT", "/clinic-phone/new", {"facility": "f1", "ssn": "mine"}, 403),
        ("DELETE", f"/clinic-phone/p1?rev={rev}", None, 409),
    ):
        assert (await there.ask(method, path, body)).status == status


async def be_malformed(there: Site) -> None:
    docs = [*(revision(f"m{number}") for number in range(600)), {"_id": "z", "_rev": "none"}]
    answer = await there.ask("POST", "/clinic-phone/_bulk_docs", {"docs": docs, "new_edits": False})
    assert answer.status == 400


@pytest.mark.parametrize(
    "requests",
    [
        read_together,
        read_in_bulk,
        read_changes,
        listen_for_a_while,
        read_lists,
        read_revisions,
        write_in_bulk,
        write_one,
        be_refused,
        be_malformed,
    ],
)
async def test_requests_leave_no_cycles(requests: Any) -> None:
    async with site(PHONE, docs=DOCS) as there:
        with cycles() as found:
            await requests(there)
            for _ in range(10):
                await asyncio.sleep(0)
        assert Counter(found) == {}


async def test_a_source_that_fails_leaves_no_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(0.001)
        raise CouchError("down", status=503)

    docs = [revision(f"f{number}") for number in range(600)]
    for module, step in ((bulk, "_post"), (originals, "fetch_stored"), (bulk, "plan_some")):
        monkeypatch.setattr(module, step, fail)
        async with site(PHONE, docs=DOCS) as there:
            with cycles() as found:
                answer = await there.ask("POST", "/clinic-phone/_bulk_docs", {"docs": docs, "new_edits": False})
                assert answer.status == 503
                for _ in range(10):
                    await asyncio.sleep(0)
        assert Counter(found) == {}
