"""What the log says of a source that fails, however many requests fail of it."""

from __future__ import annotations

import logging

import pytest

from proxy import troubles
from proxy.errors import Unavailable
from proxy.troubles import Troubles
from tests.compatibility.sources import Asked, Forward, Given, given_json, world

AWAY = Unavailable("The source cannot be reached.", details="The source (GET /db) cannot be reached: refused.")
SLOW = Unavailable("The source did not answer in time.", details="The source (GET /db) did not answer in time.")
MORE = " More of this is told at the level debug."


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING)
    return caplog


def test_a_trouble_is_told_when_it_begins_and_when_it_is_over(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    source = Troubles("main", clock)
    source.succeeded()
    for clock.now in range(16):
        source.ended(AWAY, "GET /db-phone failed")
        source.ended(AWAY.unsure(), "PUT /db-phone/a failed")
    assert told.messages == [f"sources.main: GET /db-phone failed: {AWAY}{MORE}"]
    clock.now = 16
    source.succeeded()  # of one node, say
    assert len(told.messages) == 1
    clock.now = 20
    source.succeeded()
    source.succeeded()
    assert told.messages[1:] == ["sources.main: over after 32 failures in 15 s: The source cannot be reached"]
    source.ended(AWAY, "GET /db-phone failed")
    clock.now = 30
    source.succeeded()
    assert told.messages[3:] == ["sources.main: over after 1 failure in 0 s: The source cannot be reached"]


def test_that_others_are_answered_does_not_end_a_trouble_of_the_account(
    clock: Clock, told: pytest.LogCaptureFixture
) -> None:
    source = Troubles("main", clock)
    refused = Unavailable("The source refuses the proxy itself.")
    refused.of_account = True
    source.ended(refused, "GET /a failed")
    source.ended(AWAY, "GET /a failed")
    clock.now = 60
    source.succeeded(by_account=False)
    assert told.messages[2:] == ["sources.main: over after 1 failure in 0 s: The source cannot be reached"]
    source.succeeded()
    assert told.messages[3:] == ["sources.main: over after 1 failure in 0 s: The source refuses the proxy itself"]


def test_each_kind_is_told(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    source = Troubles("main", clock)
    for _ in range(3):
        source.ended(AWAY, "GET /a failed")
        source.ended(SLOW, "GET /b failed")
        source.failed("The source answered 500 x: y", "The source (GET /c) answered 500 x: y")
    assert told.messages == [
        f"sources.main: GET /a failed: {AWAY}{MORE}",
        f"sources.main: GET /b failed: {SLOW}{MORE}",
        f"sources.main: The source (GET /c) answered 500 x: y.{MORE}",
    ]
    Troubles("other", clock).ended(AWAY, "GET /a failed")
    assert len(told.messages) == 4


def test_places_in_what_is_not_json_are_of_no_kind(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    source = Troubles("main", clock)
    for number in range(3):
        source.ended(
            Unavailable(f"The source answered with something that is not JSON: char {number}"), "GET /a failed"
        )
    assert len(told.messages) == 1


def test_there_is_an_end_to_the_kinds(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    source = Troubles("main", clock)
    for number in range(1000):
        source.failed(f"kind {number}", "x")
    assert len(told.messages) == 51
    clock.now = 60
    source.succeeded()
    assert told.messages[-1] == "sources.main: over after 950 failures in 0 s: several things"


def test_single_failures_are_told_at_the_level_debug(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = Troubles("main", clock)
    for path in "abc":
        source.ended(AWAY, f"GET /{path} failed")
    assert [(record.levelname, record.getMessage().partition(" failed")[0]) for record in caplog.records] == [
        ("WARNING", "sources.main: GET /a"),
        ("DEBUG", "sources.main: GET /b"),
        ("DEBUG", "sources.main: GET /c"),
    ]


class Outage:
    """A source of which all requests fail while `lasts`; who the client is can be told if `of_data`."""

    def __init__(self, answer: Given, *, of_data: bool = True) -> None:
        self.lasts = False
        self._answer = answer
        self._of_data = of_data

    async def __call__(self, asked: Asked, forward: Forward) -> Given:
        if self.lasts and not (self._of_data and asked.endpoint == "_session"):
            return self._answer
        return await forward(asked)


REFUSED = given_json(401, {"error": "unauthorized", "reason": "Name or password is incorrect."})
OVERLOADED = given_json(503, {"error": "service_unavailable", "reason": "busy"})


@pytest.mark.parametrize(
    ("outage", "words"),
    [
        (Outage(Given(200, b"{}" * 100, cut=10)), "(GET /clinic/a) broke off: "),
        (Outage(Given(200, b"{}" * 100, cut=10), of_data=False), "(GET /_session) broke off: "),
        (Outage(OVERLOADED), "(GET /clinic/a) answered 503 service_unavailable: busy."),
        (Outage(REFUSED), "(GET /clinic/a) refuses the proxy itself (401 unauthorized: "),
    ],
)
async def test_an_outage_is_two_lines(
    outage: Outage, words: str, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(outage, docs=[{"_id": "a", "facility": "f1"}], session_ttl=0.0, remember=0.0) as site:
        assert (await site.ask("GET", "/clinic-phone/a")).status == 200
        outage.lasts = True
        for _ in range(7):
            assert (await site.ask("GET", "/clinic-phone/a")).status >= 500
        [begin] = told.messages
        assert begin.startswith("sources.main: ")
        assert words in begin
        monkeypatch.setattr(troubles, "QUIET_SECONDS", 0.0)
        outage.lasts = False
        for _ in range(2):
            assert (await site.ask("GET", "/clinic-phone/a")).status == 200
        [over] = told.messages[1:]
        assert over.startswith("sources.main: over after 7 failures in ")
