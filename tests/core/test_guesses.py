"""Documents as they would be if what is hidden in them were something else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.compute import Compute
from filters.drop import Drop
from filters.keep import Keep
from filters.project import Project
from filters.redact import Redact
from filters.rename import Rename
from filters.select import Select
from filters.stamp import Stamp
from filters.truncate import Truncate
from filters.validate import Validate
from proxy.contract import Client, Doc, Filter
from proxy.core.equality import same
from proxy.core.guesses import with_other_values
from proxy.core.lens import Chain, Link
from proxy.core.marks import values_of
from tests.core.json_strategies import values

ANN = Client("ann")


def of(*filters: Filter) -> Chain:
    return Chain([Link(type(each).__name__, each) for each in filters])


def other(chain: Chain, original: Doc, told: Doc) -> Doc | None:
    return with_other_values(chain, original, chain.shape(original, ANN) or {}, ANN, values_of(told))


@given(values(), values(), st.lists(values(), max_size=3))
def test_what_is_told_is_hidden_no_more_and_looks_the_same(hidden: Any, shown: Any, told: list[Any]) -> None:
    chain = of(Drop(paths=["by"]))
    original = {"by": hidden, "name": shown}
    found = other(chain, original, {"by": told, "name": told})
    assert original == {"by": hidden, "name": shown}
    hits = set(values_of({"by": hidden})) & set(values_of({"by": told}))
    assert (found is None) is (not hits)
    if found is not None:
        assert chain.shape(found, ANN) == chain.shape(original, ANN)
        assert not set(values_of({"by": found["by"]})) & set(values_of({"by": told}))


@pytest.mark.parametrize("told", [[True, False], [None, False, True, 0, 1], ["", "0", "1"], ["a", "0"], [0, 1, 2.0, 3]])
def test_there_is_always_another_value(told: list[Any]) -> None:
    found = other(of(Drop(paths=["by"])), {"by": told[0]}, {"by": told})
    assert found is not None
    assert not any(same(found["by"], each) for each in told)


def test_a_value_that_decides_what_is_shown_stays() -> None:
    chain = of(Drop(paths=["notes[?open != `true`].by", "notes[].open"]))
    original = {"notes": [{"open": True, "by": "x"}, {"open": False, "by": "y"}]}
    assert other(chain, original, {"notes": [{"open": True}, {"by": "y"}]}) == {
        "notes": [{"open": True, "by": "x"}, {"open": False, "by": "2"}]
    }
    assert other(chain, original, {"notes": [{"open": True}]}) is None


PRIVATE = Drop(paths=["items[?private].price"])


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        (Drop(paths=["items[?price > `20`].of"]), [30]),
        (Drop(paths=["items[?price < `20`].of"]), [7]),
        (Drop(paths=["items[?price >= `30`].of"]), [30]),
        (Drop(paths=["items[?price <= `0.5`].of"]), [0.5]),
        (Drop(paths=["items[?price > `0.25`].of"]), [0.2500001]),
        (Drop(paths=["items[?price > `5`].of"]), [1e300]),
        (Drop(paths=["items[?price < `-5`].of"]), [-1.5e300]),
        (Drop(paths=["items[?price > `5`].of"]), [10**30]),
        (Drop(paths=["items[?starts_with(price, 'a')].of"]), ["a"]),
        (Drop(paths=["items[?ends_with(price, 'com')].of"]), ["bob@site.com"]),
        (Drop(paths=["items[?starts_with(price, 'bob') && ends_with(price, 'com')].of"]), ["bob@site.com"]),
        (Drop(paths=["items[?price == cost].of", "items[].cost"]), [5]),
        (Drop(paths=["items[?price == cost].of", "items[].cost"]), [True]),
        (Compute(fields={"n": "length(items[?price > `20`])"}), [30, 12]),
        (Compute(fields={"total": "sum(items[].price)"}), [30, 12]),
        (Compute(fields={"total": "sum(items[].price)"}), [30, 30, 30]),
        (Compute(fields={"most": "max_by(items, &price).of"}), [12, 30]),
        (Compute(fields={"n": "length(items[?price])"}), [True, False]),
        (Compute(fields={"n": "length(items[?price])"}), [None]),
        (Compute(fields={"n": "length(items[?price == `true`])"}), [None]),
    ],
)
def test_values_that_decide_are_others_that_decide_the_same(rule: Filter, values: list[Any]) -> None:
    items = [{"private": True, "price": value, "cost": value, "of": "x"} for value in values]
    chain, original = of(rule, PRIVATE), {"items": items}
    for number, value in enumerate(values):
        found = other(chain, original, {"items": [{"price": value}]})
        assert found is not None
        assert same(chain.shape(found, ANN), chain.shape(original, ANN))
        assert not same(found["items"][number]["price"], value)


def test_what_is_given_another_value_with_one_is_not_given_its_own_again() -> None:
    chain = of(Compute(fields={"total": "sum(items[].price)"}), PRIVATE)
    original = {"items": [{"private": True, "price": price} for price in (30, 12, 5)]}
    found = other(chain, original, {"items": [{"price": price} for price in (30, 12, 5)]})
    assert found is not None
    for element, before in zip(found["items"], original["items"], strict=True):
        assert element["price"] != before["price"]


def test_whoever_tells_all_that_is_near_does_not_find_out() -> None:
    chain = of(Drop(paths=["items[?price > `20`].of"]), PRIVATE)
    for value in (3000, "3000"):
        near: list[Any] = [*range(2900, 3100), *(str(number) for number in range(10_000))]
        found = other(chain, {"items": [{"private": True, "price": value}]}, {"items": [{"price": v} for v in near]})
        assert found is not None
        assert found["items"][0]["price"] not in near


@pytest.mark.parametrize("many", [2, 3, 40, 41])
def test_all_of_many_equal_values_that_decide_together_are_others(many: int) -> None:
    chain = of(Compute(fields={"total": "sum(items[].price)"}), PRIVATE)
    original = {"items": [{"private": True, "price": 30} for _ in range(many)]}
    found = other(chain, original, {"items": [{"price": 30}]})
    assert found is not None
    assert sum(element["price"] for element in found["items"]) == 30 * many
    assert all(element["price"] != 30 for element in found["items"])


def test_values_are_found_by_the_names_that_the_source_has() -> None:
    chain = of(Rename(fields={"notes": "remarks"}), Drop(paths=["remarks[].by"]))
    original = {"notes": [{"by": "x"}], "remarks": [{"by": "z"}]}
    assert other(chain, original, {"remarks": [{"by": "x"}]}) == {**original, "notes": [{"by": "0"}]}


def test_a_document_of_very_many_values_is_not_shaped_for_each() -> None:
    shaped = []

    class Counting(Drop):
        def shape(self, doc: Doc, client: Client) -> Doc:
            shaped.append(doc)
            return super().shape(doc, client)

    notes = [{"flag": True, **({"private": True} if number % 2 else {})} for number in range(1000)]
    found = other(of(Counting(paths=["notes[?private].flag"])), {"notes": notes}, {"notes": [{"flag": True}]})
    assert len(shaped) < 10
    assert found == {"notes": [{**note, "flag": not note.get("private", False)} for note in notes]}


class Lending(Filter):
    """A site's filter."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {**doc, "some": doc["notes"][-3:]}


@pytest.mark.parametrize(
    "more", [Stamp(fields={"at": "client.name"}), Compute(fields={"some": "notes[-3:]", "open": "notes"}), Lending()]
)
@pytest.mark.parametrize("value", ["bob", "b", 7, 2000, 0.5, True, False, None])
@pytest.mark.parametrize("seen", [1, 40, 300])
def test_of_many_equal_values_the_hidden_one_is_told(more: Filter, value: Any, seen: int) -> None:
    shown = [{"private": False, "by": value} for _ in range(seen)]
    original = {"notes": [*shown[1:], {"private": True, "by": value}, shown[0]]}
    found = other(of(Drop(paths=["notes[?private].by"]), more), original, {"notes": [{"by": value}]})
    assert found is not None
    assert not same(found["notes"].pop(-2)["by"], value)
    assert found == {"notes": shown}


class Anew(Filter):
    """A site's filter that makes all anew, and goes by what it shows."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        made: Doc = json.loads(json.dumps(doc))
        for note in made["notes"]:
            if note.get("private") is True and note.get("by") != client.name:
                note.pop("by", None)
        return made


@pytest.mark.parametrize(
    "hides",
    [
        Drop(paths=["notes[?private == `true`].by"]),
        Drop(paths=["notes[?open == `null`].by"]),
        Drop(paths=["notes[?private == `true`].by", "notes[?open == `null`].by"]),
        Anew(),
    ],
)
@pytest.mark.parametrize("value", ["bob", 7])
@pytest.mark.parametrize("others", [1, 40, 200])
def test_values_that_decide_what_is_shown_are_not_in_the_way(hides: Filter, value: Any, others: int) -> None:
    assert_told(hides, value, others)


@pytest.mark.parametrize("others", [1, 40, 200])
def test_nor_for_truths_unless_a_filter_makes_them_anew(others: int) -> None:
    for value in (True, False, None):
        assert_told(Drop(paths=["notes[?private == `true`].by", "notes[?open == `null`].by"]), value, others)


def assert_told(hides: Filter, value: Any, others: int) -> None:
    hidden = {"private": True, "open": None, "by": value}
    decided = [
        {"private": True, "open": None},
        {"private": False, "open": 1, "by": value},
        {"private": True, "by": "ann"},
    ]
    original = {"notes": [*decided * others, hidden, *decided * others]}
    shown = {name: value for name, value in hidden.items() if name != "by"}
    told = {"notes": [{"by": value}, shown, {"private": False, "open": 1}]}
    found = other(of(hides), original, told)
    assert found is not None
    assert not same(found["notes"][3 * others]["by"], value)


@pytest.mark.parametrize(
    "filters",
    [
        [Project(body="{list: data.notes}"), Drop(paths=["list[?private].by"])],
        [Drop(paths=["data.notes[?private].by"]), Project(body="{list: data.notes}")],
        [Drop(paths=["data.notes[?private].by"]), Compute(fields={"list": "data.notes[*].by"}), Keep(paths=["list"])],
    ],
)
def test_values_are_found_wherever_a_part_of_a_field_is_shown(filters: list[Filter]) -> None:
    original = {"data": {"notes": [{"private": True, "by": "x"}, {"by": "x"}]}}
    found = other(of(*filters), original, {"list": [{"by": "x"}]})
    assert found is not None
    assert found["data"]["notes"][0]["by"] != "x"


@pytest.mark.parametrize(
    ("filters", "by_place"),
    [
        ([], True),
        ([Drop(paths=["ssn", "a.b", "notes[].by", "*.c"])], True),
        ([Drop(paths=["notes[?private]", "notes[].by"])], True),
        ([Drop(paths=["notes[?private].by"])], False),
        ([Drop(paths=["a.notes[].more[?private].by"])], False),
        ([Keep(paths=["ssn", "notes[].text"])], True),
        ([Keep(paths=["notes[?open]"])], True),
        ([Keep(paths=["notes[?open]", "notes[].text"])], False),
        ([Keep(paths=["notes[?open]", "notes.text"])], False),
        ([Keep(paths=["notes[?open].text"])], False),
        ([Redact(paths=["ssn"])], True),
        ([Redact(paths=["notes[?private].by"])], False),
        ([Truncate(paths=["notes"], items=1)], False),
        ([Project(body="{a: a}")], False),
        ([Select(where="a"), Rename(fields={"a": "b"}), Compute(fields={"c": "b"})], True),
        ([Stamp(fields={"by": "client.name"}), Validate(where="a")], True),
        ([Select(where="a"), Drop(paths=["notes[?private].by"])], False),
    ],
)
def test_whether_what_is_hidden_goes_by_its_place(filters: list[Filter], by_place: bool) -> None:
    assert of(*filters).hides_by_place is by_place


def test_a_filter_of_a_site_promises_it_itself() -> None:
    class Mine(Drop):
        def shape(self, doc: Doc, client: Client) -> Doc:
            return {**super().shape(doc, client)}

    class Promising(Mine):
        def hides_by_place(self) -> bool:
            return True

    assert of(Mine(paths=["ssn"])).hides_by_place is False
    assert of(Promising(paths=["ssn"])).hides_by_place is True
