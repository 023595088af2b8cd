"""Grafts: reproducible, recognised from the key alone, unknown to any other view."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.grafts import Grafts

hashes = st.text("0123456789abcdef", min_size=32, max_size=32)
paths = st.lists(hashes, min_size=1, max_size=12, unique=True)


@given(st.text(min_size=1), hashes, st.integers(1, 1000))
def test_a_graft_is_a_child_with_a_hash_of_couchdbs_form(doc_id: str, digest: str, generation: int) -> None:
    rev = Grafts(b"key").departure(doc_id, f"{generation}-{digest}")
    number, _, graft = rev.partition("-")
    assert int(number) == generation + 1
    assert len(graft) == 32
    assert set(graft) <= set("0123456789abcdef")
    assert rev == Grafts(b"key").departure(doc_id, f"{generation}-{digest}")


@given(st.text(min_size=1), st.text(min_size=1), hashes)
def test_views_and_documents_have_grafts_of_their_own(one: str, other: str, digest: str) -> None:
    grafts = Grafts(b"key")
    assert Grafts(b"other key").departure(one, f"1-{digest}") != grafts.departure(one, f"1-{digest}")
    if one != other:
        assert grafts.departure(one, f"1-{digest}") != grafts.departure(other, f"1-{digest}")


@given(paths, st.data())
def test_a_graft_is_found_on_the_path_it_grew_out_of(ids: list[str], data: st.DataObject) -> None:
    grafts = Grafts(b"key")
    start = len(ids) + data.draw(st.integers(0, 5))
    index = data.draw(st.integers(0, len(ids) - 1))
    rev = grafts.departure("doc", f"{start - index}-{ids[index]}")
    assert grafts.find_departure("doc", rev, start, ids) == ids[index:]
    assert grafts.find_departure("other", rev, start, ids) is None
    assert Grafts(b"other").find_departure("doc", rev, start, ids) is None


@given(paths, paths)
def test_a_graft_in_a_pushed_path_is_recognised_without_the_source(below: list[str], above: list[str]) -> None:
    grafts = Grafts(b"key")
    graft = grafts.departure("doc", f"{len(below)}-{below[0]}").partition("-")[2]
    ids = [*above, graft, *below]
    assert grafts.in_path("doc", ids) == len(above)
    assert grafts.in_path("doc", ids[: len(above) + 1]) is None  # its parent is not there to tell
    assert grafts.in_path("doc", [*above, *below]) is None
    assert grafts.in_path("other", ids) is None
