"""Whatever members documents have, and by whatever names: what becomes of a write is an outcome."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.drop import Drop
from filters.keep import Keep
from filters.redact import Redact
from filters.rename import Rename
from filters.validate import Validate
from proxy.contract import Client, Filter
from proxy.core.grafts import Grafts
from proxy.core.lens import Chain, Link
from proxy.writing.plan import plan
from proxy.writing.pushed import read_pushed
from proxy.writing.rules import Refuse, Rules, Send
from proxy.writing.stored import Stored

Mode = Literal["refuse", "discard"]

NAMES = st.sampled_from(["", "a", "ssn", "notes", "private", "by", "id", "0", ".", "[", '"', "é"])
JSON = st.recursive(
    st.sampled_from([None, True, 0, 1.5, "", "bob", 2**70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
NOTES = st.lists(st.fixed_dictionaries({"private": st.booleans(), "by": JSON}, optional={"": JSON}), max_size=3)
BODIES = st.dictionaries(NAMES, JSON, max_size=4) | st.fixed_dictionaries(
    {"notes": NOTES}, optional={"": JSON, "ssn": JSON, "a": JSON}
)
CHAINS: list[list[Filter]] = [
    [Drop(paths=["ssn"])],
    [Drop(paths=["notes[?private].by"])],
    [Validate(where="old == null || a == old.a"), Drop(paths=["ssn", "notes[?private].by"])],
    [Redact(paths=["notes[?private].by", "ssn"]), Rename(fields={"a": "b"})],
    [Keep(paths=["a", "notes[?private].by"])],
]


def revised(rev: str, parents: list[str], body: dict[str, Any]) -> dict[str, Any]:
    start, own = rev.split("-")
    return {"_id": "d", "_rev": rev, "_revisions": {"start": int(start), "ids": [own, *parents]}, **body}


@settings(max_examples=300, deadline=None)
@given(
    filters=st.sampled_from(CHAINS),
    stored=BODIES,
    beside=BODIES,
    sent=BODIES,
    mode=st.sampled_from(["refuse", "discard"]),
    is_deleted=st.booleans(),
    is_edit=st.booleans(),
)
def test_it_is_judged(
    filters: list[Filter],
    stored: dict[str, Any],
    beside: dict[str, Any],
    sent: dict[str, Any],
    mode: Mode,
    is_deleted: bool,
    is_edit: bool,
) -> None:
    chain = Chain([Link(f"filters[{number}]", filter_) for number, filter_ in enumerate(filters)])
    rules = Rules(chain, Client("ann"), Grafts(b"a key for tests"), on_surplus=mode)
    leaves = [revised("1-a", [], stored), revised("1-b", [], beside)]
    body = {**sent, "_deleted": True} if is_deleted else sent
    doc = revised("2-c", ["a"], body) if is_edit else revised("1-c", [], body)
    assert isinstance(plan(read_pushed(doc, False), Stored(leaves), rules), Send | Refuse)


@pytest.mark.parametrize("mode", ["refuse", "discard"])
def test_a_member_may_have_an_empty_name(mode: Mode) -> None:
    rules = Rules(Chain([Link("drop", CHAINS[0][0])]), Client("ann"), Grafts(b"a key for tests"), on_surplus=mode)
    leaves = [revised("1-a", [], {"": 1, "a": 1, "ssn": "123"})]
    outcome = plan(read_pushed(revised("2-b", ["a"], {"": 2, "a": 1, "_deleted": True}), False), Stored(leaves), rules)
    assert isinstance(outcome, Send)
    assert outcome.doc[""] == 2
