"""What is stored of a document: by all of its leaves, and by what came and went since somebody looked."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.audience import Audience as AudienceFilter
from proxy.config.model import Source
from proxy.core import jsonio
from proxy.core.audience import EVERYBODY, Audience, audience_of
from proxy.core.lens import Chain, Link
from proxy.errors import Unavailable
from proxy.feeds.index import Entry, Known, join_leaves
from proxy.feeds.looks import Change, Looks, changes, stored_keys
from proxy.sizes import AT_ONCE
from proxy.upstream import Upstream
from tests.reading.couch import Couch, rev, revision, serving
from tests.reading.served import profile, view_of


def audience(expression: str) -> Audience:
    found = audience_of(Chain([Link("audience", AudienceFilter(keys=[expression], client=["name"]))]), [expression])
    assert found is not None
    return found


OWNER, WARD = audience("owner"), audience("ward")


def keys(owner: str | None = None, ward: str | None = None) -> frozenset[int]:
    return stored_keys(OWNER, [owner] if owner else []) | stored_keys(WARD, [ward] if ward else [])


ALL = keys(EVERYBODY, EVERYBODY)


@asynccontextmanager
async def looking(couch: Couch, *audiences: Audience) -> AsyncIterator[Looks]:
    async with serving(couch):
        upstream = Upstream(Source("main", couch.url), timeout=5.0)
        yield Looks(view_of(couch.url, upstream, profile()), audiences or (OWNER, WARD))
        upstream.close()


def change(couch: Couch, doc_id: str) -> Change:
    """A document's row."""
    leaves = couch.leaves(doc_id)
    text = join_leaves([(leaf["_rev"], "_deleted" in leaf) for leaf in leaves])
    return Change(doc_id, text, 1, [leaf["_rev"] for leaf in leaves])


async def entries(couch: Couch, *doc_ids: str, known: dict[str, Known] | None = None) -> dict[str, Entry]:
    async with looking(couch) as looks:
        found = await looks.entries([change(couch, doc_id) for doc_id in doc_ids], known or {})
    assert [entry.doc_id for entry in found] == list(doc_ids)
    return {entry.doc_id: entry for entry in found}


async def test_a_document_is_under_the_keys_of_all_its_leaves_for_all_profiles() -> None:
    couch = Couch(
        [
            revision("one", "a", owner="ann", ward="w1"),
            revision("two", "a", owner="ann"),
            revision("two", "b", owner="bob", ward="w2"),
            revision("gone", "a", owner="ann", _deleted=True),
            revision("nobody's", "a"),
            revision("_design/d", "a", owner="ann"),
        ]
    )
    found = await entries(couch, "one", "two", "gone", "nobody's", "_design/d")
    assert {doc_id: entry.keys for doc_id, entry in found.items()} == {
        "one": keys("ann", "w1"),
        "two": keys("ann", "w2") | keys("bob"),
        "gone": keys("ann"),
        "nobody's": frozenset(),
        "_design/d": ALL,
    }
    assert not any(entry.earlier for entry in found.values())


async def test_what_cannot_be_read_may_be_anybodys() -> None:
    couch = Couch([revision("whole", "a", owner="ann"), revision("part", "a", owner="ann")])
    async with looking(couch) as looks:
        wanted = Change("part", f"{rev(1, 'a')} {rev(1, 'c')}", 2, [rev(1, "a"), rev(1, "c")])
        whole, part = await looks.entries([change(couch, "whole"), wanted], {})
    assert (whole.keys, part.keys) == (keys("ann"), keys("ann") | ALL)
    assert (part.leaves, part.seq) == (wanted.leaves, 2)


async def test_what_came_and_went_is_looked_at_down_to_what_is_known() -> None:
    owners = {"a": "ann", "ba": "bob", "cba": "eva"}
    earlier = [revision("d", path, owner=owner) for path, owner in owners.items()]
    couch = Couch([*earlier, revision("d", "dcba", owner="dan", ward="w1")])
    known = {"d": Known(rev(2, "b"), keys("bob"))}
    assert (await entries(couch, "d"))["d"].earlier == keys("ann") | keys("bob") | keys("eva")
    assert (await entries(couch, "d", known=known))["d"].earlier == keys("eva")
    assert (await entries(couch, "d"))["d"].keys == keys("dan", "w1")
    # a body that is not kept is passed over
    couch.docs["d"] = [doc for doc in couch.docs["d"] if doc["_rev"] != rev(2, "b")]
    assert (await entries(couch, "d"))["d"].earlier == keys("ann") | keys("eva")


async def test_of_each_revision_it_is_kept_what_decides_whom_it_is_shown_to() -> None:
    deleted = revision("d", "cba", owner="dan", text="not this", _deleted=True)
    couch = Couch([revision("d", "a", owner="ann"), revision("d", "ba", ward="w1", text="not this"), deleted])
    found = (await entries(couch, "d", known={"d": Known(rev(1, "a"), keys("ann"))}))["d"]
    assert [(trace.rev, jsonio.loads(trace.text), list(trace.ancestors)) for trace in found.traces] == [
        (rev(3, "c"), {"_deleted": True, "owner": "dan"}, [rev(2, "b"), rev(1, "a")]),
        (rev(2, "b"), {"ward": "w1"}, [rev(1, "a")]),
    ]
    couch = Couch([revision("large", "a", owner="x" * 2**17)])
    assert (await entries(couch, "large"))["large"].traces == []


async def test_bodies_are_asked_for_in_requests_of_a_size() -> None:
    docs = [revision(f"d{number}", "a", owner=f"u{number}") for number in range(2 * AT_ONCE + 1)]
    couch = Couch(docs)
    found = await entries(couch, *(doc["_id"] for doc in docs))
    assert all(found[f"d{number}"].keys == keys(f"u{number}") for number in range(len(docs)))
    _, first, *others = [len(body["docs"]) for _, _, body in couch.requests]
    assert 1 < first < AT_ONCE  # nobody knows how large they are
    assert others == [AT_ONCE, AT_ONCE + 1 - first]


async def test_few_large_bodies_are_asked_for_at_once() -> None:
    docs = [revision(f"d{number}", "a", owner="ann", text="x" * 2**18) for number in range(40)]
    couch = Couch(docs)
    found = await entries(couch, *(doc["_id"] for doc in docs))
    assert {entry.keys for entry in found.values()} == {keys("ann")}
    _, first, *others = [len(body["docs"]) for _, _, body in couch.requests]
    assert first == 16  # nobody knows how large they are: it is given up
    assert sum(others) == len(docs)
    assert max(others) <= 4


async def test_without_an_audience_no_document_is_read() -> None:
    couch = Couch([revision("d", "a")])
    async with looking(couch) as looks:
        nobody = Looks(looks._place, [])
        assert await nobody.entries([change(couch, "d")], {}) == [Entry("d", rev(1, "a"), 1, frozenset())]
        assert nobody.traced == ["_deleted"]
    assert couch.requests == []


async def arriving(batches: list[list[Any]]) -> AsyncGenerator[list[Any], None]:
    for batch in batches:
        yield batch


def row(number: int, *more: str, deleted: bool = False) -> dict[str, Any]:
    found = {"seq": number, "id": f"d{number}", "changes": [{"rev": each} for each in ("3-c", *more)]}
    return {**found, "deleted": True} if deleted else found


@given(st.lists(st.integers(0, 3 * AT_ONCE), max_size=6))
async def test_rows_are_looked_at_together_however_they_arrive(sizes: list[int]) -> None:
    rows = [row(number) for number in range(sum(sizes))]
    starts = [sum(sizes[:place]) for place in range(len(sizes))]
    batches = [rows[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    found = [part async for part in changes(arriving(batches))]
    assert [each.seq for part in found for each in part] == list(range(len(rows)))
    assert all(len(part) == AT_ONCE for part in found[:-1])
    assert all(0 < len(part) <= AT_ONCE for part in found)


async def test_the_winner_is_the_first_leaf_and_the_only_one_that_may_be_deleted() -> None:
    rows = [row(1), row(2, "3-b", "3-a"), row(3, deleted=True), row(4, "2-b", "2-a", deleted=True)]
    [found] = [part async for part in changes(arriving([rows]))]
    assert [each.leaves for each in found] == ["3-c", "3-c 3-a 3-b", "3-c!", "3-c! 2-a 2-b"]
    assert [each.revs for each in found][3] == ["3-c", "2-b", "2-a"]


BROKEN: list[Any] = [
    None,
    [],
    "row",
    {},
    {**row(1), "id": 7},
    {**row(1), "changes": []},
    {**row(1), "changes": None},
    {**row(1), "changes": [{}]},
    {**row(1), "changes": [{"rev": 3}]},
    {"id": "d", "changes": [{"rev": "1-a"}]},
]


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_row_of_another_form_is_a_source_that_is_down(broken: Any) -> None:
    with pytest.raises(Unavailable, match="not of CouchDB's form"):
        await anext(changes(arriving([[row(0), broken]])))
