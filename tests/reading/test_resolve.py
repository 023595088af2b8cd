"""What a view shows of a document's leaves."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings

from proxy.config.model import Source
from proxy.fetch import fetch_leaves
from proxy.resolve import judge
from proxy.upstream import Upstream
from tests.reading.couch import Couch, rev, revision, serving
from tests.reading.served import profile, view_of
from tests.reading.test_bulk_get import grow, trees


@given(trees)
@settings(max_examples=60, deadline=None)
async def test_the_order_of_the_leaves_does_not_matter(steps: list[tuple[str, bool, int]]) -> None:
    async with serving(Couch(grow("d", steps))) as couch:
        await _is_the_same_in_any_order(couch)


async def test_a_graft_is_superseded_by_a_tombstone_that_descends_from_its_parent() -> None:
    docs = [
        revision("d", "a", owner="ann"),
        revision("d", "ba", owner="bob"),
        revision("d", "dca", _deleted=True),
    ]
    async with serving(Couch(docs)) as couch:
        assert await _is_the_same_in_any_order(couch) == [rev(3, "d")]


async def _is_the_same_in_any_order(couch: Couch) -> list[str]:
    upstream = Upstream(Source("main", couch.url), timeout=5.0)
    view = view_of(couch.url, upstream, profile())
    try:
        leaves = (await fetch_leaves(view, ["d"]))["d"]
        shown = {
            tuple(leaf.rev for leaf in (await judge(view, {"d": [*docs]})).get("d", ()))
            for docs in permutations(leaves)
        }
    finally:
        upstream.close()
    [revs] = shown
    return [*revs]
