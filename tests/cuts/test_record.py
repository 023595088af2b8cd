"""What is kept of a strand's cuts, as properties of any sequence of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.contract import Client
from proxy.cuts.record import MOST, Entry, entry_of, present, read, with_present, written

CLIENTS = st.builds(
    Client,
    st.just("ann"),
    st.frozensets(st.sampled_from(["nurse", "head"])),
    st.sampled_from(["phone", "tablet"]),
    st.dictionaries(st.just("model"), st.sampled_from(["a", "b"])),
)
CUTS = st.builds(entry_of, CLIENTS, st.sampled_from(["r1", "r2"]), depends_on_client=st.booleans())
DAYS = [f"2026-01-{day:02}" for day in range(1, 29)]


def kept(entries: list[Entry]) -> list[Entry]:
    return read(json.loads(json.dumps(written(entries))))


def played(cuts: list[Entry], *, settled: bool = False) -> list[Entry]:
    """The record after a cut was shown on each day. `settled`: each is known to be alone on the day after it began."""
    entries: list[Entry] = []
    for number, cut in enumerate(cuts):
        since = number if settled and present(entries, cut) is not None else None
        entries = kept(with_present(entries, replace(cut, began=number, since=since, last=DAYS[number]), DAYS[0]))
    return entries


@given(st.lists(CUTS, min_size=1, max_size=20), st.booleans())
def test_every_cut_is_known_once_and_the_last_one_is_the_present(cuts: list[Entry], settled: bool) -> None:
    entries = played(cuts, settled=settled)
    assert sorted(map(repr, {cut.is_cut for cut in cuts})) == sorted(repr(entry.is_cut) for entry in entries)
    mine = present(entries, cuts[-1])
    assert mine is entries[-1]
    assert mine.last == DAYS[len(cuts) - 1]


@given(st.lists(CUTS, min_size=1, max_size=20))
def test_since_comes_after_the_last_other_one_was_shown(cuts: list[Entry]) -> None:
    mine = played(cuts, settled=True)[-1]
    others = [number for number, cut in enumerate(cuts) if cut.is_cut != mine.is_cut]
    first = others[-1] + 1 if others else 0
    assert mine.began == first
    assert mine.since == (first + 1 if first < len(cuts) - 1 else None)


def cut(rules: str, **more: Any) -> Entry:
    return entry_of(Client("ann", **more), rules, depends_on_client=True)


def test_what_does_not_depend_on_the_client_is_one_cut_for_all_roles() -> None:
    one, other = (entry_of(Client("ann", frozenset([role])), "r", depends_on_client=False) for role in "ab")
    assert one == other


def test_old_ones_are_forgotten_and_no_more_than_some_are_kept() -> None:
    entries = with_present(played([cut("r1"), cut("r2")]), replace(cut("r3"), last=DAYS[9]), DAYS[1])
    assert [entry.rules for entry in entries] == ["r2", "r3"]
    entries = []
    for number in range(MOST + 5):
        entries = with_present(entries, replace(cut(f"r{number}"), last=DAYS[0]), DAYS[0])
    assert [entry.rules for entry in entries] == [f"r{number}" for number in range(5, MOST + 5)]


GOOD = cut("r").json()


@pytest.mark.parametrize(
    "doc",
    [
        None,
        {},
        {"cuts": 1},
        {"cuts": [None, 1, "x", {}]},
        *({"cuts": [{**GOOD, name: 1}]} for name in ("profile", "rules", "roles", "device", "last")),
        {"cuts": [{**GOOD, "began": "x"}]},
        {"cuts": [{**GOOD, "roles": [1]}]},
        {"cuts": [{**GOOD, "device": {"a": 1}}]},
    ],
)
def test_what_is_no_entry_is_left_out(doc: Any) -> None:
    assert read(doc) == []
    assert read({"cuts": [GOOD]}) != []


def turns(cuts: list[Entry], entry: Entry) -> list[int]:
    """In which of them it was shown."""
    begun: list[tuple[object, ...]] = []
    for each in cuts:
        if not begun or begun[-1] != each.is_cut:
            begun.append(each.is_cut)
    return [number for number, is_cut in enumerate(begun, 1) if is_cut == entry.is_cut]


@given(st.lists(CUTS, min_size=1, max_size=20))
def test_cuts_take_turns(cuts: list[Entry]) -> None:
    for entry in played(cuts):
        mine = turns(cuts, entry)
        assert (entry.first, entry.turn) == (mine[0], mine[-1])


def test_of_what_an_older_version_has_recorded_the_turns_are_not_known() -> None:
    entry = replace(cut("r1"), last=DAYS[0]).json()
    del entry["turn"], entry["first"], entry["ended"]
    [old] = read({"cuts": [entry]})
    assert (old.first, old.turn, old.ended) == (0, 0, None)
    assert [(each.first, each.turn) for each in with_present([old], cut("r2"), DAYS[0])] == [(0, 0), (1, 1)]
    assert [(each.first, each.turn) for each in with_present([old], cut("r1"), DAYS[0])] == [(0, 0)]


def test_where_a_cut_ended_is_kept_until_it_is_shown_again() -> None:
    entries: list[Entry] = []
    ended = []
    for number, rules in enumerate(["r1", "r2", "r2", "r3", "r1"]):
        entries = kept(with_present(entries, replace(cut(rules), last=DAYS[0]), DAYS[0], ended=f"{number}-seq"))
        ended.append({entry.rules: entry.ended for entry in entries})
    assert ended == [
        {"r1": None},
        {"r1": "1-seq", "r2": None},
        {"r1": "1-seq", "r2": None},
        {"r1": "1-seq", "r2": "3-seq", "r3": None},
        {"r2": "3-seq", "r3": "4-seq", "r1": None},
    ]
