"""`_find`: queries see what the view shows, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client
from proxy.core.collation import collation_key
from proxy.errors import BadRequest
from proxy.reading import find_request, scan
from proxy.reading.find import post_find
from proxy.reading.find_request import parse_find
from tests.reading.couch import Couch, Doc, rev, revision, serving
from tests.reading.served import OWN, Front, front, profile

FIND = "/db-phone/_find"
DOCS = [
    revision("_design/app", "a", owner="ann", n=1),
    revision("a", "a", owner="ann", n=3, ssn="111", tags=["x"]),
    revision("b", "a", owner="bob", n=1, ssn="222"),
    revision("c", "a", owner="ann", n=1, ssn="333"),
    revision("d", "ba", owner="ann", n=2),
    revision("d", "dca", owner="bob", n=0),
    revision("e", "ba", owner="ann", n=5),
    revision("e", "dca", owner="ann"),
    revision("f", "ba", _deleted=True),
]


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    async with serving(Couch(DOCS)) as couch:
        yield couch


@pytest.fixture
async def ann(couch: Couch) -> AsyncIterator[Front]:
    async with front(couch, post_find) as ann:
        yield ann


async def ids(ann: Front, selector: Any, **options: Any) -> list[str]:
    found = await ann.json("POST", FIND, {"selector": selector, **options})
    return [doc["_id"] for doc in found["docs"]]


async def test_the_layout_is_couchdbs(ann: Front) -> None:
    status, text, headers = await ann.raw("POST", FIND, {"selector": {"n": 1}})
    assert (status, headers["Content-Type"]) == (200, "application/json")
    bookmark = json.loads(text)["bookmark"]
    assert text == (
        b'{"docs":[\r\n{"_id":"c","_rev":"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","owner":"ann","n":1}\r\n],\r\n'
        b'"bookmark": "%b",\r\n'
        b'"warning": "No matching index found, create an index to optimize query time."}\r\n\n' % bookmark.encode()
    )
    none = (await ann.raw("POST", FIND, {"selector": {"n": 99}}))[1]
    assert none.startswith(b'{"docs":[\r\n],\r\n"bookmark": "nil",\r\n"warning": ')


async def test_hidden_documents_fields_and_branches_are_not_found(ann: Front) -> None:
    assert await ids(ann, {}) == ["a", "c", "d", "e"]
    assert await ids(ann, {"ssn": {"$exists": True}}) == []
    assert await ids(ann, {"ssn": "111"}) == []
    assert await ids(ann, {"owner": "bob"}) == []
    assert await ids(ann, {"n": 0}) == []
    assert await ids(ann, {"_rev": rev(2, "b")}) == ["d"]


async def test_an_empty_choice_finds_nothing(ann: Front) -> None:
    assert (await ann.raw("POST", FIND, {"selector": {"$or": []}}))[1] == b'{"docs":[\r\n]}\r\n\n'


async def test_fields_limit_and_skip(ann: Front) -> None:
    found = await ann.json("POST", FIND, {"selector": {}, "fields": ["n", "ssn"], "skip": 1, "limit": 2})
    assert found["docs"] == [{"n": 1}, {"n": 2}]
    assert await ids(ann, {}, limit=0) == []


async def test_any_sort_is_possible(ann: Front) -> None:
    assert await ids(ann, {}, sort=["n"]) == ["e", "c", "d", "a"]
    assert await ids(ann, {}, sort=[{"n": "desc"}]) == ["a", "d", "c", "e"]
    assert await ids(ann, {}, sort=[{"n": "desc"}], skip=1, limit=2) == ["d", "c"]
    assert await ids(ann, {}, sort=[{"_id": "desc"}], limit=3) == ["e", "d", "c"]
    # a hidden field does not order anything: ids do
    assert await ids(ann, {}, sort=["ssn"]) == ["a", "c", "d", "e"]


@pytest.mark.parametrize("sort", [[], ["_id"], [{"_id": "desc"}], ["n"], [{"n": "desc"}], ["owner"]])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_bookmarks_go_through_the_whole_result(ann: Front, sort: Any, limit: int) -> None:
    request: dict[str, Any] = {"selector": {}, "sort": sort, "limit": limit, "fields": ["_id"]}
    whole = await ids(ann, {}, sort=sort)
    seen: list[str] = []
    while True:
        found = await ann.json("POST", FIND, request)
        seen += [doc["_id"] for doc in found["docs"]]
        if not found["docs"]:
            assert found["bookmark"] == request["bookmark"]
            break
        request["bookmark"] = found["bookmark"]
    assert seen == whole


async def test_a_bookmark_outlives_its_document(ann: Front, couch: Couch) -> None:
    for sort in ([], ["n"]):
        request: dict[str, Any] = {"selector": {}, "sort": sort, "limit": 2}
        first = await ann.json("POST", FIND, request)
        rest = await ids(ann, {}, sort=sort, bookmark=first["bookmark"])
        gone = couch.docs.pop(first["docs"][-1]["_id"])
        assert await ids(ann, {}, sort=sort, bookmark=first["bookmark"]) == rest
        couch.docs[gone[0]["_id"]] = gone


async def test_bookmarks_are_the_proxys_own(ann: Front) -> None:
    mark = (await ann.json("POST", FIND, {"selector": {}, "limit": 1}))["bookmark"]
    sorted_mark = (await ann.json("POST", FIND, {"selector": {}, "limit": 1, "sort": ["n"]}))["bookmark"]
    changed = mark[:-1] + ("A" if mark[-1] != "A" else "B")
    seq = ann.view.tokens.encode("55-g1AAAACbeJz")
    for bad, sort in ((changed, []), ("bad", []), (seq, []), ("nil", []), (sorted_mark, []), (mark, ["n"])):
        status, error, _ = await ann.error("POST", FIND, {"selector": {}, "bookmark": bad, "sort": sort})
        assert (status, error) == (400, "invalid_bookmark")
    for none in ("", None):
        assert await ids(ann, {}, bookmark=none) == await ids(ann, {})


async def test_statistics_count_visible_documents(ann: Front) -> None:
    found = await ann.json("POST", FIND, {"selector": {"n": 1}, "execution_stats": True})
    stats = found["execution_stats"]
    assert stats.pop("execution_time_ms") >= 0
    assert stats == {
        "total_keys_examined": 0,
        "total_docs_examined": 4,
        "total_quorum_docs_examined": 0,
        "results_returned": 1,
    }


async def test_conflicts_can_be_looked_for(ann: Front) -> None:
    found = await ann.json("POST", FIND, {"selector": {"_conflicts": {"$exists": True}}, "conflicts": True})
    assert [(doc["_id"], doc["_conflicts"]) for doc in found["docs"]] == [("e", [rev(2, "b")])]
    assert await ids(ann, {"_conflicts": {"$exists": True}}) == []


async def test_a_profile_decides_whether_there_are_queries(couch: Couch) -> None:
    async with front(couch, post_find, profile(OWN, find=False)) as ann:
        assert (await ann.error("POST", FIND, {"selector": {}}))[:2] == (403, "forbidden")
    assert couch.requests == []


async def test_design_documents_are_none(couch: Couch) -> None:
    async with front(couch, post_find, profile(OWN, design_docs=True)) as ann:
        assert await ids(ann, {}) == ["a", "c", "d", "e"]


async def test_only_as_much_is_read_as_is_needed() -> None:
    docs = [revision(f"d{i:04}", "a", owner="ann") for i in range(3 * scan.PAGE)]
    async with serving(Couch(docs)) as couch, front(couch, post_find) as ann:
        assert len(await ids(ann, {})) == 25
        assert len(couch.requests) == 1
        assert len(await ids(ann, {}, limit=2 * scan.PAGE)) == 2 * scan.PAGE


@pytest.mark.parametrize(
    ("body", "error", "reason"),
    [
        ({}, "missing_required_key", "Missing required key: selector"),
        ({"selector": {}, "foo": 1}, "invalid_key", "Invalid key foo for this request."),
        (
            {"selector": {}, "limit": -1},
            "invalid_non_neg_integer",
            "-1 is not an integer greater than or equal to zero",
        ),
        (
            {"selector": {}, "skip": 1.5},
            "invalid_non_neg_integer",
            "1.5 is not an integer greater than or equal to zero",
        ),
        ({"selector": {}, "r": 0}, "invalid_pos_integer", "0 is not an integer greater than zero"),
        ({"selector": {}, "conflicts": 1}, "invalid_boolean", "Invalid boolean value: 1"),
        ({"selector": {}, "use_index": 1}, "invalid_index_name", "Invalid index name: 1"),
        ({"selector": {}, "fields": 1}, "invalid_fields", "Fields must be an array of strings, not: 1"),
        ({"selector": {}, "fields": 0}, "invalid_fields", "Fields must be an array of strings, not: 0"),
        ({"selector": {}, "fields": None}, "invalid_fields", "Fields must be an array of strings, not: null"),
        (
            {"selector": {}, "fields": "all_fields"},
            "invalid_fields",
            'Fields must be an array of strings, not: "all_fields"',
        ),
        ({"selector": {}, "fields": ["v", 1]}, "invalid_field", "Invalid JSON for field spec: 1"),
        ({"selector": {}, "sort": "x"}, "invalid_sort_json", 'Sort must be an array of sort specs, not: "x"'),
        ({"selector": {}, "bookmark": 1}, "invalid_bookmark", "Invalid bookmark value: 1"),
        ({"selector": {}, "stale": "x"}, "invalid_ok_or_false_value", 'Invalid value for stale: "x"'),
        (
            {"selector": {}, "partition": "x"},
            "query_parse_error",
            "`partition` parameter is not supported on this db",
        ),
        ({"selector": {"v": {"$foo": 1}}}, "invalid_operator", "Invalid operator: $foo"),
    ],
)
def test_bad_requests_in_couchdbs_words(body: Any, error: str, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_find(body)
    assert (refused.value.error, refused.value.reason) == (error, reason)


def test_what_chooses_an_index_has_no_effect() -> None:
    parse_find(
        {
            "selector": {"n": 1},
            "use_index": ["x", "y"],
            "r": 2,
            "stable": True,
            "update": False,
            "stale": "ok",
            "allow_fallback": True,
            "fields": [],
        }
    )


def test_sorting_is_bounded() -> None:
    most = find_request.MOST_SORTED
    parse_find({"selector": {}, "sort": ["n"], "limit": most})
    parse_find({"selector": {}, "limit": 10 * most})
    with pytest.raises(BadRequest, match="bookmark"):
        parse_find({"selector": {}, "sort": ["n"], "limit": most, "skip": 1})


async def test_requests_that_are_no_objects(ann: Front) -> None:
    assert await ann.error("POST", FIND, []) == (400, "bad_request", "Request body must be a JSON object")
    assert (await ann.error("POST", FIND, b"{}", {"Content-Type": "text/plain"}))[0] == 415


values = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "B", "é"])


@given(
    st.lists(st.tuples(st.sampled_from(["ann", "bob"]), st.dictionaries(st.sampled_from("nm"), values)), max_size=12),
    st.booleans(),
    st.integers(0, 4),
    st.integers(0, 4),
)
@settings(max_examples=30, deadline=None)
async def test_a_sorted_result_is_a_part_of_the_whole_order(
    given_docs: list[tuple[str, Doc]], descending: bool, skip: int, limit: int
) -> None:
    docs = [revision(f"d{index}", "a", owner=owner, **members) for index, (owner, members) in enumerate(given_docs)]
    visible = [doc for doc in docs if doc["owner"] == Client("ann").name]

    def place(doc: Doc) -> Any:
        return [collation_key(doc[name]) if name in doc else (-1,) for name in "nm"], doc["_id"].encode()

    expected = [doc["_id"] for doc in sorted(visible, key=place, reverse=descending)]
    direction = "desc" if descending else "asc"
    async with serving(Couch(docs)) as couch, front(couch, post_find) as ann:
        found = await ids(ann, {}, sort=[{"n": direction}, {"m": direction}], skip=skip, limit=limit)
    assert found == expected[skip : skip + limit]


hidden = st.lists(st.booleans(), max_size=3)
"""Documents of somebody else, some of them deleted."""


@given(
    st.lists(st.tuples(hidden, st.integers(0, 2)), max_size=8),
    hidden,
    st.fixed_dictionaries(
        {
            "selector": st.sampled_from([{}, {"n": 0}, {"n": {"$gt": 0}}]),
            "sort": st.sampled_from([[], [{"_id": "desc"}], ["n"], [{"n": "desc"}]]),
            "skip": st.integers(0, 3),
            "limit": st.integers(0, 4),
        }
    ),
    st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
async def test_nothing_of_an_answer_depends_on_what_is_hidden(
    seen: list[tuple[list[bool], int]], rest: list[bool], request: dict[str, Any], page: int
) -> None:
    docs = []
    for place, (before, n) in enumerate([*seen, (rest, None)]):
        for index, deleted in enumerate(before):
            more = {"_deleted": True} if deleted else {}
            docs.append(revision(f"d{place}-{index}", "a", owner="bob", n=0, **more))
        if n is not None:
            docs.append(revision(f"d{place}-9", "a", owner="ann", n=n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "PAGE", page)
        patch.setattr(scan, "_FIRST_PAGE", 1)
        with_them = await everything_told(docs, request)
    without = await everything_told([doc for doc in docs if doc["owner"] == "ann"], request)
    assert with_them == without


async def everything_told(docs: list[Doc], request: dict[str, Any]) -> list[bytes]:
    """The answers to a query, bookmark by bookmark, without the time that each took."""
    told: list[bytes] = []
    async with serving(Couch(docs)) as couch, front(couch, post_find) as ann:
        asked = {**request, "execution_stats": True}
        while True:
            _, text, _ = await ann.raw("POST", FIND, asked)
            told.append(re.sub(rb'"execution_time_ms":[0-9.]+', b"", text))
            found = json.loads(text)
            if not found["docs"] or len(told) == 4:
                return told
            asked["bookmark"] = found["bookmark"]
