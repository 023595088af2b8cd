"""View collation, against the order in which CouchDB 3.5.0 (ICU 153.120) gave the rows of a view."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.collation import collation_key, string_key

ORDER: list[Any] = json.loads((Path(__file__).parent / "data" / "collation.json").read_text("utf-8"))
"""Distinct values in CouchDB's order: all printable ASCII, some words, other scripts, arrays and objects."""

values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


def test_the_order_of_couchdb() -> None:
    for seed in range(5):
        shuffled = random.Random(seed).sample(ORDER, len(ORDER))
        assert sorted(shuffled, key=collation_key) == ORDER


def test_no_two_different_strings_are_equal() -> None:
    texts = ["", "\0", "\u200b", "a", "a\0", "é", "e\u0301", "½", "1⁄2"]
    assert len({string_key(text) for text in texts}) == len(texts)


def test_numbers_of_either_kind_compare() -> None:
    assert collation_key(1) == collation_key(1.0)
    assert collation_key(2**53) < collation_key(2**53 + 1) < collation_key(1e16)


@settings(max_examples=200, deadline=None)
@given(one=values, other=values, third=values)
def test_a_total_order(one: Any, other: Any, third: Any) -> None:
    a, b, c = map(collation_key, (one, other, third))
    assert (a < b) + (a == b) + (a > b) == 1
    assert not (a <= b <= c) or a <= c
    assert (a == b) == (_typed(one) == _typed(other))


def _typed(value: Any) -> Any:
    """The value with what Python holds equal told apart: True and 1; and the order of members."""
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if isinstance(value, dict):
        return {"members": [(name, _typed(member)) for name, member in value.items()]}
    return (isinstance(value, bool), value)
