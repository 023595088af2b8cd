"""Documents that a page of a feed looked at: for those who asked, for a time, within their room."""

from __future__ import annotations

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


def held(place: Place) -> tuple[list[str], int]:
    """The ids of what is kept, and the bytes."""
    source = recent._sources[place.upstream]
    return [doc_id for _, doc_id in source.kept], source.size


def test_leaves_are_found_for_those_who_asked(upstream: Upstream, place: Place) -> None:
    assert recent.find(place, [("x", A)]) == [None]
    recent.keep(place, {"x": [leaf("x"), leaf("x", B)], "y": [leaf("y")]})
    assert recent.find(place, [("x", B), ("y", B), ("z", A), ("y", A)]) == [leaf("x", B), None, None, leaf("y")]
    for other in (
        place_of(upstream, "other"),
        place_of(upstream, user="bob"),
        place_of(source_of()),
    ):
        assert recent.find(other, [("x", A)]) == [None]
    assert recent.find(place_of(upstream, name="another-name-of-it"), [("x", A)]) == [leaf("x")]


def test_a_later_look_takes_the_place_of_the_one_before(place: Place) -> None:
    recent.keep(place, {"x": [leaf("x")]})
    recent.keep(place, {"x": [leaf("x", B)]})
    assert recent.find(place, [("x", A), ("x", B)]) == [None, leaf("x", B)]


def test_a_write_ends_it(place: Place) -> None:
    recent.forget(place, ["x"])
    recent.keep(place, {"x": [leaf("x")], "y": [leaf("y")]})
    recent.forget(place, ["x", "z"])
    assert recent.find(place, [("x", A), ("y", A)]) == [None, leaf("y")]
    recent.forget(place, ["y"])
    assert held(place) == ([], 0)


def test_it_is_kept_for_a_time(place: Place, clock: list[float]) -> None:
    recent.keep(place, {"x": [leaf("x")]})
    clock[0] += recent.SECONDS / 2
    recent.keep(place, {"y": [leaf("y")]})
    assert recent.find(place, [("x", A), ("y", A)]) == [leaf("x"), leaf("y")]
    clock[0] += recent.SECONDS / 2
    assert recent.find(place, [("x", A), ("y", A)]) == [None, leaf("y")]
    recent.keep(place, {"z": [leaf("z")]})
    assert held(place)[0] == ["y", "z"]


def test_there_is_room_for_so_much(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "ROOM", 100_000)
    recent.keep(place, {str(number): [leaf(str(number), text="x" * 1000)] for number in range(100)})
    ids, size = held(place)
    assert ids == [str(number) for number in range(100 - len(ids), 100)]
    assert 90_000 < size <= 100_000
    recent.keep(place, {"large": [leaf("large", text="x" * 3000)], "small": [leaf("small")]})
    assert "large" not in held(place)[0]
    assert "small" in held(place)[0]
