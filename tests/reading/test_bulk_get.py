"""`_bulk_get`: order, error entries, what the view shows, sources that misbehave, streaming."""

from __future__ import annotations

import asyncio
import gzip
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.attachments import Attachments
from proxy.config.model import Profile
from proxy.core import jsonio
from proxy.core.query import Query
from proxy.errors import BadRequest
from proxy.reading.bulk_entries import BATCH, parse_entries
from proxy.reading.bulk_get import parse_wanted, post_bulk_get
from proxy.resolve import Shown, resolve
from tests.reading.couch import NO_PATHS, Couch, Doc, dump, rev, revision, serving
from tests.reading.served import OWN, PLAIN, Front, chain, front, profile

BULK = "/db-phone/_bulk_get"
NOTE = gzip.compress(b"hello hello", mtime=0)
ENTRIES = {
    "n.txt": {
        "content_type": "text/plain",
        "revpos": 1,
        "digest": "md5-x==",
        "length": 11,
        "stub": True,
        "encoding": "gzip",
        "encoded_length": len(NOTE),
    },
    "i.bin": {"content_type": "image/png", "revpos": 2, "digest": "md5-y==", "length": 3, "stub": True},
}
DOCS = [
    revision("plain", "a", owner="ann", ssn="1", v=1),
    revision("bob's", "a", owner="bob", ssn="2"),
    # two live branches, one of them bob's
    revision("mixed", "ba", owner="ann", v="left"),
    revision("mixed", "dca", owner="bob", v="right"),
    # two live branches that ann sees
    revision("both", "ba", owner="ann", v="left"),
    revision("both", "dca", owner="ann", v="right"),
    # left ann's view, whose revision 1-a is still there
    revision("left", "a", owner="ann"),
    revision("left", "ba", owner="bob"),
    # deleted without a body, after ann could see it
    revision("gone", "a", owner="ann"),
    revision("gone", "ba", _deleted=True),
    # deleted, and never hers
    revision("never", "a", owner="bob"),
    revision("never", "ba", _deleted=True),
    revision("photo", "ba", owner="ann", _attachments=ENTRIES),
]


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    couch = Couch(DOCS)
    couch.bodies["photo", "n.txt"] = NOTE
    couch.bodies["photo", "i.bin"] = b"\0\1\2"
    async with serving(couch):
        yield couch


@pytest.fixture
async def ann(couch: Couch) -> AsyncIterator[Front]:
    async with front(couch, post_bulk_get) as ann:
        yield ann


async def get(ann: Front, *docs: Any, query: str = "") -> list[Any]:
    """The `docs` of each result, whose ids must be those that were asked for."""
    reply = await ann.json("POST", f"{BULK}?{query}", {"docs": list(docs)})
    assert [result["id"] for result in reply["results"]] == [doc["id"] for doc in docs]
    return [result["docs"] for result in reply["results"]]


def not_found(doc_id: str, name: str = "undefined") -> list[Doc]:
    return [{"error": {"rev": name, "reason": "missing", "id": doc_id, "error": "not_found"}}]


async def test_documents_come_shaped_and_in_the_order_of_the_request(ann: Front) -> None:
    found = await get(ann, {"id": "both"}, {"id": "plain"}, {"id": "plain", "rev": rev(1, "a")})
    assert found[0] == [
        {"ok": {"_id": "both", "_rev": rev(2, "b"), "owner": "ann", "v": "left"}},
        {"ok": {"_id": "both", "_rev": rev(3, "d"), "owner": "ann", "v": "right"}},
    ]
    assert found[1] == found[2] == [{"ok": {"_id": "plain", "_rev": rev(1, "a"), "owner": "ann", "v": 1}}]


async def test_a_reply_is_byte_for_byte_couchdbs(ann: Front) -> None:
    status, text, headers = await ann.raw("POST", BULK, {"docs": [{"id": "plain"}, {"id": "no"}, {"id": ""}]})
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["Content-Length"] == str(len(text))
    assert text == (
        b'{"results":[{"id":"plain","docs":[{"ok":{"_id":"plain","_rev":"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",'
        b'"owner":"ann","v":1}}]},{"id":"no","docs":[{"error":{"rev":"undefined","reason":"missing","id":"no",'
        b'"error":"not_found"}}]},{"id":"","docs":[{"error":{"rev":null,"reason":"Document id must not be empty",'
        b'"id":"","error":"illegal_docid"}}]}]}\n'
    )


async def test_what_is_hidden_is_answered_as_what_does_not_exist(ann: Front) -> None:
    hidden = await get(ann, {"id": "bob's"}, {"id": "bob's", "rev": rev(1, "a")}, {"id": "never"})
    assert hidden == [not_found("bob's"), not_found("bob's", rev(1, "a")), not_found("never")]
    absent = await get(ann, {"id": "no"}, {"id": "no", "rev": rev(1, "a")})
    assert absent == [not_found("no"), not_found("no", rev(1, "a"))]
    by_latest = await get(ann, {"id": "bob's", "rev": rev(1, "a")}, {"id": "no", "rev": "1-x"}, query="latest=true")
    assert by_latest == [not_found("bob's", rev(1, "a")), not_found("no", "1-x")]


async def test_only_visible_leaves_are_given(ann: Front) -> None:
    [all_leaves] = await get(ann, {"id": "mixed"})
    assert [entry["ok"]["_rev"] for entry in all_leaves] == [rev(2, "b")]


async def test_latest_gives_the_leaves_that_descend_from_a_revision(ann: Front) -> None:
    asked = [{"id": "both", "rev": rev(2, "c")}, {"id": "both", "rev": rev(1, "a")}, {"id": "both", "rev": rev(3, "d")}]
    found = await get(ann, *asked, query="latest=true&revs=true")
    assert [[entry["ok"]["_rev"] for entry in docs] for docs in found] == [
        [rev(3, "d")],
        [rev(2, "b"), rev(3, "d")],
        [rev(3, "d")],
    ]
    assert found[0][0]["ok"]["_revisions"] == {"start": 3, "ids": ["d" * 32, "c" * 32, "a" * 32]}


async def test_the_source_is_never_asked_for_latest_nor_for_attachments_of_which_some_are_hidden(couch: Couch) -> None:
    for hides in (True, False):
        filters = chain(Attachments(deny=["image/*"])) if hides else OWN
        couch.requests.clear()
        couch.given.clear()
        async with front(couch, post_bulk_get, profile(filters)) as ann:
            [[found]] = await get(ann, {"id": "photo", "rev": rev(2, "b")}, query="latest=true&attachments=true")
        assert found["ok"]["_attachments"].keys() == ({"n.txt"} if hides else {"n.txt", "i.bin"})
        paths = [path for _, path, _ in couch.requests]
        assert not any("latest" in path for path in paths)
        assert any("attachments=true" in path for path in paths) is not hides
        assert couch.given == [("photo", name) for name in found["ok"]["_attachments"]]


def entry(length: int, revpos: int) -> Doc:
    return {"content_type": "image/png", "revpos": revpos, "digest": f"md5-{length}==", "length": length, "stub": True}


SIZES = st.sampled_from([0, 1, 1000, 40_000, 270_000, 540_000])
ALBUMS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.builds(entry, SIZES, st.integers(1, 2))), max_size=6)


@settings(deadline=None, max_examples=50)
@given(ALBUMS, st.sampled_from(["", "attachments=true"]), st.booleans(), st.booleans())
def test_the_source_gives_each_body_that_is_sent_once_and_no_other(
    albums: list[Doc], query: str, since: bool, hides: bool
) -> None:
    couch = Couch(revision(f"d{n}", "ba", owner="ann", _attachments=entries) for n, entries in enumerate(albums))
    couch.bodies = {(f"d{n}", name): bytes(e["length"]) for n, album in enumerate(albums) for name, e in album.items()}
    using = profile(chain(Attachments(max_size=1000)) if hides else OWN)
    asked = [{"id": doc_id, **({"atts_since": [rev(1, "a")]} if since else {})} for doc_id in couch.docs]

    async def sent() -> list[tuple[str, str]]:
        async with serving(couch), front(couch, post_bulk_get, using) as ann:
            docs = [doc["ok"] for [doc] in await get(ann, *asked, query=query)]
        found = [(doc["_id"], name, e) for doc in docs for name, e in doc.get("_attachments", {}).items()]
        return [(doc_id, name) for doc_id, name, e in found if "data" in e]

    assert sorted(asyncio.run(sent())) == sorted(couch.given)


async def test_a_document_that_left_the_view_is_deleted_by_a_graft(ann: Front) -> None:
    [[entry]] = await get(ann, {"id": "left"}, query="revs=true")
    graft = entry["ok"]
    assert graft["_deleted"] is True
    assert graft["_rev"] == ann.view.grafts.departure("left", rev(1, "a"))
    assert graft["_revisions"]["ids"][1:] == ["a" * 32]
    assert set(graft) == {"_id", "_rev", "_deleted", "_revisions"}
    for query in ("", "latest=true"):
        [again] = await get(ann, {"id": "left", "rev": graft["_rev"]}, query=f"revs=true&{query}")
        assert again == [entry]
    # the live revision that it left with is hidden; the one that it was seen at is not
    named = await get(ann, {"id": "left", "rev": rev(2, "b")}, {"id": "left", "rev": rev(1, "a")})
    assert named[0] == not_found("left", rev(2, "b"))
    assert named[1][0]["ok"]["owner"] == "ann"


async def test_a_deletion_of_a_document_that_was_visible_is_given_bare(ann: Front) -> None:
    bare = [{"ok": {"_id": "gone", "_rev": rev(2, "b"), "_deleted": True}}]
    asked = [{"id": "gone"}, {"id": "gone", "rev": rev(2, "b")}, {"id": "never", "rev": rev(2, "b")}]
    assert await get(ann, *asked) == [bare, bare, not_found("never", rev(2, "b"))]


async def test_revisions_are_given_only_if_asked_for(ann: Front) -> None:
    for asked in ({"id": "plain"}, {"id": "plain", "rev": rev(1, "a")}):
        [[without]] = await get(ann, asked)
        [[with_them]] = await get(ann, asked, query="revs=true")
        assert "_revisions" not in without["ok"]
        assert with_them["ok"].pop("_revisions") == {"start": 1, "ids": ["a" * 32]}
        assert with_them == without


async def test_entries_that_are_wrong_are_answered_in_their_place(ann: Front) -> None:
    wrong: list[Any] = [
        1,
        {},
        {"rev": "1-a"},
        {"id": "_x"},
        {"id": "_local/x"},
        {"id": "plain", "rev": "bad"},
        {"id": "plain", "rev": 1},
        {"id": "plain", "atts_since": 1},
        {"id": "plain", "atts_since": ["bad"]},
    ]
    mixed = [entry for each in wrong for entry in ({"id": "plain"}, each)]
    reply = await ann.json("POST", BULK, {"docs": mixed})
    good, refused = reply["results"][::2], reply["results"][1::2]
    assert all(result["docs"][0]["ok"]["_id"] == "plain" for result in good)
    errors = [result["docs"][0]["error"] for result in refused]
    assert [result["id"] for result in refused] == [error["id"] for error in errors]
    assert [(error["rev"], error["error"], error["reason"]) for error in errors] == [
        (None, "bad_request", "document must be a JSON object"),
        (None, "bad_request", "document must be a JSON object"),
        (None, "bad_request", "document id missed"),
        (None, "illegal_docid", "Only reserved document ids may start with underscore."),
        ("undefined", "not_found", "missing"),
        ("bad", "bad_request", "Invalid rev format"),
        (1, "bad_request", "Invalid rev format"),
        (1, "bad_request", "att_since value must be array of revs."),
        ("bad", "bad_request", "Invalid rev format"),
    ]


async def test_a_request_without_lookups_does_not_reach_the_source(ann: Front, couch: Couch) -> None:
    assert await ann.json("POST", BULK, {"docs": []}) == {"results": []}
    assert len((await ann.json("POST", BULK, {"docs": [{"id": ""}]}))["results"]) == 1
    assert couch.requests == []  # PouchDB Server never answers a request for no documents


async def test_bad_requests_are_refused_in_couchdbs_words(ann: Front) -> None:
    assert await ann.error("POST", BULK, {}) == (400, "bad_request", "Missing JSON list of 'docs'.")
    assert await ann.error("POST", BULK, []) == (400, "bad_request", "Request body must be a JSON object")
    assert await ann.error("POST", f"{BULK}?rev=1-a", {"docs": []}) == (
        400,
        "bad_request",
        '"rev" query parameter is not acceptable',
    )
    assert (await ann.error("POST", BULK, b"{}", {"Content-Type": "text/plain"}))[0] == 415


@pytest.mark.parametrize("name", ["rev", "open_revs", "atts_since", "w", "new_edits"])
def test_parameters_that_couchdb_does_not_take_are_refused(name: str) -> None:
    with pytest.raises(BadRequest, match=f'"{name}" query parameter is not acceptable'):
        parse_wanted(Query([("revs", "true"), (name, "x")]))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_docs_that_are_no_list_are_refused_and_any_list_is_read(docs: Any) -> None:
    if isinstance(docs, list):
        assert len(parse_entries(docs)) == len(docs)
        return
    with pytest.raises(BadRequest):
        parse_entries(docs)


async def test_attachments_are_inlined_on_demand(ann: Front) -> None:
    asked = {"id": "photo", "rev": rev(2, "b")}
    [[stubs]] = await get(ann, asked)
    assert [set(entry) for entry in stubs["ok"]["_attachments"].values()] == [
        {"content_type", "revpos", "digest", "length", "stub"}
    ] * 2
    [[whole]] = await get(ann, asked, query="attachments=true")
    assert whole["ok"]["_attachments"]["i.bin"]["data"] == "AAEC"
    assert "stub" not in whole["ok"]["_attachments"]["n.txt"]
    [[newer]] = await get(ann, {**asked, "atts_since": [rev(1, "a")]})
    assert newer["ok"]["_attachments"]["i.bin"]["data"] == "AAEC"
    assert newer["ok"]["_attachments"]["n.txt"]["stub"] is True
    assert "_revisions" not in newer["ok"]
    [[none]] = await get(ann, {**asked, "atts_since": []})
    assert none == stubs
    [[encoded]] = await get(ann, asked, query="att_encoding_info=true")
    assert encoded["ok"]["_attachments"]["n.txt"]["encoded_length"] == len(NOTE)


async def test_multipart_is_given_where_json_is_not_accepted(ann: Front) -> None:
    asked = [{"id": "plain"}, {"id": "no"}, {"id": "no", "rev": "1-x"}, {"id": "photo"}]
    status, text, headers = await ann.raw("POST", BULK, {"docs": asked}, {"Accept": "multipart/mixed"})
    assert status == 200
    assert re.fullmatch(r'multipart/mixed; boundary="--[0-9a-f]{32}"', headers["Content-Type"])
    outer, inner = dict.fromkeys(re.findall(rb"(?<=----)[0-9a-f]{32}", text))
    follows = {n: {"follows" if k == "stub" else k: v for k, v in e.items()} for n, e in ENTRIES.items()}
    photo = dump({"_id": "photo", "_rev": rev(2, "b"), "owner": "ann", "_attachments": follows})
    assert text.replace(outer, b"OUTER").replace(inner, b"INNER") == b"".join(
        [
            b"\r\n----OUTER\r\nContent-Type: application/json\r\n\r\n",
            dump({"_id": "plain", "_rev": rev(1, "a"), "owner": "ann", "v": 1}),
            b'\r\n----OUTER\r\nContent-Type: application/json; error="true"\r\n\r\n',
            b'{"rev":"undefined","reason":"missing","id":"no","error":"not_found"}',
            b'\r\n----OUTER\r\nContent-Type: application/json; error="true"\r\n\r\n',
            b'{"rev":"1-x","error":"not_found","reason":"missing"}',
            b"\r\n----OUTER\r\nX-Doc-Id: photo\r\nX-Rev-Id: 2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n",
            b"Content-Type: multipart/related; boundary=--INNER\r\n\r\n",
            b"----INNER\r\nContent-Type: application/json\r\n\r\n" + photo,
            b'\r\n----INNER\r\nContent-Disposition: attachment; filename="n.txt"\r\nContent-Type: text/plain\r\n',
            b"Content-Length: %d\r\nContent-Encoding: gzip\r\n\r\n%b" % (len(NOTE), NOTE),
            b'\r\n----INNER\r\nContent-Disposition: attachment; filename="i.bin"\r\nContent-Type: image/png\r\n',
            b"Content-Length: 3\r\n\r\n\0\1\2\r\n----INNER--\r\n----OUTER--\r\n",
        ]
    )
    empty = await ann.raw("POST", BULK, {"docs": []}, {"Accept": "multipart/mixed"})
    assert empty[1] == b""


# ---- sources


async def test_a_source_that_groups_results_and_knows_winners_only(couch: Couch) -> None:
    asked = [
        {"id": "plain"},
        {"id": "both", "rev": rev(2, "b")},
        {"id": "photo"},
        {"id": "both", "rev": rev(3, "d")},
        {"id": "bob's"},
        {"id": "plain"},
        {"id": "gone"},
        {"id": "gone", "rev": rev(2, "b")},
        {"id": "left"},
        {"id": "mixed"},
        {"id": "both"},
    ]
    named = [entry for entry in asked if "rev" in entry] * 2
    expected = []
    for pouchdb in (False, True):
        if pouchdb:
            couch.be_pouchdb_server()
        async with front(couch, post_bulk_get) as ann:  # an upstream of its own each time
            replies = [await get(ann, *asked), await get(ann, *asked, query="latest=true"), await get(ann, *named)]
            expected.append([[_by_rev(each["ok"] for each in docs if "ok" in each) for docs in r] for r in replies])
    assert expected[0] == expected[1]


async def test_errors_of_the_source_are_passed_on(ann: Front, couch: Couch) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return couch.json({"error": "unauthorized", "reason": "No."}, 401)

    couch.instead["/db/_bulk_get"] = refuse
    assert await ann.error("POST", BULK, {"docs": [{"id": "plain"}]}) == (401, "unauthorized", "No.")


@pytest.mark.parametrize("text", [b"[]", b"{}", b'{"results":[1]}', b'{"results":[{"id":"plain"}]}', b'{"results":['])
async def test_a_source_that_lies_is_as_good_as_down(ann: Front, couch: Couch, text: bytes) -> None:
    async def lie(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=text)

    couch.instead["/db/_bulk_get"] = lie
    assert (await ann.error("POST", BULK, {"docs": [{"id": "plain"}]}))[0] == 502


@pytest.mark.parametrize("revisions", NO_PATHS, ids=repr)
async def test_a_path_that_is_none_is_a_lie(ann: Front, couch: Couch, revisions: Any) -> None:
    async def lie(request: web.BaseRequest) -> web.StreamResponse:
        doc = {"_id": "plain", "_rev": rev(2, "b"), "owner": "ann", "_revisions": revisions}
        return couch.json({"results": [{"id": "plain", "docs": [{"ok": doc}]}]})

    assert (await ann.json("POST", BULK, {"docs": [{"id": "plain"}]}))["results"]
    couch.instead["/db/_bulk_get"] = lie
    for query in ("", "?latest=true", "?revs=true"):
        assert (await ann.error("POST", BULK + query, {"docs": [{"id": "plain"}]}))[0] == 502


def many(count: int) -> Couch:
    return Couch(revision(f"d{i:05}", "a", owner="ann", text="x" * 300, ssn="s") for i in range(count))


async def test_many_batches_keep_their_order() -> None:
    count = 3 * BATCH + 7
    async with serving(many(count)) as couch, front(couch, post_bulk_get) as ann:
        asked = [{"id": f"d{i:05}", "rev": rev(1, "a")} for i in reversed(range(count))]
        found = await get(ann, *asked)
        assert [docs[0]["ok"]["_id"] for docs in found] == [entry["id"] for entry in asked]
        sizes = [
            len(body["docs"]) for _, _, body in couch.requests[1:]
        ]  # the first finds out what kind of source it is
        assert sizes == [BATCH] * 3 + [7]


async def test_of_a_document_whose_leaves_are_all_named_the_source_is_asked_once() -> None:
    docs = [revision("c", f"{letter}a", owner="ann" if letter in "bd" else "bob") for letter in "bcdef"]
    async with serving(Couch([*docs, revision("o", "a", owner="ann")])) as couch, front(couch, post_bulk_get) as ann:
        named = [{"id": "c", "rev": doc["_rev"]} for doc in docs]
        asked = [{"id": "o", "rev": rev(1, "a")}, *named, {"id": "o", "rev": rev(1, "a")}, {"id": "c"}]
        found = await get(ann, *asked, query="latest=true")  # leaves in the source's order, as where all are visible
        revs = [[entry["ok"]["_rev"] for entry in entries if "ok" in entry] for entries in found]
        assert revs == [
            [rev(1, "a")],
            [rev(2, "b")],
            [],
            [rev(2, "d")],
            [],
            [],
            [rev(1, "a")],
            [rev(2, "b"), rev(2, "d")],
        ]
        by_leaves = [body["docs"] for _, _, body in couch.requests if body and "rev" not in body["docs"][0]]
        assert by_leaves[-1:] == [[{"id": "o"}, {"id": "c"}, {"id": "o"}, {"id": "c"}]]


async def test_a_source_that_breaks_off_breaks_the_clients_connection() -> None:
    count = 4 * BATCH
    async with serving(many(count)) as couch, front(couch, post_bulk_get) as ann:

        async def last_fails(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.json()
            text = dump({"results": [couch.bulk_result(entry, request.query) for entry in body["docs"]]})
            if body["docs"][-1]["id"] != f"d{count - 1:05}":
                return web.Response(body=text)
            response = web.StreamResponse(headers={"Content-Length": str(len(text))})
            await response.prepare(request)
            await response.write(text[: len(text) // 2])
            assert request.transport is not None
            request.transport.close()
            return response

        couch.instead["/db/_bulk_get"] = last_fails
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
            await ann.raw("POST", BULK, {"docs": [{"id": f"d{i:05}"} for i in range(count)]})


async def test_a_client_that_does_not_read_holds_the_source_back() -> None:
    count = 80 * BATCH
    async with serving(many(count)) as couch, front(couch, post_bulk_get) as ann:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(ann.url.rpartition(":")[2]), limit=1024)
        body = dump({"docs": [{"id": f"d{i:05}"} for i in range(count)]})
        head = b"POST /db-phone/_bulk_get HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        writer.write(head + body)
        await reader.readuntil(b"\r\n\r\n")
        asked = -1
        while asked < len(couch.requests):  # until nothing moves any more
            asked = len(couch.requests)
            await asyncio.sleep(0.3)
        assert asked < 80
        writer.close()


# ---- the same as asking one by one


trees = st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.booleans(), st.integers(0, 5)), min_size=1, max_size=6)


def grow(doc_id: str, steps: list[tuple[str, bool, int]]) -> list[Doc]:
    """A tree: each step is a revision of an owner, perhaps a deletion, on one of those before it."""
    docs: list[Doc] = []
    for number, (owner, deleted, parent) in enumerate(steps):
        path = chr(ord("a") + number)
        if docs:
            above = docs[parent % len(docs)]["_revisions"]["ids"]
            path += "".join(name[0] for name in above)
        docs.append(revision(doc_id, path, owner=owner, n=number, **({"_deleted": True} if deleted else {})))
    return docs


@given(st.lists(trees, min_size=1, max_size=3), st.booleans(), st.booleans(), st.none() | st.randoms())
@settings(max_examples=25, deadline=None)
async def test_the_stream_agrees_with_resolving_one_by_one(
    forest: list[list[tuple[str, bool, int]]], latest: bool, hides: bool, shuffled: random.Random | None
) -> None:
    docs = [doc for index, steps in enumerate(forest) for doc in grow(f"d{index}", steps)]
    using: Profile = profile(OWN if hides else PLAIN)
    async with serving(Couch(docs)) as couch, front(couch, post_bulk_get, using) as ann:
        wanted: list[tuple[str, str | None]] = [(f"d{index}", None) for index in range(len(forest))]
        for doc in docs:
            wanted.append((doc["_id"], doc["_rev"]))
            wanted.append((doc["_id"], ann.view.grafts.departure(doc["_id"], doc["_rev"])))
        if shuffled:
            shuffled.shuffle(wanted)
        asked = [{"id": doc_id, **({"rev": name} if name else {})} for doc_id, name in wanted]
        found = await get(ann, *asked, query=f"revs=true&latest={jsonio.dumps(latest).decode()}")
        resolved = await resolve(ann.view, wanted, latest)
        for (doc_id, name), docs_found, expected in zip(wanted, found, resolved, strict=True):
            if expected:
                assert _by_rev(entry["ok"] for entry in docs_found) == _by_rev(map(_doc, expected))
            else:
                assert docs_found == not_found(doc_id, name or "undefined")


def _doc(shown: Shown) -> Doc:
    return shown.doc


def _by_rev(docs: Any) -> dict[str, Doc]:
    return {doc["_rev"]: doc for doc in docs}
