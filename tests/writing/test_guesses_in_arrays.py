"""Whatever a client makes of the elements it sees: what is hidden in them does not decide what it is told, or shown."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Literal

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from filters.compute import Compute
from filters.drop import Drop
from filters.keep import Keep
from filters.redact import Redact
from filters.rename import Rename
from proxy.contract import Client, Doc, Filter
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Link
from proxy.writing.plan import plan
from proxy.writing.pushed import read_pushed
from proxy.writing.rules import Refuse, Rules
from proxy.writing.stored import Stored

CLIENT = Client("ann")
CHAINS: list[list[Filter]] = [
    [Drop(paths=["n[?p].b"])],
    [Drop(paths=["n[?p].b"]), Compute(fields={"c": "length(n)"})],
    [Drop(paths=["n[?p].s", "n[].s[?p].b"])],
    [Redact(paths=["n[?p].b"], value="*")],
    [Rename(fields={"n": "m"}), Drop(paths=["m[?p].b"]), Rename(fields={"m": "n"})],
    [Drop(paths=["n[?p].b"]), Keep(paths=["n"])],
    [Drop(paths=["n[?p].b", "n[?p].id"])],
    [Drop(paths=["n[?p].b"]), Drop(paths=["n[].id"])],
    [Drop(paths=["n[?p]"]), Drop(paths=["n[].s[?p].b"])],
]
HIDDEN = st.sampled_from("xyz")
PARTS = st.lists(st.fixed_dictionaries({"p": st.booleans(), "b": HIDDEN, "t": st.sampled_from("uv")}), max_size=2)
ELEMENTS = st.fixed_dictionaries(
    {"p": st.booleans(), "b": HIDDEN, "t": st.sampled_from("uv")}, optional={"s": PARTS, "id": st.integers(0, 3)}
)


def rules(filters: list[Filter], on_surplus: Literal["refuse", "discard"]) -> Rules:
    chain = Chain([Link(f"filters[{number}]", each) for number, each in enumerate(filters)])
    return Rules(chain, CLIENT, Grafts(b"0" * 32), on_surplus=on_surplus)


def all_of(elements: list[Any]) -> list[Any]:
    """The elements, and those in them."""
    return [each for element in elements for each in (element, *element.get("s", []))]


def edited(elements: list[Any], whole: list[Any], draw: Callable[[st.SearchStrategy[Any]], Any]) -> list[Any]:
    """What a client may make of them that knows well what the `whole` ones may be."""
    for _ in range(draw(st.integers(1, 3))):
        if not elements:
            break
        one, other, guess = (
            draw(st.sampled_from(elements)),
            draw(st.sampled_from(elements)),
            draw(st.sampled_from(whole)),
        )
        match draw(st.sampled_from([2, 5, *range(8)])):
            case 0:
                elements = draw(st.permutations(elements))
            case 1:
                one["p"] = False
            case 2:
                one |= {"p": False, "b": draw(st.sampled_from([guess["b"], "x", "y"]))}
            case 3:
                elements = [*elements, deepcopy(one)]
            case 4:
                elements = [each for each in elements if each is not one]
            case 5:
                elements = [{**deepcopy(guess), "p": False} if each is one else each for each in elements]
            case 6:
                for name in ("id", "t"):
                    if name in one and name in other:
                        one[name], other[name] = other[name], one[name]
            case _:
                one["t"] = draw(st.sampled_from("uv"))
    return elements


def outcome(sent: Doc, stored: Doc, by: Rules) -> Any:
    """What the client is told, or what it sees then."""
    leaf = {**stored, "_rev": "1-a", "_revisions": {"start": 1, "ids": ["a"]}}
    path = {"_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", "a"]}}
    planned = plan(read_pushed({**sent, **path}, False), Stored([leaf]), by)
    if isinstance(planned, Refuse):
        return str(planned.error)
    doc = planned.doc  # type: ignore[union-attr]
    return by.shape({name: value for name, value in doc.items() if name != "_revisions"})


@settings(max_examples=600, deadline=None)
@given(filters=st.sampled_from(CHAINS), elements=st.lists(ELEMENTS, min_size=1, max_size=4), data=st.data())
def test_what_is_hidden_decides_nothing(filters: list[Filter], elements: list[Any], data: st.DataObject) -> None:
    by = rules(filters, data.draw(st.sampled_from(["refuse", "discard"])))
    stored: Doc = {"_id": "d", "n": elements}
    other = deepcopy(stored)
    for each in all_of(other["n"]):
        each["b"] = data.draw(HIDDEN)
    shown = by.shape({**stored, "_rev": "1-a"})
    assume(shown is not None and shown == by.shape({**other, "_rev": "1-a"}))
    assert shown is not None
    sent = deepcopy(shown)
    if isinstance(sent.get("n"), list):
        sent["n"] = edited(sent["n"], all_of(elements), data.draw)
    if data.draw(st.integers(0, 5)) == 0:
        sent["_deleted"] = True
    assert outcome(sent, stored, by) == outcome(sent, other, by)


def test_nor_what_is_refused_for_something_else_as_well() -> None:
    """An element's identity is hidden from its client, which leaves it out where it would read it."""
    by = rules([Drop(paths=["n[?p].b", "n[?p].id"])], "refuse")
    told = {
        outcome(
            {"_id": "d", "n": [{"p": False, "t": "v", "b": "x"}]},
            {"_id": "d", "n": [{"p": True, "b": b, "t": "v", "id": 0}]},
            by,
        )
        for b in "xyz"
    }
    assert told == {"this client would not read back what it wrote (at n[0].b)"}


def test_nor_what_looks_like_something_that_was_shown_elsewhere() -> None:
    """What is uncovered is the very element that the client has removed."""
    by = rules([Drop(paths=["n[?p].b"])], "discard")
    shown, sent = {"p": False, "b": "y", "t": "u"}, {"p": False, "t": "u"}
    told = [
        outcome(
            {"_id": "d", "n": [sent, sent]},
            {"_id": "d", "n": [shown, {"p": True, "b": b, "t": "u"}, {"p": True, "b": "x", "t": "u"}]},
            by,
        )
        for b in "yz"
    ]
    assert told == ["this write would show the client what is hidden from it"] * 2
