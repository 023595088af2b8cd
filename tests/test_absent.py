"""What the source is known not to have: for those who asked, once, for a time."""

from __future__ import annotations

from typing import Any

import pytest

from proxy import absent
from proxy.place import Place
from proxy.upstream import Upstream
from tests.support.places import place_of, source_of

IDS = [f"d{number}" for number in range(10)]


@pytest.fixture
def upstream() -> Upstream:
    return source_of()


@pytest.fixture
def place(upstream: Upstream) -> Place:
    return place_of(upstream)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [1000.0]
    monkeypatch.setattr(absent, "now", lambda: time[0])
    return time


def test_it_holds_once(place: Place) -> None:
    assert absent.take(place, IDS) == set()
    absent.remember(place, IDS[:3], absent.now())
    assert absent.take(place, IDS[1:]) == {"d1", "d2"}
    assert absent.take(place, IDS) == {"d0"}
    assert absent.take(place, IDS) == set()


def test_it_is_a_fact_about_the_sources_database(upstream: Upstream, place: Place) -> None:
    absent.remember(place, IDS, absent.now())
    assert absent.take(place_of(upstream, "other"), IDS) == set()
    assert absent.take(place_of(source_of()), IDS) == set()
    assert absent.take(place_of(upstream, name="another-name-of-it"), IDS) == set(IDS)


def test_whoever_else_writes_must_ask_and_so_must_then_the_one_who_asked(upstream: Upstream, place: Place) -> None:
    absent.remember(place, IDS, absent.now())
    assert absent.take(place_of(upstream, user="bob"), IDS[:5]) == set()
    assert absent.take(place, IDS) == set(IDS[5:])


def test_the_last_who_asked_has_it(upstream: Upstream, place: Place) -> None:
    absent.remember(place, IDS, absent.now())
    absent.remember(place_of(upstream, user="bob"), IDS[:5], absent.now())
    assert absent.take(place, IDS) == set(IDS[5:])


def test_it_holds_from_the_question_on_for_a_time(place: Place, clock: list[float]) -> None:
    absent.remember(place, IDS[:5], clock[0])
    absent.remember(place, IDS[5:], clock[0] - absent.SECONDS / 2)
    clock[0] += absent.SECONDS / 2
    assert absent.take(place, [*IDS[1:5], *IDS[5:]]) == set(IDS[1:5])
    clock[0] += absent.SECONDS / 2
    assert absent.take(place, IDS) == set()


def known(place: Place) -> Any:
    return absent._sources[place.upstream][place.database.source_db]


def test_what_is_old_is_forgotten(place: Place, clock: list[float]) -> None:
    absent.remember(place, IDS, clock[0])
    clock[0] += absent.SECONDS
    absent.remember(place, ["new"], clock[0])
    assert list(known(place)) == ["new"]


def test_so_are_the_first_of_too_many(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absent, "MOST", 8)
    absent.remember(place, IDS, absent.now())
    absent.remember(place, ["d3", "new"], absent.now())
    assert list(known(place)) == ["d4", "d5", "d6", "d7", "d8", "d9", "d3", "new"]


def test_long_ids_are_not_held(place: Place) -> None:
    absent.remember(place, ["x" * 10_000, "y"], absent.now())
    assert list(known(place)) == ["y"]
