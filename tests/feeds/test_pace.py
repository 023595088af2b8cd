"""A reading rests while others want the processors, and only then."""

from __future__ import annotations

import pytest

from proxy.feeds import pace
from proxy.feeds.pace import Pace, kept_waiting


class Machine:
    """One on which a process works a second for each piece, and waits `crowd` seconds for a processor and two for the
    source.
    """

    def __init__(self) -> None:
        self.worked = self.waited = self.now = 0.0
        self.rested: list[float] = []
        self.pace = Pace(lambda: self.worked, lambda: self.waited, lambda: self.now, self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.rested.append(seconds)
        self.now += seconds

    async def work(self, times: int, crowd: float) -> list[float]:
        """How long was rested after each piece."""
        found = []
        for _ in range(times):
            self.worked += 1
            self.waited += crowd
            self.now += 1 + crowd + 2
            self.rested.clear()
            await self.pace.keep()
            found.append(sum(self.rested))
        return found


async def test_nobody_rests_where_there_is_room() -> None:
    machine = Machine()
    assert await machine.work(5, crowd=0.1) == [0] * 5


async def test_the_longer_it_is_crowded_the_longer_it_rests_up_to_a_measure() -> None:
    machine = Machine()
    rests = await machine.work(10, crowd=1)
    assert rests == [2, 4, 8, 16, 16, 16, 16, 16, 16, 16]


async def test_it_is_soon_forgotten() -> None:
    machine = Machine()
    await machine.work(10, crowd=1)
    assert await machine.work(7, crowd=0) == [6, 3, 1.5, 0, 0, 0, 0]


def test_the_system_says_for_how_long_a_process_was_kept_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert kept_waiting() >= 0
    file = tmp_path_factory.mktemp("proc") / "schedstat"
    monkeypatch.setattr(pace, "_SCHEDSTAT", file)
    assert kept_waiting() == 0  # there is none on other systems
    for text, seconds in ((b"7000 2500000000 12\n", 2.5), (b"7000", 0), (b"of another form", 0)):
        file.write_bytes(text)
        assert kept_waiting() == seconds
