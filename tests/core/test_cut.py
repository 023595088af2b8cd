"""Which cut of a document an edit is of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from proxy.contract import Client, Doc, Filter
from proxy.core.cut import Cut, distance, likely
from proxy.core.lens import Chain, Link
from tests.core.json_strategies import values

CLIENT = Client("ann")
DOC: Doc = {"_id": "x", "_rev": "1-a", "a": 1, "b": 2, "c": 3}


class Only(Filter):
    """Some of the fields; `raises` for a filter that does."""

    def __init__(self, *names: str, raises: bool = False) -> None:
        self._names, self._raises = names, raises

    def shape(self, doc: Doc, client: Client) -> Doc | None:
        if self._raises:
            raise RuntimeError("a bug")
        if not self._names:
            return None
        return {name: value for name, value in doc.items() if name in self._names or name.startswith("_")}


def cut(*names: str, raises: bool = False) -> Cut:
    return Cut(Chain([Link("only", Only(*names, raises=raises))]), CLIENT)


ALL, A, AB = Cut(Chain(), CLIENT), cut("a"), cut("a", "b")


def names_of(sent: Doc, present: Cut, *former: Cut) -> list[tuple[Cut, int]]:
    return [(each.cut, each.nearer) for each in likely({"_id": "x", "_rev": "1-a", **sent}, DOC, present, former)]


def test_the_nearest_comes_first() -> None:
    assert names_of({"a": 9}, ALL, AB, A) == [(A, 2), (AB, 1)]
    assert names_of({"a": 9, "b": 2}, ALL, A, AB) == [(AB, 1), (A, 0)]


def test_of_equally_near_ones_the_present_is_the_last_and_the_order_stays() -> None:
    assert names_of({"a": 1, "b": 9, "c": 3}, ALL, AB) == []
    assert names_of({"a": 1, "b": 2, "c": 9}, ALL, AB) == [(AB, 0)]
    assert [each for each, _ in names_of({"a": 9}, ALL, A, cut("a", "d"))] == [A], "the same look is one"


def test_what_was_not_shown_is_not_edited() -> None:
    assert names_of({"a": 9}, ALL, cut(), cut("a", raises=True)) == []
    assert names_of({"a": 9}, cut(), A) == []


def test_what_is_as_it_is_shown_now_is_no_edit_of_anything_else() -> None:
    assert names_of({"a": 1, "b": 2}, AB, A, ALL) == []


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
    assert distance(a, b) == distance(b, a) == far


@given(values(), values())
def test_only_what_is_the_same_but_for_the_order_of_elements_is_at_no_distance(a: Any, b: Any) -> None:
    assert (distance(a, b) == 0) == (_unordered(a) == _unordered(b))


def _unordered(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", sorted((name, _unordered(member)) for name, member in value.items())
    if isinstance(value, list):
        return "array", sorted(map(repr, map(_exact, value)))
    return _exact(value)


def _exact(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", sorted((name, repr(_exact(member))) for name, member in value.items())
    if isinstance(value, list):
        return "array", [_exact(each) for each in value]
    return isinstance(value, bool), float(value) if isinstance(value, int | float) else value
