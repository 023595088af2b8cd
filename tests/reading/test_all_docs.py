"""`_all_docs`: which rows a view shows, how they are counted, and CouchDB's layout."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client, Filter
from proxy.core.endpoints import Kind
from proxy.core.query import Query
from proxy.errors import BadRequest
from proxy.reading import scan
from proxy.reading.all_docs import get_all_docs, get_design_docs, post_queries
from proxy.reading.listing import ListEncoder, ListOptions, parse_list_options
from tests.reading.couch import Couch, Doc, rev, revision, serving
from tests.reading.served import OWN, PLAIN, Front, Handlers, chain, front, profile

LIST = "/db-phone/_all_docs"
HANDLERS: Handlers = {
    Kind.ALL_DOCS: get_all_docs,
    Kind.ALL_DOCS_QUERIES: post_queries,
    Kind.DESIGN_DOCS: get_design_docs,
}
DOCS = [
    revision("_design/app", "a", views={}),
    revision("both", "ba", owner="ann", v="left"),
    revision("both", "dca", owner="ann", v="right"),
    revision("deleted", "a", owner="ann"),
    revision("deleted", "ba", _deleted=True),
    revision("left", "a", owner="ann"),
    revision("left", "ba", owner="bob"),
    # the source's winner is bob's, ann's branch is her winner
    revision("mixed", "ba", owner="ann", v="left", ssn="s"),
    revision("mixed", "dca", owner="bob", v="right"),
    revision("other", "a", owner="bob"),
    revision("plain", "a", owner="ann", ssn="s", v=1),
    # the winner is visible, its rival is not
    revision("rival", "ba", owner="bob"),
    revision("rival", "dca", owner="ann"),
    revision(
        "with",
        "a",
        owner="ann",
        _attachments={"a.bin": {"content_type": "x/y", "revpos": 1, "digest": "d", "length": 3, "stub": True}},
    ),
]
VISIBLE = {"both": rev(3, "d"), "mixed": rev(2, "b"), "plain": rev(1, "a"), "rival": rev(3, "d"), "with": rev(1, "a")}


@pytest.fixture
async def couch() -> AsyncIterator[Couch]:
    async with serving(Couch(DOCS)) as couch:
        couch.bodies["with", "a.bin"] = b"\0\1\2"
        yield couch


@pytest.fixture
async def ann(couch: Couch) -> AsyncIterator[Front]:
    async with front(couch, HANDLERS) as ann:
        yield ann


def query(**options: Any) -> str:
    return f"{LIST}?" + urlencode({name: json.dumps(value) for name, value in options.items()})


def row(doc_id: str, name: str) -> Doc:
    return {"id": doc_id, "key": doc_id, "value": {"rev": name}}


def deleted_row(doc_id: str, name: str) -> Doc:
    return {"id": doc_id, "key": doc_id, "value": {"rev": name, "deleted": True}}


def absent(key: Any) -> Doc:
    return {"key": key, "error": "not_found"}


async def test_a_list_has_the_documents_that_the_view_shows(ann: Front) -> None:
    found = await ann.json("GET", LIST)
    assert found == {"total_rows": None, "offset": None, "rows": [row(*item) for item in VISIBLE.items()]}


async def test_the_layout_is_couchdbs(ann: Front) -> None:
    status, text, headers = await ann.raw("GET", query(startkey="mixed", endkey="plain"))
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert text == (
        b'{"total_rows":null,"offset":null,"rows":[\r\n'
        b'{"id":"mixed","key":"mixed","value":{"rev":"2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"}},\r\n'
        b'{"id":"plain","key":"plain","value":{"rev":"1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}\r\n]}\n'
    )
    assert (await ann.raw("GET", query(limit=0)))[1] == b'{"total_rows":null,"offset":null,"rows":[\r\n\r\n]}\n'
    status, text, _ = await ann.raw("HEAD", LIST)
    assert (status, text) == (200, b"")


async def test_documents_are_shaped(ann: Front) -> None:
    found = await ann.json("GET", query(include_docs=True))
    docs = {each["id"]: each["doc"] for each in found["rows"]}
    assert docs["plain"] == {"_id": "plain", "_rev": rev(1, "a"), "owner": "ann", "v": 1}
    assert docs["mixed"] == {"_id": "mixed", "_rev": rev(2, "b"), "owner": "ann", "v": "left"}
    assert not any("_conflicts" in doc for doc in docs.values())


async def test_conflicts_are_visible_leaves(ann: Front) -> None:
    found = await ann.json("GET", query(include_docs=True, conflicts=True))
    conflicts = {each["id"]: each["doc"].get("_conflicts") for each in found["rows"]}
    assert conflicts == {"both": [rev(2, "b")], "mixed": None, "plain": None, "rival": None, "with": None}


async def test_attachments_are_inlined(ann: Front) -> None:
    found = await ann.json("GET", query(include_docs=True, attachments=True))
    docs = {each["id"]: each["doc"] for each in found["rows"]}
    assert list(docs) == list(VISIBLE)
    assert docs["with"]["_attachments"]["a.bin"]["data"] == base64.b64encode(b"\0\1\2").decode()


async def test_keys_have_a_row_each(ann: Front) -> None:
    keys = ["plain", "nosuch", "other", "deleted", "left", "mixed", 1, None, "", "_design/app", "plain"]
    graft = ann.view.grafts.departure("left", rev(1, "a"))
    expected = [
        row("plain", rev(1, "a")),
        absent("nosuch"),
        absent("other"),
        deleted_row("deleted", rev(2, "b")),
        deleted_row("left", graft),
        row("mixed", rev(2, "b")),
        absent(1),
        absent(None),
        absent(""),
        absent("_design/app"),
        row("plain", rev(1, "a")),
    ]
    for found in (await ann.json("POST", LIST, {"keys": keys}), await ann.json("GET", query(keys=keys))):
        assert found == {"total_rows": None, "offset": None, "rows": expected}
    with_docs = (await ann.json("POST", query(include_docs=True), {"keys": keys}))["rows"]
    assert [each["doc"] for each in with_docs if "value" in each and each["value"].get("deleted")] == [None, None]
    assert with_docs[0]["doc"]["v"] == 1
    part = await ann.json("POST", query(skip=1, limit=2, descending=True), {"keys": keys})
    assert part["rows"] == expected[::-1][1:3]
    assert (await ann.json("POST", LIST, {"keys": []}))["rows"] == []


async def test_a_view_that_hides_nothing_leaves_counting_to_the_source(couch: Couch) -> None:
    async with front(couch, HANDLERS, profile(PLAIN, design_docs=True)) as ann:
        found = await ann.json("GET", query(limit=2, skip=1))
        assert found == {"total_rows": 8, "offset": 1, "rows": [row("both", rev(3, "d")), row("left", rev(2, "b"))]}
        assert couch.requests == [("GET", "/db/_all_docs?limit=2&skip=1", None)]
        docs = await ann.json("GET", query(limit=2, skip=4, include_docs=True, conflicts=True))
        assert [each["doc"] for each in docs["rows"]] == [
            {"_id": "other", "_rev": rev(1, "a"), "owner": "bob"},
            {"_id": "plain", "_rev": rev(1, "a"), "owner": "ann", "v": 1},
        ]
        keyed = await ann.json("POST", LIST, {"keys": ["deleted", "nosuch", "_design/app"]})
        assert keyed == {
            "total_rows": 8,
            "offset": None,
            "rows": [deleted_row("deleted", rev(2, "b")), absent("nosuch"), row("_design/app", rev(1, "a"))],
        }


async def test_update_seq_is_a_token(ann: Front, couch: Couch) -> None:
    found = await ann.json("GET", query(update_seq=True, limit=1))
    assert list(found) == ["total_rows", "offset", "update_seq", "rows"]
    assert ann.view.tokens.decode(found["update_seq"]) == "55-g1AAAACbeJz"


async def test_queries_are_answered_one_after_the_other(ann: Front) -> None:
    asked = {"queries": [{"keys": ["plain", "no"]}, {"limit": 1, "descending": True}, {"include_docs": False}]}
    status, text, _ = await ann.raw("POST", f"{LIST}/queries?limit=2&skip=1&include_docs=true", asked)
    assert status == 200
    assert text.startswith(b'{"results":[\r\n{"total_rows":null,')
    assert text.endswith(b"\r\n]}\r\n]}\n")
    first, second, third = json.loads(text)["results"]
    assert first["rows"] == [absent("no")]
    assert [each["doc"]["_id"] for each in second["rows"]] == ["rival"]
    assert third["rows"] == [row("mixed", rev(2, "b")), row("plain", rev(1, "a"))]
    assert (await ann.raw("POST", f"{LIST}/queries", {"queries": []}))[1] == b'{"results":[\r\n]}\n'
    for body, reason in (
        ({}, "POST body must include `queries` parameter."),
        ({"queries": 1}, "`queries` member must be an array."),
        ({"queries": [1]}, "`queries` member must be an array."),
    ):
        assert await ann.error("POST", f"{LIST}/queries", body) == (400, "bad_request", reason)


async def test_profiles_decide_whether_there_are_lists(couch: Couch) -> None:
    async with front(couch, HANDLERS, profile(OWN, all_docs=False, design_docs=True)) as ann:
        for path in (LIST, "/db-phone/_design_docs"):
            assert (await ann.error("GET", path))[:2] == (403, "forbidden")
        assert (await ann.error("POST", f"{LIST}/queries", {"queries": []}))[0] == 403
    assert couch.requests == []


async def test_design_documents_are_listed_where_they_are_readable(ann: Front, couch: Couch) -> None:
    assert (await ann.error("GET", "/db-phone/_design_docs"))[:2] == (403, "forbidden")

    async def designs(request: web.BaseRequest) -> web.StreamResponse:
        rows = [couch.row("_design/app", couch.leaves("_design/app")[0], request.query)]
        return couch.listing(rows, request.query, 1, keyed=request.method == "POST")

    couch.instead["/db/_design_docs"] = designs
    expected = {"total_rows": 1, "offset": 0, "rows": [row("_design/app", rev(1, "a"))]}
    async with front(couch, HANDLERS, profile(OWN, design_docs=True)) as reader:
        assert await reader.json("GET", "/db-phone/_design_docs") == expected
        keyed = await reader.json("POST", "/db-phone/_design_docs", {"keys": ["plain", "_design/app", "_design/x"]})
        assert keyed["rows"] == [row("_design/app", rev(1, "a")), absent("_design/x")]
        assert "_design/app" in [each["id"] for each in (await reader.json("GET", LIST))["rows"]]


async def test_a_filter_that_raises_withholds_the_row(couch: Couch) -> None:
    class Fragile(Filter):
        passes_all = True

        def shape(self, doc: Doc, client: Client) -> Doc | None:
            if doc["_id"] == "plain":
                raise ValueError("no")
            return doc

    for design_docs in (True, False):
        async with front(couch, HANDLERS, profile(chain(Fragile()), design_docs=design_docs)) as ann:
            ids = [each["id"] for each in (await ann.json("GET", query(include_docs=True)))["rows"]]
            assert "plain" not in ids
            assert "other" in ids
            keyed = await ann.json("POST", query(include_docs=True), {"keys": ["plain"]})
            assert keyed["rows"] == [absent("plain")]


# ---- paging


@pytest.mark.parametrize("page", [1, 2, 3, 1000])
@pytest.mark.parametrize("descending", [False, True])
async def test_pages_of_the_source_do_not_show(
    couch: Couch, monkeypatch: pytest.MonkeyPatch, page: int, descending: bool
) -> None:
    monkeypatch.setattr(scan, "PAGE", page)
    monkeypatch.setattr(scan, "_FIRST_PAGE", 1)
    expected = sorted(VISIBLE, reverse=descending)
    async with front(couch, HANDLERS) as ann:
        for skip in range(len(expected) + 2):
            for limit in (None, 0, 1, 2, 10):
                options: dict[str, Any] = {"skip": skip, "descending": descending}
                if limit is not None:
                    options["limit"] = limit
                found = await ann.json("GET", query(**options))
                last = None if limit is None else skip + limit
                assert [each["id"] for each in found["rows"]] == expected[skip:last]


async def test_a_row_that_goes_between_two_pages_is_not_replaced_by_another(
    couch: Couch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "PAGE", 2)
    couch.docs = {f"d{i}": [revision(f"d{i}", "a", owner="ann")] for i in range(6)}

    async def shrinking(request: web.BaseRequest) -> web.StreamResponse:
        answer = couch.do_all_docs(request, None)
        couch.docs.pop("d1", None)
        return answer

    couch.instead["/db/_all_docs"] = shrinking
    async with front(couch, HANDLERS) as ann:
        found = await ann.json("GET", query(limit=10))
    assert [each["id"] for each in found["rows"]] == ["d0", "d1", "d2", "d3", "d4", "d5"]


async def test_a_source_that_ignores_startkey_is_not_asked_for_ever(
    couch: Couch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "PAGE", 1)

    async def stuck(request: web.BaseRequest) -> web.StreamResponse:
        return couch.listing([couch.row("plain", couch.leaves("plain")[0], request.query)] * 2, {"limit": 2}, 2)

    couch.instead["/db/_all_docs"] = stuck
    async with front(couch, HANDLERS) as ann:
        assert (await ann.error("GET", query(limit=10)))[0] == 502


async def test_without_a_limit_the_source_is_asked_once(couch: Couch) -> None:
    async with front(couch, HANDLERS) as ann:
        found = await ann.json("GET", query(include_docs=True, skip=1))
    assert [each["id"] for each in found["rows"]] == sorted(VISIBLE)[1:]
    assert [path for _, path, _ in couch.requests if "_all_docs" in path] == [
        "/db/_all_docs?include_docs=true&conflicts=true"
    ]


async def test_a_source_that_breaks_off_breaks_the_clients_connection() -> None:
    docs = [revision(f"d{i:05}", "a", owner="ann", text="x" * 500) for i in range(3000)]
    async with serving(Couch(docs)) as couch, front(couch, HANDLERS) as ann:

        async def cut(request: web.BaseRequest) -> web.StreamResponse:
            whole = couch.do_all_docs(request, None)
            assert isinstance(whole, web.Response)
            assert isinstance(whole.body, bytes)
            response = web.StreamResponse(headers={"Content-Length": str(len(whole.body))})
            await response.prepare(request)
            await response.write(whole.body[: len(whole.body) // 2])
            assert request.transport is not None
            request.transport.close()
            return response

        couch.instead["/db/_all_docs"] = cut
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
            await ann.raw("GET", query(include_docs=True))


@pytest.mark.parametrize("text", [b"[]", b'{"rows":[1]}', b'{"rows":[{"key":"x","doc":1}]}', b'{"rows":[', b"{}"])
async def test_a_source_that_lies_is_as_good_as_down(ann: Front, couch: Couch, text: bytes) -> None:
    async def lie(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=text)

    couch.instead["/db/_all_docs"] = lie
    assert (await ann.error("GET", LIST))[0] == 502


async def test_errors_of_the_source_are_passed_on(ann: Front, couch: Couch) -> None:
    async def refuse(request: web.BaseRequest) -> web.StreamResponse:
        return couch.json({"error": "unauthorized", "reason": "No."}, 401)

    couch.instead["/db/_all_docs"] = refuse
    assert await ann.error("GET", LIST) == (401, "unauthorized", "No.")


# ---- options


INCOMPATIBLE = "`keys` is incompatible with `key`, `start_key` and `end_key`"


@pytest.mark.parametrize(
    ("pairs", "error", "reason"),
    [
        ({"limit": "x"}, "query_parse_error", 'Invalid value for integer: "x"'),
        ({"limit": "-1"}, "query_parse_error", 'Invalid value for positive integer: "-1"'),
        ({"skip": "1.5"}, "query_parse_error", 'Invalid value for integer: "1.5"'),
        ({"include_docs": "1"}, "query_parse_error", 'Invalid boolean parameter: "1"'),
        ({"startkey": "x"}, "bad_request", "invalid UTF-8 JSON"),
        ({"keys": "1"}, "bad_request", "`keys` parameter must be an array."),
        ({"keys": '["a","b"]', "key": '"a"'}, "query_parse_error", INCOMPATIBLE),
        ({"keys": '["a","b"]', "startkey": '"a"'}, "query_parse_error", INCOMPATIBLE),
        ({"end_key": "null", "keys": '["a","b"]'}, "query_parse_error", INCOMPATIBLE),
        ({"keys": '["a"]', "endkey": '"b"'}, "query_parse_error", INCOMPATIBLE),
    ],
)
def test_options_are_refused_in_couchdbs_words(pairs: dict[str, str], error: str, reason: str) -> None:
    with pytest.raises(BadRequest) as refused:
        parse_list_options(Query(list(pairs.items())))
    assert (refused.value.error, refused.value.reason) == (error, reason)


def test_a_bodys_options_are_refused_as_well() -> None:
    bodies: list[dict[str, Any]] = [{"limit": "1"}, {"limit": True}, {"limit": -1}, {"include_docs": 1}, {"keys": {}}]
    for body in bodies:
        with pytest.raises(BadRequest):
            parse_list_options(Query([]), body)
    for body in ({"keys": ["a"]}, {"keys": ["a", "b"]}):
        with pytest.raises(BadRequest, match="incompatible"):
            parse_list_options(Query([("startkey", '"c"')]), body)


@pytest.mark.parametrize(
    ("pairs", "keys"),
    [
        ([("keys", "[]"), ("startkey", '"a"')], []),
        ([("keys", '["a"]'), ("key", '"a"')], ["a"]),
        ([("startkey", '"b"'), ("keys", '["a"]')], ["a"]),
        ([("keys", '["a","b"]'), ("inclusive_end", "false"), ("startkey_docid", "c")], ["a", "b"]),
    ],
)
def test_keys_beside_what_says_the_same_or_nothing(pairs: list[tuple[str, str]], keys: list[str]) -> None:
    options = parse_list_options(Query(pairs))
    assert (options.keys, options.has_start, options.has_end) == (keys, False, False)


def test_options_by_all_their_names() -> None:
    options = parse_list_options(
        Query([("start_key", '"a"'), ("end_key", "null"), ("INCLUDE_DOCS", "true"), ("descending", "TRUE")]),
        {"startkey": "b", "limit": 3, "conflicts": "true", "unknown": 1},
    )
    assert options == ListOptions(
        start="a", has_start=True, end=None, has_end=True, descending=True, limit=3, conflicts=True
    )
    assert parse_list_options(Query([("key", "1"), ("key", "2"), ("startkey", "3")])) == ListOptions(
        start=3, end=2, has_start=True, has_end=True
    )
    assert parse_list_options(Query([("limit", "9" * 30)])).limit == 2**63 - 1


@given(st.lists(st.lists(st.binary(min_size=1, max_size=3), max_size=3), max_size=4))
@settings(max_examples=50)
def test_rows_are_joined_however_they_come(batches: list[list[bytes]]) -> None:
    encoder = ListEncoder()
    text = b"".join(map(encoder.rows, batches))
    assert text == b",\r\n".join(row for batch in batches for row in batch)


@given(st.lists(st.integers(0, 5), max_size=9), st.permutations(range(6)), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
async def test_rows_by_key_are_given_as_soon_as_they_are_known(
    chosen: list[int], order: Sequence[int], size: int
) -> None:
    """In the order of the keys, whatever order the source gives them in; none is held that could be given."""
    async with serving(Couch([])) as couch, front(couch, HANDLERS) as ann:
        keys: list[Any] = [None, *(f"d{number}" for number in chosen), "no"]
        listing = scan.Scan(ann.view, ListOptions(keys=keys, include_docs=True))
        given_ids = [f"d{number}" for number in order if number in chosen]
        known: set[str] = set()

        async def read(*_: Any) -> AsyncGenerator[list[Any], None]:
            for start in range(0, len(given_ids), size):
                some = given_ids[start : start + size]
                known.update(some)
                docs = [revision(doc_id, "a", owner="ann") for doc_id in some]
                yield [{"key": doc["_id"], "id": doc["_id"], "doc": doc} for doc in docs]

        listing._read = read  # type: ignore[assignment,method-assign]
        listed: list[Any] = []
        async for rows in listing.batches():
            listed += [row.key for row in rows]
            assert len(listed) == len(keys) or keys[len(listed)] not in known
        assert listed == keys
