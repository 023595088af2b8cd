"""`_changes` through a view: what is announced, when a page ends, what a waiting feed waits for."""

from __future__ import annotations

import asyncio
import functools
import json
import operator
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from filters.select import Select
from tests.support.inprocess import Answer, Site, basic, profile, site
from tests.support.lenses import OwnFacility, Raising, WithoutSecret

PHONE = profile("phone", OwnFacility(), WithoutSecret())
PLAIN = profile("plain", WithoutSecret(), design_docs=True)


def doc(number: int, facility: str, **more: Any) -> dict[str, Any]:
    return {"_id": f"doc:{number:03}", "facility": facility, "secret": f"hidden-{number}", **more}


def ids(answer: Answer) -> list[str]:
    return [row["id"] for row in answer.json["results"]]


@pytest.fixture
async def clinic() -> AsyncIterator[Site]:
    docs = [doc(number, "f1" if number % 7 == 0 else "f2") for number in range(60)]
    async with site(PHONE, PLAIN, docs=docs) as made:
        yield made


async def test_rows_of_invisible_documents_are_left_out(clinic: Site) -> None:
    assert ids(await clinic.ask("GET", "/clinic-phone/_changes")) == [f"doc:{n:03}" for n in range(0, 60, 7)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 10, 100])
async def test_pages_are_full_until_the_source_has_no_more(clinic: Site, limit: int) -> None:
    since: Any = 0
    pages: list[list[str]] = []
    while True:
        answer = await clinic.ask("GET", f"/clinic-phone/_changes?limit={limit}&since={since}")
        if not ids(answer):
            break
        pages.append(ids(answer))
        since = answer.json["results"][-1]["seq"]
    assert functools.reduce(operator.iadd, pages, []) == [f"doc:{n:03}" for n in range(0, 60, 7)]
    assert all(len(page) == limit for page in pages[:-1])


async def test_last_seq_moves_past_what_is_hidden(clinic: Site) -> None:
    first = await clinic.ask("GET", "/clinic-phone/_changes")
    await clinic.put(doc(900, "f2"))
    second = await clinic.ask("GET", f"/clinic-phone/_changes?since={first.json['last_seq']}")
    assert ids(second) == []
    assert second.json["last_seq"] != first.json["last_seq"]
    assert second.json["pending"] == 0


async def test_the_layout_is_couchdbs(clinic: Site) -> None:
    body = (await clinic.ask("GET", "/clinic-phone/_changes?limit=2")).body
    lines = body.split(b"\n")
    assert lines[0] == b'{"results":['
    assert lines[1].startswith(b'{"seq":"')
    assert lines[1].endswith(b"},\r")
    assert lines[3] == b"],"
    assert lines[4].startswith(b'"last_seq":"')
    empty = (await clinic.ask("GET", "/clinic-phone/_changes?since=now")).body
    assert empty.startswith(b'{"results":[\n\n],\n"last_seq":')


async def test_tokens_are_the_views_own(clinic: Site) -> None:
    seq = (await clinic.ask("GET", "/clinic-phone/_changes")).json["last_seq"]
    quoted = quote(json.dumps(seq))
    assert ids(await clinic.ask("GET", f"/clinic-phone/_changes?since={quoted}")) == []
    for other in (seq + "x", seq[:-1], "bogus", (await clinic.at_source("GET", "/clinic")).json["update_seq"]):
        assert (await clinic.ask("GET", f"/clinic-phone/_changes?since={other}")).status == 400
    assert (await clinic.ask("GET", f"/clinic-plain/_changes?since={seq}")).status == 400


async def test_limit_zero_gives_no_rows_and_what_is_pending(clinic: Site) -> None:
    answer = await clinic.ask("GET", "/clinic-phone/_changes?limit=0")
    assert ids(answer) == []
    assert answer.json["pending"] > 0
    assert len(ids(await clinic.ask("GET", f"/clinic-phone/_changes?since={answer.json['last_seq']}"))) == 9


async def test_descending_and_limit(clinic: Site) -> None:
    answer = await clinic.ask("GET", "/clinic-phone/_changes?descending=true&limit=3")
    assert ids(answer) == ["doc:056", "doc:049", "doc:042"]


@pytest.mark.parametrize("limit", [0, 600, 700])
async def test_downwards_there_is_one_page_however_large(limit: int) -> None:
    docs = [doc(number, "f1" if number < 650 else "f2") for number in range(700)]
    async with site(PHONE, PLAIN, docs=docs) as made:
        for name, newest in (("phone", 649), ("plain", 699)):
            found = ids(await made.ask("GET", f"/clinic-{name}/_changes?descending=true&limit={limit}"))
            assert found == [f"doc:{number:03}" for number in range(newest, -1, -1)][:limit]


async def test_long_documents_are_judged_like_short_ones() -> None:
    docs = [doc(number, "f1" if number % 2 else "f2", text="x" * 400_000) for number in range(6)]
    async with site(PHONE, docs=docs) as made:
        assert ids(await made.ask("GET", "/clinic-phone/_changes")) == ["doc:001", "doc:003", "doc:005"]
        shown = await made.ask("GET", "/clinic-phone/_changes?include_docs=true&style=all_docs")
        assert [len(row["doc"]["text"]) for row in shown.json["results"]] == [400_000] * 3


async def test_doc_ids_by_get_and_post(clinic: Site) -> None:
    asked = ["doc:007", "doc:008", "nosuch"]
    got = await clinic.ask("GET", f"/clinic-phone/_changes?filter=_doc_ids&doc_ids={quote(json.dumps(asked))}")
    posted = await clinic.ask("POST", "/clinic-phone/_changes?filter=_doc_ids", {"doc_ids": asked})
    assert ids(got) == ids(posted) == ["doc:007"]


async def test_a_selector_sees_what_the_client_sees(clinic: Site) -> None:
    async def matching(selector: Any) -> list[str]:
        return ids(await clinic.ask("POST", "/clinic-phone/_changes?filter=_selector", {"selector": selector}))

    assert await matching({"_id": "doc:007"}) == ["doc:007"]
    assert await matching({"secret": "hidden-7"}) == []
    assert await matching({"secret": {"$exists": True}}) == []
    assert len(await matching({"secret": {"$exists": False}})) == 9


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (None, "Selector error: fields must be JSON array"),
        ("_id", "Selector error: fields must be JSON array"),
        ([1], "Invalid JSON for field spec: 1"),
        (["a..b"], "Invalid field name: a..b"),
    ],
)
async def test_fields_that_are_none_are_refused_before_the_feed_begins(clinic: Site, fields: Any, reason: str) -> None:
    body = {"selector": {}, "fields": fields}
    for path in ("/clinic-phone", "/clinic"):
        target = f"{path}/_changes?filter=_selector&include_docs=true"
        answer = await (clinic.ask if path == "/clinic-phone" else clinic.at_source)("POST", target, body)
        assert (answer.status, answer.json) == (400, {"error": "bad_request", "reason": reason})


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        (1, "Selector error: expected a JSON object"),
        (None, "Selector error: expected a JSON object"),
        ({"n": {"$mod": 1}}, "Bad argument for operator $mod: 1"),
        ({"n": {"$foo": 1}}, "Invalid operator: $foo"),
    ],
)
async def test_selectors_that_are_none_are_refused_in_the_words_of_feeds(
    clinic: Site, selector: Any, reason: str
) -> None:
    body = {"selector": selector}
    for ask, path in ((clinic.ask, "/clinic-phone"), (clinic.at_source, "/clinic")):
        answer = await ask("POST", f"{path}/_changes?filter=_selector", body)
        assert (answer.status, answer.json) == (400, {"error": "bad_request", "reason": reason})


async def test_no_fields_are_all_fields(clinic: Site) -> None:
    body = {"selector": {"_id": "doc:007"}, "fields": []}
    [row] = (await clinic.ask("POST", "/clinic-phone/_changes?filter=_selector&include_docs=true", body)).json[
        "results"
    ]
    assert row["doc"].keys() == {"_id", "_rev", "facility"}


async def test_filter_functions_are_refused(clinic: Site) -> None:
    for name in ("app/mine", "_view"):
        assert (await clinic.ask("GET", f"/clinic-phone/_changes?filter={name}&view=a/b")).status == 403


async def test_documents_are_shaped_in_the_feed(clinic: Site) -> None:
    answer = await clinic.ask("GET", "/clinic-phone/_changes?include_docs=true&limit=1")
    assert answer.json["results"][0]["doc"].keys() == {"_id", "_rev", "facility"}
    plain = await clinic.ask("GET", "/clinic-plain/_changes?include_docs=true")
    assert len(plain.json["results"]) == 60
    assert b"hidden-" not in plain.body


async def test_bad_parameters_are_refused_in_couchdbs_words(clinic: Site) -> None:
    bogus = await clinic.ask("GET", "/clinic-phone/_changes?feed=bogus")
    assert (bogus.status, bogus.json["error"]) == (400, "bad_request")
    for query in ("limit=x", "timeout=x", "heartbeat=0", "style=x", "filter=_doc_ids&doc_ids=1"):
        assert (await clinic.ask("GET", f"/clinic-phone/_changes?{query}")).status == 400, query


@pytest.mark.parametrize("path", ["/clinic-phone", "/clinic"])
@pytest.mark.parametrize(
    "query",
    [
        *("feed=", "since=", "last-event-id=", "since=0&last-event-id=", "style=", "limit=", "limit=1.5", "timeout="),
        *("heartbeat=false", "heartbeat=", "heartbeat=-1"),
        *("seq_interval=", "seq_interval=0", "seq_interval=-1", "seq_interval=x"),
    ],
)
async def test_what_couchdb_refuses(clinic: Site, path: str, query: str) -> None:
    answer = await (clinic.at_source if path == "/clinic" else clinic.ask)("GET", f"{path}/_changes?{query}")
    assert answer.status == 400


@pytest.mark.parametrize("path", ["/clinic-phone", "/clinic"])
@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "seq_interval=1",
        "limit=%2B1000",
        f"limit={10**20}",
        "timeout=-1",
        f"timeout={10**20}",
        f"heartbeat={10**20}",
    ],
)
async def test_what_couchdb_accepts(clinic: Site, path: str, query: str) -> None:
    ask = clinic.at_source if path == "/clinic" else clinic.ask
    answer = await ask("GET", f"{path}/_changes?{query}")
    assert answer.status == 200, answer.body
    assert ids(answer) == ids(await ask("GET", f"{path}/_changes"))


async def test_of_two_names_for_where_to_begin_the_later_counts(clinic: Site) -> None:
    for path, ask in (("/clinic-phone", clinic.ask), ("/clinic", clinic.at_source)):
        whole = await ask("GET", f"{path}/_changes")
        third = whole.json["results"][2]["seq"]
        for query, rest in ((f"since=0&last-event-id={third}", 3), (f"last-event-id={third}&since=0", 0)):
            assert ids(await ask("GET", f"{path}/_changes?{query}")) == ids(whole)[rest:]


@pytest.mark.parametrize("data", [b"", b"{}", b'{"doc_ids": 1}', b"[]", b"null", b"1", b"{x", b" "])
async def test_a_body_without_a_filter_must_be_an_object_nevertheless(clinic: Site, data: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    for path, ask in (("/clinic-phone", clinic.ask), ("/clinic", clinic.at_source)):
        answer = await ask("POST", f"{path}/_changes?limit=1", data=data, headers=headers)
        assert answer.status == (200 if data in (b"", b"{}", b'{"doc_ids": 1}') else 400), answer.body
        untyped = await ask("POST", f"{path}/_changes?limit=1", data=data)
        assert untyped.status == 415


async def test_where_nothing_was_read_the_end_is_text_as_well(clinic: Site) -> None:
    nothing = (await clinic.ask("GET", "/clinic-phone/_changes?limit=0")).json
    assert nothing["last_seq"] == "0"
    everything = await clinic.ask("GET", f"/clinic-phone/_changes?since={nothing['last_seq']}")
    assert ids(everything) == ids(await clinic.ask("GET", "/clinic-phone/_changes"))


async def test_a_longpoll_with_visible_rows_answers_at_once(clinic: Site) -> None:
    answer = await clinic.ask("GET", "/clinic-phone/_changes?feed=longpoll")
    assert len(ids(answer)) == 9


async def test_a_longpoll_keeps_waiting_while_only_hidden_documents_change(clinic: Site) -> None:
    waiting = asyncio.ensure_future(clinic.ask("GET", "/clinic-phone/_changes?feed=longpoll&since=now&heartbeat=50"))
    await asyncio.sleep(0.2)
    await clinic.put(doc(100, "f2"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await clinic.put(doc(101, "f1"))
    answer = await waiting
    assert ids(answer) == ["doc:101"]
    assert answer.body.startswith(b'{"results":[\n\n')


async def test_a_longpoll_times_out_empty(clinic: Site) -> None:
    answer = await clinic.ask("GET", "/clinic-phone/_changes?feed=longpoll&since=now&timeout=100")
    assert ids(answer) == []
    again = f"/clinic-phone/_changes?feed=longpoll&timeout=100&since={answer.json['last_seq']}"
    assert ids(await clinic.ask("GET", again)) == []


async def read_lines(response: aiohttp.ClientResponse, count: int) -> list[bytes]:
    """The next `count` lines that are no heartbeats."""
    lines: list[bytes] = []
    while len(lines) < count:
        line = await response.content.readline()
        assert line, "the feed ended"
        if line.strip():
            lines.append(line)
    return lines


async def test_a_continuous_feed_delivers_as_changes_come(clinic: Site) -> None:
    url = clinic.proxy_url + "/clinic-phone/_changes?feed=continuous&heartbeat=100&since=now"
    async with clinic.session.get(url, headers=basic(("ann", "ann"))) as feed:
        await asyncio.sleep(0.1)
        for number in (200, 201):
            await clinic.put(doc(number, "f2"))
            await clinic.put(doc(number + 100, "f1"))
            [line] = await read_lines(feed, 1)
            assert json.loads(line)["id"] == f"doc:{number + 100}"


async def test_a_continuous_feed_ends_at_its_limit_or_timeout(clinic: Site) -> None:
    answer = await clinic.ask("GET", "/clinic-phone/_changes?feed=continuous&limit=3&heartbeat=100")
    lines = [json.loads(line) for line in answer.body.splitlines() if line.strip()]
    assert [line.get("id") for line in lines] == ["doc:000", "doc:007", "doc:014", None]
    assert lines[3]["last_seq"] == lines[2]["seq"]
    timed = await clinic.ask("GET", "/clinic-phone/_changes?feed=live&since=now&timeout=100")
    assert [list(json.loads(line)) for line in timed.body.splitlines() if line.strip()] == [["last_seq", "pending"]]


async def test_an_event_stream_goes_on_from_the_last_event(clinic: Site) -> None:
    first = await clinic.ask("GET", "/clinic-phone/_changes?feed=eventsource&limit=2")
    assert first.headers["Content-Type"] == "text/event-stream"
    events = first.body.decode().strip().split("\n\n")
    assert [json.loads(event.split("\n")[0].removeprefix("data: "))["id"] for event in events] == ["doc:000", "doc:007"]
    last = events[1].split("\n")[1].removeprefix("id: ")
    more = await clinic.ask("GET", "/clinic-phone/_changes?feed=eventsource&limit=1", headers={"Last-Event-ID": last})
    assert '"id":"doc:014"' in more.body.decode()


async def test_a_document_that_leaves_is_deleted_for_those_who_saw_it_only() -> None:
    async with site(PHONE, docs=[doc(1, "f1"), doc(2, "f2")]) as made:
        rev = (await made.at_source("GET", "/clinic/doc:001")).json["_rev"]
        moved = await made.put({**doc(1, "f3"), "_rev": rev})
        ann = (await made.ask("GET", "/clinic-phone/_changes?style=all_docs")).json["results"]
        bob = (await made.ask("GET", "/clinic-phone/_changes?style=all_docs", user=("bob", "bob"))).json["results"]
        assert [(row["id"], row.get("deleted")) for row in ann] == [("doc:001", True)]
        assert [row["id"] for row in bob] == ["doc:002"]
        graft = ann[0]["changes"][0]["rev"]
        assert graft.startswith("2-")
        assert graft != moved
        await check_served_as_deleted(made, "doc:001", graft, rev)
        assert (await made.ask("GET", f"/clinic-phone/doc:001?rev={graft}", user=("bob", "bob"))).status == 404
        # and back again: the graft is no obstacle, the source's own revision follows
        back = await made.put({**doc(1, "f1"), "_rev": moved})
        again = (await made.ask("GET", "/clinic-phone/_changes?style=all_docs")).json["results"]
        assert [(row["id"], row["changes"], row.get("deleted")) for row in again] == [
            ("doc:001", [{"rev": back}], None)
        ]


async def check_served_as_deleted(made: Site, doc_id: str, graft: str, parent: str) -> None:
    """Every way of asking for a graft gives the same deletion, a child of the last revision that was seen."""
    bare = {"_id": doc_id, "_rev": graft, "_deleted": True}
    path = {"start": 2, "ids": [graft.partition("-")[2], parent.partition("-")[2]]}
    assert (await made.ask("GET", f"/clinic-phone/{doc_id}?rev={graft}")).json == bare
    assert (await made.ask("GET", f"/clinic-phone/{doc_id}")).json["reason"] == "deleted"
    for latest in ("", "&latest=true"):
        asked = f"/clinic-phone/{doc_id}?revs=true{latest}&open_revs={quote(json.dumps([graft]))}"
        assert (await made.ask("GET", asked)).json == [{"ok": {**bare, "_revisions": path}}]
        bulk = await made.ask(
            "POST", f"/clinic-phone/_bulk_get?revs=true{latest}", {"docs": [{"id": doc_id, "rev": graft}]}
        )
        assert bulk.json == {"results": [{"id": doc_id, "docs": [{"ok": {**bare, "_revisions": path}}]}]}


async def test_a_plain_deletion_at_the_source_reaches_those_who_saw_the_document() -> None:
    async with site(PHONE, docs=[doc(1, "f1"), doc(2, "f2")]) as made:
        for number in (1, 2):
            rev = (await made.at_source("GET", f"/clinic/doc:00{number}")).json["_rev"]
            assert (await made.at_source("DELETE", f"/clinic/doc:00{number}?rev={rev}")).status == 200
        answer = await made.ask("GET", "/clinic-phone/_changes?include_docs=true")
        [row] = answer.json["results"]
        assert (row["id"], row["deleted"]) == ("doc:001", True)
        assert row["doc"].keys() == {"_id", "_rev", "_deleted"}
        assert (await made.ask("GET", "/clinic-phone/doc:001")).json["reason"] == "deleted"
        assert (await made.ask("GET", "/clinic-phone/doc:002")).json["reason"] == "missing"


@pytest.mark.parametrize("is_indexed", [False, True], ids=["direct", "indexed"])
async def test_a_condition_that_is_true_of_what_is_gone_tells_nobody_of_what_was_hidden(
    is_indexed: bool, tmp_path: Path
) -> None:
    public = profile("phone", Select(where="hidden != `true`"))
    docs: list[dict[str, Any]] = [
        {"_id": "seen"},
        {"_id": "unseen", "hidden": True},
        {"_id": "again", "hidden": True},
    ]
    server: dict[str, Any] = {"data": tmp_path} if is_indexed else {}
    async with site(public, docs=docs, **server) as made:
        if is_indexed:
            await made.indexed()
        gone = {}
        for each in docs:
            rev = (await made.at_source("GET", f"/clinic/{each['_id']}")).json["_rev"]
            gone[each["_id"]] = (await made.at_source("DELETE", f"/clinic/{each['_id']}?rev={rev}")).json["rev"]
        await made.put({"_id": "again", "hidden": True})
        for style in ("main_only", "all_docs"):
            answer = await made.ask("GET", f"/clinic-phone/_changes?include_docs=true&style={style}")
            [row] = answer.json["results"]
            assert row["doc"] == {"_id": "seen", "_rev": gone["seen"], "_deleted": True}
        for doc_id, status, reason in (("seen", "ok", "deleted"), ("unseen", "error", "missing")):
            assert (await made.ask("GET", f"/clinic-phone/{doc_id}")).json["reason"] == reason
            asked = {"docs": [{"id": doc_id, "rev": gone[doc_id]}]}
            [result] = (await made.ask("POST", "/clinic-phone/_bulk_get?revs=true", asked)).json["results"]
            assert [*result["docs"][0]] == [status]
            leaves = (await made.ask("GET", f"/clinic-phone/{doc_id}?open_revs=all&revs=true")).body.decode()
            assert (gone[doc_id] in leaves) == (status == "ok")
            [listed] = (await made.ask("POST", "/clinic-phone/_all_docs", {"keys": [doc_id]})).json["rows"]
            assert ("error" in listed) == (status == "error")
            missing = (await made.ask("POST", "/clinic-phone/_revs_diff", {doc_id: ["9-a"]})).json
            assert ("possible_ancestors" in missing[doc_id]) == (status == "ok")
        assert (await made.ask("DELETE", "/clinic-phone/unseen")).json["reason"] == "missing"


async def test_a_deletion_of_which_nothing_is_known_is_told() -> None:
    public = profile("phone", Select(where="hidden != `true`"))
    async with site(public) as made:
        rev = await made.put({"_id": "seen"})
        gone = (await made.ask("DELETE", f"/clinic-phone/seen?rev={rev}")).json["rev"]
        assert (await made.at_source("POST", "/clinic/_compact", {})).status == 202
        while (await made.at_source("GET", f"/clinic/seen?rev={rev}")).status == 200:
            await asyncio.sleep(0.01)
        [row] = (await made.ask("GET", "/clinic-phone/_changes")).json["results"]
        assert (row["changes"], row["deleted"]) == ([{"rev": gone}], True)
        assert (await made.ask("POST", "/clinic-phone/_revs_diff", {"seen": [gone]})).json == {}
        assert (await made.ask("GET", "/clinic-phone/seen")).json["reason"] == "deleted"


async def test_a_deletion_that_was_told_of_is_served_though_the_document_is_there_again_and_hidden() -> None:
    public = profile("phone", Select(where="hidden != `true`"))
    one, two, three = (f"{number}-{name * 32}" for number, name in ((1, "a"), (2, "b"), (3, "c")))
    async with site(public) as made:

        async def replicate(path: list[str], **fields: Any) -> None:
            revisions = {"start": len(path), "ids": [rev.partition("-")[2] for rev in path]}
            docs = [{"_id": "x", "_rev": path[0], "_revisions": revisions, **fields}]
            assert (await made.at_source("POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": docs})).json == []

        await replicate([one], name="Ada")
        await replicate([two, one], _deleted=True, hidden=True)
        [row] = (await made.ask("GET", "/clinic-phone/_changes?style=all_docs")).json["results"]
        assert row["changes"] == [{"rev": two}]
        await replicate([three, two, one], hidden=True)
        bare = {"_id": "x", "_rev": two, "_deleted": True}
        for latest in ("", "&latest=true"):
            asked = {"docs": [{"id": "x", "rev": two}]}
            [result] = (await made.ask("POST", f"/clinic-phone/_bulk_get?revs=false{latest}", asked)).json["results"]
            assert result["docs"] == [{"ok": bare}]
            asked_for = f"/clinic-phone/x?open_revs={quote(json.dumps([two, three]))}{latest}"
            assert (await made.ask("GET", asked_for)).json == [{"ok": bare}, {"missing": three}]


async def test_of_a_conflict_the_visible_branch_is_shown() -> None:
    async with site(PHONE) as made:
        branches = [("f1", "a" * 32), ("f2", "b" * 32)]
        docs = [{**doc(1, facility), "_rev": f"1-{digest}"} for facility, digest in branches]
        await made.at_source("POST", "/clinic/_bulk_docs", {"new_edits": False, "docs": docs})
        for user, digest in (("ann", "a" * 32), ("bob", "b" * 32)):
            rows = (
                await made.ask(
                    "GET", "/clinic-phone/_changes?style=all_docs&include_docs=true&conflicts=true", user=(user, user)
                )
            ).json["results"]
            assert [row["changes"] for row in rows] == [[{"rev": f"1-{digest}"}]]
            assert "_conflicts" not in rows[0]["doc"]
            got = await made.ask("GET", "/clinic-phone/doc:001?conflicts=true", user=(user, user))
            assert got.json["_rev"] == f"1-{digest}"
            assert "_conflicts" not in got.json


async def test_a_filter_that_raises_withholds_its_document_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    docs = [{"_id": "a"}, {"_id": "b", "boom": "hidden-b"}, {"_id": "c"}]
    async with site(profile("odd", Raising()), docs=docs) as made:
        assert ids(await made.ask("GET", "/clinic-odd/_changes")) == ["a", "c"]
        answer = await made.ask("GET", "/clinic-odd/b")
        assert (answer.status, answer.json) == (404, {"error": "not_found", "reason": "missing"})
        assert (await made.ask("GET", "/clinic-odd/a")).status == 200
    assert "Raising raised RuntimeError" in caplog.text


async def test_a_users_new_role_starts_the_feed_over() -> None:
    async with site(PHONE, docs=[doc(1, "f1"), doc(2, "f2")], session_ttl=0.0) as made:
        before = await made.ask("GET", "/clinic-phone/_changes")
        assert ids(before) == ["doc:001"]
        user = (await made.at_source("GET", "/_users/org.couchdb.user:ann")).json
        await made.at_source("PUT", "/_users/org.couchdb.user:ann", {**user, "roles": ["nurse", "facility:f2"]})
        after = await made.ask("GET", f"/clinic-phone/_changes?since={before.json['last_seq']}")
        assert [(row["id"], row.get("deleted")) for row in after.json["results"]] == [
            ("doc:001", True),
            ("doc:002", None),
        ]
