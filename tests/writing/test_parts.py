"""A batch in parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import CouchError
from proxy.writing.parts import LARGEST, cut, store_parts
from proxy.writing.settle import Untold

T = TypeVar("T")


async def each(parts: Iterable[T]) -> AsyncGenerator[T, None]:
    for part in parts:
        yield part


@given(st.integers(0, 3000))
def test_parts_are_the_batch_in_order(number: int) -> None:
    parts = list(cut(range(number)))
    assert [each for part in parts for each in part] == list(range(number))
    sizes = [len(part) for part in parts]
    assert all(0 < size <= LARGEST for size in sizes)
    assert sizes[:-1] == sorted(sizes[:-1])


async def test_the_next_are_planned_while_some_are_stored() -> None:
    events: list[str] = []
    may_end = asyncio.Event()

    async def plan(part: int) -> int:
        events.append(f"plan {part}")
        if part == 2:
            may_end.set()
        return part

    async def store(part: int) -> int:
        await may_end.wait()
        events.append(f"stored {part}")
        return 200 + part

    assert await store_parts(each([0, 1, 2]), plan, store) == 202
    assert events.index("plan 2") < events.index("stored 0")


async def test_nothing_is_stored_before_the_second_part_is_given() -> None:
    async def plan(part: int) -> int:
        return part

    async def store(part: int) -> int:
        raise AssertionError

    async def malformed() -> AsyncGenerator[int, None]:
        yield 0
        for _ in range(20):
            await asyncio.sleep(0)
        raise CouchError("malformed")

    with pytest.raises(CouchError, match="malformed"):
        await store_parts(malformed(), plan, store)


async def test_the_source_is_not_flooded() -> None:
    storing, most = 0, 0

    async def plan(part: int) -> int:
        return part

    async def store(part: int) -> int:
        nonlocal storing, most
        storing += 1
        most = max(most, storing)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        storing -= 1
        return 201

    assert await store_parts(each(range(50)), plan, store) == 201
    assert 1 < most <= 3


@pytest.mark.parametrize("planning", [True, False])
async def test_an_error_is_raised_when_all_that_was_begun_has_ended(planning: bool) -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def plan(part: int) -> int:
        if planning and part == 2:
            raise CouchError("planned")
        return part

    async def store(part: int) -> int:
        begun.append(part)
        if part == 1 and not planning:
            raise CouchError("stored")
        for _ in range(20):
            await asyncio.sleep(0)
        ended.append(part)
        return 201

    with pytest.raises(CouchError, match="planned" if planning else "stored"):
        await store_parts(each(range(50)), plan, store)
    assert set(begun) - set(ended) == (set() if planning else {1})
    assert len(begun) < 10


async def test_that_nobody_knows_what_is_stored_is_said_first() -> None:
    async def plan(part: int) -> int:
        return part

    async def store(part: int) -> int:
        await asyncio.sleep(0)
        raise CouchError("refused") if part == 0 else Untold("unknown")

    with pytest.raises(Untold):
        await store_parts(each([0, 1]), plan, store)


async def test_no_parts_are_no_work() -> None:
    async def nothing(part: Sequence[int]) -> Sequence[int]:
        raise AssertionError

    async def store(part: Sequence[int]) -> int:
        raise AssertionError

    assert await store_parts(each(cut(list[int]())), nothing, store) == 201
