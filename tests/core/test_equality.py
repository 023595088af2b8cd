"""Equality of JSON values: what is the same has the same key, and nothing else has."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.equality import canonical, key_of, same

NUMBERS = [
    0,
    -0.0,
    1,
    1.0,
    True,
    False,
    10**16,
    1e16,
    10**25,
    1e25,
    2**64,
    1e300,
    10**300,
    int(1e300),
    0.1,
    5e-324,
    1e-7,
]
SCALARS = st.one_of(st.none(), st.sampled_from(NUMBERS), st.sampled_from(["", "1", "1.0", "1e5", "true", "é"]))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "1.0"]), inner)
)


@given(VALUES, VALUES)
def test_values_have_the_same_key_exactly_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (key_of(one) == key_of(other)) is same(one, other)
    assert (canonical(one) == canonical(other)) is same(one, other)


@pytest.mark.parametrize("one", NUMBERS)
def test_so_do_numbers_and_what_is_made_of_them(one: Any) -> None:
    for other in NUMBERS:
        assert (key_of(one) == key_of(other)) is same(one, other)
        assert (key_of({"b": [1, one], "a": 1.0}) == key_of({"a": 1, "b": [1.0, other]})) is same(one, other)


def test_what_is_deeper_than_the_codec_writes_has_a_key() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    other: Any = 1.0
    for _ in range(900):
        other = [other]
    assert key_of(deep) == key_of(other) != key_of([deep])


@pytest.mark.parametrize("value", [{"a": "text"}, {"a": 1.0}, "text", 10**30])
def test_keys_take_no_more_memory_than_they_have_text(value: object) -> None:
    """There is one for each element of an array, and each member of these."""
    tracemalloc.start()
    try:
        keys = [key_of(value) for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] < 100 * 200
    finally:
        tracemalloc.stop()
    assert len({*keys}) == 1
