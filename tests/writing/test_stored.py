"""What the source has of a document, against asking each leaf."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Doc
from proxy.core.revisions import Rev, descends, parse_rev
from proxy.writing.stored import NOTHING, Stored

LETTERS = st.sampled_from("abc")


def _hash(letter: str) -> str:
    return letter * 32


@st.composite
def leaves(draw: Any) -> Doc:
    """As a source may give it: with or without its path, and with another revision than that begins with."""
    ids = list(map(_hash, draw(st.lists(LETTERS, min_size=1, max_size=4))))
    start = draw(st.integers(len(ids), 6))
    own = draw(st.sampled_from([f"{start}-{ids[0]}", f"{start}-{ids[0]}", f"{start + 1}-{_hash('a')}", "none"]))
    return {"_id": "d", "_rev": own, **draw(st.sampled_from([{}, {"_revisions": {"start": start, "ids": ids}}]))}


@st.composite
def paths(draw: Any) -> tuple[Rev, ...]:
    newest = draw(st.integers(4, 7))
    return tuple(Rev(newest - age, _hash(draw(LETTERS))) for age in range(draw(st.integers(1, 4))))


@settings(deadline=None)
@given(st.lists(leaves(), max_size=4, unique_by=lambda leaf: str(leaf["_rev"])), paths())
def test_what_is_known_of_a_path_is_what_a_leaf_descends_from(docs: list[Doc], path: tuple[Rev, ...]) -> None:
    stored = Stored(docs)
    expected = [index for index, rev in enumerate(path) if any(descends(leaf, str(rev)) for leaf in docs)]
    assert list(stored.known(path)) == expected
    assert stored.newest_known(path) == (expected or [len(path)])[0]
    for rev in path:
        assert stored.leaf(str(rev)) == next((leaf for leaf in docs if leaf["_rev"] == str(rev)), None)
    body = next((each for rev in path if (each := stored.leaf(str(rev))) is not None), None)
    assert stored.newest_body(path) == body


@settings(deadline=None)
@given(st.lists(leaves(), max_size=4, unique_by=lambda leaf: str(leaf["_rev"])), paths())
def test_what_is_edited_is_on_the_path_of_a_leaf(docs: list[Doc], path: tuple[Rev, ...]) -> None:
    stored = Stored(docs)
    known = stored.newest_known(path)
    edited = list(map(str, stored.editable(path, known)))
    if known == len(path):
        assert edited == []
    elif known > 0:
        assert edited[0] == str(path[known])
    assert not edited or any(all(descends(leaf, rev) for rev in edited) for leaf in docs)
    assert list(map(str, stored.editable(path[: known + 1], known))) == edited  # whatever is said above it


@settings(deadline=None)
@given(st.lists(leaves(), max_size=4, unique_by=lambda leaf: str(leaf["_rev"])), paths())
def test_a_path_has_no_leaf_above_what_is_known(docs: list[Doc], path: tuple[Rev, ...]) -> None:
    stored = Stored(docs)
    known = stored.newest_known(path)
    if known == len(path):
        return
    own = stored.own_path(path, known)
    assert own[: known + 1] == path[: known + 1]
    if own != path:
        above = list(map(str, own[known:]))
        assert any(all(descends(leaf, rev) for rev in above) for leaf in docs)


def test_a_longer_path_is_believed() -> None:
    held = {"_id": "d", "_rev": "3-c", "_revisions": {"start": 3, "ids": ["c", "b"]}}
    path = tuple(map(parse_rev, ["4-d", "3-c", "2-b", "1-a"]))
    assert Stored([held]).own_path(path, 1) == path
    other = {"_id": "d", "_rev": "1-a", "_revisions": {"start": 1, "ids": ["a"]}}
    assert Stored([held, other]).own_path(path, 1) == path[:3]


@pytest.mark.parametrize("path", [(), (Rev(1, "a"),)])
def test_of_nothing_nothing_is_known(path: tuple[Rev, ...]) -> None:
    assert NOTHING.newest_known(path) == len(path)
    assert NOTHING.leaf("1-a") is None
