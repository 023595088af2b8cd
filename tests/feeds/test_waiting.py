"""Who is woken, and how many at once."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from proxy.errors import Unavailable
from proxy.feeds import waiting as waiting_module
from proxy.feeds.waiting import Keys, Waiting


async def _begin(waiting: Waiting, *held: Keys) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(waiting.wait(keys)) for keys in held]
    await asyncio.sleep(0)
    return tasks


def _done(tasks: list[asyncio.Task[None]]) -> list[bool]:
    return [task.done() for task in tasks]


async def test_holders_of_a_key_are_woken_and_who_holds_all() -> None:
    waiting = Waiting()
    tasks = await _begin(waiting, frozenset({1}), frozenset({2}), frozenset({1, 2}), None, frozenset())
    waiting.wake(frozenset({1, 7}))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert _done(tasks) == [True, False, True, True, False]
    assert waiting.count == 2
    waiting.wake(None)
    await tasks[1]
    assert waiting.count == 1  # that one holds nothing: there is nothing to tell it of
    waiting.fail(Unavailable("gone"))
    with pytest.raises(Unavailable):
        await tasks[4]
    assert waiting.count == 0


async def test_many_are_woken_some_at_a_time_and_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "_AT_ONCE", 3)
    waiting = Waiting()
    tasks = await _begin(waiting, *[frozenset({1})] * 30, frozenset({2}))
    waiting.wake(frozenset({1}))
    seen = [0]
    while seen[-1] < 30:
        if len(seen) == 4:
            assert not tasks[-1].done()
            waiting.wake(frozenset({2}))
        if len(seen) == 7:
            assert tasks[-1].done()
        await asyncio.sleep(0)
        seen.append(sum(_done(tasks[:-1])))
    assert max(after - before for before, after in pairwise(seen)) <= 3
    assert waiting.count == 0


async def test_who_is_called_twice_or_has_left_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "_AT_ONCE", 2)
    waiting = Waiting()
    tasks = await _begin(waiting, *[frozenset({1, 2})] * 9)
    waiting.wake(frozenset({1}))
    waiting.wake(frozenset({2}))
    waiting.wake(None)
    tasks[0].cancel()
    tasks[8].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[1:8] == [None] * 7
    assert waiting.count == 0


async def test_all_are_told_at_once_that_nothing_will_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_module, "_AT_ONCE", 2)
    waiting = Waiting()
    tasks = await _begin(waiting, *[frozenset({1})] * 9, None)
    waiting.wake(frozenset({1}))
    waiting.fail(Unavailable("gone"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(result is None for result in results) == 2
    assert sum(isinstance(result, Unavailable) for result in results) == 8
    assert waiting.count == 0
