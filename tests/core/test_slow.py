"""A filter that keeps everybody waiting is named in the log, once a minute."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

import pytest

from filters.drop import Drop
from proxy.contract import Client, Doc, Filter
from proxy.core import slow
from proxy.core.audience import audience_of
from proxy.core.guard import Guarded
from proxy.core.lens import Chain, Link, Withheld
from proxy.core.slow import Watched, watched

ANN = Client("ann")
NAME = "profiles.phone.filters[0] (own:Slow)"


class Clock:
    """The time, which passes while a filter works."""

    now = 1000.0


class Slow(Filter):
    declares_audience = True

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def shape(self, doc: Doc, client: Client) -> Doc:
        self.clock.now += self.seconds
        return doc

    def audience(self, doc: Doc) -> Iterable[str]:
        self.clock.now += self.seconds
        yield "everybody"

    def client_keys(self, client: Client) -> Iterable[str]:
        return ["everybody"]

    def describe_audience(self) -> str:
        return "all"


class SlowBack(Slow):
    def restore(self, edited: Doc, original: Doc | None, client: Client) -> Doc:
        self.clock.now += self.seconds
        return edited


class SlowAndBroken(Slow):
    def shape(self, doc: Doc, client: Client) -> Doc:
        super().shape(doc, client)
        raise ValueError


class SlowAndPure(Slow):
    pure = True

    def shape(self, doc: Doc, client: Client) -> Doc:
        return super().shape(doc, client)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(slow, "monotonic", lambda: made.now)
    return made


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "couch_tailor.filters")
    return caplog


def chain(filter_: Filter) -> Chain:
    return Chain([Link(NAME, filter_)])


@pytest.mark.parametrize("kind", [Slow, SlowAndPure])
def test_a_slow_filter_is_named_once_a_minute(kind: type[Slow], clock: Clock, told: pytest.LogCaptureFixture) -> None:
    made = chain(kind(clock, 0.15))
    for number in range(3):
        assert made.shape({"_id": f"d{number}"}, ANN) is not None
    text = f"{NAME}: shape took 150 ms for d0, in which nobody else was served"
    assert told.messages == [text]
    clock.now += 60
    made.shape({"_id": "d3"}, ANN)
    assert told.messages == [text, text.replace("d0", "d3")]


def test_each_filter_is_named(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    made = Chain([Link("one", Slow(clock, 0.2)), Link("two", Slow(clock, 0.05)), Link("three", Slow(clock, 0.3))])
    made.shape({"_id": "d"}, ANN)
    assert [message.partition(":")[0] for message in told.messages] == ["one", "three"]


def test_a_quick_one_is_not(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    made = chain(Slow(clock, 0.09))
    for _ in range(100):
        made.shape({"_id": "d"}, ANN)
    assert told.messages == []


def test_so_is_one_that_is_slow_with_writes(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    chain(SlowBack(clock, 0.2)).restore({"_id": "d"}, None, ANN)
    assert told.messages == [f"{NAME}: restore took 200 ms for d, in which nobody else was served"]


def test_in_a_thread_it_keeps_nobody_waiting(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    made = chain(Slow(clock, 0.2))
    thread = threading.Thread(target=made.shape, args=({"_id": "d"}, ANN))
    thread.start()
    thread.join()
    assert told.messages == [f"{NAME}: shape took 200 ms for d"]


def test_so_is_one_that_fails(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Withheld):
        chain(SlowAndBroken(clock, 0.2)).shape({"_id": "d"}, ANN)
    assert told.messages == [f"{NAME}: shape took 200 ms for d, in which nobody else was served"]


def test_so_is_one_that_is_slow_with_the_index(clock: Clock, told: pytest.LogCaptureFixture) -> None:
    audience = audience_of(chain(Slow(clock, 0.2)))
    assert audience is not None
    assert audience.of({"_id": "d"}) == {"everybody"}
    assert audience.held_by(ANN) >= {"everybody"}
    assert audience.description == "all"
    assert told.messages == [f"{NAME}: audience took 200 ms for d, in which nobody else was served"]


def test_built_in_filters_are_not_watched(clock: Clock) -> None:
    drop = Drop(paths=["x"])
    assert watched(drop, NAME) is drop
    assert isinstance(watched(Guarded(Slow(clock, 0.0)), NAME), Watched)


class Raising(Filter):
    what: type[Exception] = ValueError

    def shape(self, doc: Doc, client: Client) -> Doc:
        if doc["_id"] == "elsewhere":
            raise self.what
        raise self.what


def test_where_a_filter_fails_is_told_once_a_minute(clock: Clock) -> None:
    filter_ = Raising()
    made = chain(filter_)

    def has_traceback(doc_id: str = "d") -> bool:
        with pytest.raises(Withheld) as caught:
            made.shape({"_id": doc_id}, ANN)
        return made.traceback_of(caught.value) is not None

    assert [has_traceback(), has_traceback()] == [True, False]
    filter_.what = KeyError  # another fault
    assert [has_traceback(), has_traceback()] == [True, False]
    assert [has_traceback("elsewhere"), has_traceback("elsewhere")] == [True, False]
    clock.now += 59
    assert not has_traceback()
    clock.now += 1
    assert [has_traceback(), has_traceback()] == [True, False]


@pytest.mark.parametrize("keys", [3, "north", [1], {"a": 1}.items()])
def test_keys_that_are_no_strings_are_the_methods_fault(keys: Any) -> None:
    class Telling(Slow):
        def audience(self, doc: Doc) -> Iterable[str]:
            return keys  # type: ignore[no-any-return]

        def client_keys(self, client: Client) -> Iterable[str]:
            return keys  # type: ignore[no-any-return]

    filter_ = watched(Telling(Clock(), 0), NAME)
    kind = type(keys).__name__
    with pytest.raises(TypeError, match=f"^audience returned {kind}, not strings$"):
        filter_.audience({"_id": "d"})
    with pytest.raises(TypeError, match=f"^client_keys returned {kind}, not strings$"):
        filter_.client_keys(ANN)
