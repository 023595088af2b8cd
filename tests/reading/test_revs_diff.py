"""`_revs_diff`: nothing of what is hidden shows, and nothing keeps a client from pushing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings

from proxy.core.endpoints import Kind
from proxy.core.lens import Chain
from proxy.errors import BadRequest
from proxy.reading.revs_diff import parse_asked, post_missing_revs, post_revs_diff
from proxy.resolve import resolve
from proxy.sizes import AT_ONCE
from tests.reading.couch import Couch, ancestors, rev, revision, serving
from tests.reading.served import PLAIN, Front, Handlers, front, profile
from tests.reading.test_bulk_get import grow, trees

DIFF = "/db-phone/_revs_diff"
HANDLERS: Handlers = {Kind.REVS_DIFF: post_revs_diff, Kind.MISSING_REVS: post_missing_revs}
NEW = "f" * 32
DOCS = [
    revision("plain", "ba", owner="ann"),
    revision("hidden", "a", owner="bob"),
    revision("hidden", "ba", owner="bob"),
    revision("mixed", "ba", owner="ann"),
    revision("mixed", "dca", owner="bob"),
    revision("left", "a", owner="ann"),
    revision("left", "ba", owner="bob"),
    revision("gone", "a", owner="ann"),
    revision("gone", "ba", _deleted=True),
    revision("never", "ba", _deleted=True),
]


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    async with serving(Couch(DOCS)) as couch:
        yield couch


@pytest.fixture
async def ann(couch: Couch) -> AsyncIterator[Front]:
    async with front(couch, HANDLERS) as ann:
        yield ann


async def test_the_layout_is_couchdbs(ann: Front) -> None:
    asked = {"plain": [rev(2, "b"), f"3-{NEW}"], "nosuch": [f"1-{NEW}"]}
    status, text, _ = await ann.raw("POST", DIFF, asked)
    assert status == 200
    assert text == (
        b'{"plain":{"missing":["3-ffffffffffffffffffffffffffffffff"],'
        b'"possible_ancestors":["2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]},'
        b'"nosuch":{"missing":["1-ffffffffffffffffffffffffffffffff"]}}\n'
    )
    missing = await ann.json("POST", "/db-phone/_missing_revs", asked)
    assert missing == {"missing_revs": {"plain": [f"3-{NEW}"], "nosuch": [f"1-{NEW}"]}}


async def test_what_is_visible_is_known(ann: Front) -> None:
    asked = {
        "plain": [rev(2, "b"), rev(1, "a")],  # 1-a has no body any more
        "left": [rev(1, "a")],
        "gone": [rev(1, "a"), rev(2, "b")],
        "mixed": [rev(2, "b"), rev(1, "a")],
    }
    assert await ann.json("POST", DIFF, asked) == {}


@pytest.mark.parametrize("revs", [[rev(1, "a")], [rev(2, "b")], [f"5-{NEW}"], [rev(2, "b"), f"5-{NEW}", rev(1, "a")]])
@pytest.mark.parametrize("doc_id", ["hidden", "never"])
async def test_what_is_hidden_is_missing_as_if_it_did_not_exist(ann: Front, doc_id: str, revs: list[str]) -> None:
    hidden = await ann.json("POST", DIFF, {doc_id: revs})
    absent = await ann.json("POST", DIFF, {"nosuch": revs})
    assert hidden[doc_id] == absent["nosuch"] == {"missing": revs}


async def test_hidden_branches_are_missing_and_no_ancestors(ann: Front) -> None:
    found = await ann.json("POST", DIFF, {"mixed": [rev(3, "d"), rev(2, "c"), f"9-{NEW}"]})
    assert found == {"mixed": {"missing": [rev(3, "d"), rev(2, "c"), f"9-{NEW}"], "possible_ancestors": [rev(2, "b")]}}
    assert await ann.json("POST", DIFF, {"left": [rev(2, "b")]}) == {"left": {"missing": [rev(2, "b")]}}


async def test_grafts_are_known(ann: Front, couch: Couch) -> None:
    graft = ann.view.grafts.departure("left", rev(1, "a"))
    assert await ann.json("POST", DIFF, {"left": [graft]}) == {}
    # also when the body that it grew from is gone, and when an edit made on it went upstream
    couch.docs["left"] = [revision("left", "ba", owner="bob")]
    assert await ann.json("POST", DIFF, {"left": [graft]}) == {}
    edited = revision("left", "cba", owner="ann")
    edited["_revisions"]["ids"][1] = graft.partition("-")[2]
    couch.docs["left"].append(edited)
    assert await ann.json("POST", DIFF, {"left": [graft, edited["_rev"]]}) == {}
    async with front(couch, HANDLERS, profile(PLAIN, design_docs=True)) as open_view:
        same = open_view.view.grafts.departure("plain", rev(1, "a"))
        other = ann.view.grafts.departure("mixed", rev(1, "a"))
        found = await open_view.json("POST", DIFF, {"plain": [same], "nosuch": [other]})
        assert found == {"nosuch": {"missing": [other]}}


async def test_a_view_that_hides_nothing_answers_as_the_source(couch: Couch) -> None:
    async with front(couch, HANDLERS, profile(PLAIN, design_docs=True)) as ann:
        found = await ann.json("POST", DIFF, {"mixed": [rev(3, "d"), f"4-{NEW}"], "plain": [f"1-{NEW}"]})
    assert found == {
        "mixed": {"missing": [f"4-{NEW}"], "possible_ancestors": [rev(3, "d"), rev(2, "b")]},
        "plain": {"missing": [f"1-{NEW}"]},
    }


async def test_without_filters_the_source_is_left_to_say_it_and_design_documents_stay_hidden(couch: Couch) -> None:
    couch.docs["_design/app"] = [revision("_design/app", "ba")]
    asked = {"plain": [rev(2, "b"), rev(3, "0")], "_design/app": [rev(2, "b"), rev(3, "0")]}
    async with front(couch, HANDLERS, profile(Chain())) as ann:
        assert await ann.json("POST", DIFF, asked) == {
            "plain": {"missing": [rev(3, "0")], "possible_ancestors": [rev(2, "b")]},
            "_design/app": {"missing": asked["_design/app"]},
        }
    [(_, path, body)] = couch.requests
    assert (path, body) == ("/db/_revs_diff", {"plain": asked["plain"]})


async def test_revisions_are_the_same_in_either_case(ann: Front) -> None:
    asked = {"plain": [rev(2, "B"), rev(2, "b"), f"1-{NEW.upper()}"]}
    assert await ann.json("POST", DIFF, asked) == {"plain": {"missing": [f"1-{NEW}"]}}


async def test_new_documents_cost_one_request_and_large_questions_some(ann: Front, couch: Couch) -> None:
    # the first one finds out how the source is to be asked, and how large its documents are
    await ann.json("POST", DIFF, {doc["_id"]: [doc["_rev"]] for doc in DOCS})
    for count, requests in ((50, 1), (AT_ONCE, 1), (AT_ONCE + 1, 2)):
        couch.requests.clear()
        asked = {f"new{i}": [f"1-{NEW}"] for i in range(count)}
        assert await ann.json("POST", DIFF, asked) == {doc_id: {"missing": revs} for doc_id, revs in asked.items()}
        assert [path for _, path, _ in couch.requests] == ["/db/_bulk_get?revs=true"] * requests


async def test_few_large_documents_are_read_at_once(ann: Front, couch: Couch) -> None:
    large = [revision(f"large{number}", "ba", owner="ann", text="x" * 2**18) for number in range(60)]
    left = [revision(f"left{number}", "ba", owner="bob") for number in range(30)]
    seen = [revision(f"left{number}", "a", owner="ann", text="x" * 2**18) for number in range(30)]
    couch.docs |= {doc["_id"]: [doc] for doc in large}
    couch.docs |= {after["_id"]: [before, after] for before, after in zip(seen, left, strict=True)}
    asked = {doc["_id"]: [doc["_rev"], f"3-{NEW}"] for doc in (*large, *left)}
    found = await ann.json("POST", DIFF, asked)
    known = {doc["_id"] for doc in large}
    assert {doc_id: entry["missing"] for doc_id, entry in found.items()} == {
        doc_id: [f"3-{NEW}"] if doc_id in known else revs for doc_id, revs in asked.items()
    }
    read = [len(body["docs"]) for _, path, body in couch.requests if path == "/db/_bulk_get?revs=true"]
    assert sum(read) >= len(large) + 2 * len(left)
    assert max(read[:2]) <= 16
    assert sorted(read)[len(read) // 2] <= 4


async def test_ids_that_are_no_documents_are_missing_without_asking(ann: Front, couch: Couch) -> None:
    asked = {"": ["1-a"], "_x": ["1-a"], "_local/x": ["2-a"], "_design/": ["2-a"]}
    assert await ann.json("POST", DIFF, asked) == {doc_id: {"missing": revs} for doc_id, revs in asked.items()}
    assert await ann.json("POST", DIFF, {}) == await ann.json("POST", DIFF, {"a": []}) == {}
    assert couch.requests == []


@pytest.mark.parametrize("revs", [1, "1-a", None, {}, [1], ["bad"], ["1-x", None], ["-1"], [f"1-{'z' * 32}"]])
def test_what_is_not_a_list_of_revisions_is_refused(revs: Any) -> None:
    with pytest.raises(BadRequest):
        parse_asked({"fine": ["1-a"], "doc": revs})


def test_each_revision_counts_once() -> None:
    assert parse_asked({"a": ["1-x", "2-y", "1-x"], "b": []}) == {"a": ["1-x", "2-y"]}


async def test_bad_requests_in_couchdbs_words(ann: Front) -> None:
    assert await ann.error("POST", DIFF, []) == (400, "bad_request", "Request body must be a JSON object")
    assert await ann.error("POST", DIFF, {"a": ["bad"]}) == (400, "bad_request", "Invalid rev format")
    assert (await ann.error("POST", DIFF, b"{}", {"Content-Type": "text/plain"}))[0] == 415


@pytest.mark.parametrize("text", [b"[]", b'{"plain":1}', b'{"plain":{}}', b'{"plain":{"missing":["bad"]}}', b"{"])
async def test_a_source_that_lies_is_as_good_as_down(couch: Couch, text: bytes) -> None:
    async def lie(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=text)

    async with front(couch, HANDLERS) as ann, front(couch, HANDLERS, profile(PLAIN, design_docs=True)) as open_view:
        couch.instead = {"/db/_revs_diff": lie, "/db/_bulk_get": lie}
        for view in (ann, open_view):
            assert (await view.error("POST", DIFF, {"plain": [f"2-{NEW}"]}))[0] == 502


async def test_another_document_than_the_one_that_was_asked_for_is_a_lie(ann: Front, couch: Couch) -> None:
    async def lie(request: web.BaseRequest) -> web.StreamResponse:
        asked = [entry["id"] for entry in (await request.json())["docs"]]
        other = revision("other", "a", owner="ann")
        return web.json_response({"results": [{"id": doc_id, "docs": [{"ok": other}]} for doc_id in asked]})

    assert await ann.json("POST", DIFF, {"plain": [rev(2, "b")]}) == {}  # what the source can do is known
    couch.instead["/db/_bulk_get"] = lie
    status, error, _ = await ann.error("POST", DIFF, {"mine": [rev(9, "f")]})
    assert (status, error) == (502, "bad_gateway")


@given(trees)
@settings(max_examples=40, deadline=None)
async def test_what_is_served_is_known_and_what_never_was_visible_is_not(
    steps: list[tuple[str, bool, int]],
) -> None:
    docs = grow("d", steps)
    async with serving(Couch(docs)) as couch, front(couch, HANDLERS) as ann:
        revs = [doc["_rev"] for doc in docs] + [ann.view.grafts.departure("d", doc["_rev"]) for doc in docs]
        shown = await resolve(ann.view, [("d", name) for name in revs], latest=False)
        served = {name for name, found in zip(revs, shown, strict=True) if found}
        diff = await ann.json("POST", DIFF, {"d": [*revs, f"99-{NEW}"]})
        missing = set(diff["d"]["missing"])
        assert f"99-{NEW}" in missing
        assert not served & missing
        seen = {doc["_rev"] for doc in docs if doc["owner"] == "ann"}
        dark = {doc["_rev"] for doc in docs if not seen & {doc["_rev"], *ancestors(doc)}}
        assert dark <= missing
        assert set(diff["d"].get("possible_ancestors", ())) <= served
