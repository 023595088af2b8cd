"""Grafts: reproducible, recognised from the key alone, unknown to any other view."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.grafts import MOST_RETURNS, Graft, Grafts, graft_in, may_be_graft

made = st.text("0123456789abcdef", min_size=32, max_size=32)
hashes = made | st.sampled_from(["x", "abc", "a name of its own", "ä"])
"""What sources make, and what somebody may have put there: plain text of any other length."""
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
    number = data.draw(st.integers(1, MOST_RETURNS))
    held = f"{start - index}-{ids[index]}"
    again = grafts.returned("doc", held, number)
    for rev, found in {
        grafts.departure("doc", held): Graft(held, ids[index:]),
        again: Graft(held, ids[index:], returns=True),
        grafts.closing("doc", held, number): Graft(held, [again.partition("-")[2], *ids[index:]], closes=True),
    }.items():
        assert may_be_graft(rev)
        assert grafts.find("doc", rev, start, ids) == found
        assert grafts.find("other", rev, start, ids) is None
        assert Grafts(b"other").find("doc", rev, start, ids) is None
        assert grafts.find("doc", f"1{rev}", start, ids) is None


@given(made, made, st.integers(1, MOST_RETURNS), st.integers(1, MOST_RETURNS))
def test_returns_are_in_the_order_of_what_returns_and_lose_to_what_comes_next(
    one: str, other: str, number: int, later: int
) -> None:
    grafts = Grafts(b"key")
    first, second = grafts.returned("doc", f"3-{one}", number), grafts.returned("doc", f"3-{other}", later)
    if one[:8] != other[:8]:
        assert (first < second) == (one < other)
    if int(one[:8], 16):
        assert first < f"4-{one}"  # a child of any of the hashes that a source makes
    assert first.startswith("4-")
    assert grafts.closing("doc", f"3-{one}", number).startswith("5-")
    assert grafts.returned("doc", f"3-{one}", later) != first or number == later


@given(paths, paths)
def test_a_graft_in_a_pushed_path_is_recognised_without_the_source(below: list[str], above: list[str]) -> None:
    grafts = Grafts(b"key")
    graft = grafts.departure("doc", f"{len(below)}-{below[0]}").partition("-")[2]
    ids = [*above, graft, *below]
    assert graft_in(ids) == len(above)
    assert graft_in(ids[: len(above) + 1]) is None  # its parent is not there to tell
    assert graft_in([*above, *below]) is None
    assert not any(may_be_graft(f"{generation}-{digest}") for generation, digest in enumerate([*above, *below], 2))


@given(paths, paths, st.integers(1, MOST_RETURNS))
def test_a_return_is_a_graft_if_it_is_pushed_itself_and_an_ancestor_like_any_other_below_an_edit(
    below: list[str], above: list[str], number: int
) -> None:
    grafts, held = Grafts(b"key"), f"{len(below)}-{below[0]}"
    again = grafts.returned("doc", held, number).partition("-")[2]
    closing = grafts.closing("doc", held, number).partition("-")[2]
    assert graft_in([again, *below]) == 0
    assert graft_in([*above, again, *below]) is None
    assert graft_in([closing, again, *below]) == 0
    assert graft_in([*above, closing, again, *below]) == len(above)
    assert graft_in([closing, again]) is None


@given(paths, st.integers(1, MOST_RETURNS))
def test_what_was_made_with_another_secret_is_recognised_where_it_must_not_be_written(
    ids: list[str], number: int
) -> None:
    """Devices have it for ever, and push it when their checkpoints are gone. It is not taken for a graft to be read."""
    held, other = f"{len(ids)}-{ids[0]}", Grafts(b"another key")
    departure, again, closing = (
        rev.partition("-")[2]
        for rev in (
            other.departure("doc", held),
            other.returned("doc", held, number),
            other.closing("doc", held, number),
        )
    )
    for path in ([departure, *ids], [again, *ids], [closing, again, *ids]):
        assert graft_in(path) == 0
    assert Grafts(b"key").find("doc", f"{len(ids) + 1}-{departure}", len(ids), ids) is None
