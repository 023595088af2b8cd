"""Which scalars a client is shown as they are."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.compute import Compute
from filters.drop import Drop
from filters.keep import Keep
from filters.redact import Redact
from filters.rename import Rename
from filters.truncate import Truncate
from proxy.contract import Client, Doc, Filter
from proxy.core.lens import Chain, Link
from proxy.core.marks import Place, copied, hidden_values, places_of, unseen, unseen_as_others, values_of
from tests.core.json_strategies import values

ANN = Client("ann")
FEW = ["ann", "b", "", 0, 7, 2000, 10**20, 1.5, True, False, None]
"""Values of each kind, those among them of which Python has but one object."""


class Handing(Filter):
    """A site's filter, which hands on what it is given, in objects of its own."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        return {name: list(value) if isinstance(value, list) else value for name, value in doc.items()}


class Making(Filter):
    """A site's filter that makes all anew."""

    def shape(self, doc: Doc, client: Client) -> Doc:
        made: Doc = json.loads(json.dumps(doc))
        return made


def of(*filters: Filter) -> Chain:
    return Chain([Link(type(each).__name__, each) for each in filters])


HIDES = Drop(paths=["notes[?private].by"])
CHAINS = [
    (of(HIDES), "notes"),
    (of(HIDES, Compute(fields={"recent": "notes[-2:]", "all": "notes[*]"})), "notes"),
    (of(Keep(paths=["notes[?!private]", "notes[].private"])), "notes"),
    (of(Handing(), HIDES), "notes"),
    (of(HIDES, Rename(fields={"notes": "remarks"})), "notes"),
    (of(Redact(paths=["notes[?private].by"], value={"of": "another form"})), "notes"),
]


def looking(chain: Chain, doc: Doc, look: Callable[..., list[Place]]) -> list[Place]:
    marked = copied(doc)
    places = [*places_of(marked, {*values_of(doc)})]
    found = look(places, chain.shape(doc, ANN), lambda: chain.shape_marked(marked, ANN))
    assert json.dumps(marked) == json.dumps(doc)  # all is put back
    return found


notes = st.lists(st.tuples(st.booleans(), st.sampled_from(FEW)), max_size=60)


@pytest.mark.parametrize(("chain", "name"), CHAINS)
@given(notes)
def test_it_is_told_of_each_whatever_else_is_the_same(chain: Chain, name: str, notes: list[tuple[bool, Any]]) -> None:
    doc: Doc = {"_id": "x", name: [{"private": private, "by": by} for private, by in notes]}
    found = looking(chain, doc, unseen)
    hidden = [place for place in found if place.path == (name, "by")]
    expected = [note for note in doc[name] if note["private"]]
    assert Counter(map(json.dumps, (place.holder for place in hidden))) == Counter(map(json.dumps, expected))


@given(values(), values())
def test_all_of_a_field_is_shown_or_nothing(one: Any, other: Any) -> None:
    doc = {"_id": "x", "one": one, "other": other}
    assert {place.path[0] for place in looking(of(Drop(paths=["one"])), doc, unseen)} <= {"one"}
    hidden = [*values_of({"one": one})]
    assert len(looking(of(Drop(paths=["one"])), doc, unseen)) == len(hidden)
    assert not looking(of(), doc, unseen)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["ann", "b", 0, 2000, 1.5])), max_size=60))
def test_what_is_made_anew_is_told_by_other_values(notes: list[tuple[bool, Any]]) -> None:
    doc = {"notes": [{"private": private, "by": by} for private, by in notes]}
    chain = of(HIDES, Making())
    found = [place for place in looking(chain, doc, unseen_as_others) if place.path == ("notes", "by")]
    assert len(found) == sum(private for private, _ in notes)


@given(notes)
def test_values_in_another_form_are_not_seen(notes: list[tuple[bool, Any]]) -> None:
    doc = {"notes": [{"by": f"a long text by {by}"} for _, by in notes]}
    found = looking(of(Truncate(paths=["notes[].by"], chars=4)), doc, unseen)
    assert len(found) == len(notes)


@pytest.mark.parametrize("last", [Compute(fields={"all": "notes"}), Handing(), Making()])
@given(notes)
def test_hidden_ones_are_counted_once(last: Filter, notes: list[tuple[bool, Any]]) -> None:
    doc = {"notes": [{"private": private, "by": by} for private, by in notes]}
    chain, marked = of(HIDES, last), copied(doc)
    found = hidden_values(
        [*places_of(marked, {*values_of(doc)})],
        chain.shape(doc, ANN) or {},
        lambda: chain.shape_marked(marked, ANN),
        chain.in_source(values_of(chain.shape(doc, ANN) or {})),
        chain.term,
    )
    assert found == Counter(map(chain.term, values_of({"notes": [{"by": by} for private, by in notes if private]})))
