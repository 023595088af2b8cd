"""Many documents at once: `_bulk_docs`, `_bulk_get`, `_revs_diff`, `_all_docs` and its kin, `_find`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.query import Query
from proxy.endpoint.http import options
from tests.endpoint.http_client import Wire, serving


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with serving() as wire:
        await wire("PUT", "/db")
        docs = [{"_id": f"d{n}", "n": n, "kind": "odd" if n % 2 else "even"} for n in range(6)]
        await wire("POST", "/db/_bulk_docs", {"docs": [*docs, {"_id": "_design/app", "n": 2}]})
        rev = (await wire("GET", "/db/d5")).json["_rev"]
        await wire("DELETE", f"/db/d5?rev={rev}")
        yield wire


def ids(listing: dict[str, Any]) -> list[str]:
    return [row["id"] for row in listing["rows"]]


def q(**parameters: object) -> str:
    return "&".join(f"{name}={quote(json.dumps(value))}" for name, value in parameters.items())


async def test_bulk_docs_answers_for_each(wire: Wire) -> None:
    docs = [{"_id": "new"}, {"_id": "d0"}, {}, {"_id": "new"}]
    answer = await wire("POST", "/db/_bulk_docs", {"docs": docs})
    assert answer.status == 201
    first, second, third, fourth = answer.json
    assert (first["ok"], first["id"]) == (True, "new")
    assert second == {"id": "d0", "error": "conflict", "reason": "Document update conflict."}
    assert (third["ok"], len(third["id"])) == (True, 32)
    assert fourth["error"] == "conflict"


async def test_bulk_docs_of_replicas_lists_failures_only(wire: Wire) -> None:
    docs = [{"_id": "r", "_rev": "1-" + "a" * 32}, {"_id": "d0", "_rev": "1-" + "b" * 32}]
    answer = await wire("POST", "/db/_bulk_docs", {"new_edits": False, "docs": docs})
    assert (answer.status, answer.json) == (201, [])


async def test_bulk_get_answers_in_order(wire: Wire) -> None:
    rev = (await wire("GET", "/db/d1")).json["_rev"]
    entries: list[Any] = [{"id": "d1", "rev": rev}, {"id": "nosuch"}, {"id": "d0"}, {"id": "d1", "rev": "1-x"}, 7, {}]
    answer = await wire("POST", "/db/_bulk_get?revs=true", {"docs": [*entries, {"id": "d0", "rev": "bad"}]})
    results = answer.json["results"]
    assert [result["id"] for result in results] == ["d1", "nosuch", "d0", "d1", None, None, "d0"]
    assert results[0]["docs"][0]["ok"]["_revisions"]["start"] == 1
    errors = [result["docs"][0].get("error", {}).get("error") for result in results]
    assert errors == [None, "not_found", None, "not_found", "bad_request", "bad_request", "bad_request"]
    assert results[1]["docs"][0]["error"]["rev"] == "undefined"


@pytest.mark.parametrize(
    ("entry", "rev", "error", "reason"),
    [
        ({"id": "d1", "rev": None}, None, "bad_request", "Invalid rev format"),
        ({"id": "d1", "rev": []}, [], "bad_request", "Invalid rev format"),
        ({"id": "d1", "atts_since": None}, None, "bad_request", "att_since value must be array of revs."),
        ({"id": "d1", "atts_since": {}}, {}, "bad_request", "att_since value must be array of revs."),
        (
            {"id": "d1", "rev": "1-x", "atts_since": "1-x"},
            "1-x",
            "bad_request",
            "att_since value must be array of revs.",
        ),
        ({"id": "d1", "atts_since": ["1-x", "x"]}, "x", "bad_request", "Invalid rev format"),
        ({"id": "", "rev": "x"}, None, "illegal_docid", "Document id must not be empty"),
        ({"id": "_foo"}, None, "illegal_docid", "Only reserved document ids may start with underscore."),
        ({"id": "_design/"}, None, "illegal_docid", "Illegal document id `_design/`"),
        ({"id": None, "rev": "1-x"}, None, "bad_request", "document id missed"),
    ],
)
async def test_mistakes_in_entries_of_bulk_get(
    wire: Wire, entry: dict[str, Any], rev: Any, error: str, reason: str
) -> None:
    row = {"rev": rev, "reason": reason, "id": entry["id"], "error": error}
    answer = await wire("POST", "/db/_bulk_get", {"docs": [entry]})
    assert answer.json == {"results": [{"id": entry["id"], "docs": [{"error": row}]}]}
    answer = await wire("POST", "/db/_bulk_get", {"docs": [entry]}, {"Accept": "multipart/mixed"})
    assert b'error="true"\r\n\r\n' + json.dumps(row, separators=(",", ":")).encode() in answer.body


@pytest.mark.parametrize("count", [0, 3, 400])
async def test_bulk_get_of_any_length(wire: Wire, count: int) -> None:
    docs = [{"_id": f"x{n:03}", "text": "ü" * 300} for n in range(count)]
    await wire("POST", "/db/_bulk_docs", {"docs": docs})
    answer = await wire("POST", "/db/_bulk_get", {"docs": [{"id": doc["_id"]} for doc in docs]})
    assert answer.complete
    got = [result["docs"][0]["ok"] for result in answer.json["results"]]
    assert [{k: v for k, v in doc.items() if k != "_rev"} for doc in got] == docs


async def test_multipart_bulk_get_of_nothing_is_empty(wire: Wire) -> None:
    answer = await wire("POST", "/db/_bulk_get", {"docs": []}, {"Accept": "multipart/mixed"})
    assert (answer.status, answer.body) == (200, b"")


async def test_what_a_server_lacks(wire: Wire) -> None:
    rev = (await wire("GET", "/db/d0")).json["_rev"]
    asked = {"d0": [rev, "2-x"], "d1": [(await wire("GET", "/db/d1")).json["_rev"]], "new": ["1-a"]}
    diff = (await wire("POST", "/db/_revs_diff", asked)).json
    assert diff == {"d0": {"missing": ["2-x"], "possible_ancestors": [rev]}, "new": {"missing": ["1-a"]}}
    assert (await wire("POST", "/db/_missing_revs", asked)).json == {"missing_revs": {"d0": ["2-x"], "new": ["1-a"]}}


@pytest.mark.parametrize(
    ("query", "expected", "offset"),
    [
        ("", ["_design/app", "d0", "d1", "d2", "d3", "d4"], 0),
        (q(startkey="d2"), ["d2", "d3", "d4"], 3),
        (q(start_key="d1", end_key="d2"), ["d1", "d2"], 2),
        (q(startkey="d1", endkey="d3", inclusive_end=False), ["d1", "d2"], 2),
        (q(startkey="d3", endkey="d1", descending=True), ["d3", "d2", "d1"], 1),
        (q(descending=True, limit=2), ["d4", "d3"], 0),
        (q(key="d3"), ["d3"], 4),
        (q(key="nosuch"), [], 6),
        (q(skip=4), ["d3", "d4"], 4),
        (q(limit=0), [], 0),
        (q(startkey="d3", endkey="d1"), [], 4),
        (q(startkey=5), ["_design/app", "d0", "d1", "d2", "d3", "d4"], 0),
        (q(startkey=["d0"]), ["_design/app", "d0", "d1", "d2", "d3", "d4"], 0),
        (q(startkey={}, inclusive_end=False), ["_design/app", "d0", "d1", "d2", "d3", "d4"], 0),
        (q(startkey={}, descending=True), [], 6),
        (q(startkey=1, descending=True), [], 6),
        (q(startkey={}, endkey="d1"), ["_design/app", "d0", "d1"], 0),
        (q(startkey="d1", endkey={}), [], 2),
        (q(startkey="d1", endkey={}, descending=True), ["d1", "d0", "_design/app"], 3),
        (q(endkey=None), [], 0),
        (q(endkey={}), [], 0),
        (q(endkey=["x"], descending=True), ["d4", "d3", "d2", "d1", "d0", "_design/app"], 0),
        (q(key=5), [], 0),
        (q(key={}, descending=True), [], 6),
        (q(key="d1", endkey="d2"), ["d1", "d2"], 2),
    ],
)
async def test_all_docs_in_ranges(wire: Wire, query: str, expected: list[str], offset: int | None) -> None:
    listing = (await wire("GET", f"/db/_all_docs?{query}")).json
    assert (listing["total_rows"], ids(listing)) == (6, expected)
    assert offset is None or listing["offset"] == offset


async def test_all_docs_by_keys(wire: Wire) -> None:
    listing = (await wire("GET", "/db/_all_docs?include_docs=true&" + q(keys=["d4", "nosuch", "d5", "d4", 7]))).json
    d4, missing, deleted, again, number = listing["rows"]
    assert listing["offset"] is None
    assert d4 == again
    assert d4["doc"]["n"] == 4
    assert missing == {"key": "nosuch", "error": "not_found"}
    assert (deleted["value"]["deleted"], deleted["doc"]) == (True, None)
    assert number == {"key": 7, "error": "not_found"}
    listing = (await wire("POST", "/db/_all_docs?skip=1&limit=1&descending=true", {"keys": ["d0", "d1", "d2"]})).json
    assert ids(listing) == ["d1"]
    listing = (await wire("POST", "/db/_all_docs?include_docs=false", {"keys": ["d0"], "include_docs": True})).json
    assert "doc" not in listing["rows"][0]  # the query string is on top
    assert (await wire("GET", "/db/_all_docs?" + q(keys=["d0"], startkey="a"))).status == 400


@pytest.mark.parametrize(
    ("bounded", "expected"),
    [
        ({"keys": [], "startkey": "a"}, []),
        ({"keys": [], "key": "a"}, []),
        ({"endkey": "a", "keys": []}, []),
        ({"keys": ["d0"], "key": "d0"}, ["d0"]),
        ({"keys": ["d0"], "startkey": "d0"}, ["d0"]),
        ({"keys": ["d0"], "startkey": "d0", "endkey": "d0"}, ["d0"]),
        ({"startkey": "z", "keys": ["d0"]}, ["d0"]),  # a single key is both bounds, too, and the later counts
        ({"keys": ["d0"], "startkey": "d0", "endkey": "z"}, None),
        ({"keys": ["d0"], "key": "d1"}, None),
        ({"keys": ["d0"], "endkey": "z"}, None),
        ({"keys": ["d0", "d1"], "startkey": "d0"}, None),
        ({"keys": ["d0", "d1"], "startkey": "d0", "endkey": "d1"}, None),
        ({"key": "d0", "keys": ["d0", "d1"]}, None),
    ],
)
async def test_keys_and_bounds(wire: Wire, bounded: dict[str, Any], expected: list[str] | None) -> None:
    for answer in (
        await wire("GET", f"/db/_all_docs?{q(**bounded)}"),
        await wire("POST", "/db/_all_docs", bounded),
    ):
        assert answer.status == (400 if expected is None else 200)
        if expected is None:
            reason = "`keys` is incompatible with `key`, `start_key` and `end_key`"
            assert answer.json == {"error": "query_parse_error", "reason": reason}
        else:
            assert ids(answer.json) == expected


async def test_all_docs_with_more(wire: Wire) -> None:
    listing = (await wire("GET", "/db/_all_docs?update_seq=true&limit=1")).json
    assert listing["update_seq"].startswith("8-")
    await wire("POST", "/db/_bulk_docs", {"new_edits": False, "docs": [{"_id": "d0", "_rev": "1-" + "0" * 32}]})
    row = (await wire("GET", "/db/_all_docs?include_docs=TRUE&conflicts=true&" + q(key="d0"))).json["rows"][0]
    assert row["doc"]["_conflicts"] == ["1-" + "0" * 32]


@pytest.mark.parametrize(
    ("query", "error", "reason"),
    [
        ("limit=x", "query_parse_error", 'Invalid value for integer: "x"'),
        ("limit=-1", "query_parse_error", 'Invalid value for positive integer: "-1"'),
        ("include_docs=foo", "query_parse_error", 'Invalid boolean parameter: "foo"'),
        ("limit=1_0", "query_parse_error", 'Invalid value for integer: "1_0"'),
        ("stale=x", "query_parse_error", "Invalid value for `stale`."),
        ("stable=TRUE", "query_parse_error", "Invalid value for `stable`."),
        ("update=x", "query_parse_error", "Invalid value for `update`."),
        ("sorted=x", "query_parse_error", 'Invalid boolean parameter: "x"'),
        ("partition=x", "query_parse_error", "`partition` parameter is not supported on this db"),
        ("key=x", "bad_request", "invalid UTF-8 JSON"),
        ("keys=1", "bad_request", "`keys` parameter must be an array."),
        ("reduce=true", "query_parse_error", "Reduce is invalid for map-only views."),
        ("group=true", "query_parse_error", "Invalid use of grouping on a map view."),
    ],
)
async def test_mistakes_in_queries(wire: Wire, query: str, error: str, reason: str) -> None:
    answer = await wire("GET", f"/db/_all_docs?{query}")
    assert (answer.status, answer.json) == (400, {"error": error, "reason": reason})


@pytest.mark.parametrize(
    "body",
    [
        {"limit": "2"},
        {"skip": "1"},
        {"limit": None},
        {"limit": 1.0},
        {"limit": True},
        {"stale": True},
        {"stable": 1},
        {"update": None},
        {"sorted": 1},
    ],
)
async def test_mistakes_in_bodies(wire: Wire, body: dict[str, Any]) -> None:
    for target, asked in (("_all_docs", body), ("_all_docs/queries", {"queries": [body]})):
        answer = await wire("POST", f"/db/{target}", asked)
        assert (answer.status, answer.json["error"]) == (400, "query_parse_error")


async def test_what_chooses_replicas_changes_nothing(wire: Wire) -> None:
    everything = (await wire("GET", "/db/_all_docs")).body
    for query in (
        "stale=ok",
        "stale=update_after",
        "stable=true",
        "update=lazy",
        "sorted=FALSE",
        "limit=%2B" + "9" * 30,
    ):
        assert (await wire("GET", f"/db/_all_docs?{query}")).body == everything
    body = {"stale": "ok", "stable": False, "update": True, "sorted": True, "limit": 10**30, "skip": 0}
    assert (await wire("POST", "/db/_all_docs", body)).body == everything


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("startkey_docid=d3", ["d3", "d4"]),
        ("start_key_doc_id=d3&limit=1", ["d3"]),
        ("startkey_docid=d1&startkey_docid=d4", ["d4"]),
        ("startkey_docid=d0&descending=true", ["d0", "_design/app"]),
        ("startkey_docid=d3&startkey=%22d4%22", ["d4"]),
        ("startkey_docid=d3&key=%22d1%22", ["d1"]),
        ("startkey_docid=d3&keys=[%22d1%22,%22d2%22]", ["d1", "d2"]),
        ("endkey_docid=d0", ["_design/app", "d0"]),
        ("end_key_doc_id=d0&inclusive_end=false", ["_design/app"]),
        ("endkey_docid=", []),
    ],
)
async def test_ids_are_bounds_where_keys_are_none(wire: Wire, query: str, expected: list[str]) -> None:
    assert ids((await wire("GET", f"/db/_all_docs?{query}")).json) == expected


async def test_ids_are_bounds_in_bodies_too(wire: Wire) -> None:
    listing = (await wire("POST", "/db/_all_docs", {"startkey_docid": "d3"})).json
    assert (listing["offset"], ids(listing)) == (4, ["d3", "d4"])
    assert ids((await wire("POST", "/db/_all_docs", {"endkey_docid": None})).json)[-1] == "d4"  # before "null"


@pytest.mark.parametrize(
    ("query", "asked", "expected"),
    [
        ("limit=1", {}, ["_design/app"]),
        ("limit=1&descending=true", {"limit": 2}, ["d4", "d3"]),
        ("include_docs=true&startkey=%22d4%22", {}, ["d4"]),
        ("key=%22d1%22", {"endkey": "d2"}, ["d1", "d2"]),
        ("startkey=%22d2%22", {"key": "d1", "startkey": "d0"}, ["d0", "d1"]),
        ("keys=[%22d0%22]", {}, ["d0"]),
        ("keys=[%22d0%22,%22d1%22]&group=true", {"startkey": "d4"}, ["d4"]),
    ],
)
async def test_parameters_hold_for_queries_that_say_nothing(
    wire: Wire, query: str, asked: dict[str, Any], expected: list[str]
) -> None:
    [listing] = (await wire("POST", f"/db/_all_docs/queries?{query}", {"queries": [asked]})).json["results"]
    assert ids(listing) == expected
    assert all(("doc" in row) == ("include_docs" in query) for row in listing["rows"])


async def test_mistakes_in_parameters_of_queries(wire: Wire) -> None:
    for query in ("limit=x", "reduce=true", "keys=1"):
        assert (await wire("POST", f"/db/_all_docs/queries?{query}", {"queries": []})).status == 400
    answer = await wire("POST", "/db/_all_docs/queries?key=%22d1%22", {"queries": [{"keys": ["d0", "d1"]}]})
    assert answer.json["reason"] == "`keys` is incompatible with `key`, `start_key` and `end_key`"
    for wrong in ("d0", None):
        answer = await wire("POST", "/db/_all_docs/queries", {"queries": [{"keys": wrong}]})
        assert answer.json["reason"] == "`keys` must be an array of strings."


async def test_a_single_key_is_a_bound_where_others_may_be(wire: Wire) -> None:
    asked = [
        {"keys": ["d1"]},
        {"keys": ["zz"]},
        {"keys": ["d5"]},
        {"keys": ["d1"], "key": "d2"},
        {"keys": ["d1", "zz"]},
    ]
    results = (await wire("POST", "/db/_all_docs/queries", {"queries": asked})).json["results"]
    assert [(one["offset"], [row.get("id") for row in one["rows"]]) for one in results] == [
        (2, ["d1"]),
        (6, []),
        (6, []),
        (3, ["d2"]),
        (None, ["d1", None]),
    ]
    posted = await wire("POST", "/db/_all_docs?keys=[%22d5%22]", {})
    assert (posted.json["offset"], posted.json["rows"]) == (6, [])
    posted = await wire("POST", "/db/_all_docs", {"keys": ["d5"]})
    assert (posted.json["offset"], [row["id"] for row in posted.json["rows"]]) == (None, ["d5"])
    local = {"queries": [{"keys": ["_local/a"], "key": "_local/b"}]}
    assert (await wire("POST", "/db/_local_docs/queries", local)).status == 200


async def test_the_type_of_queries_does_not_matter(wire: Wire) -> None:
    for kind in ("text/plain", ""):
        answer = await wire("POST", "/db/_all_docs/queries", b'{"queries":[{"limit":0}]}', {"Content-Type": kind})
        assert answer.status == 200


async def test_queries(wire: Wire) -> None:
    asked: list[dict[str, Any]] = [{"keys": ["d1", "d2"]}, {"limit": 1, "include_docs": True}, {"start_key": "d4"}]
    answer = await wire("POST", "/db/_all_docs/queries", {"queries": asked})
    assert [ids(listing) for listing in answer.json["results"]] == [["d1", "d2"], ["_design/app"], ["d4"]]
    assert (await wire("POST", "/db/_all_docs/queries", {"queries": []})).json == {"results": []}
    assert (await wire("POST", "/db/_all_docs/queries", {})).status == 400


async def test_design_and_local_documents(wire: Wire) -> None:
    await wire("PUT", "/db/_local/b", {"v": 1})
    await wire("PUT", "/db/_local/a", {"v": 2})
    designs = (await wire("GET", "/db/_design_docs")).json
    assert (designs["total_rows"], ids(designs)) == (1, ["_design/app"])
    assert ids((await wire("GET", "/db/_design_docs?descending=true&" + q(startkey="_design/a"))).json) == []
    assert ids((await wire("GET", "/db/_design_docs?" + q(keys=["d0", "_design/app"]))).json) == ["_design/app"]
    local = (await wire("GET", "/db/_local_docs?include_docs=true")).json
    assert (local["total_rows"], local["offset"], ids(local)) == (None, None, ["_local/a", "_local/b"])
    assert local["rows"][0]["doc"] == {"_id": "_local/a", "_rev": "0-1", "v": 2}
    assert ids((await wire("GET", "/db/_local_docs?descending=true&limit=1")).json) == ["_local/b"]
    rows = (await wire("GET", "/db/_local_docs?" + q(keys=["_local/no", "_local/b", 1, "d0"]))).json["rows"]
    assert [row.get("error", row.get("id")) for row in rows] == ["not_found", "_local/b"]


async def test_queries_of_design_and_local_documents(wire: Wire) -> None:
    await wire("PUT", "/db/_local/b", {"v": 1})
    await wire("PUT", "/db/_local/a", {"v": 2})
    asked = [{"limit": 1}, {"keys": ["_design/app", "_local/a", "d0"]}, {"descending": True, "include_docs": True}]
    answer = await wire("POST", "/db/_design_docs/queries", {"queries": asked})
    assert answer.status == 200
    first, keyed, last = answer.json["results"]
    assert [ids(one) for one in (first, keyed, last)] == [["_design/app"]] * 3
    assert (first["total_rows"], keyed["total_rows"], keyed["offset"]) == (1, 1, None)
    assert last["rows"][0]["doc"]["n"] == 2
    answer = await wire("POST", "/db/_local_docs/queries", {"queries": [*asked, {"update_seq": True}]})
    assert answer.status == 200
    first, keyed, last, whole = answer.json["results"]
    assert [ids(one) for one in (first, keyed)] == [["_local/a"]] * 2
    assert ids(last) == ["_local/b", "_local/a"]
    assert last["rows"][0]["doc"] == {"_id": "_local/b", "_rev": "0-1", "v": 1}
    assert [whole[name] for name in ("total_rows", "offset", "update_seq")] == [None, None, None]


@pytest.mark.parametrize("kind", ["all", "design", "local"])
async def test_the_form_of_queries(wire: Wire, kind: str) -> None:
    path = f"/db/_{kind}_docs/queries"
    assert (await wire("POST", path, {"queries": []})).body == b'{"results":[\r\n]}\n'
    for body, reason in (
        ({}, "POST body must include `queries` parameter."),
        ({"queries": 1}, "`queries` member must be an array."),
        ([], "Request body must be a JSON object"),
    ):
        answer = await wire("POST", path, body)
        assert (answer.status, answer.json) == (400, {"error": "bad_request", "reason": reason})
    assert (await wire("POST", path, {"queries": [1]})).status == 400
    answer = await wire("GET", path)
    assert (answer.status, answer.headers["allow"], answer.json["reason"]) == (405, "POST", "Only POST allowed")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["y", "x"]),
        ("limit=1", ["y"]),
        ("skip=1", ["x"]),
        ("descending=true", ["x", "y"]),
        ("descending=true&limit=1", []),
        ("descending=true&skip=1", ["x", "y"]),
    ],
)
async def test_keys_of_other_documents_count_without_rows(wire: Wire, query: str, expected: list[str]) -> None:
    for kind in ("design", "local"):
        keys = q(keys=[f"_{kind}/y", "d0", f"_{kind}/x", "d1"])
        rows = (await wire("GET", f"/db/_{kind}_docs?{query}&{keys}")).json["rows"]
        assert rows == [{"key": f"_{kind}/{name}", "error": "not_found"} for name in expected]


_ids = st.text("abc", max_size=2)


@given(
    st.lists(_ids, unique=True),
    st.none() | _ids,
    st.none() | _ids,
    st.booleans(),
    st.booleans(),
)
def test_covers_says_what_a_range_says(
    names: list[str], start: str | None, end: str | None, descending: bool, inclusive: bool
) -> None:
    body: dict[str, Any] = {"descending": descending, "inclusive_end": inclusive}
    body.update({name: key for name, key in (("startkey", start), ("endkey", end)) if key is not None})
    asked = options.from_body(body, Query([]))
    for name in names:
        after_start = start is None or (name <= start if descending else name >= start)
        before_end = end is None or (name >= end if descending else name <= end)
        assert asked.covers(name) == (after_start and before_end and (inclusive or name != end))


async def find(wire: Wire, **query: Any) -> Any:
    answer = await wire("POST", "/db/_find", query)
    return answer.json if answer.status == 200 else (answer.status, answer.json["error"], answer.json["reason"])


async def test_find(wire: Wire) -> None:
    found = await find(wire, selector={"kind": "even"}, fields=["_id", "n"])
    assert found["docs"] == [{"_id": "d0", "n": 0}, {"_id": "d2", "n": 2}, {"_id": "d4", "n": 4}]
    assert found["warning"]
    found = await find(
        wire, selector={"_id": {"$gt": "d0"}}, sort=[{"_id": "desc"}], limit=3, skip=1, execution_stats=True
    )
    assert [doc["_id"] for doc in found["docs"]] == ["d3", "d2", "d1"]
    assert found["execution_stats"]["total_docs_examined"] == 4
    assert (await find(wire, selector={"n": 99}))["docs"] == []
    assert (await find(wire, selector={}, limit=0))["docs"] == []
    assert await find(wire, selector={"$or": []}) == {"docs": []}


@pytest.mark.parametrize("sort", [[], ["_id"], [{"_id": "desc"}]])
async def test_bookmarks_lead_through_all_pages(wire: Wire, sort: list[Any]) -> None:
    selector = {"_id": {"$gt": None}}
    everything = [doc["_id"] for doc in (await find(wire, selector=selector, sort=sort))["docs"]]
    assert everything == ["d0", "d1", "d2", "d3", "d4"][:: -1 if sort == [{"_id": "desc"}] else 1]
    seen: list[str] = []
    bookmark = ""
    while docs := (page := await find(wire, selector=selector, sort=sort, limit=2, bookmark=bookmark))["docs"]:
        seen += [doc["_id"] for doc in docs]
        bookmark = page["bookmark"]
    assert seen == everything


UNSORTABLE = (400, "no_usable_index", "No index exists for this sort, try indexing by the sort fields.")


@pytest.mark.parametrize("sort", [["n"], ["_id", "n"], ["n", "_id"], ["_id", "_id"], [{"_rev": "desc"}]])
async def test_without_an_index_there_is_no_sorting(wire: Wire, sort: list[Any]) -> None:
    assert await find(wire, selector={"_id": {"$gt": None}, "n": {"$gt": 0}}, sort=sort) == UNSORTABLE


@pytest.mark.parametrize(
    "selector",
    [
        *({}, {"n": {"$gt": 0}}, {"u": {"$lt": None}}, {"_id": {"$ne": "d1"}}, {"_id": {"$in": ["d1"]}}),
        *({"_id": {"$regex": "d"}}, {"_id": {"x": 1}}, {"$or": []}, {"$or": [{"_id": "d1"}]}),
    ],
)
async def test_sorting_by_id_needs_a_range_of_ids(wire: Wire, selector: dict[str, Any]) -> None:
    assert await find(wire, selector=selector, sort=["_id"]) == UNSORTABLE
    assert await find(wire, selector=selector, sort=[{"_id": "desc"}]) == UNSORTABLE


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ({"_id": "d1"}, ["d1"]),
        ({"_id": {}}, []),
        ({"_id": {"$gt": "d1", "$ne": "d3"}}, ["d2", "d4"]),
        ({"_id": {"$exists": True}, "n": {"$gt": 2}}, ["d3", "d4"]),
        ({"_id": {"$beginsWith": "d"}, "kind": "odd"}, ["d1", "d3"]),
        ({"_id": {"$not": {"$lt": "d3"}}}, ["d3", "d4"]),
        ({"$and": [{"$and": [{"_id": {"$lte": "d1"}}]}]}, ["d0", "d1"]),
        ({"$nor": [{"_id": {"$gt": "d1"}}, {"n": 0}]}, ["d1"]),
    ],
)
async def test_a_range_of_ids_can_be_sorted_by_id(wire: Wire, selector: dict[str, Any], found: list[str]) -> None:
    up = await find(wire, selector=selector, sort=["_id"])
    down = await find(wire, selector=selector, sort=[{"_id": "desc"}])
    assert [doc["_id"] for doc in up["docs"]] == found
    assert [doc["_id"] for doc in down["docs"]] == found[::-1]


async def test_mistakes_in_find(wire: Wire) -> None:
    assert await find(wire) == (400, "missing_required_key", "Missing required key: selector")
    assert await find(wire, selector={}, foo=1) == (400, "invalid_key", "Invalid key foo for this request.")
    number = "<<120>> is not an integer greater than or equal to zero"
    assert await find(wire, selector={}, limit="x") == (400, "invalid_non_neg_integer", number)
    fields = "Fields must be an array of strings, not: <<120>>"
    assert await find(wire, selector={}, fields="x") == (400, "invalid_fields", fields)
    assert (await find(wire, selector={}, fields="all_fields"))[:2] == (400, "invalid_fields")
    assert (await find(wire, selector={}, bookmark="nil"))[:2] == (400, "invalid_bookmark")
    assert await find(wire, selector={}, bookmark="xx") == (400, "invalid_bookmark", 'Invalid bookmark value: "xx"')
    assert (await find(wire, selector={"$foo": 1}))[:2] == (400, "invalid_operator")
    assert (await wire("GET", "/db/_index")).json["indexes"][0]["name"] == "_all_docs"


def no_boolean(term: str) -> tuple[int, str, str]:
    return 400, "invalid_boolean", f"Invalid boolean value: {term}"


def not_positive(term: str) -> tuple[int, str, str]:
    return 400, "invalid_pos_integer", f"{term} is not an integer greater than zero"


def no_index(term: str) -> tuple[int, str, str]:
    return 400, "invalid_index_name", f"Invalid index name: {term}"


def unsuitable(name: str) -> tuple[int, str, str]:
    reason = f"_design/{name} specified by `use_index` could not be found or it is not suitable."
    return 400, "invalid_index", reason


NO_FALLBACK = (400, "invalid_index", "You must specify an index with the `use_index` parameter.")
NO_PARTITION = (400, "illegal_partition", "Partition must be a string")
UNPARTITIONED = (400, "query_parse_error", "`partition` parameter is not supported on this db")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"conflicts": 1}, no_boolean("1")),
        ({"execution_stats": "true"}, no_boolean("<<116,114,117,101>>")),
        ({"update": None}, no_boolean("null")),
        ({"stable": []}, no_boolean("[]")),
        ({"allow_fallback": {}}, no_boolean("{[]}")),
        ({"r": 0}, not_positive("0")),
        ({"r": True}, not_positive("true")),
        ({"r": 1.5}, not_positive("1.5")),
        ({"r": [{"a": "x"}, True]}, not_positive("[{[{<<97>>,<<120>>}]},true]")),
        ({"use_index": 1}, no_index("1")),
        ({"use_index": ["a", "b", "c"]}, no_index("[<<97>>,<<98>>,<<99>>]")),
        ({"use_index": "a/b/c"}, no_index("<<97,47,98,47,99>>")),
        ({"fields": ["a", 1]}, (400, "invalid_field", "Invalid JSON for field spec: 1")),
        ({"partition": 1}, NO_PARTITION),
        ({"partition": "x"}, UNPARTITIONED),
        ({"allow_fallback": False}, NO_FALLBACK),
        ({"allow_fallback": False, "use_index": []}, NO_FALLBACK),
        ({"allow_fallback": False, "use_index": "foo"}, unsuitable("foo")),
        ({"allow_fallback": False, "use_index": "_design/foo/bar"}, unsuitable("foo, bar")),
        ({"allow_fallback": False, "use_index": ["_design/foo", "bar"]}, unsuitable("foo, bar")),
        # of several mistakes the first in CouchDB's order is told
        ({"conflicts": 1, "r": "1", "foo": 1}, not_positive("<<49>>")),
        ({"sort": ["n"], "foo": 1}, (400, "invalid_key", "Invalid key foo for this request.")),
        ({"sort": ["n"], "bookmark": "x", "partition": "x", "allow_fallback": False}, UNSORTABLE),
        ({"selector": {"a": {"$foo": 1}}, "fields": 1}, (400, "invalid_operator", "Invalid operator: $foo")),
    ],
)
async def test_members_of_find_are_checked(wire: Wire, body: dict[str, Any], error: tuple[int, str, str]) -> None:
    assert await find(wire, **{"selector": {"n": 1}, **body}) == error


async def test_a_query_without_selector_is_told_so_first(wire: Wire) -> None:
    assert await find(wire, foo=1, r="y") == (400, "missing_required_key", "Missing required key: selector")


@pytest.mark.parametrize("body", [{"stale": 1}, {"stale": "OK"}, {"bookmark": 1}, {"bookmark": {}}])
async def test_what_couchdb_fails_at_is_refused(wire: Wire, body: dict[str, Any]) -> None:
    assert (await find(wire, selector={}, **body))[0] == 400


@pytest.mark.parametrize(
    ("index", "said"),
    [
        (None, ""),
        ("foo", "_design/foo was not used because it does not contain a valid index for this query.\n"),
        (["_design/foo", "bar"], "_design/foo, bar was not used because it is not a valid index for this query.\n"),
    ],
)
async def test_an_index_that_is_not_there_is_warned_of(wire: Wire, index: Any, said: str) -> None:
    found = await find(wire, selector={"n": 1}, use_index=index, partition="", r=2, stale="ok", allow_fallback=True)
    assert [doc["_id"] for doc in found["docs"]] == ["d1"]
    assert found["warning"] == said + "No matching index found, create an index to optimize query time."
