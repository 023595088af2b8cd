"""What is kept of a user's cuts, as properties of any sequence of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract import Client
from proxy.cuts.record import MOST, Entry, entry_of, former, present, read, with_present, written

CLIENTS = st.builds(
    Client,
    st.just("ann"),
    st.frozensets(st.sampled_from(["nurse", "head"])),
    st.sampled_from(["phone", "tablet"]),
    st.dictionaries(st.just("model"), st.sampled_from(["a", "b"])),
)
CUTS = st.builds(
    entry_of, CLIENTS, st.sampled_from(["r1", "r2"]), depends_on_client=st.booleans(), by_header=st.booleans()
)
DAYS = [f"2026-01-{day:02}" for day in range(1, 29)]


def kept(entries: list[Entry]) -> list[Entry]:
    return read(json.loads(json.dumps(written(entries))))


def played(cuts: list[Entry]) -> list[Entry]:
    """The record after a cut was shown on each day."""
    entries: list[Entry] = []
    for number, cut in enumerate(cuts):
        entries = kept(with_present(entries, cut, number, DAYS[number], DAYS[0]))
    return entries


@given(st.lists(CUTS, min_size=1, max_size=20))
def test_every_cut_that_a_device_can_have_is_known(cuts: list[Entry]) -> None:
    entries = played(cuts)
    mine = present(entries, cuts[-1])
    assert mine is not None
    assert (mine.is_cut, mine.last) == (cuts[-1].is_cut, DAYS[len(cuts) - 1])
    strand = {cut.is_cut for cut in cuts if cut.strand == mine.strand}
    assert {entry.is_cut for entry in former(entries, mine)} >= strand - {mine.is_cut}
    assert len({entry.is_cut for entry in entries}) == len(entries)


@given(st.lists(CUTS, min_size=1, max_size=20))
def test_since_is_when_the_last_other_one_of_its_strand_was_shown(cuts: list[Entry]) -> None:
    mine = present(played(cuts), cuts[-1])
    assert mine is not None
    others = [n for n, cut in enumerate(cuts) if cut.strand == mine.strand and cut.is_cut != mine.is_cut]
    first = next(n for n in range(others[-1] + 1 if others else 0, len(cuts)) if cuts[n].is_cut == mine.is_cut)
    assert (mine.since, mine.began) == (first, DAYS[first])


def cut(rules: str, **more: Any) -> Entry:
    return entry_of(Client("ann", **more), rules, depends_on_client=True, by_header=False)


def test_a_device_that_says_something_else_goes_on_with_what_has_ended() -> None:
    old, new = cut("r", device={"version": "1"}), cut("r", device={"version": "2"})
    upgraded = played([old, old, new, new])
    mine = present(upgraded, new)
    assert mine is not None
    assert [entry.device for entry in former(upgraded, mine)] == [(("version", "1"),)]
    beside = played([old, new, old, new])
    mine = present(beside, new)
    assert mine is not None
    assert former(beside, mine) == [], "two devices"


def test_what_does_not_depend_on_the_client_is_one_cut_for_all_roles() -> None:
    one, other = (
        entry_of(Client("ann", frozenset([role])), "r", depends_on_client=False, by_header=False) for role in "ab"
    )
    assert one == other


def test_old_ones_are_forgotten_and_no_more_than_some_are_kept() -> None:
    entries = with_present(played([cut("r1"), cut("r2")]), cut("r3"), 9, DAYS[9], DAYS[1])
    assert [entry.rules for entry in entries] == ["r2", "r3"]
    entries = []
    for number in range(MOST + 5):
        entries = with_present(entries, cut(f"r{number}"), number, DAYS[0], DAYS[0])
    assert [entry.rules for entry in entries] == [f"r{number}" for number in range(5, MOST + 5)]


GOOD = cut("r").json()


@pytest.mark.parametrize(
    "doc",
    [
        None,
        {},
        {"cuts": 1},
        {"cuts": [None, 1, "x", {}]},
        *({"cuts": [{**GOOD, name: 1}]} for name in ("profile", "rules", "roles", "device", "strand", "began", "last")),
        {"cuts": [{**GOOD, "roles": [1]}]},
        {"cuts": [{**GOOD, "device": {"a": 1}}]},
    ],
)
def test_what_is_no_entry_is_left_out(doc: Any) -> None:
    assert read(doc) == []
    assert read({"cuts": [GOOD]}) != []
