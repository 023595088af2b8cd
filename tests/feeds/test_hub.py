"""What a serving process does with what it is told, and with a file that cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.errors import Unavailable
from proxy.feeds import hub as hub_module
from proxy.feeds.hub import Hub
from proxy.feeds.index import Damaged, Entry, Full, IndexWriter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clinic.index"


@pytest.fixture
def writer(path: Path) -> Iterator[IndexWriter]:
    with IndexWriter(path, {"incarnation": "1"}) as writer:
        writer.apply([Entry("a", "1-a", 1, frozenset((7,)))], 1)
        writer.set_meta("complete", 1)
        yield writer


def test_an_index_that_is_being_built_is_not_used(writer: IndexWriter, path: Path) -> None:
    writer.set_meta("complete", None)
    hub = Hub(1000)
    hub.opened(path)
    assert hub.index is None
    writer.set_meta("complete", 1)
    hub.opened(path)
    assert hub.index is not None
    assert hub.end == 1
    hub.closed()


async def test_a_state_that_is_told_again_wakes_all_if_there_is_more(writer: IndexWriter, path: Path) -> None:
    hub = Hub(1000)
    hub.opened(path)
    waiting = [asyncio.ensure_future(hub.wait(keys)) for keys in (None, frozenset((1,)), frozenset((2, 3)))]
    await asyncio.sleep(0)
    assert hub.waiting == 3
    hub.opened(path)
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    writer.apply([Entry("b", "1-b", 2, frozenset((7,)))], 2)
    hub.opened(path)
    await asyncio.gather(*waiting)
    assert (hub.end, hub.waiting) == (2, 0)
    hub.closed()


def test_leaves_that_were_seen_are_believed_until_the_index_moves(writer: IndexWriter, path: Path) -> None:
    hub = Hub(1000)
    hub.opened(path)
    hub.saw({"b": "1-b"})
    assert hub.leaves_of(["a", "b", "nobody"]) == {"a": "1-a", "b": "1-b"}
    writer.apply([Entry("b", "2-b", 2, frozenset((7,)))], 2)
    assert hub.leaves_of(["b"]) == {"b": "1-b"}
    hub.moved(2, None)
    assert hub.leaves_of(["b"]) == {"b": "2-b"}
    hub.saw({"b": "2-b"})
    hub.closed()
    hub.opened(path)
    assert hub.leaves_of(["nobody"]) == {}
    hub.closed()


def test_leaves_that_were_seen_are_bounded(writer: IndexWriter, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "_MOST_LEAVES", 2)
    hub = Hub(1000)
    hub.opened(path)
    for doc_id in ("x", "y", "z"):
        hub.saw({doc_id: "1-a"})
    assert hub.leaves_of(["x", "y", "z"]) == {"z": "1-a"}
    hub.closed()


async def test_what_cannot_be_read_at_present_is_tried_again(
    writer: IndexWriter, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_AGAIN_SECONDS", 0)
    hub, renewed = Hub(1000), list[bytes]()
    hub.renew = renewed.append
    hub.opened(path)
    waiting = asyncio.ensure_future(hub.wait(None))
    await asyncio.sleep(0)
    hub.complain(Full("it is locked"))
    assert hub.index is None
    with pytest.raises(Unavailable):
        await waiting
    while hub.index is None:
        await asyncio.sleep(0)
    hub.complain(Full("it is locked"))
    hub.closed()  # the follower says so
    await asyncio.sleep(0.01)
    assert hub.index is None
    assert renewed == []


async def test_what_is_damaged_is_made_anew(writer: IndexWriter, path: Path) -> None:
    hub, renewed = Hub(1000), list[bytes]()
    hub.renew = renewed.append
    hub.opened(path)
    hub.complain(Damaged("it is torn"))
    hub.complain(Damaged("it is torn"))  # by another feed
    assert hub.index is None
    assert renewed == [writer.index_id]


async def test_all_is_let_go_of_when_documents_were_forgotten(writer: IndexWriter, path: Path) -> None:
    """Who is told late, and of several states as one, hears of it nevertheless."""
    hub, doc = Hub(100_000), {"_id": "a", "_rev": "1-a"}
    hub.opened(path)
    hub.bodies.keep(("a", "1-a"), doc)
    hub.opened(path)
    assert hub.bodies.get(("a", "1-a")) is doc
    hub.saw({"a": "1-a"})
    assert [row.doc_id for row in hub.rows(None, 0, 1, 10)] == ["a"]
    waiting = asyncio.ensure_future(hub.wait(None))
    await asyncio.sleep(0)
    writer.forget(["a"], [], b"{}")
    hub.opened(path)
    assert hub.bodies.get(("a", "1-a")) is None
    assert hub.leaves_of(["a"]) == {}
    assert hub.rows(None, 0, 1, 10) == []
    await asyncio.sleep(0)
    assert (hub.end, hub.waiting) == (1, 1)
    writer.forget([], [Entry("b", "1-b", 2, frozenset((7,)))], b"{}")
    hub.opened(path)
    await waiting
    assert [row.doc_id for row in hub.rows(None, 0, 9, 10)] == ["b"]
    hub.closed()
    hub.bodies.keep(("a", "1-a"), doc)  # by a feed that was read from the source meanwhile
    hub.opened(path)
    assert hub.bodies.get(("a", "1-a")) is None
    hub.closed()


class Slow:
    """A follower that answers when the test says so. `asked`: how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: list[asyncio.Future[None]] = []

    async def ask(self) -> None:
        self.asked += 1
        self.answers.append(asyncio.get_running_loop().create_future())
        await self.answers[-1]


@pytest.fixture
async def slow(writer: IndexWriter, path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Hub, Slow]]:
    monkeypatch.setattr(hub_module, "_PATIENCE", 0.05)
    hub, follower = Hub(1000), Slow()
    hub.opened(path)
    hub.ask = follower.ask
    yield hub, follower
    hub.closed()


async def test_patience_is_lost_once(slow: tuple[Hub, Slow], caplog: pytest.LogCaptureFixture) -> None:
    hub, follower = slow
    assert await asyncio.gather(*(hub.fresh() for _ in range(5))) == [False] * 5
    assert follower.asked == 5
    for _ in range(100):  # at once: nobody asks again
        assert not await hub.fresh()
    assert follower.asked == 5
    assert caplog.text.count("has not caught up with the source in 0.05 s") == 1
    [late] = [answer for answer in follower.answers if not answer.done()]
    late.set_result(None)
    while "has caught up with the source again" not in caplog.text:
        await asyncio.sleep(0)
    asking = asyncio.ensure_future(hub.fresh())
    while follower.asked < 6:
        await asyncio.sleep(0)
    follower.answers[-1].set_result(None)
    assert await asking
    assert len(caplog.messages) == 2


async def test_a_follower_that_is_silent_and_then_gone_is_told_of_once(
    slow: tuple[Hub, Slow], caplog: pytest.LogCaptureFixture
) -> None:
    hub, follower = slow
    assert not await hub.fresh()
    follower.answers[0].set_exception(Unavailable("There is no follower."))
    while follower.asked < 2:
        await asyncio.sleep(0)
        assert not await hub.fresh()
    assert len(caplog.messages) == 1
    follower.answers[1].set_result(None)
    while len(caplog.messages) < 2:
        await asyncio.sleep(0)
    assert "has caught up with the source again" in caplog.messages[1]


async def test_a_client_that_goes_away_while_it_waits_takes_its_question_along(slow: tuple[Hub, Slow]) -> None:
    hub, follower = slow
    asking = asyncio.ensure_future(hub.fresh())
    while not follower.asked:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    while not follower.answers[0].cancelled():
        await asyncio.sleep(0)
