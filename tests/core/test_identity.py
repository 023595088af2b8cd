"""Identities of many elements, against asking each of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.identity import IDENTITIES, Crowd, clash, names_of

ELEMENTS = st.one_of(st.just(1), st.dictionaries(st.sampled_from([*IDENTITIES, "t"]), st.integers(0, 2), max_size=3))


@given(st.lists(ELEMENTS, max_size=4), ELEMENTS)
def test_a_crowd_may_have_whom_one_of_it_may_be(crowd: list[object], element: object) -> None:
    mine = names_of(element)
    assert Crowd(map(names_of, crowd)).may_have(mine) == any(not clash(names_of(each), mine) for each in crowd)
