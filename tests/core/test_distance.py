"""In how many places values differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from proxy.core.distance import distance, node_of
from tests.core.json_strategies import values


@pytest.mark.parametrize(
    ("a", "b", "far"),
    [
        (1, 1.0, 0),
        (1, True, 1),
        ({"a": 1, "b": {"c": 1}}, {"a": 1, "b": {"c": 2, "d": 3}}, 2),
        ([1, 2, 3], [3, 1, 2], 0),
        ([1, 2, 3], [0, 1, 2, 3], 1),
        ([{"a": 1, "b": 1}, {"a": 2, "b": 2}], [{"a": 1}, {"a": 2}], 2),
        ([[1]], [{"a": 1}], 1),
        ("text", None, 1),
    ],
)
def test_in_how_many_places_values_differ(a: Any, b: Any, far: int) -> None:
    assert distance(node_of(a), node_of(b)) == distance(node_of(b), node_of(a)) == far


@given(values(), values())
def test_only_what_is_the_same_but_for_the_order_of_elements_is_at_no_distance(a: Any, b: Any) -> None:
    far = distance(node_of(a), node_of(b))
    if _unordered(a, _exact) == _unordered(b, _exact):
        assert far == 0
    elif far == 0:  # what has no equal is compared as well, and may differ in the order of its own elements
        assert _unordered(a, _wholly_unordered) == _unordered(b, _wholly_unordered)


def _wholly_unordered(value: Any) -> Any:
    return _unordered(value, _wholly_unordered)


def _unordered(value: Any, element: Callable[[Any], Any]) -> Any:
    """A value with the elements of its arrays, as `element` gives them, in an order that is always the same."""
    if isinstance(value, dict):
        return "object", sorted((name, _unordered(member, element)) for name, member in value.items())
    if isinstance(value, list):
        return "array", sorted(map(repr, map(element, value)))
    return _exact(value)


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", sorted((name, repr(_exact(member))) for name, member in value.items())
    if isinstance(value, list):
        return "array", [_exact(each) for each in value]
    return isinstance(value, bool), float(value) if isinstance(value, int | float) else value
