"""A reading rests while others are kept from serving, and only then."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from proxy.feeds import pace
from proxy.feeds.pace import Pace, Times, times

SERVING, IDLE, ENDED = 7, 8, 9


class Machine:
    """One on which pieces take a second each."""

    def __init__(self) -> None:
        self.now = 0.0
        self.times = {SERVING: Times(), IDLE: Times()}
        self.rested: list[float] = []
        self.pace = Pace(lambda: (SERVING, IDLE, ENDED), self.times.get, lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.rested.append(seconds)
        self.pass_by(seconds, worked=seconds / 2, waited=seconds / 2)  # it does not count what others do meanwhile

    def pass_by(self, seconds: float, worked: float, waited: float) -> None:
        self.now += seconds
        before = self.times[SERVING]
        self.times[SERVING] = Times(before.worked + worked, before.waited + waited)

    async def work(self, times: int, worked: float, waited: float) -> list[float]:
        """How long was rested after each piece, in which who serves worked and waited so long."""
        found = []
        for _ in range(times):
            await self.pace.begin()
            self.pass_by(1, worked, waited)
            self.rested.clear()
            await self.pace.end()
            found.append(sum(self.rested))
        return found


async def test_it_begins_with_care() -> None:
    assert await Machine().work(6, worked=0.5, waited=0) == [3, 1.5, 0.75, 0.375, 0, 0]


async def test_nobody_rests_where_there_is_room() -> None:
    machine = Machine()
    await machine.work(6, worked=0, waited=0)
    assert await machine.work(5, worked=0.9, waited=0.05) == [0] * 5


async def test_nobody_rests_where_nobody_asks() -> None:
    machine = Machine()
    await machine.work(6, worked=0, waited=0)
    assert await machine.work(5, worked=0.01, waited=0.01) == [0] * 5


async def test_it_rests_for_long_while_requests_are_kept_waiting() -> None:
    machine = Machine()
    await machine.work(6, worked=0, waited=0)
    assert await machine.work(4, worked=0.4, waited=0.3) == [5] * 4
    assert await machine.work(5, worked=0.4, waited=0) == [3, 1.5, 0.75, 0.375, 0]


async def test_pieces_overlap_where_there_is_room() -> None:
    machine = Machine()
    await machine.work(6, worked=0, waited=0)
    assert not machine.pace.is_slow
    for _ in range(3):
        await asyncio.wait_for(machine.pace.begin(), 10)


async def test_pieces_begin_one_by_one_while_there_is_reason_to_rest() -> None:
    machine = Machine()
    await machine.pace.begin()
    later = [asyncio.ensure_future(machine.pace.begin()) for _ in range(3)]

    async def begun() -> list[bool]:
        await asyncio.sleep(0.01)
        return [task.done() for task in later]

    assert await begun() == [False, False, False]  # it begins with care
    for expected in ([True, False, False], [True, True, False]):
        machine.pass_by(1, 0.5, 0.5)
        await machine.pace.end()
        assert await begun() == expected


async def test_all_that_wait_begin_when_the_reason_is_gone() -> None:
    machine = Machine()
    await machine.work(4, worked=0.5, waited=0)
    later = [asyncio.ensure_future(machine.pace.begin()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert [task.done() for task in later] == [True, False, False]
    machine.pass_by(1, 0.5, 0)
    await machine.pace.end()
    assert not machine.pace.is_slow
    await asyncio.wait_for(asyncio.gather(*later), 10)


async def test_no_rest_is_longer_than_a_measure() -> None:
    machine = Machine()
    await machine.pace.begin()
    machine.pass_by(50, 0, 0)  # the source said nothing for long
    await machine.pace.end()
    assert machine.rested == [5]


async def test_the_rest_is_over_before_the_next_piece_begins() -> None:
    resting, awake = asyncio.Event(), asyncio.Event()

    async def sleep(seconds: float) -> None:
        resting.set()
        await awake.wait()

    pace = Pace(lambda: (), lambda process: None, lambda: 0.0, sleep)
    await pace.begin()
    ending = asyncio.ensure_future(pace.end())
    await resting.wait()
    later = asyncio.ensure_future(pace.begin())
    await asyncio.sleep(0.01)
    assert not later.done()
    awake.set()
    await asyncio.gather(ending, later)


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this system does not say")
def test_the_system_says_for_how_long_a_process_worked_and_waited() -> None:
    found = times(os.getpid())
    assert found is not None
    assert found.worked > 0
    assert found.waited >= 0


@pytest.mark.parametrize("text", [b"", b"7000", b"of another form", b"1 x 2"])
def test_not_every_system_does(text: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pace, "_PROC", tmp_path)
    assert times(1) is None
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "schedstat").write_bytes(b"7000000000 2500000000 12\n")
    assert times(1) == Times(7.0, 2.5)
    (tmp_path / "1" / "schedstat").write_bytes(text)
    assert times(1) is None
