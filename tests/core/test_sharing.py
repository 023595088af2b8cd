"""What a condition makes document and client share."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.contract import Client, Doc
from proxy.core.jmes import Sharing, compile_expression, sharing
from tests.core.conditions import SCALARS, clients, conditions, documents

ANN = Client("ann", frozenset({"nurse", "unit:u1", "unit:u2", "facility:f7"}), "phone")
BOB = Client("bob", frozenset({"unit:u2", "facility:f8"}), "phone")


def shared(text: str) -> Sharing:
    found = sharing(compile_expression(text, option="where"))
    assert found is not None, text
    return found


def share(text: str, doc: Doc, client: Client = ANN) -> bool:
    found = shared(text)
    keys = found.of_document(doc)
    return keys is None or not keys.isdisjoint(found.of_client(client))


CASES: list[tuple[str, Doc, bool, bool]] = [
    # condition, document, whether it is found by ann, by bob
    ("facility == client.facility", {"facility": "f7"}, True, False),
    ("client.facility == facility", {"facility": "f8"}, False, True),
    ("facility == client.facility", {}, False, False),
    ("place.facility == client.facility", {"place": {"facility": "f7"}}, True, False),
    ("contains(client.grants.unit, unit)", {"unit": "u1"}, True, False),
    ("contains(client.grants.unit, unit)", {"unit": "u2"}, True, True),
    ("contains(client.roles, role)", {"role": "nurse"}, True, False),
    ("contains(members, client.name)", {"members": ["bob", "eve"]}, False, True),
    ("contains(members, client.name)", {"members": []}, False, False),
    ("contains(members, client.name)", {"members": 7}, False, False),
    ("contains(members, client.name)", {"members": "joanna"}, True, True),  # a part of a text: who knows
    ("members[?name == client.name]", {"members": [{"name": "ann"}, {"name": "eve"}]}, True, False),
    ("members[?name == client.name && active]", {"members": [{"name": "ann"}]}, False, False),
    ("members[?name == client.name]", {"members": ["ann"]}, True, True),
    ("type == 'x' && facility == client.facility", {"type": "x", "facility": "f7"}, True, False),
    ("type == 'x' && facility == client.facility", {"type": "y", "facility": "f7"}, False, False),
    ("facility == client.facility && starts_with(name, client.name)", {"facility": "f7"}, True, False),
    ("owner == client.name || facility == client.facility", {"owner": "bob", "facility": "f7"}, True, True),
    ("public || owner == client.name", {"owner": "bob", "public": True}, True, True),
    ("public || owner == client.name", {"owner": "bob"}, False, True),
    ("contains(client.roles, 'nurse') || owner == client.name", {"owner": "eve"}, True, False),
    ("contains(client.roles, 'nurse') && owner == client.name", {"owner": "bob"}, False, False),
    ("type == 'x'", {"type": "x"}, True, True),
    ("type == 'x'", {"type": "y"}, False, False),
    ("length(name) > `1`", {"name": 7}, False, False),
    ("contains(client.roles, 'nurse')", {}, True, False),
]


@pytest.mark.parametrize(("text", "doc", "ann", "bob"), CASES)
def test_who_is_found(text: str, doc: Doc, ann: bool, bob: bool) -> None:
    assert (share(text, doc), share(text, doc, BOB)) == (ann, bob)


@pytest.mark.parametrize(
    "text",
    [
        "facility != client.facility",
        "!(facility == client.facility)",
        "starts_with(name, client.name)",
        "contains(client.facility, facility)",  # a part of a text
        "contains([facility, client.name], name)",
        "public || starts_with(name, client.name)",
        "(public && facility) | @ == client.facility || starts_with(name, client.name)",
        "facility == [client.facility, facility]",
        "members[?name == client.name] | [0]",
    ],
)
def test_what_says_nothing(text: str) -> None:
    assert sharing(compile_expression(text, option="where")) is None


def test_the_better_of_two_is_chosen() -> None:
    for text in (
        "contains(members, client.name) && facility == client.facility",
        "facility == client.facility && (owner == client.name || public)",
    ):
        assert shared(text).text == "facility == client.facility"


def test_keys_of_different_comparisons_do_not_mix() -> None:
    assert not share("owner == client.name || facility == client.facility", {"owner": "f7", "facility": "ann"})


def test_an_expression_that_is_nested_deeply_works_or_says_nothing() -> None:
    text = " || ".join(f"a{n} == client.name" for n in range(150))
    assert share(text, {"a149": "ann"})
    assert not share(text, {"a149": "bob"})


def test_values_of_any_length_have_short_keys() -> None:
    found = shared("owner == client.name")
    for value in ("n" * 10_000, "\ud800" * 3, 10**6000, [["n"] * 1000]):
        [key] = found.of_document({"owner": value}) or {"no key"}
        assert len(key.encode()) < 100
    assert found.of_document({"owner": "n" * 10_000}) == found.of_client(Client("n" * 10_000))


ODD: list[Any] = [
    [1],
    [True],
    [1.0],
    ["x"],
    [["x"]],
    [None],
    {"d": 1},
    {"d": True},
    {"e": 1},
    {},
    [],
    10**30,
    1e30,
    0.5,
    -0.0,
]


def test_what_is_equal_has_one_key_and_what_is_not_has_two() -> None:
    """In both kinds of equality that the language has: that of `==`, and that of `contains`."""
    for text, equal, as_read in (
        ("a == client.k", "a == b", lambda value: value),
        ("contains(a, client.k)", "contains([a], b)", lambda value: [value]),
    ):
        found, are_equal = shared(text), compile_expression(equal, option="where")
        for a, b in product([*SCALARS, *ODD], repeat=2):
            one, other = found.of_document({"a": as_read(a)}), found.of_document({"a": as_read(b)})
            assert (one == other) == are_equal.truthy({"a": a, "b": b}), (text, a, b)


def test_the_law() -> None:
    """Where a condition is true, document and client share a key."""
    seen: Counter[str] = Counter()

    @settings(max_examples=400, deadline=None)
    @given(conditions(), st.lists(documents(), min_size=3, max_size=6), st.lists(clients(), min_size=2, max_size=4))
    def law(text: str, docs: list[Doc], asking: list[Client]) -> None:
        expression = compile_expression(text, option="where")
        found = sharing(expression)
        if found is None:
            return
        for doc in docs:
            keys = found.of_document(doc)
            for client in asking:
                try:
                    is_true = expression.truthy(doc, client)
                except (ValueError, TypeError):
                    continue
                held = found.of_client(client)
                assert not is_true or keys is None or keys & held, (text, doc, client, keys, held)
                seen["true" if is_true else "told apart" if keys is not None and not keys & held else "neither"] += 1

    law()
    assert seen["true"] > 100, seen
    assert seen["told apart"] > 100, seen
