"""Documents that a page of a feed looked at: for those who asked, for a time, within their room."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy import recent
from proxy.contract import Doc
from proxy.place import Place
from proxy.upstream import Upstream
from tests.support.places import place_of, source_of

A, B = "1-" + "a" * 32, "1-" + "b" * 32


@pytest.fixture
def upstream() -> Upstream:
    return source_of()


@pytest.fixture
def place(upstream: Upstream) -> Place:
    return place_of(upstream)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [1000.0]
    monkeypatch.setattr(recent, "now", lambda: time[0])
    return time


def leaf(doc_id: str, rev: str = A, **body: Any) -> Doc:
    return {"_id": doc_id, "_rev": rev, **body}


def keep(place: Place, *leaves: Doc, none: str = "") -> None:
    """These are the leaves of their documents, and of others (each a letter) there are none."""
    by_id: dict[str, list[Doc]] = {}
    for each in leaves:
        by_id.setdefault(each["_id"], []).append(each)
    recent.keep(place, [*by_id, *none], by_id, recent.now())


def held(place: Place) -> tuple[list[str], int]:
    """The ids of what is kept, and the bytes."""
    source = recent._sources[place.upstream]
    return [doc_id for _, doc_id in source.kept], source.size


async def test_leaves_are_found_for_those_who_asked(upstream: Upstream, place: Place) -> None:
    assert recent.find(place, [("x", A)]) == [None]
    keep(place, leaf("x"), leaf("x", B), leaf("y"), none="n")
    wanted = [("x", B), ("y", B), ("z", A), ("y", A), ("n", A)]
    assert recent.find(place, wanted) == [leaf("x", B), None, None, leaf("y"), None]
    for other in (place_of(upstream, "other"), place_of(upstream, user="bob"), place_of(source_of())):
        assert recent.find(other, [("x", A)]) == [None]
    assert recent.find(place_of(upstream, name="another-name-of-it"), [("x", A)]) == [leaf("x")]


async def test_each_has_its_own(upstream: Upstream, place: Place) -> None:
    bob = place_of(upstream, user="bob")
    keep(place, leaf("x"), leaf("y"))
    keep(bob, leaf("x", B))
    assert recent.find(place, [("x", A), ("y", A)]) == [leaf("x"), leaf("y")]
    assert recent.find(bob, [("x", A), ("x", B), ("y", A)]) == [None, leaf("x", B), None]


async def test_a_later_look_takes_the_place_of_the_one_before(place: Place) -> None:
    keep(place, leaf("x"))
    _, size = held(place)
    keep(place, leaf("x", B))
    assert recent.find(place, [("x", A), ("x", B)]) == [None, leaf("x", B)]
    assert held(place) == (["x"], size)


async def test_what_is_about_to_be_written_is_taken_once(place: Place) -> None:
    assert recent.take(place, "xyz") == {}
    keep(place, leaf("x"), none="yz")
    assert recent.take(place, "xy") == {"x": [leaf("x")], "y": ()}
    assert recent.take(place, "xyz") == {"z": ()}
    assert held(place) == ([], 0)


async def test_whoever_writes_takes_it_from_all(upstream: Upstream, place: Place) -> None:
    keep(place, leaf("x"), none="yz")
    keep(place_of(upstream, user="bob"), leaf("x"), none="y")
    assert recent.take(place_of(upstream, user="eva"), "xy") == {}
    assert recent.take(place_of(upstream, user="bob"), "xyz") == {}
    assert held(place) == ([], 0)


async def test_what_was_asked_earlier_does_not_take_the_place_of_what_was_asked_later(
    place: Place, clock: list[float]
) -> None:
    recent.keep(place, ["x"], {"x": [leaf("x", B)]}, clock[0])
    recent.keep(place, ["x"], {"x": [leaf("x")]}, clock[0] - 1)
    assert recent.find(place, [("x", A), ("x", B)]) == [None, leaf("x", B)]


async def test_what_was_asked_before_a_write_was_answered_is_not_kept(place: Place, clock: list[float]) -> None:
    keep(place, leaf("x"), leaf("y"))
    clock[0] += 1
    recent.wrote(place, ["x"])
    assert recent.find(place, [("x", A), ("y", A)]) == [None, leaf("y")]
    for asked_at, found in ((clock[0] - 1, None), (clock[0], None), (clock[0] + 0.1, leaf("x"))):
        recent.keep(place, ["x"], {"x": [leaf("x")]}, asked_at)
        assert recent.find(place, [("x", A)]) == [found]
    clock[0] += recent.SECONDS
    keep(place, leaf("z"))
    assert not recent._sources[place.upstream].written


async def test_it_is_kept_for_a_time(place: Place, clock: list[float]) -> None:
    keep(place, leaf("x"), none="n")
    clock[0] += recent.SECONDS / 2
    keep(place, leaf("y"), none="m")
    assert recent.find(place, [("x", A), ("y", A)]) == [leaf("x"), leaf("y")]
    clock[0] += recent.SECONDS / 2
    assert recent.find(place, [("x", A), ("y", A)]) == [None, leaf("y")]
    assert recent.take(place, "nm") == {"m": ()}
    keep(place, leaf("z"))
    assert held(place)[0] == ["y", "z"]


async def test_it_is_dated_by_the_question(place: Place, clock: list[float]) -> None:
    recent.keep(place, ["x"], {}, clock[0] - recent.SECONDS)
    assert recent.take(place, ["x"]) == {}


async def test_there_is_room_for_so_much(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "ROOM", 100_000)
    keep(place, *(leaf(str(number), text="x" * 1000) for number in range(100)))
    ids, size = held(place)
    assert ids == [str(number) for number in range(100 - len(ids), 100)]
    assert 90_000 < size <= 100_000
    keep(place, leaf("large", text="x" * 6000), leaf("small"))
    recent.keep(place, ["n" * 6000], {}, recent.now())
    ids, _ = held(place)
    assert ids[-1] == "small"
    assert "large" not in ids


async def test_what_is_too_old_is_dropped_by_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "SECONDS", 0.05)
    keep(place, leaf("x"), none="n")
    await asyncio.sleep(0.02)
    keep(place, leaf("y"))
    assert held(place)[0] == ["x", "n", "y"]
    while held(place)[0]:
        await asyncio.sleep(0.01)
    assert held(place) == ([], 0)
    keep(place, leaf("z"))
    while held(place)[0]:
        await asyncio.sleep(0.01)
