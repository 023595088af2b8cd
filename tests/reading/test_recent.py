"""A page of a feed and the `_bulk_get` after it: the source reads the documents once, and nobody can tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from filters.drop import Drop
from filters.select import Select
from proxy import recent, sizes
from proxy.core import jsonio
from proxy.core.query import Pairs
from proxy.reading import source_feed
from proxy.reading.changes import get_changes
from proxy.reading.changes_rows import Rows
from proxy.upstream import Upstream
from tests.reading.couch import Couch, serving
from tests.reading.served import front
from tests.support.inprocess import Site, User, profile, site
from tests.writing.test_asked_before import _some

Doc = dict[str, Any]

PHONE = profile("phone", Select(where="owner == client.name"), Drop(paths=["ssn"]))
ANN, BOB = ("ann", "ann"), ("bob", "bob")
CHANGES = "/clinic-phone/_changes?style=all_docs"
ROWS = "_changes?limit={limit}&since={since}&style=all_docs"
DOCUMENTS = "_bulk_get?revs=true"


@pytest.fixture
async def clinic() -> AsyncIterator[Site]:
    docs = [{"_id": f"doc:{number:02}", "owner": "ann", "ssn": f"ssn-{number}"} for number in range(30)]
    async with site(PHONE, docs=docs, source={}) as made:
        await made.at_source("PUT", "/clinic/_security", {})
        await made.ask("GET", f"{CHANGES}&limit=1", user=ANN)  # the first one finds out how the source is to be asked
        await made.ask("GET", "/clinic-phone", user=BOB)  # and of each user it is recorded what there is to be shown
        yield made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, clinic: Site) -> list[str]:
    """What the source is asked, without the database."""
    found: list[str] = []
    request = Upstream.request

    async def recorded(self: Upstream, method: str, path: str, pairs: Pairs | None = None, **options: Any) -> Any:
        if path.startswith("/clinic/"):
            query = "&".join(f"{name}={value if name != 'since' else '-'}" for name, value in sorted(pairs or ()))
            found.append(path.removeprefix("/clinic/") + ("?" + query if query else ""))
        return await request(self, method, path, pairs, **options)

    monkeypatch.setattr(Upstream, "request", recorded)
    return found


async def page(clinic: Site, limit: int, since: Any = 0, user: User = ANN, more: str = "") -> Any:
    return (await clinic.ask("GET", f"{CHANGES}&limit={limit}&since={since}{more}", user=user)).json


async def documents(clinic: Site, rows: Any, user: User = ANN, query: str = "revs=true&latest=true") -> bytes:
    wanted = [{"id": row["id"], "rev": change["rev"]} for row in rows for change in row["changes"]]
    answer = await clinic.ask("POST", f"/clinic-phone/_bulk_get?{query}", {"docs": wanted}, user=user)
    assert answer.status == 200
    return answer.body


def rows_of(limit: int, *more: str) -> str:
    return "_changes?" + "&".join([*more, f"limit={limit}", "since=-", "style=all_docs"])


async def test_a_pull_reads_each_document_once(clinic: Site, asked: list[str]) -> None:
    since: Any = 0
    while rows := (await page(clinic, 10, since))["results"]:
        assert (await documents(clinic, rows)).count(b'"ok"') == 10
        since = rows[-1]["seq"]
    assert asked == [rows_of(10), DOCUMENTS] * 3 + [rows_of(10)]


@pytest.mark.parametrize("more", ["", "&include_docs=true"])
async def test_after_a_page_that_is_full_no_other_is_asked_for(clinic: Site, asked: list[str], more: str) -> None:
    for limit in (1, 7, 29):
        assert len((await page(clinic, limit, more=more))["results"]) == limit
    assert [each for each in asked if each.startswith("_changes")] == [
        rows_of(limit, *([more[1:]] if more else [])) for limit in (1, 7, 29)
    ]


async def test_where_much_is_hidden_documents_come_with_the_rows(clinic: Site, asked: list[str]) -> None:
    for number in range(20):
        await clinic.put({"_id": f"bob:{number:02}", "owner": "bob"})
    found = await page(clinic, 5, user=BOB)
    assert [row["id"] for row in found["results"]] == [f"bob:{number:02}" for number in range(5)]
    assert asked == [
        rows_of(5),
        DOCUMENTS,
        rows_of(10, "include_docs=true"),
        rows_of(20, "include_docs=true"),
    ]
    asked.clear()
    assert (await documents(clinic, found["results"], BOB)).count(b'"ok"') == 5
    assert asked == [DOCUMENTS]


async def test_where_changes_are_waited_for_documents_come_with_the_rows(clinic: Site, asked: list[str]) -> None:
    end = (await page(clinic, 1, "now"))["last_seq"]
    waiting = asyncio.ensure_future(page(clinic, 5, end, more="&feed=longpoll"))
    while not any("longpoll" in each for each in asked):
        await asyncio.sleep(0.01)
    await clinic.put({"_id": "bob:1", "owner": "bob"})
    await clinic.put({"_id": "doc:99", "owner": "ann"})
    assert [row["id"] for row in (await waiting)["results"]] == ["doc:99"]
    assert not [each for each in asked if each.startswith("_bulk_get")]


@pytest.mark.parametrize(
    "query",
    ["limit=5", "style=all_docs", "style=all_docs&limit=5&include_docs=true", "style=all_docs&limit=5&descending=true"],
)
async def test_whoever_does_not_read_pages_as_replicators_do_is_served_in_one(
    clinic: Site, asked: list[str], query: str
) -> None:
    await clinic.ask("GET", f"/clinic-phone/_changes?{query}", user=ANN)
    assert len(asked) == 1
    assert "include_docs=true" in asked[0]


async def test_it_is_for_the_same_client(clinic: Site, asked: list[str]) -> None:
    rows = (await page(clinic, 3))["results"]
    asked.clear()
    assert b"doc:00" not in (await documents(clinic, rows, BOB)).replace(b'"id":"doc:00"', b"")
    assert asked


async def test_it_is_kept_for_a_time(clinic: Site, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (await page(clinic, 3))["results"]
    later = recent.now() + recent.SECONDS
    monkeypatch.setattr(recent, "now", lambda: later)
    asked.clear()
    assert (await documents(clinic, rows)).count(b'"ok"') == 3
    assert asked == [DOCUMENTS]


@pytest.mark.parametrize("write", ["PUT x", "DELETE x", "PUT x/t", "_bulk_docs", "new_edits"])
async def test_whoever_writes_reads_what_it_wrote(clinic: Site, write: str) -> None:
    [row] = (await page(clinic, 1))["results"]
    doc_id, rev = row["id"], row["changes"][0]["rev"]
    path, edited = f"/clinic-phone/{doc_id}", {"_id": doc_id, "_rev": rev, "owner": "ann", "name": "edited"}
    if write == "PUT x":
        answer = await clinic.ask("PUT", path, edited, user=ANN)
    elif write == "DELETE x":
        answer = await clinic.ask("DELETE", f"{path}?rev={rev}", user=ANN)
    elif write == "PUT x/t":
        answer = await clinic.ask("PUT", f"{path}/t?rev={rev}", "x", user=ANN)
    elif write == "_bulk_docs":
        answer = await clinic.ask("POST", "/clinic-phone/_bulk_docs", {"docs": [edited]}, user=ANN)
    else:
        ids = ["e" * 32, rev[2:]]
        pushed = {**edited, "_rev": f"2-{ids[0]}", "_revisions": {"start": 2, "ids": ids}}
        answer = await clinic.ask("POST", "/clinic-phone/_bulk_docs", {"docs": [pushed], "new_edits": False}, user=ANN)
    assert answer.status < 300, answer.body
    assert b'"_rev":"2-' in await documents(clinic, [row])


async def test_what_was_edited_by_others_is_as_it_was_announced_and_in_the_feed_once_more(clinic: Site) -> None:
    rows = (await page(clinic, 3))["results"]
    rev = rows[0]["changes"][0]["rev"]
    await clinic.put({"_id": "doc:00", "_rev": rev, "owner": "bob"})
    assert (await documents(clinic, rows[:1])).count(b'"_rev":"%b"' % rev.encode()) == 1
    news = (await page(clinic, 100, rows[-1]["seq"]))["results"]
    assert (news[-1]["id"], news[-1]["deleted"]) == ("doc:00", True)
    assert b'"_deleted":true' in await documents(clinic, news[-1:])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("query", ["revs=true&latest=true", "revs=true", "latest=true", "attachments=true"])
async def test_answers_are_those_of_the_source(seed: int, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = Random(seed)
    async with site(PHONE, source={}) as clinic:
        await clinic.at_source("PUT", "/clinic/_security", {})
        stored = {"docs": _some(chance, 80), "new_edits": False}
        await clinic.at_source("POST", "/clinic/_bulk_docs", stored)
        since: Any = 0
        while rows := (await page(clinic, 7, since))["results"]:
            since = rows[-1]["seq"]
            wanted = [*rows, *chance.sample(rows, min(2, len(rows))), {"id": "no", "changes": rows[0]["changes"]}]
            kept = await documents(clinic, wanted, query=query)
            with monkeypatch.context() as patch:
                patch.setattr(recent, "find", lambda _, wanted: [None for _ in wanted])
                assert await documents(clinic, wanted, query=query) == kept


async def test_few_large_documents_are_read_for_a_page_at_once(clinic: Site, asked: list[str]) -> None:
    for number in range(40):
        await clinic.put({"_id": f"large:{number:02}", "owner": "ann", "text": "x" * 2**18})
    small = (await page(clinic, 30))["results"]
    first = (await page(clinic, 4, small[-1]["seq"]))["results"]  # by which their size is known
    asked.clear()
    assert len((await page(clinic, 40, first[-1]["seq"]))["results"]) == 36
    assert asked[0] == rows_of(40)
    assert asked.count(DOCUMENTS) >= 36 / 8


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("supposed", [1, 3, 250])
async def test_pages_are_the_same_however_documents_are_read(
    seed: int, supposed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sizes, "at_once", lambda *_: supposed)
    monkeypatch.setattr(source_feed, "at_once", lambda *_: supposed)
    chance = Random(seed)
    async with site(PHONE, source={}) as clinic:
        await clinic.at_source("PUT", "/clinic/_security", {})
        await clinic.at_source("POST", "/clinic/_bulk_docs", {"docs": _some(chance, 80), "new_edits": False})
        since: Any = 0
        while since is not None:
            path = f"{CHANGES}&limit={chance.randint(1, 12)}&since={since}"
            apart = (await clinic.ask("GET", path, user=ANN)).body
            with monkeypatch.context() as patch:
                patch.setattr(Rows, "asked_apart", None)
                assert (await clinic.ask("GET", path, user=ANN)).body == apart
            rows = jsonio.loads(apart)["results"]
            since = rows[-1]["seq"] if rows else None


@pytest.mark.parametrize("changes", ["null", "1", "[1]", "[{}]", '[{"rev":null}]', '[{"rev":1}]', "[]"])
async def test_a_source_that_lies_is_as_good_as_down(changes: str) -> None:
    async def lie(request: web.BaseRequest) -> web.StreamResponse:
        row = f'{{"seq":1,"id":"x","changes":{changes}}}'
        return web.Response(text=f'{{"results":[{row}],"last_seq":1,"pending":0}}')

    async with serving(Couch()) as couch, front(couch, get_changes) as ann:
        couch.instead["/db/_changes"] = lie
        with pytest.raises(aiohttp.ClientPayloadError):
            await ann.raw("GET", "/db-phone/_changes?style=all_docs&limit=5")
